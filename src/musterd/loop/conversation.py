"""The conversation of one run: pydantic-ai messages, and the JSON text of each."""

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
"""The key of our notes in a message's metadata, which is not sent to providers."""
_RESPONSES = TypeAdapter(
    list[ModelResponse], config=ConfigDict(defer_build=True, ser_json_bytes="base64", val_json_bytes="base64")
)
"""Equivalent to pydantic-ai's own adapter, but built in half the time, which shortens recovery after a crash."""
_NOT_FROM_RUN = frozenset({"from_history", "introduction"})
"""Notes on messages that appear in a run's conversation but were not part of the run, or not from its model."""


class Conversation:
    """The messages so far, in order.

    :param system: the system message; empty: none.
    :param history: messages of earlier runs.
    :param prompt: the user's message or the member's task: text, or text and media.
    :param started_at: when the run began.
    """

    def __init__(
        self, system: str, history: Sequence[ModelMessage], prompt: str | Sequence[UserContent], started_at: float
    ) -> None:
        self.messages: list[ModelMessage] = []
        self._texts: list[str | None] = []
        self._introduction: list[str] = []
        self._short_results: dict[str, str] = {}
        opening: list[ModelRequestPart] = [SystemPromptPart(system)] if system else []
        if history:
            if opening:
                self._add(ModelRequest(parts=opening, timestamp=_time(started_at)))
            for message in history:
                self._add(message)
            opening = []
        self._own_from = len(self.messages)
        self._add(ModelRequest(parts=[*opening, UserPromptPart(prompt)], timestamp=_time(started_at)))

    def add_introduction(self, text: str) -> None:
        """Put the session's introduction before the stored messages. The model reads it in its system message."""
        if text:
            message = ModelResponse(parts=[TextPart(text)], timestamp=_now(), metadata={NOTES: {"introduction": True}})
            self._introduction = [message_text(message)]

    def add_answer(self, response: ModelResponse, text: str) -> None:
        """Add a response of the model; ``text`` is the message as JSON."""
        self.messages.append(response)
        self._texts.append(text)

    def add_interrupted_answer(self, text: str) -> None:
        """Add the partial text of an answer that was interrupted, unless the last message is already a response."""
        if text and isinstance(self.messages[-1], ModelRequest):
            self._add(ModelResponse(parts=[TextPart(text)], timestamp=_now(), state="interrupted"))

    def add_request(self, parts: Sequence[ModelRequestPart]) -> None:
        """Add a request to the model: results of its tool calls, or a correction."""
        self._add(ModelRequest(parts=list(parts), timestamp=_now()))

    def add_results_of_open_calls(self, text: str) -> None:
        """Add ``text`` as the result of each call of the last answer that has none: providers refuse open calls."""
        if calls := [part for part in self.messages[-1].parts if isinstance(part, ToolCallPart)]:
            self.add_request([ToolReturnPart(call.tool_name, text, call.tool_call_id) for call in calls])

    def add_user_message(self, text: str) -> None:
        """Add a message in the user's role."""
        self._add(ModelRequest(parts=[UserPromptPart(text)], timestamp=_now()))

    @property
    def messages_for_model(self) -> list[ModelMessage]:
        """The messages that are sent to the model: with the short versions of compressed tool results."""
        if not self._short_results:
            return self.messages
        return [_with_short_results(message, self._short_results) for message in self.messages]

    @property
    def own_messages(self) -> list[ModelMessage]:
        """The messages of this run itself: neither examples nor earlier runs."""
        return self.messages[self._own_from :]

    @property
    def own_results(self) -> list[ToolReturnPart]:
        """The results of this run's own tool calls, in full."""
        return [part for message in self.own_messages for part in message.parts if isinstance(part, ToolReturnPart)]

    def shorten(self, tool_call_id: str, text: str) -> None:
        """Send the model this text in place of a tool call's result from now on."""
        self._short_results[tool_call_id] = text

    def is_shortened(self, tool_call_id: str) -> bool:
        """Whether a tool call's result has a short version."""
        return tool_call_id in self._short_results

    def _add(self, message: ModelMessage) -> None:
        self.messages.append(message)
        self._texts.append(None)

    @property
    def texts(self) -> list[str]:
        """The messages as JSON texts. A message without a stored text is serialized now."""
        pairs = zip(self.messages, self._texts, strict=True)
        return self._introduction + [message_text(message) if text is None else text for message, text in pairs]


