"""The operations on sessions."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import BadRequest, NotFound
from musterd.core.ids import MAX_LENGTH, require_identifier
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind
from musterd.declare import WorkflowComponent
from musterd.http.operation import Answer, operation
from musterd.http.parameters import (
    Body,
    DatabaseQuery,
    Identifier,
    JsonObjectField,
    PageQuery,
    Parameters,
    SearchText,
    SortOrder,
    TableQuery,
    Text,
    require_json_object,
)
from musterd.http.responses import answer_with_runs, json_answer
from musterd.http.run_lists import MAX_TIME
from musterd.http.server import Server
from musterd.service.sessions import NewSession, SessionView
from musterd.store.run_lists import SessionRunsQuery
from musterd.store.session_search import ORDERS, SessionFilter
from musterd.store.sessions import SessionChanges
from musterd.wire import lists
from musterd.wire.lists import ActiveRun, AnyRunSchema, SessionRunPreviewSchema
from musterd.wire.pages import PAGE_LIMIT
from musterd.wire.problems import Problems
from musterd.wire.sessions import SessionDetail, SessionSchema, session_detail, session_page
from musterd.wire.shapes import PaginatedResponse
from musterd.wire.states import STATUSES, parse_statuses
from musterd.wire.workflows import declared_steps

DEFAULT_ORDER = "created_at"
MAX_NAME_CHARACTERS = 1000

_TAG = "Sessions"
_READ, _WRITE, _DELETE = "sessions:read", "sessions:write", "sessions:delete"
_ONE = "/sessions/{session_id}"
_NO_DATABASE = {404: "Database not found"}
_NOT_FOUND = {404: "Session or database not found"}
_DETAIL = {200: Answer(SessionDetail)}


# --- requests -----------------------------------------------------------------------------------------


class SessionType(StrEnum):
    """The kind of component that a session belongs to."""

    AGENT = "agent"
    TEAM = "team"
    WORKFLOW = "workflow"


_KINDS: dict[SessionType | None, ComponentKind] = {
    SessionType.AGENT: "agent",
    SessionType.TEAM: "team",
    SessionType.WORKFLOW: "workflow",
}


_Name = Annotated[Text, Field(max_length=MAX_NAME_CHARACTERS)]


class SessionUserQuery(TableQuery):
    """The query of operations that can be limited to one user's sessions."""

    user_id: Text | None = Field(None, description="Only sessions of this user")


class SessionQuery(SessionUserQuery):
    """The query of operations on sessions of a type."""

    type: SessionType | None = Field(None, description="The shape of the answer")


class SessionsQuery(PageQuery, SessionQuery):
    """The query of ``GET /sessions``."""

    type: SessionType | None = Field(None, description="Only sessions of teams, of agents, or of workflows")
    component_id: Text | None = Field(None, description="Only sessions of this team, agent or workflow")
    session_name: SearchText | None = Field(None, description="Only sessions whose name contains this, in any case")
    q: SearchText | None = Field(
        None, description="Only sessions whose name or first message contains this, in any case"
    )
    status: list[str] = Field(
        default_factory=list,
        description="Only sessions with a run in any of these states, in any case; once all runs have finished, the "
        f"last one counts: {', '.join(STATUSES)}",
    )
    sort_by: Text = Field(DEFAULT_ORDER, description=f"One of {', '.join(f'`{name}`' for name in ORDERS)}")
    sort_order: SortOrder = SortOrder.DESC

    @property
    def filter(self) -> SessionFilter:
        """What to list. An unknown ``sort_by`` is the default, as in AgentOS.

        :raises InvalidInput: a status is unknown.
        """
        return SessionFilter(
            component_kind=self.type,
            component_id=self.component_id,
            user_id=self.user_id,
            name=self.session_name,
            text=self.q,
            states=parse_statuses(self.status),
            sort_by=self.sort_by if self.sort_by in ORDERS else DEFAULT_ORDER,
            descending=self.sort_order is SortOrder.DESC,
            limit=self.limit,
            page=self.page,
        )


class SessionRunQuery(SessionQuery):
    """The query of ``GET /sessions/{session_id}/runs/{run_id}``."""

    type: SessionType | None = Field(None, description="Accepted; without effect")


