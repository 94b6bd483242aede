"""Parses a provider's server-sent events into few chat completion chunks.

Chunks that arrived together and only add text are merged, because every chunk costs pydantic-ai far more than its
bytes. Chunks that pydantic-ai must see separately are not merged: a thinking tag that is its own chunk, and whitespace
before the first word.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, cast

import pydantic
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice, ChoiceDelta
from pydantic_core import from_json

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject

DONE: Final = b"[DONE]"

LARGE_BYTES = 256 * 1024
MAX_VALUES = 500_000
"""The most values of an event larger than :data:`LARGE_BYTES`. Parsing them blocks the event loop for 50 ms."""
UNUSED_VALUES = 10_000
"""The most values of the log probabilities, or of the moderation, of a chunk. They are dropped if there are more: they
are not needed, and if they are malformed, rejecting them takes 5 µs for each value."""
CONSTRUCTED_VALUES = 2_000
"""The most values of a chunk that does not match the SDK's schema: the SDK's construction takes up to 30 µs for each. A
chunk of 100 tool calls has 700. What fields contain that the SDK does not know, for example the ids of the prompt's
tokens, does not count: its construction leaves that as it is."""

_TEXT_KEYS = frozenset({"content", "reasoning", "reasoning_content"})
_MERGED_KINDS = frozenset({("content",), ("reasoning",), ("reasoning_content",), ("reasoning", "reasoning_content")})
_VARYING_KEYS = frozenset({"choices", "created", "obfuscation", "usage"})  # may differ between chunks that are merged
_MISSING: Final = object()


class EventTooLarge(Exception):
    """An event of a stream is longer than allowed."""


class EventParser:
    """Splits a stream of bytes into events by the rules of the HTML standard. Each event is a name and its data.

    Comments, ids and retry times are skipped. Several lines of data are joined by line feeds.

    :param event_bytes: the length of the longest allowed event.
    """

    __slots__ = ("_after_cr", "_data", "_data_bytes", "_event_bytes", "_name", "_rest", "_rest_bytes")

    def __init__(self, event_bytes: int) -> None:
        self._event_bytes = event_bytes
        self._rest: list[bytes] = []  # pieces of a line whose end has not arrived
        self._rest_bytes = 0
        self._after_cr = False
        self._name = b""
        self._data: list[bytes] = []  # lines of an event whose end has not arrived
        self._data_bytes = 0

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The events that are complete after ``data``.

        :raises EventTooLarge: an event is longer than allowed.
        """
        # CR LF is one line end, and may be split over two reads.
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        self._after_cr = data[-1:] == b"\r"
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        self._rest.append(lines[0])
        if len(lines) == 1:
            self._rest_bytes = self._bounded(self._rest_bytes + len(data))
            return iter(())
        lines[0] = b"".join(self._rest)
        self._rest, self._rest_bytes = [lines[-1]], len(lines[-1])
        del lines[-1]
        return self._events(lines)

    def finish(self) -> Iterator[tuple[bytes, bytes]]:
        """The last event, if the stream ended before the event's blank line."""
        lines, self._rest = [b"".join(self._rest), b""], []
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for line in lines:
            if line[:5] == b"data:":
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
                self._data_bytes = self._bounded(self._data_bytes + len(line))
            elif not line:
                if data := b"\n".join(self._data):
                    yield self._name, data
                self._data, self._data_bytes, self._name = [], 0, b""
            elif line[:6] == b"event:":
                self._name = line[6:].strip()

    def _bounded(self, count: int) -> int:
        if count > self._event_bytes:
            raise EventTooLarge
        return count


def read_event(text: bytes) -> Any:
    """Parse an event's data.

    :raises ValueError: it is not JSON, or has more values than an answer needs.
    """
    if len(text) > LARGE_BYTES and jsontext.max_values(text) > MAX_VALUES:
        raise ValueError("too many values")
    return read_json(text)


def read_json(text: bytes) -> Any:
    """Parse JSON. Lone surrogates, which are not valid in text, become ``?``.

    :raises ValueError: it is not JSON.
    """
    try:
        return from_json(text)
    except ValueError:
        value = json.loads(text)
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def event_error(name: bytes, data: Any) -> tuple[str, object] | None:
    """The message and body of an error inside a stream, with the SDK's wording. None if there is no error."""
    body = data.get("error") if isinstance(data, dict) else None
    if not body and name == b"error":
        body = data
    if not body:
        return None
    message = body.get("message") if isinstance(body, dict) else None
    return (message if message and isinstance(message, str) else "An error occurred during streaming"), body


def as_chunk(chunk: JsonObject) -> ChatCompletionChunk:
    """The SDK's object for a chunk of one choice: validated, which is cheap, or else constructed as the SDK does.

    :raises ValueError: it does not match the SDK's schema and has too many values.
    """
    choice = first_choice(chunk) or {}
    for holder, key in ((choice, "logprobs"), (chunk, "moderation")):
        if holder.get(key) and jsontext.has_more_values(holder[key], UNUSED_VALUES):
            del holder[key]
    try:
        return ChatCompletionChunk.model_validate(chunk)
    except pydantic.ValidationError:
        # The SDK's construction is slow for each value. Malformed log probabilities are not used, so drop them.
        choice.pop("logprobs", None)
        if jsontext.has_more_values(_constructed(chunk), CONSTRUCTED_VALUES):
            raise ValueError(f"it is not a chunk and has more than {CONSTRUCTED_VALUES} values") from None
        return cast(ChatCompletionChunk, construct_type(type_=ChatCompletionChunk, value=chunk))


