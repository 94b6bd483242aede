"""The conversation of one run: pydantic-ai's messages, and the JSON text of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ConfigDict, TypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from musterd.core import clock
from musterd.core.jsontext import storable
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import references
from musterd.loop.stored_media import with_contents, without_contents
from musterd.loop.structured_answers import FINAL_TOOL

NOTES = "musterd"
"""The key of our notes in a message's metadata, which no provider is sent."""
_ANSWERS = TypeAdapter(
    list[ModelResponse], config=ConfigDict(defer_build=True, ser_json_bytes="base64", val_json_bytes="base64")
)
"""As pydantic-ai's own adapter reads them, made in half the time: what is taken up after a crash waits for it."""
_NOT_SAID = frozenset({"from_history", "introduction"})
"""Notes of what a run shows and was not said in it, or not by its model."""


class Conversation:
    """What was said so far, in order.

    :param system: the system message; empty: none.
    :param history: messages of earlier runs.
    :param prompt: the user's message or the member's task: text, or text and media.
    :param at: when the run began.
    """

    def __init__(
        self, system: str, history: Sequence[ModelMessage], prompt: str | Sequence[UserContent], at: float
    ) -> None:
        self.messages: list[ModelMessage] = []
        self._texts: list[str | None] = []
        self._before: list[str] = []
        self._short: dict[str, str] = {}
        opening: list[ModelRequestPart] = [SystemPromptPart(system)] if system else []
        if history:
            if opening:
                self._add(ModelRequest(parts=opening, timestamp=_time(at)))
            for message in history:
                self._add(message)
            opening = []
        self._add(ModelRequest(parts=[*opening, UserPromptPart(prompt)], timestamp=_time(at)))

    def opened_with(self, text: str) -> None:
        """The session began with this, before anybody asked; the model knows it from its system message."""
        if text:
            said = ModelResponse(parts=[TextPart(text)], timestamp=_now(), metadata={NOTES: {"introduction": True}})
            self._before = [message_text(said)]

    def answered(self, response: ModelResponse, text: str) -> None:
        """The model said this; ``text`` is the message as JSON."""
        self.messages.append(response)
        self._texts.append(text)

    def broken_off(self, text: str) -> None:
        """The model had said this much of an answer when it was stopped; kept once, where it is no whole answer."""
        if text and isinstance(self.messages[-1], ModelRequest):
            self._add(ModelResponse(parts=[TextPart(text)], timestamp=_now(), state="interrupted"))

    def told(self, parts: Sequence[ModelRequestPart]) -> None:
        """The model is told this: results of its tool calls, or what to correct."""
        self._add(ModelRequest(parts=list(parts), timestamp=_now()))

    def asked(self, text: str) -> None:
        """The model is asked this, as by the user."""
        self._add(ModelRequest(parts=[UserPromptPart(text)], timestamp=_now()))

    @property
    def shown(self) -> list[ModelMessage]:
        """The messages as a model reads them: with tool results that are shortened in short."""
        return [_in_short(message, self._short) for message in self.messages] if self._short else self.messages

    @property
    def own_results(self) -> list[ToolReturnPart]:
        """The results of this run's own tool calls, in full."""
        own = [message for message in self.messages if not _own_notes(message).get("from_history")]
        return [part for message in own for part in message.parts if isinstance(part, ToolReturnPart)]

    def shorten(self, tool_call_id: str, text: str) -> None:
        """Show the result of a tool call as this text from now on."""
        self._short[tool_call_id] = text

    def is_shortened(self, tool_call_id: str) -> bool:
        """Whether the result of a tool call is shown in short."""
        return tool_call_id in self._short

    def _add(self, message: ModelMessage) -> None:
        self.messages.append(message)
        self._texts.append(None)

    @property
    def texts(self) -> list[str]:
        """The messages as JSON texts: those that are not written yet are written now, when somebody asks."""
        pairs = zip(self.messages, self._texts, strict=True)
        return self._before + [message_text(message) if text is None else text for message, text in pairs]


def text_in(part: ToolReturnPart) -> str:
    """The text of a tool's result, without its media."""
    return part.content if isinstance(part.content, str) else "".join(_texts_in(part))


