"""Traces of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, Unpack

from .flows import D, Flow, Resource, StreamFlow, call, stream_call
from .paging import Page, PagedList
from .requests import path_of
from .wire_record import WireRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(WireRecord):
    """The trace of a run; ``raw["tree"]`` has its spans, if it was read alone.

    :param duration: in words, such as ``1.50s``.
    :param start_time: ISO 8601.
    """

    trace_id: str
    name: str
    status: str
    duration: str
    start_time: str
    run_id: str | None
    session_id: str | None
    total_spans: int
    error_count: int


class TraceFilters(TypedDict, total=False):
    """Which traces are listed.

    :param status: ``OK``, ``ERROR`` or ``UNSET`` (unfinished or cancelled).
    :param start_time: only those from then on, in ISO 8601.
    :param end_time: only those until then.
    """

    run_id: str | None
    session_id: str | None
    user_id: str | None
    team_id: str | None
    agent_id: str | None
    workflow_id: str | None
    status: str | None
    start_time: str | None
    end_time: str | None


_LIST = PagedList("/traces", Trace, "trace_id")


class Traces(Resource[D]):
    """Traces of runs."""

    @call
    def list(self, *, limit: int = 20, page: int = 1, **filters: Unpack[TraceFilters]) -> Flow[Page[Trace]]:
        """List traces, newest first.

        :param filters: :class:`TraceFilters`.
        """
        traces = yield from _LIST.page(self._requests, filters, limit, page)
        return traces

    @stream_call
    def all(self, **filters: Unpack[TraceFilters]) -> StreamFlow[Trace]:
        """All traces, newest first, each once.

        :param filters: :class:`TraceFilters`.
        """
        yield from _LIST.all(self._requests, filters)

    @call
    def get(self, trace_id: str) -> Flow[Trace]:
        """Get one trace, with its spans in ``raw["tree"]``."""
        raw = yield from self._requests.json("GET", path_of("traces", trace_id))
        return Trace.of(raw)
