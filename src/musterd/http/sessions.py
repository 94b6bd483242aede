"""The operations on sessions."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from musterd.core import clock
from musterd.core.errors import NotFound
from musterd.core.ids import require_identifier
from musterd.core.records import ComponentKind, RunView
from musterd.http.databases import require_database
from musterd.http.json_bodies import read_object
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.responses import json_answer
from musterd.http.server import Server
from musterd.service.sessions import NewSession, SessionView
from musterd.store.run_lists import SessionRunsQuery
from musterd.store.session_search import SessionFilter
from musterd.store.sessions import SessionChanges
from musterd.wire import lists
from musterd.wire import sessions as wire_sessions
from musterd.wire.query import (
    parse_session_runs_query,
    parse_session_type,
    parse_sessions_query,
)
from musterd.wire.session_bodies import (
    parse_create_session,
    parse_delete_sessions,
    parse_rename_session,
    parse_update_session,
)


class SessionOperations:
    """Make, list, look, change, delete."""

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

    async def create(self, request: Request) -> Response:
        """Make a session ahead of its first run."""
        kind = parse_session_type(request.query_params)
        require_database(request)
        asked = parse_create_session(await read_object(request, self._server.settings, may_be_empty=True), kind)
        if asked.component_id is not None:
            self._server.component(asked.kind, asked.component_id)
        wanted = NewSession(
            session_id=asked.session_id,
            component_kind=asked.kind,
            component_id=asked.component_id or "",
            user_id=asked.user_id,
            name=asked.name,
            state=asked.state,
            metadata=asked.metadata,
        )
        session = await self._server.sessions.create(wanted, caller_of(request))
        return json_answer(wire_sessions.session_detail(session, [], kind=asked.kind), 201)

    async def get(self, request: Request) -> Response:
        """One session with its conversation."""
        kind = parse_session_type(request.query_params)
        session_id = path_identifier(request, "session_id")
        require_database(request)
        view = await self._visible(request, session_id)
        if view is None:
            raise NotFound(_not_found(session_id, kind))
        return self._detail(view, kind, with_nulls=False)

    async def update(self, request: Request) -> Response:
        """Change name, state, metadata or summary of a session; the session as it is then."""
        body = await read_object(request, self._server.settings)
        asked = parse_update_session(body, clock.now())
        return await self._change(
            request,
            SessionChanges(name=asked.name, state=asked.state, metadata=asked.metadata, summary=asked.summary),
        )

    async def rename(self, request: Request) -> Response:
        """Give a session a name; the session as it is then."""
        name = parse_rename_session(await read_object(request, self._server.settings))
        return await self._change(request, SessionChanges(name=name))

    async def _change(self, request: Request, changes: SessionChanges) -> Response:
        kind = parse_session_type(request.query_params)
        session_id = path_identifier(request, "session_id")
        require_database(request)
        await self._server.sessions.change(session_id, changes, caller_of(request), user_id=_label(request))
        view = await self._visible(request, session_id)
        if view is None:  # deleted meanwhile
            raise NotFound(f"Session with id '{session_id}' not found")
        return self._detail(view, kind, with_nulls=True)

    def _detail(self, view: SessionView, kind: str | None, *, with_nulls: bool) -> Response:
        asked: ComponentKind | None = "agent" if kind == "agent" else "team" if kind == "team" else None
        component = self._server.registry.component(view.session.component_kind, view.session.component_id)
        model = self._server.describe(component) if component is not None else None
        shown = wire_sessions.session_detail(view.session, view.runs, kind=asked, model=model, with_nulls=with_nulls)
        return json_answer(shown)

    async def runs(self, request: Request) -> Response:
        """The session's runs, live ones too, members' before their parents and once the root run paused or ended."""
        return json_answer(lists.session_runs(await self._listed(request, is_preview=False)))

    async def run_previews(self, request: Request) -> Response:
        """The same runs and those of members at work, of each a few words."""
        return json_answer(lists.session_run_previews(await self._listed(request, is_preview=True)))

    async def _listed(self, request: Request, *, is_preview: bool) -> Sequence[RunView]:
        query = parse_session_runs_query(request.query_params, request.query_params.getlist("status"))
        require_database(request)
        wanted = SessionRunsQuery(
            session_id=path_identifier(request, "session_id"),
            states=query.states,
            created_after=query.created_after,
            created_before=query.created_before,
            before=query.before,
            limit=query.limit,
            has_messages=not is_preview,
            has_members_at_work=is_preview,
        )
        return await self._server.lists.of_session(wanted, caller_of(request), user_id=query.user_id)

    async def active(self, request: Request) -> Response:
        """The runs of the session that have not ended, in the order of its line."""
        session_id = path_identifier(request, "session_id")
        require_database(request)
        found = await self._server.lists.live(session_id, caller_of(request), user_id=_label(request))
        return json_answer([lists.active_run(view, expires_at) for view, expires_at in found])

    async def run(self, request: Request) -> Response:
        """One run of the session."""
        session_id = path_identifier(request, "session_id")
        run_id = path_identifier(request, "run_id")
        require_database(request)
        view = await self._server.sessions.run(session_id, run_id, caller_of(request), user_id=_label(request))
        return json_answer(lists.session_run(view))

    async def delete(self, request: Request) -> Response:
        """Delete a session; deleting one that does not exist is done already."""
        await self._delete(request, path_identifier(request, "session_id"))
        return Response(status_code=204)

    async def delete_many(self, request: Request) -> Response:
        """Delete sessions by their ids."""
        body = await read_object(request, self._server.settings)
        ids = [require_identifier(item, ("body", "session_ids")) for item in parse_delete_sessions(body)]
        for session_id in ids:
            await self._delete(request, session_id)
        return Response(status_code=204)

    async def _delete(self, request: Request, session_id: str) -> None:
        """Delete the session, unless the labels of the request name another user's or another database."""
        require_database(request)
        await self._server.sessions.delete(session_id, caller_of(request), user_id=_label(request))

    async def _visible(self, request: Request, session_id: str) -> SessionView | None:
        """The session, when the label of the request fits it."""
        user_id, view = _label(request), await self._server.sessions.view(session_id, caller_of(request))
        return None if view is not None and user_id and view.session.user_id != user_id else view


def _label(request: Request) -> str | None:
    """What the request calls the user that the session must be of."""
    return request.query_params.get("user_id")


def _not_found(session_id: str, kind: str | None) -> str:
    return f"{(kind or 'team').capitalize()} Session with id '{session_id}' not found"