class SessionRunListQuery(SessionRunQuery):
    """The query of ``GET /sessions/{session_id}/runs`` and ``…/run-previews``."""

    created_after: int | None = Field(
        None, ge=0, le=MAX_TIME, description="Only runs accepted at or after this time, in unix seconds"
    )
    created_before: int | None = Field(
        None, ge=0, le=MAX_TIME, description="Only runs accepted at or before this time, in unix seconds"
    )
    status: list[str] = Field(
        default_factory=list,
        description=f"Only runs in any of these states, in any case: {', '.join(STATUSES)}",
    )
    limit: int | None = Field(
        None, ge=1, le=PAGE_LIMIT, description="Only this many of the last runs, each with its members' runs"
    )
    before: Text | None = Field(None, description="Only runs before this one")

    def filter(self, session_id: str, *, is_preview: bool) -> SessionRunsQuery:
        """Which runs of the session to list. Previews have no messages, and include members that are running.

        :raises InvalidInput: a status is unknown.
        """
        return SessionRunsQuery(
            session_id=session_id,
            states=parse_statuses(self.status),
            created_after=self.created_after,
            created_before=self.created_before,
            before=self.before,
            limit=self.limit,
            has_messages=not is_preview,
            has_members_at_work=is_preview,
        )


class CreateSessionQuery(DatabaseQuery):
    """The query of ``POST /sessions``."""

    type: SessionType | None = Field(None, description="If it is missing, the id that is given decides")


class SessionFields(Body):
    """The fields of a session that a client can set and change. The name may be empty."""

    empty_texts = frozenset({"session_name"})

    session_name: _Name | None = Field(None, description="Its name. Without one, clients see the first message.")
    session_state: JsonObjectField | None = Field(None, description="Its state, as its runs read it.")
    metadata: JsonObjectField | None = Field(None, description="Anything else to keep with it.")


class CreateSessionRequest(SessionFields):
    """A session to create before its first run. Without a team, agent or workflow, the first run decides."""

    is_required = False

    session_id: Identifier | None = Field(None, description="Its id. Without one it gets a new id.")
    user_id: Identifier | None = Field(None, description="The user; one that a token proves takes precedence.")
    agent_id: Identifier | None = Field(None, description="The agent that it belongs to.")
    team_id: Identifier | None = Field(None, description="The team that it belongs to.")
    workflow_id: Identifier | None = Field(None, description="The workflow that it belongs to.")

    def new_session(self, session_type: SessionType | None) -> NewSession:
        """The session to create.

        :raises InvalidInput: the ids contradict each other or the type.
        """
        ids: dict[ComponentKind, str | None] = {
            "team": self.team_id,
            "agent": self.agent_id,
            "workflow": self.workflow_id,
        }
        kinds: list[ComponentKind] = [kind for kind, component_id in ids.items() if component_id is not None]
        kind = _KINDS.get(session_type) or (kinds[0] if kinds else "agent")
        problems = Problems("body")
        for other in kinds:
            if other != kind:
                message = f"A session is of one team, agent or workflow: give {kind}_id alone"
                problems.add(f"{other}_id", "value_error", message)
        problems.raise_if_any()
        return NewSession(
            session_id=self.session_id,
            component_kind=kind,
            component_id=ids[kind] or "",
            user_id=self.user_id,
            name=self.session_name,
            state=self.session_state,
            metadata=self.metadata,
        )


def _require_texts(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise PydanticCustomError("list_type", "Input should be a list of texts")
    return value


def _unix_seconds(value: Any) -> float:
    try:
        time = datetime.fromisoformat(value)
        seconds = (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if seconds < 0:  # some times in the first years of the calendar cannot be rendered
        raise PydanticCustomError("datetime_parsing", "Input should be a valid datetime, from 1970 on")
    return seconds


class SummaryFields(Parameters):
    """A summary that a person writes."""

    summary: str
    topics: Annotated[list[str], BeforeValidator(_require_texts)] | None = None
    updated_at: Annotated[float, BeforeValidator(_unix_seconds)] | None = None


_Summary = Annotated[
    SummaryFields,
    BeforeValidator(require_json_object),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]


class UpdateSessionRequest(SessionFields):
    """Changes to a session."""

    summary: _Summary | None = Field(
        None, description="`summary`: what was said; `topics`: a list of texts; `updated_at`: until when, ISO 8601."
    )

    def changes(self, now: float) -> SessionChanges:
        """The changes.

        :param now: unix seconds; the time of a summary that has none, or one in the future.
        """
        summary: JsonObject | None = None
        if self.summary is not None:
            updated_at = now if self.summary.updated_at is None else min(self.summary.updated_at, now)
            topics = self.summary.topics or []
            summary = {"summary": self.summary.summary, "topics": topics, "as_of": updated_at, "run_id": ""}
        return SessionChanges(name=self.session_name, state=self.session_state, metadata=self.metadata, summary=summary)


class RenameSessionRequest(Body):
    """The new name of a session."""

    session_name: _Name = Field(description="The name; it may be empty.")


_SessionIdText = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH})]
_SessionTypeText = Annotated[str, Field(json_schema_extra={"enum": [kind.value for kind in SessionType]})]
_NotEmpty = Field(min_length=1, max_length=PAGE_LIMIT)


