"""The operations on sessions."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import Described, Schema, in_path, in_query, many, ref, text, whole
from musterd.http.openapi.query_parts import DATABASE, PAGE, SORT_ORDER

_TAGS = ("Sessions",)
_SESSION_ID = in_path("session_id", "The session's id")
_TYPE = in_query("type", ref("SessionType"))
_USER_ID = in_query("user_id", text("Only for this user"))
_TIME = {"minimum": 0, "maximum": 2**53}
_RUN: Schema = {"anyOf": [ref("TeamRunSchema"), ref("RunSchema")]}

SESSIONS: dict[str, Described] = {
    "get_sessions": Described(
        tags=_TAGS,
        summary="List Sessions",
        description="A page of sessions, of teams and of agents.",
        parameters=[
            _TYPE,
            in_query("component_id", text("Only sessions of this team or agent")),
            in_query("user_id", text("Only sessions of this user")),
            in_query("session_name", text("Only sessions in whose name this stands")),
            in_query("limit", whole("Sessions on a page", minimum=1, maximum=1000, default=20)),
            PAGE,
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
        body={"required": True, "content": {"application/json": {"schema": ref("DeleteSessionRequest")}}},
        answers={"204": answer("They are deleted"), **errors("401", "403", "404", "413", "422", "503")},
    ),
    "get_session_by_id": Described(
        tags=_TAGS,
        summary="Get Session by ID",
        description="One session with its conversation.",
        parameters=[_SESSION_ID, _TYPE, _USER_ID, *DATABASE],
        answers={
            "200": answer("The session", {"anyOf": [ref("TeamSessionDetailSchema"), ref("AgentSessionDetailSchema")]}),
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
        parameters=[
            _SESSION_ID,
            _TYPE,
            _USER_ID,
            in_query("created_after", whole("Only runs accepted from then on, in unix seconds", **_TIME)),
            in_query("created_before", whole("Only runs accepted until then, in unix seconds", **_TIME)),
            *DATABASE,
        ],
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
