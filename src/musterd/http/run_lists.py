"""The operation on the runs of all sessions."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.store.run_lists import RunsQuery
from musterd.wire import lists
from musterd.wire.query import cursor_of, parse_run_page_query


class RunListOperations:
    """List runs."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """A page of root runs of all sessions, newest first."""
        query = parse_run_page_query(request.query_params, request.query_params.getlist("status"))
        wanted = RunsQuery(
            states=query.states,
            component=None if query.kind is None else (query.kind, query.component_id or ""),
            user_id=query.user_id,
            session_id=query.session_id,
            created_after=query.created_after,
            created_before=query.created_before,
            after=query.after,
            limit=query.limit + 1,  # one more says whether there is a next page
        )
        found = await self._server.lists.page(wanted, caller_of(request))
        views = found[: query.limit]
        next_cursor = cursor_of(views[-1].row) if len(found) > query.limit else None
        return json_answer(lists.run_page(views, next_cursor, query.limit))
