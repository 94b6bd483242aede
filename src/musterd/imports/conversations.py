"""Converts the messages of an AgentOS run to pydantic-ai's messages, which musterd stores.

AgentOS has one message per role and per tool result. A request of pydantic-ai holds everything that the model reads
before its next answer. Provider-specific parts, such as reasoning signatures, are dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from musterd.core.jsontext import storable
from musterd.core.jsontypes import JsonObject
from musterd.imports.media import Contents, prompt
from musterd.imports.values import Unreadable, count_in, object_in, objects_in, seconds_in, text_in, text_of, time_in
from musterd.loop.conversation import NOTES, message_text

_SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class CallPlace:
    """The place of a tool call in its run: the turn, and the call's number in the turn, both from 0."""

    turn: int
    number: int


def own_messages(run: JsonObject) -> list[JsonObject]:
    """The messages of a run without those of earlier runs.

    :raises Unreadable: they are not a list of objects.
    """
    return [message for message in objects_in(run, "messages") if not message.get("from_history")]


def call_places(messages: Sequence[JsonObject]) -> dict[str, CallPlace]:
    """The places of the tool calls in a run's own messages, by their ids.

    :raises Unreadable: the calls of a message are not a list of objects.
    """
    places: dict[str, CallPlace] = {}
    answers = [message for message in messages if message.get("role") == "assistant"]
    for turn, message in enumerate(answers):
        for number, call in enumerate(objects_in(message, "tool_calls")):
            places[_call_id(call)] = CallPlace(turn, number)
    return places


def conversation(run: JsonObject, contents: Contents) -> list[str]:
    """The messages of a run as musterd stores them, one JSON text per message.

    :param contents: receives the contents of media in the messages.
    :raises Unreadable: a message does not have AgentOS's format.
    """
    return [message_text(message) for message in _messages(objects_in(run, "messages"), contents)]


def _messages(stored: Sequence[JsonObject], contents: Contents) -> Iterator[ModelMessage]:
    parts, from_history, at = list[ModelRequestPart](), False, None
    calls = _Calls(stored)
    for item in stored:
        is_answer = item.get("role") == "assistant"
        if parts and (is_answer or bool(item.get("from_history")) != from_history):
            yield ModelRequest(parts=parts, timestamp=at, metadata=_notes(from_history))
            parts = []
        from_history, at = bool(item.get("from_history")), _time(item)
        if is_answer:
            yield _answer(item, at, from_history)
        else:
            parts += _request_parts(item, calls, contents)
    if parts:
        yield ModelRequest(parts=parts, timestamp=at, metadata=_notes(from_history))


def _notes(from_history: bool, **notes: float) -> JsonObject | None:
    all_notes: JsonObject = {"from_history": True, **notes} if from_history else {**notes}
    return {NOTES: all_notes} if all_notes else None


class _Calls:
    """The calls in the messages of a run, to which their results refer."""

    def __init__(self, stored: Sequence[JsonObject]) -> None:
        self._names, self._ids = dict[str, str](), dict[str, str]()
        for item in stored:
            if item.get("role") != "assistant":
                continue
            for call in objects_in(item, "tool_calls"):
                self._names[_call_id(call)] = _function_name(call)
                # With OpenAI's Responses API, a result refers to this id, and the tools of the run to the other one.
                if (other_id := text_of(call.get("call_id"))) and other_id != _call_id(call):
                    self._ids[other_id] = _call_id(call)

    def result(self, item: JsonObject, at: datetime) -> ToolReturnPart:
        """The result of a call."""
        stored_id = text_of(item.get("tool_call_id"))
        call_id = self._ids.get(stored_id, stored_id)
        return ToolReturnPart(
            tool_name=text_in(item, "tool_name") or self._names.get(call_id, "") or "unknown",
            content=storable(text_of(item.get("content"))),
            tool_call_id=call_id,
            timestamp=at,
            outcome="failed" if item.get("tool_call_error") else "success",
        )


def _request_parts(item: JsonObject, calls: _Calls, contents: Contents) -> list[ModelRequestPart]:
    role, text, at = item.get("role"), storable(text_of(item.get("content"))), _time(item)
    if role in _SYSTEM_ROLES:
        return [SystemPromptPart(text, timestamp=at)]
    if role == "user":
        return [UserPromptPart(prompt(text, item, contents), timestamp=at)]
    if role != "tool":
        raise Unreadable(f"a message has the role {text_of(role)[:40]!r}")
    return [calls.result(result, at) for result in _results(item)]


def _results(item: JsonObject) -> list[JsonObject]:
    """The results in a tool's message. With Gemini, one message has those of all calls of a turn."""
    results = [] if item.get("tool_call_id") else objects_in(item, "tool_calls")
    if not results:
        return [item]
    # A compressed result is only in the list of the calls; the contents are the original ones.
    originals = item.get("content")
    if not isinstance(originals, list) or len(originals) != len(results):
        return results
    return [{**result, "content": content} for result, content in zip(results, originals, strict=True)]


def _answer(item: JsonObject, at: datetime, from_history: bool) -> ModelResponse:
    text = storable(text_of(item.get("content")))
    parts: list[ModelResponsePart] = [TextPart(text)] if text else []
    for call in objects_in(item, "tool_calls"):
        arguments = object_in(call, "function").get("arguments")
        parts.append(
            ToolCallPart(
                tool_name=_function_name(call) or "unknown",
                args=arguments if isinstance(arguments, dict) else text_of(arguments) or "{}",
                tool_call_id=_call_id(call),
            )
        )
    metrics, notes = object_in(item, "metrics"), dict[str, float]()
    for name, key in (("seconds", "duration"), ("first_token_seconds", "time_to_first_token")):
        if (seconds := seconds_in(metrics, key)) is not None:
            notes[name] = seconds
    return ModelResponse(
        parts=parts or [TextPart("")],
        usage=_usage(metrics),
        timestamp=at,
        metadata=_notes(from_history, **notes),
    )


def _usage(metrics: JsonObject) -> RequestUsage:
    reasoning = count_in(metrics, "reasoning_tokens")
    return RequestUsage(
        input_tokens=count_in(metrics, "input_tokens"),
        output_tokens=count_in(metrics, "output_tokens"),
        cache_read_tokens=count_in(metrics, "cache_read_tokens"),
        cache_write_tokens=count_in(metrics, "cache_write_tokens"),
        details={"reasoning_tokens": reasoning} if reasoning else {},
    )


def _call_id(call: JsonObject) -> str:
    return text_of(call.get("id")) or text_of(call.get("call_id"))


def _function_name(call: JsonObject) -> str:
    return text_in(object_in(call, "function"), "name") or ""


def _time(item: JsonObject) -> datetime:
    return datetime.fromtimestamp(time_in(item, "created_at") or 0.0, UTC)