class DeleteSessionRequest(Body):
    """Which sessions to delete."""

    session_ids: Annotated[list[_SessionIdText], _NotEmpty, BeforeValidator(_require_texts)]
    session_types: Annotated[list[_SessionTypeText], _NotEmpty, BeforeValidator(_require_texts)] = Field(
        description="As many as there are ids; without effect."
    )

    @property
    def ids(self) -> list[str]:
        """The ids.

        :raises BadRequest: there are not as many types as ids.
        :raises InvalidInput: one is not a valid identifier.
        """
        if len(self.session_ids) != len(self.session_types):
            raise BadRequest("Session IDs and session types must have the same length")
        return [require_identifier(session_id, ("body", "session_ids")) for session_id in self.session_ids]


# --- operations ---------------------------------------------------------------------------------------


@operation(
    "GET",
    "/sessions",
    "get_sessions",
    scope=_READ,
    tag=_TAG,
    summary="List Sessions",
    errors=_NO_DATABASE,
    is_tagged=True,
)
async def list_sessions(server: Server, caller: Caller, query: SessionsQuery) -> PaginatedResponse[SessionSchema]:
    """List sessions in pages."""
    page, total = await server.sessions.search(query.filter, caller)
    return session_page(page, total, page=query.page, limit=query.limit)


@operation(
    "POST",
    "/sessions",
    "create_session",
    scope=_WRITE,
    tag=_TAG,
    summary="Create New Session",
    errors={404: "Team, agent, workflow or database not found", 409: "A session with this id exists"},
    other_answers={201: Answer(SessionDetail)},
)
async def create_session(
    server: Server, caller: Caller, query: CreateSessionQuery, body: CreateSessionRequest
) -> Response:
    """Create a session before its first run, with a name, a state and metadata. Runs join it by its id."""
    new_session = body.new_session(query.type)
    if new_session.component_id:
        server.component(new_session.component_kind, new_session.component_id)
    session = await server.sessions.create(new_session, caller)
    return json_answer(_detail(server, SessionView(session, []), new_session.component_kind, with_nulls=False), 201)


@operation(
    "DELETE",
    "/sessions",
    "delete_sessions",
    scope=_DELETE,
    tag=_TAG,
    summary="Delete Multiple Sessions",
    errors=_NO_DATABASE,
)
async def delete_sessions(server: Server, caller: Caller, query: SessionUserQuery, body: DeleteSessionRequest) -> None:
    """Delete sessions with all their runs. Ids that do not exist are ignored."""
    for session_id in body.ids:
        await server.sessions.delete(session_id, caller, user_id=query.user_id)


@operation(
    "GET",
    _ONE,
    "get_session_by_id",
    scope=_READ,
    tag=_TAG,
    summary="Get Session by ID",
    errors=_NOT_FOUND,
    other_answers=_DETAIL,
)
async def get_session(server: Server, caller: Caller, session_id: str, query: SessionQuery) -> Response:
    """Get one session with its conversation. Keys without a value are left out."""
    view = await server.sessions.view(session_id, caller, user_id=query.user_id)
    if view is None:
        raise NotFound(f"{(query.type or SessionType.TEAM).capitalize()} Session with id '{session_id}' not found")
    return await _answer(server, view, _KINDS.get(query.type), with_nulls=False)


@operation(
    "PATCH",
    _ONE,
    "update_session",
    scope=_WRITE,
    tag=_TAG,
    summary="Update Session",
    errors=_NOT_FOUND,
    other_answers=_DETAIL,
)
async def update_session(
    server: Server, caller: Caller, session_id: str, query: SessionQuery, body: UpdateSessionRequest
) -> Response:
    """Change a session's name, state, metadata or summary. Each field that is given replaces the old value.

    A running run does not undo the change: when it finishes, it writes only the keys of the state that it changed.
    """
    return await _change(server, caller, session_id, query, body.changes(clock.now()))