def _constructed(chunk: JsonObject) -> JsonObject:
    """A copy of ``chunk`` in which None is in place of what the SDK's construction leaves as it is."""
    copy = _known(chunk, ChatCompletionChunk)
    if (choice := first_choice(chunk)) is not None:
        choice = _known(choice, Choice)
        delta = choice.get("delta")
        if type(delta) is dict:
            choice["delta"] = _known(delta, ChoiceDelta)
        copy["choices"] = [choice, *chunk["choices"][1:]]
    return copy


def _known(value: JsonObject, model: type[pydantic.BaseModel]) -> JsonObject:
    return {key: item if key in model.model_fields else None for key, item in value.items()}


def first_choice(chunk: JsonObject) -> JsonObject | None:
    """The first choice of a chunk, which is the only one that pydantic-ai reads."""
    choices = chunk.get("choices")
    choice = choices[0] if type(choices) is list and choices else None
    return choice if type(choice) is dict else None


def merged(chunks: list[JsonObject]) -> list[JsonObject]:
    """``chunks`` with neighbours merged if that makes no difference to pydantic-ai.

    Text is merged with text, reasoning with reasoning, arguments with the same tool call's arguments, a finish reason
    with the text before it, and usage with the chunk before it. The first chunk of each group is changed in place.
    """
    joined: list[JsonObject] = []
    last: JsonObject | None = None
    for chunk in chunks:
        if last is not None and _same_head(last, chunk) and _join(last, chunk):
            continue
        joined.append(chunk)
        last = chunk
    return joined


def _same_head(last: JsonObject, chunk: JsonObject) -> bool:
    """Whether two chunks agree in everything except their choices."""
    if last.get("usage") or last.get("moderation") or chunk.get("moderation"):
        return False
    return _agree(last, chunk, _VARYING_KEYS)


def _agree(a: JsonObject, b: JsonObject, ignored_keys: frozenset[str]) -> bool:
    for key, value in a.items():
        if key not in ignored_keys and b.get(key, _MISSING) != value:
            return False
    return all(key in a or key in ignored_keys for key in b)


def _join(last: JsonObject, chunk: JsonObject) -> bool:
    """Add ``chunk`` to ``last`` if that makes no difference to the reader."""
    choices = chunk.get("choices")
    if choices == [] and chunk.get("usage"):
        last["usage"] = chunk["usage"]
        return True
    if chunk.get("usage"):
        return False
    last_choice, next_choice = _only_choice(last.get("choices")), _only_choice(choices)
    if last_choice is None or next_choice is None or last_choice.get("finish_reason") or last_choice.get("logprobs"):
        return False
    ignored_keys = frozenset({"delta", "finish_reason", "logprobs"})
    if next_choice.get("logprobs") or not _agree(last_choice, next_choice, ignored_keys):
        return False
    if not _join_deltas(last_choice["delta"], next_choice["delta"]):
        return False
    if next_choice.get("finish_reason"):
        last_choice["finish_reason"] = next_choice["finish_reason"]
    return True


def _only_choice(choices: Any) -> JsonObject | None:
    if type(choices) is list and len(choices) == 1:
        choice = choices[0]
        if type(choice) is dict and type(choice.get("delta")) is dict:
            return choice
    return None


def _join_deltas(last: JsonObject, delta: JsonObject) -> bool:
    kind, last_kind = _text_kind(delta), _text_kind(last)
    if kind is None or last_kind is None:
        return _join_arguments(last, delta)
    if not kind:  # a role or an empty text adds nothing
        return True
    if kind not in _MERGED_KINDS or (last_kind and kind != last_kind):
        return False
    for key in kind:
        last_text, text = last.get(key) or "", delta[key]
        # pydantic-ai drops leading whitespace chunk by chunk, and recognizes a tag only as a chunk of its own.
        if (last_kind and last_text.isspace()) or _may_be_tag(last_text) or _may_be_tag(text):
            return False
        last[key] = last_text + text
    return True


def _text_kind(delta: JsonObject) -> tuple[str, ...] | None:
    """The sorted keys of the texts that ``delta`` adds. None if it adds something else."""
    kind = []
    for key, value in delta.items():
        if key == "role" or value is None:
            continue
        if key not in _TEXT_KEYS or type(value) is not str:
            return None
        if value:
            kind.append(key)
    if len(kind) == 2:
        kind.sort()
    return tuple(kind)


def _may_be_tag(text: str) -> bool:
    return text[:1] in ("<", "[", "◁") and text[-1:] in (">", "]", "▷") and len(text) > 1


def _join_arguments(last: JsonObject, delta: JsonObject) -> bool:
    """Append a piece of a tool call's arguments to the piece before it."""
    last_call, next_call = _only_call(last), _only_call(delta)
    if last_call is None or next_call is None or last_call.get("index") != next_call.get("index"):
        return False
    if next_call.get("id") or next_call["function"].get("name") or not isinstance(last_call["function"], dict):
        return False
    arguments, more_arguments = last_call["function"].get("arguments"), next_call["function"].get("arguments")
    if not isinstance(arguments, str) or not isinstance(more_arguments, str):
        return False
    if not next_call.keys() <= {"index", "id", "type", "function"} or not next_call["function"].keys() <= {
        "name",
        "arguments",
    }:
        return False
    last_call["function"]["arguments"] = arguments + more_arguments
    return True


def _only_call(delta: JsonObject) -> JsonObject | None:
    if any(value for key, value in delta.items() if key not in ("role", "tool_calls")):
        return None
    calls = delta.get("tool_calls")
    if type(calls) is list and len(calls) == 1:
        call = calls[0]
        if type(call) is dict and type(call.get("function")) is dict:
            return call
    return None
