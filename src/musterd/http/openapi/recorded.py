"""The operation whose description is a copy of the reference's, except for the schema of 200 and further answers."""

from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Answers, Described, Schema, ref


def _recorded_answer(description: str, schema: str) -> Schema:
    """An answer exactly as in the reference, without our headers."""
    return {"description": description, "content": {"application/json": {"schema": ref(schema)}}}


_SESSION_ID = "Session ID for the run"
_PARAMETERS: list[Schema] = [
    {"name": "team_id", "in": "path", "required": True, "schema": {"type": "string", "title": "Team Id"}},
    {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string", "title": "Run Id"}},
    {
        "name": "session_id",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "description": _SESSION_ID, "title": "Session Id"},
        "description": _SESSION_ID,
    },
]
_ANSWERS: Answers = {
    "200": _recorded_answer("Run output retrieved successfully", "TeamRunOutput"),
    "304": answer("The run has not changed since the `ETag` in `If-None-Match`", None, header("ETag")),
    "400": _recorded_answer("Bad Request", "BadRequestResponse"),
    "401": _recorded_answer("Unauthorized", "UnauthenticatedResponse"),
    "403": answer("Insufficient permissions", ref("ErrorResponse")),
    "404": _recorded_answer("Team or run not found", "NotFoundResponse"),
    "422": _recorded_answer("Validation Error", "ValidationErrorResponse"),
    "429": answer("Too many requests", ref("ErrorResponse"), header("Retry-After")),
    "500": _recorded_answer("Internal Server Error", "InternalServerErrorResponse"),
    "503": errors("503")["503"],
}

RECORDED: dict[str, Described] = {
    "get_team_run": Described(
        tags=("Teams",),
        summary="Get Team Run",
        description="Retrieve the status and output of a team run. Use this to poll for background run completion."
        "\n\nRequires the `session_id` that was returned when the run was created.",
        parameters=_PARAMETERS,
        answers=_ANSWERS,
    )
}
"""By operation id. It takes precedence over what the declaration says."""
