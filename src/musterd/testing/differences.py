"""What a replay finds: the first step that differs, and how."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_ai.messages import ModelMessage

from musterd.core.errors import MusterdError
from musterd.core.jsontypes import Json, JsonObject
from musterd.loop.conversation import message_text
from musterd.wire.messages import agno_messages

CONTEXT_LINES = 2
"""Lines around a difference that a diff shows."""
MAX_LINES = 60
"""The most lines of a diff."""
_MESSAGE_FIELDS = ("content", "tool_calls", "tool_name", "tool_args")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first step at which today's code differs from the recorded run.

    :param path: the step's place in the run tree, as ``musterd runs steps`` lists it.
    :param component_id: the team, agent or workflow whose step it is.
    :param aspect: what differs: ``instructions``, ``members``, ``tools``, ``options``, ``state``, ``plan``,
        ``messages``, ``call``, ``approval``, ``additional``, ``missing``, ``result``, ``answer`` or ``failure``.
    :param summary: the difference in one sentence.
    :param diff: the recorded text and today's as a unified diff; empty if there is nothing more to see.
    """

    path: str
    component_id: str
    aspect: str
    summary: str
    diff: str = ""

    def __str__(self) -> str:
        if not self.path:
            place = f"the run of {self.component_id}"
        elif is_preparation(self.path):
            place = f"the preparation of {self.component_id} (step {self.path})"
        else:
            place = f"step {self.path} of {self.component_id}"
        return "\n".join(part for part in (f"{place}: {self.summary}", self.diff) if part)


def is_preparation(path: str) -> bool:
    """Whether the step at this path is the preparation, which records what a run begins with."""
    return path.rpartition("/")[2] == "p"


class Differs(MusterdError):
    """A step differs, so the replay ends. A :class:`MusterdError`, which functions of workflows cannot handle."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


def diff_of(recorded: str, today: str) -> str:
    """The two texts as a unified diff, cut if it is long."""
    lines = list(
        difflib.unified_diff(
            recorded.splitlines(), today.splitlines(), "recorded", "today", n=CONTEXT_LINES, lineterm=""
        )
    )
    if len(lines) > MAX_LINES:
        lines[MAX_LINES:] = [f"… {len(lines) - MAX_LINES} more lines"]
    return "\n".join(lines)


def as_text(value: Json) -> str:
    """A value in a diff: a text as it is, anything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def messages_difference(
    recorded: Sequence[JsonObject], messages: Sequence[ModelMessage], *, ignores_results: bool
) -> str | None:
    """How the messages of a model call differ from those that the recorded call read, as a diff; None: they do not.

    :param recorded: the conversation of the run, as clients see it.
    :param messages: what today's code sends.
    :param ignores_results: whether results of tools are left out: the conversation has them in full, and the model
        reads short versions.
    """
    left_out = ("system", "tool") if ignores_results else ("system",)
    today = [json.loads(message_text(message)) for message in messages]
    sent = [_comparable(message) for message in agno_messages("", today, 0) if message["role"] not in left_out]
    conversation = _without_introduction(recorded)
    expected = [_comparable(message) for message in conversation if message["role"] not in left_out]
    if sent == expected[: len(sent)]:
        return None
    return diff_of(_transcript(expected[: len(sent)]), _transcript(sent))


def _comparable(message: Mapping[str, Json]) -> JsonObject:
    return {"role": message["role"], **{name: message[name] for name in _MESSAGE_FIELDS if name in message}}


def _without_introduction(messages: Sequence[JsonObject]) -> Sequence[JsonObject]:
    """The conversation without the introduction of the session, which no model reads as a message."""
    first = messages[0] if messages else {}
    is_introduction = first.get("role") == "assistant" and not first["from_history"]
    return messages[1:] if is_introduction else messages


def _transcript(messages: Sequence[JsonObject]) -> str:
    """Messages as text, a paragraph each."""
    lines = list[str]()
    for message in messages:
        lines.append(f"{message['role']}:")
        for name in _MESSAGE_FIELDS:
            if name in message:
                lines.append(as_text(message[name]))
    return "\n".join(lines)
