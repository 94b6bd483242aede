"""The operations on traces."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core import clock
from musterd.http.databases import require_database
from musterd.http.json_bodies import read_json
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.service.traces import TracesWanted
from musterd.wire import traces as wire
from musterd.wire.pages import PAGES, page_object
from musterd.wire.query import parse_text
from musterd.wire.trace_filters import filter_schema
from musterd.wire.traces import TracesQuery


class TraceOperations:
    """List, search, look."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """A page of traces."""
        require_database(request)
        query = wire.parse_traces_query(request.query_params)
        rows, total = await self._server.traces.search(_wanted(query), caller_of(request))
        now = clock.now()
        return _page(query, [wire.trace_summary(row, now) for row in rows], total)

    async def get(self, request: Request) -> Response:
        """One trace with its spans, or one of its spans."""
        require_database(request)
        trace_id, caller = path_identifier(request, "trace_id"), caller_of(request)
        span_id, run_id = (parse_text(request.query_params, name) for name in ("span_id", "run_id"))
        now = clock.now()
        if span_id is not None:
            span = await self._server.traces.span(trace_id, span_id, run_id, caller)
            return json_answer(wire.span_node(span, now, has_below=False))
        found = await self._server.traces.view(trace_id, run_id, caller)
        return json_answer(wire.trace_detail(found.row, found.root, now))

    async def stats(self, request: Request) -> Response:
        """A page of sessions with what is counted of their traces."""
        require_database(request)
        return await self._by_session(request, wire.parse_traces_query(request.query_params, PAGES))

    async def filter_schema(self, request: Request) -> Response:
        """What traces can be filtered by."""
        return json_answer(filter_schema())

    async def search(self, request: Request) -> Response:
        """A page of traces with their spans, or of sessions, by a filter."""
        require_database(request)
        query = wire.parse_search(await read_json(request, self._server.settings))
        if query.group_by == "session":
            return await self._by_session(request, query)
        found, total = await self._server.traces.search_whole(_wanted(query), caller_of(request))
        now = clock.now()
        return _page(query, [wire.trace_detail(one.row, one.root, now) for one in found], total)

    async def _by_session(self, request: Request, query: TracesQuery) -> Response:
        found, total = await self._server.traces.by_session(_wanted(query), caller_of(request))
        return _page(query, [wire.session_stats(one) for one in found], total)


def _wanted(query: TracesQuery) -> TracesWanted:
    return TracesWanted(condition=query.condition, limit=query.limit, page=query.page)


def _page(query: TracesQuery, data: "list[dict[str, object]]", total: int) -> Response:
    return json_answer(page_object(data, total, page=query.page, limit=query.limit))
