"""The operations on sessions."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import BadRequest, InvalidInput, NotFound
from musterd.core.ids import require_identifier
from musterd.core.records import ComponentKind, RunView
from musterd.core.settings import Settings
from musterd.http.answers import json_answer
from musterd.http.callers import caller_of
from musterd.http.databases import require_database
from musterd.http.json_bodies import read_json
from musterd.http.paths import path_identifier
from musterd.http.server import Server
from musterd.service.sessions import SessionView
from musterd.store.sessions import SessionFilter
from musterd.wire import lists
from musterd.wire import sessions as wire_sessions
from musterd.wire.query import (
    SessionRunsQuery,
    parse_session_runs_query,
    parse_session_type,
    parse_sessions_query,
)


class SessionOperations:
    """List, look, delete."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """A page of sessions."""
        query = parse_sessions_query(request.query_params)
        require_database(request)
        wanted = SessionFilter(
            component_kind=query.type,
            component_id=query.component_id,
            user_id=query.user_id,
            name=query.session_name,
            sort_by=query.sort_by,
            descending=query.is_descending,
            limit=query.limit,
            page=query.page,
        )
        rows, count = await self._server.sessions.search(wanted, caller_of(request))
        return json_answer(wire_sessions.session_page(rows, count, page=query.page, limit=query.limit))

    async def get(self, request: Request) -> Response:
        """One session with its conversation."""
        kind = parse_session_type(request.query_params)
        session_id = path_identifier(request, "session_id")
        view = await self._visible(request, session_id)
        if view is None:
            raise NotFound(_not_found(session_id, kind))
        asked: ComponentKind | None = "agent" if kind == "agent" else "team" if kind == "team" else None
        component = self._server.registry.component(view.session.component_kind, view.session.component_id)
        model = self._server.describe(component) if component is not None else None
        return json_answer(wire_sessions.session_detail(view.session, view.runs, kind=asked, model=model))

    async def runs(self, request: Request) -> Response:
        """The session's runs, live ones too, members' before their parents."""
        query = parse_session_runs_query(request.query_params)
        session_id = path_identifier(request, "session_id")
        view = await self._visible(request, session_id, query.user_id)
        if view is None:
            raise NotFound(f"Session with ID {session_id} not found")
        return json_answer(lists.session_runs(_selected(view.runs, query)))

    async def run(self, request: Request) -> Response:
        """One run of the session."""
        session_id = path_identifier(request, "session_id")
        run_id = path_identifier(request, "run_id")
        view = await self._server.sessions.run(session_id, run_id, caller_of(request))
        return json_answer(lists.session_run(view))

    async def delete(self, request: Request) -> Response:
        """Delete a session; deleting one that does not exist is done already."""
        await self._delete(request, path_identifier(request, "session_id"))
        return Response(status_code=204)

    async def delete_many(self, request: Request) -> Response:
        """Delete sessions by their ids."""
        for session_id in await _session_ids(request, self._server.settings):
            await self._delete(request, session_id)
        return Response(status_code=204)

    async def _delete(self, request: Request, session_id: str) -> None:
        """Delete the session, unless the labels of the request name another user's or another database."""
        require_database(request)
        if not request.query_params.get("user_id") or await self._visible(request, session_id) is not None:
            await self._server.sessions.delete(session_id, caller_of(request))

    async def _visible(self, request: Request, session_id: str, user_id: str | None = None) -> SessionView | None:
        """The session, when the labels of the request fit it."""
        require_database(request)
        wanted_user = user_id or request.query_params.get("user_id")
        view = await self._server.sessions.view(session_id, caller_of(request))
        if view is not None and wanted_user and view.session.user_id != wanted_user:
            return None
        return view


def _not_found(session_id: str, kind: str | None) -> str:
    return f"{(kind or 'team').capitalize()} Session with id '{session_id}' not found"


def _selected(views: "list[RunView]", query: SessionRunsQuery) -> "list[RunView]":
    after, before = query.created_after, query.created_before
    return [
        view
        for view in views
        if (after is None or view.row.created_at >= after) and (before is None or view.row.created_at <= before)
    ]


async def _session_ids(request: Request, settings: Settings) -> "list[str]":
    body = await read_json(request, settings)
    found: dict[str, list[str]] = {}
    for name in ("session_ids", "session_types"):
        value = body.get(name) if isinstance(body, dict) else None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidInput.at(("body", name), "list_type", "Input should be a list of texts")
        if not value:
            message = "List should have at least 1 item after validation, not 0"
            raise InvalidInput.at(("body", name), "too_short", message, value)
        found[name] = value
    if len(found["session_ids"]) != len(found["session_types"]):
        raise BadRequest("Session IDs and session types must have the same length")
    return [require_identifier(item, ("body", "session_ids")) for item in found["session_ids"]]
