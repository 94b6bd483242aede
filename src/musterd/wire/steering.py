"""Messages to a run at work: what a client sends, and how they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musterd.core.records import Message
from musterd.wire.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """A message to a run at work.

    :param member_run_id: the member that is to read it; None: the leader.
    """

    message: str
    session_id: str | None = None
    member_run_id: str | None = None


def parse_message(values: Mapping[str, Any]) -> MessageRequest:
    """The message in a form or a JSON object.

    :raises InvalidInput: with everything that is wrong.
    """
    fields = Fields(values)
    text, session_id, member_run_id = (
        fields.message(),
        fields.identifier("session_id"),
        fields.identifier("member_run_id"),
    )
    fields.problems.raise_if_any()
    return MessageRequest(message=text, session_id=session_id, member_run_id=member_run_id)


def message_object(message: Message) -> dict[str, Any]:
    """A message: to whom, and what became of it."""
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
