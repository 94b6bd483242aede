"""The operations on traces."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, NotRequired

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from musterd.core import clock, semconv
from musterd.core.callers import Caller
from musterd.features.traces.filters import FilterSchemaResponse, comparison, filter_schema, parse_condition
from musterd.features.traces.records import (
    STATUS_OF,
    Condition,
    SessionTraces,
    Span,
    SpanKind,
    SpanStatus,
    TraceRow,
)
from musterd.features.traces.service import TraceQuery, TraceService
from musterd.http.feature import Feature
from musterd.http.operation import operation
from musterd.http.parameters import (
    Body,
    DatabaseQuery,
    PageQuery,
    Text,
)
from musterd.wire.pages import MAX_PAGES
from musterd.wire.problems import Problems
from musterd.wire.shapes import PaginatedResponse, Time, page_of, without_nulls
from musterd.wire.times import iso_micros

MAX_RESULTS = 100
"""The longest page of a search."""

_TAG = "Traces"
_NO_DATABASE = {404: "Database not found"}
_READ = "traces:read"


# --- requests -----------------------------------------------------------------------------------------


def _require_time(text: str) -> str:
    problems = Problems("query")
    comparison("GTE", "start_time", text, problems, ("start_time",))
    if problems.messages:
        raise PydanticCustomError("value_error", problems.messages[0])
    return text


QueryTime = Annotated[Text, AfterValidator(_require_time)]
"""A time, ISO 8601."""


class TimeQuery(DatabaseQuery):
    """The conditions that all lists of traces take."""

    CONDITIONS: ClassVar[tuple[str, ...]] = ("user_id", "agent_id", "team_id", "workflow_id")

    user_id: Text | None = Field(None, description="Only runs of this user")
    agent_id: Text | None = Field(None, description="Only runs of this agent")
    team_id: Text | None = Field(None, description="Only runs of this team")
    workflow_id: Text | None = Field(None, description="Only runs of this workflow")
    start_time: QueryTime | None = Field(None, description="Only traces that began at or after this time, ISO 8601")
    end_time: QueryTime | None = Field(None, description="Only traces that ended at or before this time, ISO 8601")

    def condition(self) -> Condition | None:
        """All conditions together; None: there is none."""
        problems = Problems("query")
        parts = [
            Condition(op="EQ", key=name, values=(str(value),))
            for name in self.CONDITIONS
            if (value := getattr(self, name)) is not None
        ]
        for name, op in (("start_time", "GTE"), ("end_time", "LTE")):
            if (text := getattr(self, name)) is not None:
                parts.append(comparison(op, name, text, problems, (name,)))
        return Condition(op="AND", parts=tuple(parts)) if parts else None


class TracesQuery(PageQuery, TimeQuery):
    """The query of ``GET /traces``."""

    CONDITIONS = ("run_id", "session_id", *TimeQuery.CONDITIONS, "status")

    run_id: Text | None = Field(None, description="Only this run")
    session_id: Text | None = Field(None, description="Only runs of this session")
    status: SpanStatus | None = Field(None, description="`UNSET`: the run is unfinished or was cancelled")


class SessionStatsQuery(PageQuery, TimeQuery):
    """The query of ``GET /trace_session_stats``."""

    page: int = Field(1, ge=1, le=MAX_PAGES, description="The page, from 1")


class TraceDetailQuery(DatabaseQuery):
    """The query of ``GET /traces/{trace_id}``."""

    span_id: Text | None = Field(None, description="Only this span")
    run_id: Text | None = Field(None, description="The run of the trace")


class TraceSearchGroupBy(StrEnum):
    """What a search lists."""

    RUN = "run"
    SESSION = "session"


_Filter = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}]})
]


class TraceSearchRequest(Body):
    """What to search for."""

    filter: _Filter = Field(None, description="A comparison, or conditions combined.")
    group_by: TraceSearchGroupBy = TraceSearchGroupBy.RUN
    page: int = Field(1, ge=1, le=MAX_PAGES)
    limit: int = Field(20, ge=1, le=MAX_RESULTS)

    def condition(self) -> Condition | None:
        """The filter; None: there is none.

        :raises InvalidInput: it is not one.
        """
        if self.filter is None:
            return None
        problems = Problems("body")
        condition = parse_condition(self.filter, problems)
        problems.raise_if_any()
        return condition


# --- answers ------------------------------------------------------------------------------------------


class TraceSummary(TypedDict):
    """One trace, without its spans."""

    trace_id: str
    name: str
    status: SpanStatus
    duration: str
    start_time: Time
    end_time: Time
    total_spans: int
    error_count: int
    input: NotRequired[str | None]
    run_id: NotRequired[str | None]
    session_id: NotRequired[str | None]
    user_id: NotRequired[str | None]
    agent_id: NotRequired[str | None]
    team_id: NotRequired[str | None]
    workflow_id: NotRequired[str | None]
    created_at: Time


class TraceNode(TypedDict):
    """One span, with the spans below it."""

    id: str
    name: str
    type: SpanKind
    duration: str
    start_time: Time
    end_time: Time
    status: SpanStatus
    input: NotRequired[str | None]
    output: NotRequired[str | None]
    error: NotRequired[str | None]
    spans: NotRequired[list["TraceNode"] | None]
    step_type: NotRequired[str | None]
    metadata: NotRequired[dict[str, Any] | None]
    extra_data: NotRequired[dict[str, Any] | None]


class TraceDetail(TraceSummary):
    """One trace with its spans."""

    output: NotRequired[str | None]
    error: NotRequired[str | None]
    tree: list[TraceNode]


class TraceSessionStats(TypedDict):
    """The number of traces of a session."""

    session_id: str
    user_id: NotRequired[str | None]
    agent_id: NotRequired[str | None]
    team_id: NotRequired[str | None]
    workflow_id: NotRequired[str | None]
    total_traces: int
    first_trace_at: Time
    last_trace_at: Time


def duration_text(started_at: float, ended_at: float) -> str:
    """A duration in words: ``150ms``, ``1.50s``."""
    milliseconds = max(int((ended_at - started_at) * 1000), 0)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f}s"


def trace_summary(trace: TraceRow, now: float) -> TraceSummary:
    """One trace, without its spans."""
    run = trace.run
    started, ended = run.started_at or run.created_at, run.ended_at or now
    summary: TraceSummary = {
        "trace_id": trace.trace_id,
        "name": f"{semconv.INVOKE_AGENT} {run.component_name}",
        "status": STATUS_OF.get(run.state, SpanStatus.UNSET),
        "duration": duration_text(started, ended),
        "start_time": iso_micros(started),
        "end_time": iso_micros(ended),
        "total_spans": trace.spans,
        "error_count": trace.errors,
        "input": trace.message,
        "run_id": run.run_id,
        "session_id": run.session_id,
        "user_id": run.user_id,
        "agent_id": run.component_id if run.component_kind == "agent" else None,
        "team_id": run.component_id if run.component_kind == "team" else None,
        "workflow_id": run.component_id if run.component_kind == "workflow" else None,
        "created_at": iso_micros(run.created_at),
    }
    return without_nulls(summary)


def trace_detail(trace: TraceRow, root: Span, now: float) -> TraceDetail:
    """One trace with its spans."""
    spans = root.flat()
    totals = {
        f"total_{name}": total
        for name in ("input_tokens", "output_tokens")
        if (total := sum(span.metadata.get(name, 0) for span in spans))
    }
    # The input, output and error of the root are shown with the trace.
    top = without_nulls(
        TraceNode({**span_node(root, now), "input": None, "output": None, "error": None, "metadata": totals or None})
    )
    summary: TraceSummary = {**trace_summary(trace, now), "total_spans": len(spans)}
    return without_nulls(TraceDetail({**summary, "output": root.output, "error": root.error, "tree": [top]}))


def span_node(span: Span, now: float, *, has_below: bool = True) -> TraceNode:
    """One span, with the spans below it unless it was requested by its id."""
    ended = span.ended_at or now
    below = [span_node(child, now) for child in span.children] if has_below else []
    node: TraceNode = {
        "id": span.span_id,
        "name": span.name,
        "type": span.kind,
        "duration": duration_text(span.started_at, ended),
        "start_time": iso_micros(span.started_at),
        "end_time": iso_micros(ended),
        "status": span.status,
        "input": span.input,
        "output": None if span.status is SpanStatus.ERROR else span.output,
        "error": span.error,
        "spans": below or None,
        "metadata": span.metadata or None,
        "extra_data": span.attributes or None,
    }
    return without_nulls(node)


def session_stats(session: SessionTraces) -> TraceSessionStats:
    """The number of traces of a session."""
    stats: TraceSessionStats = {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "agent_id": session.agent_id,
        "team_id": session.team_id,
        "workflow_id": session.workflow_id,
        "total_traces": session.total,
        "first_trace_at": iso_micros(session.first_at),
        "last_trace_at": iso_micros(session.last_at),
    }
    return without_nulls(stats)


# --- operations ---------------------------------------------------------------------------------------


@operation("GET", "/traces", "get_traces", scope=_READ, tag=_TAG, summary="List Traces", errors=_NO_DATABASE)
async def list_traces(traces: TraceService, caller: Caller, query: TracesQuery) -> PaginatedResponse[TraceSummary]:
    """List traces, newest first: every run that a client started, once it has begun."""
    conditions = TraceQuery(condition=query.condition(), limit=query.limit, page=query.page)
    page, total = await traces.search(conditions, caller)
    now = clock.now()
    return page_of([trace_summary(trace, now) for trace in page], total, page=query.page, limit=query.limit)


@operation(
    "GET",
    "/traces/filter-schema",
    "get_traces_filter_schema",
    scope=_READ,
    tag=_TAG,
    summary="Get Trace Filter Schema",
)
async def get_filter_schema() -> FilterSchemaResponse:
    """Get the fields and operators that traces can be filtered by."""
    return filter_schema()


@operation(
    "POST",
    "/traces/search",
    "search_traces",
    scope=_READ,
    tag=_TAG,
    summary="Search Traces with Advanced Filters",
    errors=_NO_DATABASE,
)
async def search_traces(
    traces: TraceService, caller: Caller, database: DatabaseQuery, body: TraceSearchRequest
) -> PaginatedResponse[TraceDetail] | PaginatedResponse[TraceSessionStats]:
    """Search traces with their spans, or sessions with the number of their traces.

    `filter` compares a field (`{op, key, value}`; `IN` has `values`) or combines conditions
    (`{op: AND|OR, conditions}`, `{op: NOT, condition}`); `GET /traces/filter-schema` has fields and operators. CONTAINS
    and STARTSWITH ignore case.
    """
    query = TraceQuery(condition=body.condition(), limit=body.limit, page=body.page)
    if body.group_by is TraceSearchGroupBy.SESSION:
        return await _by_session(traces, caller, query)
    page, total = await traces.search_whole(query, caller)
    now = clock.now()
    details = [trace_detail(trace.row, trace.root, now) for trace in page]
    return page_of(details, total, page=query.page, limit=query.limit)


@operation(
    "GET",
    "/traces/{trace_id}",
    "get_trace",
    scope=_READ,
    tag=_TAG,
    summary="Get Trace or Span Detail",
    errors={404: "Trace, span or database not found"},
)
async def get_trace(
    traces: TraceService, caller: Caller, trace_id: str, query: TraceDetailQuery
) -> TraceDetail | TraceNode:
    """Get one trace with its spans: members' runs, model calls, tool calls, hooks. With `span_id`, get that span only.

    If a client sent one `traceparent` with several runs, `run_id` says which run is meant; by default the last.
    """
    now = clock.now()
    if query.span_id is not None:
        span = await traces.span(trace_id, query.span_id, query.run_id, caller)
        return span_node(span, now, has_below=False)
    trace = await traces.view(trace_id, query.run_id, caller)
    return trace_detail(trace.row, trace.root, now)


@operation(
    "GET",
    "/trace_session_stats",
    "get_trace_stats",
    scope=_READ,
    tag=_TAG,
    summary="Get Trace Statistics by Session",
    errors=_NO_DATABASE,
)
async def list_session_stats(
    traces: TraceService, caller: Caller, query: SessionStatsQuery
) -> PaginatedResponse[TraceSessionStats]:
    """List sessions with the number of their traces, most recently used first."""
    return await _by_session(
        traces, caller, TraceQuery(condition=query.condition(), limit=query.limit, page=query.page)
    )


async def _by_session(traces: TraceService, caller: Caller, query: TraceQuery) -> PaginatedResponse[TraceSessionStats]:
    sessions, total = await traces.by_session(query, caller)
    return page_of([session_stats(session) for session in sessions], total, page=query.page, limit=query.limit)


FEATURE = Feature(
    service=lambda server: TraceService(server.resources),
    operations=[list_traces, get_filter_schema, search_traces, get_trace, list_session_stats],
)
