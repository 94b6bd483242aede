"""The operation that lists the runs of all sessions."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import Described, in_query, many, ref, text, whole
from musterd.http.openapi.query_parts import limit
from musterd.http.openapi.run_schemas import STATUSES
from musterd.wire.pages import PAGES

_TIME = {"minimum": 0, "maximum": 2**53}
_STATUS = in_query("status", many(text(), f"Only runs in any of these states, in any case: {', '.join(STATUSES)}"))
_AFTER = in_query("created_after", whole("Only runs accepted from then on, in unix seconds", **_TIME))
_BEFORE = in_query("created_before", whole("Only runs accepted until then, in unix seconds", **_TIME))


RUN_LIST: dict[str, Described] = {
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
}
