"""Traces: what is stored of runs, as spans."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.jsontypes import JsonObject
from musterd.engine.resources import Resources
from musterd.features.traces import store
from musterd.features.traces.records import Condition, SessionTraces, Span, TraceRow
from musterd.features.traces.spans import root_span
from musterd.features.traces.workflow_spans import container_count, plan_of
from musterd.store.database import Tx
from musterd.store.shards import SessionTx


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace with its spans."""

    row: TraceRow
    root: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """Which traces to list. None: no condition."""

    condition: Condition | None = None
    limit: int = 20
    page: int = 1


class TraceService:
    """The use cases of traces."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database

    async def search(self, query: TraceQuery, caller: Caller) -> tuple[list[TraceRow], int]:
        """One page of traces, newest first, and how many there are in all."""
        now, condition = clock.now(), query.condition

        async def work(tx: Tx) -> tuple[list[TraceRow], int]:
            rows, total = await store.search(tx, condition, caller, now, limit=query.limit, page=query.page)
            return await _with_containers(tx, rows), total

        return await self._database.scan(work)

    async def search_whole(self, query: TraceQuery, caller: Caller) -> tuple[list[Trace], int]:
        """The same, each with its spans, but without the inputs of model calls."""
        now, condition = clock.now(), query.condition

        async def work(tx: Tx) -> tuple[list[Trace], int]:
            rows, total = await store.search(tx, condition, caller, now, limit=query.limit, page=query.page)
            return [await _whole(tx, row, has_messages=False) for row in rows], total

        return await self._database.scan(work)

    async def by_session(self, query: TraceQuery, caller: Caller) -> tuple[list[SessionTraces], int]:
        """One page of sessions with what is counted of their traces, and how many there are in all."""
        now, condition = clock.now(), query.condition
        return await self._database.scan(
            lambda tx: store.by_session(tx, condition, caller, now, limit=query.limit, page=query.page)
        )

    async def view(self, trace_id: str, run_id: str | None, caller: Caller) -> Trace:
        """One trace with its spans.

        :raises NotFound: there is none that this caller may see.
        """

        async def work(tx: Tx) -> Trace:
            row = await store.get(tx, trace_id, run_id, caller)
            if row is None:
                raise NotFound("Trace not found")
            return await _whole(tx, row, has_messages=True)

        return await self._database.scan(work)

    async def span(self, trace_id: str, span_id: str, run_id: str | None, caller: Caller) -> Span:
        """One span of a trace.

        :raises NotFound: there is no such trace that this caller may see, or no such span in it.
        """
        trace = await self.view(trace_id, run_id, caller)
        for span in trace.root.flat():
            if span.span_id == span_id:
                return span
        raise NotFound("Span not found")


async def _with_containers(tx: Tx, traces: list[TraceRow]) -> list[TraceRow]:
    """The traces with the containers of workflows in their numbers of spans. Containers have no steps of their own."""
    root_ids = [trace.run.run_id for trace in traces if trace.run.component_kind == "workflow"]
    if not root_ids:
        return traces
    plan_rows, path_rows = await store.plans_and_paths(tx, root_ids)
    plans: dict[str, dict[str, Sequence[JsonObject]]] = {root_id: {} for root_id in root_ids}
    paths: dict[str, list[str]] = {root_id: [] for root_id in root_ids}
    for row in plan_rows:
        plans[row["root_id"]][row["path"]] = plan_of(row["result"])
    for row in path_rows:
        paths[row["root_id"]].append(row["path"])
    counts = {root_id: container_count(plans[root_id], paths[root_id]) for root_id in root_ids}
    return [replace(trace, spans=trace.spans + counts.get(trace.run.run_id, 0)) for trace in traces]


async def _whole(tx: Tx, row: TraceRow, *, has_messages: bool) -> Trace:
    session = SessionTx(tx, row.run.session_id)
    return Trace(row, root_span(*await store.tree(session, row.run.run_id, has_messages=has_messages)))
