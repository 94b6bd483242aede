"""The operations on runs, the same for teams and agents; one of them as the reference documents it, word for word."""

from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Answers, Described, Schema, in_path, in_query, many, number, ref, text
from musterd.http.openapi.query_parts import last
from musterd.http.openapi.run_bodies import continue_body, start_body
from musterd.http.openapi.run_parts import AGENT_ID, KEY, RUN_ID, Kind, in_path_of, tags_of
from musterd.http.openapi.steering import steering_operations
from musterd.http.openapi.streams import stream_operations
from musterd.wire.states import STATUSES

_MEDIA_ID = in_path("media_id", "The `blob` of the medium")
_SESSION_ID = in_query("session_id", text("The run's session"), is_required=True)
_IF_NONE_MATCH: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `ETag` of an earlier answer: 304 while the run has not changed since",
}
_REPLAYED = header("Idempotency-Replayed")


def run_operations(kind: Kind) -> dict[str, Described]:
    """What is documented of the runs of teams, or of agents."""
    return {
        f"create_{kind}_run": _create(kind),
        f"list_{kind}_runs": _list(kind),
        f"get_{kind}_run": _get_team_run() if kind == "team" else _get_agent_run(),
        f"cancel_{kind}_run": _cancel(kind),
        f"continue_{kind}_run": _continue(kind),
        f"list_{kind}_run_steps": _steps(kind),
        **steering_operations(kind),
        f"get_{kind}_run_media": _medium(kind),
        **stream_operations(kind),
    }


def _output(kind: Kind) -> Schema:
    return ref("TeamRunOutput" if kind == "team" else "RunOutput")


def _create(kind: Kind) -> Described:
    done = answer("The run at its end, or its events where `stream` is true", _output(kind), _REPLAYED)
    done["content"]["text/event-stream"] = {"schema": ref("StreamEvent")}
    return Described(
        tags=tags_of(kind),
        summary=f"Create {kind.capitalize()} Run",
        description=f"Start a run of the {kind}. It is stored before it is answered, and goes on when the caller "
        "goes away, but for a stream that nobody reads any more: that run is cancelled after a while.",
        parameters=[in_path_of(kind), KEY],
        body=start_body(),
        answers={
            "200": done,
            "202": answer("Accepted; `Location` is where to poll", ref("RunReceipt"), header("Location"), _REPLAYED),
            **errors(
                *("401", "403", "413", "422", "429", "503"),
                _400="The form cannot be read, a field is too long, or a file is of a type that is not taken",
                _404=f"{kind.capitalize()} not found",
                _409="The run id or the key is taken, or the session is busy and `on_busy` is `reject`",
            ),
        },
    )


def _list(kind: Kind) -> Described:
    words = f"The session's runs of this {kind}, each after the runs of its members. An unknown session has none."
    return Described(
        tags=tags_of(kind),
        summary=f"List {kind.capitalize()} Runs",
        description=words,
        parameters=[
            in_path_of(kind),
            in_query("session_id", text("The session"), is_required=True),
            in_query("status", text(f"Only runs in this state, in any case: {', '.join(STATUSES)}")),
            last("Only the last so many runs"),
            in_query("before", text("Only runs accepted before this one")),
        ],
        answers={
            "200": answer("The runs", many(ref("TeamRunSchema" if kind == "team" else "RunSchema"))),
            **errors("401", "422", "503", _404=f"{kind.capitalize()} not found"),
        },
    )


def _get_team_run() -> Described:
    """The documented operation: equal to the reference, but for the schema of 200 and further answers."""
    title = {"team_id": "Team Id", "run_id": "Run Id", "session_id": "Session Id"}
    path: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "title": title[name]}}
        for name in ("team_id", "run_id")
    ]
    words = "Session ID for the run"
    session: Schema = {
        "name": "session_id",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "description": words, "title": title["session_id"]},
        "description": words,
    }
    answers: Answers = {
        "200": _documented("Run output retrieved successfully", "TeamRunOutput"),
        "304": answer("The run has not changed since the `ETag` in `If-None-Match`", None, header("ETag")),
        "400": _documented("Bad Request", "BadRequestResponse"),
        "401": _documented("Unauthorized", "UnauthenticatedResponse"),
        "403": answer("Insufficient permissions", ref("ErrorResponse")),
        "404": _documented("Team or run not found", "NotFoundResponse"),
        "422": _documented("Validation Error", "ValidationErrorResponse"),
        "429": answer("Too many requests", ref("ErrorResponse"), header("Retry-After")),
        "500": _documented("Internal Server Error", "InternalServerErrorResponse"),
        "503": errors("503")["503"],
    }
    return Described(
        tags=tags_of("team"),
        summary="Get Team Run",
        description="Retrieve the status and output of a team run. Use this to poll for background run completion."
        "\n\nRequires the `session_id` that was returned when the run was created.",
        parameters=[*path, session],
        answers=answers,
    )


