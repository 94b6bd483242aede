"""Traces on the wire: summaries, trees of spans, sessions' counts, and what clients may filter by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musterd.core import semconv
from musterd.core.trace_ids import STATUS_OF, Condition, SessionTraces, Span, SpanStatus, TraceRow
from musterd.wire.fields import Fields
from musterd.wire.pages import PAGES_FROM_0, Pages
from musterd.wire.times import iso_micros
from musterd.wire.trace_filters import comparison, parse_condition

SEARCH_PAGES = Pages(most=100)
_EQUAL = ("run_id", "session_id", "user_id", "agent_id", "team_id", "workflow_id", "status")
GROUPS = ("run", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesQuery:
    """What a list of traces asks for.

    :param group_by: whether traces are listed, or sessions with their traces' counts.
    """

    condition: Condition | None
    limit: int
    page: int
    group_by: str = "run"


def duration_text(started_at: float, ended_at: float) -> str:
    """How long it took: ``150ms``, ``1.50s``."""
    milliseconds = max(int((ended_at - started_at) * 1000), 0)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f}s"


def trace_summary(found: TraceRow, now: float) -> dict[str, Any]:
    """One trace, without its spans."""
    run = found.run
    started, ended = run.started_at or run.created_at, run.ended_at or now
    return _given(
        {
            "trace_id": found.trace_id,
            "name": f"{semconv.INVOKE_AGENT} {run.component_name}",
            "status": _status(found).value,
            "duration": duration_text(started, ended),
            "start_time": iso_micros(started),
            "end_time": iso_micros(ended),
            "total_spans": found.spans,
            "error_count": found.errors,
            "input": found.message,
            "run_id": run.run_id,
            "session_id": run.session_id,
            "user_id": run.user_id,
            "agent_id": run.component_id if run.component_kind == "agent" else None,
            "team_id": run.component_id if run.component_kind == "team" else None,
            "created_at": iso_micros(run.created_at),
        }
    )


def trace_detail(found: TraceRow, root: Span, now: float) -> dict[str, Any]:
    """One trace with its spans."""
    spans = root.flat()
    totals = {
        f"total_{name}": total
        for name in ("input_tokens", "output_tokens")
        if (total := sum(span.metadata.get(name, 0) for span in spans))
    }
    top = span_node(root, now)
    for name in ("input", "output", "error"):  # they stand with the trace
        top.pop(name, None)
    if totals:
        top["metadata"] = totals
    else:
        top.pop("metadata", None)
    return _given({**trace_summary(found, now), "output": root.output, "error": root.error, "tree": [top]})


def span_node(span: Span, now: float, *, has_below: bool = True) -> dict[str, Any]:
    """One span, with those that it holds unless it is asked for by itself."""
    ended = span.ended_at or now
    below = [span_node(one, now) for one in span.below] if has_below else []
    return _given(
        {
            "id": span.span_id,
            "name": span.name,
            "type": span.kind.value,
            "duration": duration_text(span.started_at, ended),
            "start_time": iso_micros(span.started_at),
            "end_time": iso_micros(ended),
            "status": span.status.value,
            "input": span.input,
            "output": None if span.status is SpanStatus.ERROR else span.output,
            "error": span.error,
            "spans": below or None,
            "metadata": span.metadata or None,
            "extra_data": span.attributes or None,
        }
    )


def session_stats(found: SessionTraces) -> dict[str, Any]:
    """The traces of a session, counted."""
    return _given(
        {
            "session_id": found.session_id,
            "user_id": found.user_id,
            "agent_id": found.agent_id,
            "team_id": found.team_id,
            "total_traces": found.total,
            "first_trace_at": iso_micros(found.first_at),
            "last_trace_at": iso_micros(found.last_at),
        }
    )


def parse_traces_query(values: Mapping[str, str], pages: Pages = PAGES_FROM_0) -> TracesQuery:
    """The query of the lists of traces and of sessions' counts. Raises InvalidInput with everything that is wrong."""
    fields = Fields(values, "query")
    parts = [
        Condition(op="EQ", key=name, values=(value,)) for name in _EQUAL if (value := fields.text(name)) is not None
    ]
    for name, op in (("start_time", "GTE"), ("end_time", "LTE")):
        if (text := fields.text(name)) is not None:
            parts.append(comparison(op, name, text, fields.problems, (name,)))
    fields.choice("status", tuple(SpanStatus))
    limit, page = pages.limit(fields), pages.page(fields)
    fields.problems.raise_if_any()
    return TracesQuery(condition=Condition(op="AND", parts=tuple(parts)) if parts else None, limit=limit, page=page)


def parse_search(body: Any) -> TracesQuery:
    """The body of ``POST /traces/search``. Raises InvalidInput with everything that is wrong."""
    fields = Fields.of_object(body)
    given = fields.given("filter")
    condition = None if given is None else parse_condition(given, fields.problems)
    found = TracesQuery(
        condition=condition,
        group_by=fields.choice("group_by", GROUPS) or GROUPS[0],
        limit=SEARCH_PAGES.limit(fields),
        page=SEARCH_PAGES.page(fields),
    )
    fields.problems.raise_if_any()
    return found


def _status(found: TraceRow) -> SpanStatus:
    return STATUS_OF.get(found.run.state, SpanStatus.UNSET)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
