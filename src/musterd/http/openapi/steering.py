"""The operations that say something to a run at work, as the API describes them."""

from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Described, Schema, in_query, many, ref, text
from musterd.http.openapi.run_parts import KEY, RUN_ID, Kind, in_path_of, tags_of

_BODY: Schema = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "message": text("What the model is to read, as from the user."),
        "member_run_id": text("The member that is to read it; without it the leader is."),
        "session_id": text("The run's session; given, it must be that."),
    },
}


def steering_operations(kind: Kind) -> dict[str, Described]:
    """What is documented of messages to the runs of teams, or of agents."""
    return {f"list_{kind}_run_messages": _list(kind), f"send_{kind}_run_message": _send(kind)}


def _send(kind: Kind) -> Described:
    media = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    return Described(
        tags=tags_of(kind),
        summary=f"Send {kind.capitalize()} Run Message",
        description="Give a run that has not ended a further user message: its next model call sees it. What no call "
        "of the run takes up begins the session's next run; the messages of a run that is cancelled begin none.",
        parameters=[in_path_of(kind), RUN_ID, KEY],
        body={"required": True, "content": {name: {"schema": _BODY} for name in media}},
        answers={
            "202": answer("Stored", ref("StoredRunMessage"), header("Idempotency-Replayed")),
            **errors(
                *("401", "403", "413", "422", "503"),
                _400="The form cannot be read, or the message is too long",
                _404=f"{kind.capitalize()} or run not found",
                _409="The run, or the member, has ended; or the key is taken by another request",
            ),
        },
    )


def _list(kind: Kind) -> Described:
    return Described(
        tags=tags_of(kind),
        summary=f"List {kind.capitalize()} Run Messages",
        description="The messages to the run and its members, oldest first, and what became of each.",
        parameters=[in_path_of(kind), RUN_ID, in_query("session_id", text("The run's session"), is_required=True)],
        answers={
            "200": answer("The messages", many(ref("RunMessage"))),
            **errors("401", "422", "503", _404=f"{kind.capitalize()} or run not found"),
        },
    )