def _texts_in(part: ToolReturnPart) -> list[str]:
    return [item for item in part.content if isinstance(item, str)] if isinstance(part.content, list) else []


def _in_short(message: ModelMessage, short: Mapping[str, str]) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message
    parts = [
        replace(part, content=_short_content(part, short[part.tool_call_id]))
        if isinstance(part, ToolReturnPart) and part.tool_call_id in short
        else part
        for part in message.parts
    ]
    return replace(message, parts=parts)


def _short_content(part: ToolReturnPart, text: str) -> Json:
    if not isinstance(part.content, list):
        return text
    return [text, *(item for item in part.content if not isinstance(item, str))]


def message_text(message: ModelMessage) -> str:
    """A message as JSON text, in pydantic-ai's form."""
    return ModelMessagesTypeAdapter.dump_json([without_contents(message)])[1:-1].decode()


def answer_in(text: str | None) -> ModelResponse:
    """The model's answer that :func:`message_text` made ``text`` of.

    :raises ValueError: it is no model's answer.
    """
    (found,) = _ANSWERS.validate_json(f"[{text}]")
    return found


def make_storable(response: ModelResponse) -> None:
    """Replace what a provider may send and nothing can store: half of a surrogate pair."""
    for part in response.parts:
        if isinstance(part, TextPart | ThinkingPart):
            part.content = storable(part.content)


def earlier_messages(text: str | None, contents: Mapping[str, bytes] | None = None) -> list[ModelMessage]:
    """The messages of an earlier run as history: without its system message and its own history.

    An answer given by calling the tool for it stands as text. A tool call whose result was never stored is left out
    with everything after it, and so is what was never answered.

    :param contents: of the media that the messages refer to, by hash.
    """
    if text is None:
        return []
    own = [item for item in json.loads(text) if not _NOT_SAID & _notes(item).keys()]
    kept: list[ModelMessage] = []
    has_media = bool(references(text))
    for found in ModelMessagesTypeAdapter.validate_python(own):
        message = with_contents(found, contents or {}) if has_media else found
        if isinstance(message, ModelRequest):
            message.parts = [part for part in message.parts if not isinstance(part, SystemPromptPart)]
            if not message.parts:
                continue
        message.metadata = {**(message.metadata or {}), NOTES: {**_own_notes(message), "from_history": True}}
        kept.append(message)
    if kept and isinstance(kept[-1], ModelResponse):
        kept[-1].parts = [_as_text(part) for part in kept[-1].parts]
    return _answered(_without_dangling_calls(kept))


def _as_text(part: ModelResponsePart) -> ModelResponsePart:
    if isinstance(part, ToolCallPart) and part.tool_name == FINAL_TOOL:
        return TextPart(part.args_as_json_str())
    return part


def _answered(messages: list[ModelMessage]) -> list[ModelMessage]:
    last = max((place for place, message in enumerate(messages) if isinstance(message, ModelResponse)), default=-1)
    is_told = any(isinstance(part, ToolReturnPart) for message in messages[last + 1 :] for part in message.parts)
    return messages if is_told else messages[: last + 1]


def _without_dangling_calls(messages: list[ModelMessage]) -> list[ModelMessage]:
    for place, message in enumerate(messages):
        if not isinstance(message, ModelResponse):
            continue
        calls = {part.tool_call_id for part in message.parts if isinstance(part, ToolCallPart)}
        following = messages[place + 1] if place + 1 < len(messages) else None
        parts = following.parts if isinstance(following, ModelRequest) else ()
        if calls - {part.tool_call_id for part in parts if isinstance(part, ToolReturnPart | RetryPromptPart)}:
            return messages[:place]
    return messages


def _notes(item: JsonObject) -> JsonObject:
    notes: JsonObject = (item.get("metadata") or {}).get(NOTES) or {}
    return notes


def _own_notes(message: ModelMessage) -> JsonObject:
    notes: JsonObject = (message.metadata or {}).get(NOTES) or {}
    return notes


def _now() -> datetime:
    return _time(clock.now())


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
