"""Messages to a running run, as they are shown."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import Message
from musterd.wire.shapes import UnixTime


class RunMessage(TypedDict):
    """A message to a running run."""

    id: str
    run_id: Annotated[str, Field(description="The run whose model is to read it: the team's or a member's.")]
    message: str
    sent_by: Annotated[str, Field(description="The user, or `client`.")]
    created_at: UnixTime
    taken_at: Annotated[float | None, Field(description="Unix time at which a model call read it.")]
    taken_path: Annotated[str | None, Field(description="The model call that read it: its path in the run's steps.")]
    next_run_id: Annotated[
        str | None, Field(description="The run of the session that it started, if no call of its own run read it.")
    ]


class StoredRunMessage(RunMessage):
    """A message to a running run, as it was stored."""

    session_id: str


def message_object(message: Message) -> RunMessage:
    """A message, and what became of it."""
    return {
        "id": message.id,
        "run_id": message.run_id,
        "message": message.text,
        "sent_by": message.sent_by,
        "created_at": message.created_at,
        "taken_at": message.taken_at,
        "taken_path": message.taken_path,
        "next_run_id": message.next_run_id,
    }


def stored_message(message: Message, session_id: str) -> StoredRunMessage:
    """The answer to a request that sent a message."""
    return {**message_object(message), "session_id": session_id}
