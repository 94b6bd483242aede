"""Messages to a running run: the request that sends one, and how they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import Message
from musterd.wire.fields import Fields
from musterd.wire.shapes import UnixTime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """A message to a running run.

    :param member_run_id: the member's run that is to read it; None: the leader.
    """

    message: str
    session_id: str | None = None
    member_run_id: str | None = None


def parse_message(values: Mapping[str, Any]) -> MessageRequest:
    """The message in a form or a JSON object.

    :raises InvalidInput: with all errors.
    """
    fields = Fields(values)
    text, session_id, member_run_id = (
        fields.message(),
        fields.identifier("session_id"),
        fields.identifier("member_run_id"),
    )
    fields.problems.raise_if_any()
    return MessageRequest(message=text, session_id=session_id, member_run_id=member_run_id)


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
