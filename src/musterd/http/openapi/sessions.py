"""The operations on sessions, and the list of the runs of all of them."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import Described, Schema, in_path, in_query, many, ref, text, whole
from musterd.http.openapi.query_parts import DATABASE, SORT_ORDER, last, limit, paged
from musterd.wire.pages import PAGES, PAGES_FROM_0
from musterd.wire.states import STATUSES

_TAGS = ("Sessions",)
_SESSION_ID = in_path("session_id", "The session's id")
_TYPE = in_query("type", ref("SessionType"))
_USER_ID = in_query("user_id", text("Only for this user"))
_TIME = {"minimum": 0, "maximum": 2**53}
_RUN: Schema = {"anyOf": [ref("TeamRunSchema"), ref("RunSchema")]}

_DETAIL: Schema = {"anyOf": [ref("TeamSessionDetailSchema"), ref("AgentSessionDetailSchema")]}
_STATUS = in_query("status", many(text(), f"Only runs in any of these states, in any case: {', '.join(STATUSES)}"))
_AFTER = in_query("created_after", whole("Only runs accepted from then on, in unix seconds", **_TIME))
_BEFORE = in_query("created_before", whole("Only runs accepted until then, in unix seconds", **_TIME))
_LISTED: list[Schema] = [
    _SESSION_ID,
    _TYPE,
    _USER_ID,
    _AFTER,
    _BEFORE,
    _STATUS,
    last("Only the last so many runs, each with its members'"),
    in_query("before", text("Only runs that stand before this one")),
    *DATABASE,
]


def _body(name: str, *, is_required: bool = True) -> Schema:
    return {"required": is_required, "content": {"application/json": {"schema": ref(name)}}}


SESSIONS: dict[str, Described] = {
    "list_runs": Described(
        tags=("Runs",),
        summary="List Runs",
        description="A page of the runs of all sessions, newest first. Members' runs are in their teams'.",
        parameters=[
            _STATUS,
            in_query("team_id", text("Only runs of this team")),
            in_query("agent_id", text("Only runs of this agent")),
            in_query("user_id", text("Only runs for this user")),
            in_query("session_id", text("Only runs of this session")),
            _AFTER,
            _BEFORE,
            in_query("limit", limit(PAGES, "Runs on a page")),
            in_query("cursor", text("The `next_cursor` of the page before")),
        ],
        answers={"200": answer("The page", ref("RunPage")), **errors("401", "422", "503")},
    ),
    "create_session": Described(
        tags=_TAGS,
        summary="Create New Session",
        description="Make a session ahead of its first run, with a name, a state, metadata. Runs join it by its id.",
        parameters=[_TYPE, DATABASE[0]],
        body=_body("CreateSessionRequest", is_required=False),
        answers={
            "201": answer("The session", _DETAIL),
            **errors(
                *("401", "403", "413", "422", "503"),
                _404="Team, agent or database not found",
                _409="There is a session of this id",
            ),
        },
    ),
    "update_session": Described(
        tags=_TAGS,
        summary="Update Session",
        description="Change a session's name, state, metadata or summary: each that is given takes the place of what "
        "was there. A run at work does not undo it: of the state it writes what it has changed itself.",
        parameters=[_SESSION_ID, _TYPE, _USER_ID, *DATABASE],
        body=_body("UpdateSessionRequest"),
        answers={
            "200": answer("The session as it is then", _DETAIL),
            **errors("401", "403", "413", "422", "503", _404="Session or database not found"),
        },
    ),
    "rename_session": Described(
        tags=_TAGS,
        summary="Rename Session",
        description="Give a session a name.",
        parameters=[_SESSION_ID, _TYPE, _USER_ID, *DATABASE],
        body=_body("Body_rename_session"),
        answers={
            "200": answer("The session as it is then", _DETAIL),
            **errors("401", "403", "413", "422", "503", _404="Session or database not found"),
        },
    ),
    "get_session_run_previews": Described(
        tags=_TAGS,
        summary="Get Session Run Previews",
        description="The session's runs as `…/runs` lists them, of each a few words: for clients that poll.",
        parameters=_LISTED,
        answers={
            "200": answer("The runs", many(ref("SessionRunPreviewSchema"))),
            **errors("401", "422", "503", _404="Session or database not found"),
        },
    ),
    "list_active_session_runs": Described(
        tags=_TAGS,
        summary="List Active Session Runs",
        description="The session's runs that have not ended, in the order of its line: where each stands, how many are "
        "before it, what it waits for.",
        parameters=[_SESSION_ID, _USER_ID, *DATABASE],
        answers={
            "200": answer("The runs", many(ref("ActiveRun"))),
            **errors("401", "422", "503", _404="Session or database not found"),
        },
    ),
    "get_sessions": Described(
        tags=_TAGS,
        summary="List Sessions",
        description="A page of sessions, of teams and of agents.",
        parameters=[
            _TYPE,
            in_query("component_id", text("Only sessions of this team or agent")),
            in_query("user_id", text("Only sessions of this user")),
            in_query("session_name", text("Only sessions in whose name this stands")),
            *paged(PAGES_FROM_0, "Sessions on a page"),
            in_query("sort_by", text("`created_at`, `updated_at` or `session_name`", default="created_at")),
            SORT_ORDER,
            *DATABASE,
        ],
        answers={
            "200": answer("The page", ref("PaginatedResponse_SessionSchema_")),
            **errors("401", "422", "503", _404="Database not found"),
        },
    ),
    "delete_sessions": Described(
        tags=_TAGS,
        summary="Delete Multiple Sessions",
        description="Delete sessions with all their runs. Those that do not exist are deleted already.",
        parameters=[_USER_ID, *DATABASE],
        body=_body("DeleteSessionRequest"),
        answers={"204": answer("They are deleted"), **errors("401", "403", "404", "413", "422", "503")},
    ),
    "get_session_by_id": Described(
        tags=_TAGS,
        summary="Get Session by ID",
        description="One session with its conversation.",
        parameters=[_SESSION_ID, _TYPE, _USER_ID, *DATABASE],
        answers={
            "200": answer("The session", _DETAIL),
            **errors("401", "422", "503", _404="Session or database not found"),
        },
    ),
    "delete_session": Described(
        tags=_TAGS,
        summary="Delete Session",
        description="Delete a session with all its runs. One that does not exist is deleted already.",
        parameters=[_SESSION_ID, _USER_ID, *DATABASE],
        answers={"204": answer("It is deleted"), **errors("401", "403", "404", "413", "422", "503")},
    ),
    "get_session_runs": Described(
        tags=_TAGS,
        summary="Get Session Runs",
        description="The session's runs, each after the runs of its members, those in flight too. "
        "Keys without a value are left out.",
        parameters=_LISTED,
        answers={
            "200": answer("The runs", many(_RUN)),
            **errors("401", "422", "503", _404="Session or database not found"),
        },
    ),
    "get_session_run": Described(
        tags=_TAGS,
        summary="Get Run by ID",
        description="One run of the session.",
        parameters=[_SESSION_ID, in_path("run_id", "The run's id"), _TYPE, _USER_ID, *DATABASE],
        answers={"200": answer("The run", _RUN), **errors("401", "422", "503", _404="Run not found")},
    ),
}