@operation(
    "POST",
    f"{_ONE}/rename",
    "rename_session",
    scope=_WRITE,
    tag=_TAG,
    summary="Rename Session",
    errors=_NOT_FOUND,
    other_answers=_DETAIL,
)
async def rename_session(
    server: Server, caller: Caller, session_id: str, query: SessionQuery, body: RenameSessionRequest
) -> Response:
    """Set a session's name."""
    return await _change(server, caller, session_id, query, SessionChanges(name=body.session_name))


async def _change(
    server: Server, caller: Caller, session_id: str, query: SessionQuery, changes: SessionChanges
) -> Response:
    await server.sessions.change(session_id, changes, caller, user_id=query.user_id)
    view = await server.sessions.view(session_id, caller, user_id=query.user_id)
    if view is None:  # it was deleted after the change
        raise NotFound(f"Session with id '{session_id}' not found")
    return await _answer(server, view, _KINDS.get(query.type), with_nulls=True)


async def _answer(server: Server, view: SessionView, kind: ComponentKind | None, *, with_nulls: bool) -> Response:
    return await answer_with_runs(lambda: _detail(server, view, kind, with_nulls=with_nulls), view.runs)


def _detail(server: Server, view: SessionView, kind: ComponentKind | None, *, with_nulls: bool) -> SessionDetail:
    session = view.session
    component = server.registry.component(session.component_kind, session.component_id)
    model = server.describe(component) if component is not None else None
    steps = declared_steps(component) if isinstance(component, WorkflowComponent) else []
    return session_detail(session, view.runs, kind=kind, model=model, steps=steps, with_nulls=with_nulls)


@operation("DELETE", _ONE, "delete_session", scope=_DELETE, tag=_TAG, summary="Delete Session", errors=_NO_DATABASE)
async def delete_session(server: Server, caller: Caller, session_id: str, query: SessionUserQuery) -> None:
    """Delete a session with all its runs. An id that does not exist is ignored."""
    await server.sessions.delete(session_id, caller, user_id=query.user_id)


@operation(
    "GET",
    f"{_ONE}/runs",
    "get_session_runs",
    scope=_READ,
    tag=_TAG,
    summary="Get Session Runs",
    errors=_NOT_FOUND,
    other_answers={200: Answer(list[AnyRunSchema])},
)
async def list_runs(server: Server, caller: Caller, session_id: str, query: SessionRunListQuery) -> Response:
    """List the session's runs, unfinished ones too, each after its members' runs. Keys without a value are left out.

    Members' runs are listed when the root run has paused or finished.
    """
    conditions = query.filter(session_id, is_preview=False)
    views = await server.lists.of_session(conditions, caller, user_id=query.user_id)
    return await answer_with_runs(lambda: lists.session_runs(views), views)


@operation(
    "GET",
    f"{_ONE}/runs/{{run_id}}",
    "get_session_run",
    scope=_READ,
    tag=_TAG,
    summary="Get Run by ID",
    errors={404: "Run, session or database not found"},
    other_answers={200: Answer(AnyRunSchema)},
)
async def get_run(server: Server, caller: Caller, session_id: str, run_id: str, query: SessionRunQuery) -> Response:
    """Get one run of the session."""
    view = await server.sessions.run(session_id, run_id, caller, user_id=query.user_id)
    return await answer_with_runs(lambda: lists.session_run(view), [view])


@operation(
    "GET",
    f"{_ONE}/run-previews",
    "get_session_run_previews",
    scope=_READ,
    tag=_TAG,
    summary="Get Session Run Previews",
    errors=_NOT_FOUND,
)
async def list_run_previews(
    server: Server, caller: Caller, session_id: str, query: SessionRunListQuery
) -> list[SessionRunPreviewSchema]:
    """List the session's runs and those of members that are running, with short texts: for clients that poll."""
    conditions = query.filter(session_id, is_preview=True)
    return lists.session_run_previews(await server.lists.of_session(conditions, caller, user_id=query.user_id))


@operation(
    "GET",
    f"{_ONE}/active",
    "list_active_session_runs",
    scope=_READ,
    tag=_TAG,
    summary="List Active Session Runs",
    errors=_NOT_FOUND,
)
async def list_active_runs(server: Server, caller: Caller, session_id: str, query: SessionUserQuery) -> list[ActiveRun]:
    """List the session's unfinished runs in the order of its queue, with their positions in it."""
    runs = await server.lists.live(session_id, caller, user_id=query.user_id)
    return [lists.active_run(view, expires_at) for view, expires_at in runs]


OPERATIONS = [
    list_sessions,
    create_session,
    delete_sessions,
    get_session,
    update_session,
    rename_session,
    delete_session,
    list_runs,
    get_run,
    list_run_previews,
    list_active_runs,
]
