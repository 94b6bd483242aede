"""The operations on what has been said: checkpoints of a run, a session that begins with another one's runs."""

from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Described, Schema, in_path, in_query, ref, text
from musterd.http.openapi.run_parts import KEY, RUN_ID, Kind, in_path_of, tags_of

_SESSION_ID = in_query("session_id", text("The run's session"), is_required=True)
_MESSAGE_INDEX: Schema = {
    **in_path("message_index", "How many messages"),
    "schema": {"type": "integer", "minimum": 0},
}


def history_operations(kind: Kind) -> dict[str, Described]:
    """What is documented of the histories of teams, or of agents."""
    name, found = kind.capitalize(), f"{kind.capitalize()} or run not found"
    return {
        f"list_{kind}_run_checkpoints": Described(
            tags=tags_of(kind),
            summary=f"List {name} Run Checkpoints",
            description="The places at which the conversation of a run can be cut: after each message, but not between "
            "a tool call and its result. Of a run at work those that it has passed.",
            parameters=[in_path_of(kind), RUN_ID, _SESSION_ID],
            answers={
                "200": answer("The checkpoints", ref("RunCheckpoints")),
                **errors("401", "422", "503", _404=found),
            },
        ),
        f"get_{kind}_run_checkpoint_snapshot": Described(
            tags=tags_of(kind),
            summary=f"Get {name} Run Checkpoint Snapshot",
            description="The run as it was after so many messages; between a call and its result, as before the call.",
            parameters=[in_path_of(kind), RUN_ID, _MESSAGE_INDEX, _SESSION_ID],
            answers={
                "200": answer("The run as it was", ref("RunSnapshot")),
                **errors("401", "422", "503", _400="It never had so many messages", _404=found),
            },
        ),
        f"fork_{kind}_session": Described(
            tags=tags_of(kind),
            summary=f"Fork {name} Session",
            description="Make a new session that begins with the runs that have ended in this one: copies with ids of "
            "their own, members, conversations and media. Nothing is run again; this one stays as it is.",
            parameters=[
                in_path_of(kind),
                in_path("session_id", "The session's id"),
                in_query("user_id", text("What the user of the new one is called; without it as here")),
                KEY,
            ],
            answers={
                "200": answer("The new session", ref("ForkedSession"), header("Idempotency-Replayed")),
                **errors(
                    *("401", "403", "413", "422", "503"),
                    _400="No run of the session has ended",
                    _409="Runs of the session went while it was forked, or the key was used for another request",
                    _404=f"{name} or session not found",
                ),
            },
        ),
    }