def result_text(part: ToolReturnPart) -> str:
    """The text of a tool's result, without its media."""
    return part.content if isinstance(part.content, str) else "".join(_texts_in(part))


def _texts_in(part: ToolReturnPart) -> list[str]:
    return [item for item in part.content if isinstance(item, str)] if isinstance(part.content, list) else []


def _with_short_results(message: ModelMessage, short: Mapping[str, str]) -> ModelMessage:
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
    """A message as JSON text in pydantic-ai's format."""
    return ModelMessagesTypeAdapter.dump_json([without_contents(message)])[1:-1].decode()


def parse_response(text: str | None) -> ModelResponse:
    """The model response that :func:`message_text` serialized.

    :raises ValueError: the text is not a model response.
    """
    (response,) = _RESPONSES.validate_json(f"[{text}]")
    return response


def make_storable(response: ModelResponse) -> None:
    """Replace lone surrogates, which a provider may send but no database can store."""
    for part in response.parts:
        if isinstance(part, TextPart | ThinkingPart):
            part.content = storable(part.content)


def earlier_messages(text: str | None, contents: Mapping[str, bytes] | None = None) -> list[ModelMessage]:
    """The messages of an earlier run as history: without its system message and its own history.

    An answer that was given as a call of the final-answer tool becomes text. Another tool call without a stored result
    is dropped together with all later messages, because providers reject a call without a result. So are trailing
    requests that the model never answered.

    :param contents: the contents of the media in the messages, by hash.
    """
    if text is None:
        return []
    own = [item for item in json.loads(text) if not _NOT_FROM_RUN & _stored_notes(item).keys()]
    messages: list[ModelMessage] = []
    has_media = bool(references(text))
    for stored in ModelMessagesTypeAdapter.validate_python(own):
        message = with_contents(stored, contents or {}) if has_media else stored
        if isinstance(message, ModelRequest):
            message.parts = [part for part in message.parts if not isinstance(part, SystemPromptPart)]
            if not message.parts:
                continue
        message.metadata = {**(message.metadata or {}), NOTES: {**_notes(message), "from_history": True}}
        messages.append(message)
    if messages and isinstance(messages[-1], ModelResponse):
        messages[-1].parts = _with_final_answer_as_text(messages[-1].parts)
    return _without_unanswered_requests(_without_dangling_calls(messages))


def _with_final_answer_as_text(parts: Sequence[ModelResponsePart]) -> list[ModelResponsePart]:
    """The parts of the last response. The calls beside a final answer were never made, so they are left out."""
    final = next((part for part in parts if isinstance(part, ToolCallPart) and part.tool_name == FINAL_TOOL), None)
    if final is None:
        return list(parts)
    answer = TextPart(final.args_as_json_str())
    return [answer if part is final else part for part in parts if part is final or not isinstance(part, ToolCallPart)]


def _without_unanswered_requests(messages: list[ModelMessage]) -> list[ModelMessage]:
    last = max((index for index, message in enumerate(messages) if isinstance(message, ModelResponse)), default=-1)
    has_results = any(isinstance(part, ToolReturnPart) for message in messages[last + 1 :] for part in message.parts)
    return messages if has_results else messages[: last + 1]


def _without_dangling_calls(messages: list[ModelMessage]) -> list[ModelMessage]:
    for index, message in enumerate(messages):
        if not isinstance(message, ModelResponse):
            continue
        calls = {part.tool_call_id for part in message.parts if isinstance(part, ToolCallPart)}
        following = messages[index + 1] if index + 1 < len(messages) else None
        parts = following.parts if isinstance(following, ModelRequest) else ()
        if calls - {part.tool_call_id for part in parts if isinstance(part, ToolReturnPart | RetryPromptPart)}:
            return messages[:index]
    return messages


def _stored_notes(item: JsonObject) -> JsonObject:
    notes: JsonObject = (item.get("metadata") or {}).get(NOTES) or {}
    return notes


def _notes(message: ModelMessage) -> JsonObject:
    notes: JsonObject = (message.metadata or {}).get(NOTES) or {}
    return notes


def _now() -> datetime:
    return _time(clock.now())


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