def _documented(description: str, schema: str) -> Schema:
    """An answer exactly as the reference has it: without our headers."""
    return {"description": description, "content": {"application/json": {"schema": ref(schema)}}}


def _get_agent_run() -> Described:
    found = answer("The run", ref("RunOutput"), header("ETag"), header("Retry-After", "Poll-After"))
    unchanged = answer("The run has not changed", None, header("ETag"), header("Retry-After", "Poll-After"))
    return Described(
        tags=tags_of("agent"),
        summary="Get Agent Run",
        description="The run as it stands, or once it has ended where `wait` is given.",
        parameters=[
            AGENT_ID,
            RUN_ID,
            _SESSION_ID,
            in_query("wait", number("Seconds to wait for the run's end, at most 60", minimum=0)),
            _IF_NONE_MATCH,
        ],
        answers={
            "200": found,
            "304": unchanged,
            **errors("401", "422", "503", _404="Agent or run not found"),
        },
    )


def _cancel(kind: Kind) -> Described:
    return Described(
        tags=tags_of(kind),
        summary=f"Cancel {kind.capitalize()} Run",
        description="Cancel the run with its members' runs, or a member's run alone: its leader learns of it and goes "
        "on. The answer comes when it has stopped, or after some seconds; it says where the run stands then, and what "
        "became of the steps that were under way. A run that has ended stays as it is.",
        parameters=[in_path_of(kind), RUN_ID, KEY],
        answers={
            "200": answer("Where the run stands", ref("CancelReceipt"), _REPLAYED),
            **errors(
                *("401", "403", "413", "422", "503"),
                _404=f"{kind.capitalize()} or run not found",
                _409="The key is taken by another request",
            ),
        },
    )


def _continue(kind: Kind) -> Described:
    settled = "The run at its end or at its next pause, or its events where `stream` is true"
    done = answer(settled, _output(kind), _REPLAYED)
    done["content"]["text/event-stream"] = {"schema": ref("StreamEvent")}
    words = (
        "Decide about tool calls that a paused run waits for: make the call, tell what came of it, or refuse it. One "
        "decision lets the run go on; it pauses again for what is left. The same decisions sent again change nothing. "
        "Of a run that ended in ERROR: start a new run that goes on where it stopped, and answer as a start does."
    )
    return Described(
        tags=tags_of(kind),
        summary=f"Continue {kind.capitalize()} Run",
        description=words,
        parameters=[in_path_of(kind), RUN_ID, KEY],
        body=continue_body(kind),
        answers={
            "200": done,
            "202": answer("Taken; `Location` is where to poll", ref("RunReceipt"), header("Location"), _REPLAYED),
            **errors(
                *("401", "403", "413", "422", "503"),
                _400="`session_id` is missing, or a field is no JSON",
                _404=f"{kind.capitalize()} or run not found",
                _409="The run neither paused nor failed, was decided otherwise or goes on already; or the key is taken",
            ),
        },
    )


def _steps(kind: Kind) -> Described:
    return Described(
        tags=tags_of(kind),
        summary=f"List {kind.capitalize()} Run Steps",
        description="The ledger of the run: every model call, tool call and delegation of it and its members, in order "
        "of their start.",
        parameters=[in_path_of(kind), RUN_ID, _SESSION_ID],
        answers={
            "200": answer("The steps", many(ref("RunStep"))),
            **errors("401", "422", "503", _404=f"{kind.capitalize()} or run not found"),
        },
    )


def _medium(kind: Kind) -> Described:
    media = answer("The content", None, header("ETag"))
    media["content"] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return Described(
        tags=tags_of(kind),
        summary=f"Get {kind.capitalize()} Run Media",
        description="One image, sound, video or file that the run was given or has produced: `media_id` is the `blob` "
        "of its entry in `images`, `videos`, `audio` or `files`. It never changes.",
        parameters=[in_path_of(kind), RUN_ID, _MEDIA_ID, _SESSION_ID],
        answers={
            "200": media,
            "304": answer("The client has it", None, header("ETag")),
            **errors("401", "422", "503", _404=f"{kind.capitalize()}, run or medium not found"),
        },
    )
