"""Traces: what is stored of runs, as spans."""

from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.engine.resources import Resources
from musterd.features.traces import store
from musterd.features.traces.records import Condition, SessionTraces, Span, TraceRow
from musterd.features.traces.spans import root_span
from musterd.store.database import Tx


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
        return await self._database.scan(
            lambda tx: store.search(tx, condition, caller, now, limit=query.limit, page=query.page)
        )

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


async def _whole(tx: Tx, row: TraceRow, *, has_messages: bool) -> Trace:
    return Trace(row, root_span(*await store.tree(tx, row.run.run_id, has_messages=has_messages)))
