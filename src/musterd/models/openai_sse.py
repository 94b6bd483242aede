"""What a provider's event stream says: bytes of server-sent events to chat completion chunks, few and cheap.

Chunks that only add text are merged as far as they came together, since every chunk costs pydantic-ai far
more than its bytes cost us. What pydantic-ai tells apart by chunk stays apart: a thinking tag that is a
chunk of its own, whitespace before the first word.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pydantic
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from pydantic_core import from_json

from musterd.core import jsontext

Json = dict[str, Any]

DONE: Final = b"[DONE]"

LARGE_BYTES = 256 * 1024
MOST_VALUES = 500_000
"""Values of an event beyond :data:`LARGE_BYTES`: reading them takes 50 ms, in which the process does nothing else."""

_TEXT_KEYS = frozenset({"content", "reasoning", "reasoning_content"})
_MERGED_KINDS = frozenset({("content",), ("reasoning",), ("reasoning_content",), ("reasoning", "reasoning_content")})
_VARYING = frozenset({"choices", "created", "obfuscation", "usage"})  # may differ between chunks that are merged
_MISSING: Final = object()


class EventTooLarge(Exception):
    """An event of a stream is longer than it may be."""


class EventParser:
    """Splits a stream of bytes into events (the HTML standard's rules), each a name and its data.

    Comments, ids and retry times are skipped. Data of several lines is joined by line feeds.

    :param event_bytes: longest event.
    """

    __slots__ = ("_after_cr", "_data", "_data_bytes", "_event_bytes", "_name", "_rest", "_rest_bytes")

    def __init__(self, event_bytes: int) -> None:
        self._event_bytes = event_bytes
        self._rest: list[bytes] = []  # pieces of a line whose end has not come
        self._rest_bytes = 0
        self._after_cr = False
        self._name = b""
        self._data: list[bytes] = []  # lines of an event whose end has not come
        self._data_bytes = 0

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The events that ``data`` completes.

        :raises EventTooLarge: an event is longer than it may be.
        """
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
        """The event that the end of the stream cut short of its blank line, if any."""
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
    """The value of an event's data.

    :raises ValueError: it is not JSON, or has more values than an answer needs.
    """
    if len(text) > LARGE_BYTES and jsontext.most_parts(text) > MOST_VALUES:
        raise ValueError("too many values")
    return read_json(text)


def read_json(text: bytes) -> Any:
    """The value that ``text`` is JSON of. Halves of surrogate pairs, which no text may hold, become ``?``.

    :raises ValueError: it is not JSON.
    """
    try:
        return from_json(text)
    except ValueError:
        value = json.loads(text)
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def event_error(name: bytes, data: Any) -> tuple[str, object] | None:
    """The message and body of an error that a provider sends inside a stream, worded as the SDK does."""
    body = data.get("error") if isinstance(data, dict) else None
    if not body and name == b"error":
        body = data
    if not body:
        return None
    message = body.get("message") if isinstance(body, dict) else None
    return (message if message and isinstance(message, str) else "An error occurred during streaming"), body


def as_chunk(data: object) -> ChatCompletionChunk:
    """The SDK's object for one chunk: validated, which is cheap, or as the SDK would construct it."""
    try:
        return ChatCompletionChunk.model_validate(data)
    except pydantic.ValidationError:
        # The SDK's way is slow for each value. What it makes of odd log probabilities is of use to nobody.
        for choice in data.get("choices") or () if isinstance(data, dict) else ():
            if isinstance(choice, dict):
                choice.pop("logprobs", None)
        chunk = construct_type(type_=ChatCompletionChunk, value=data)
    if isinstance(chunk, ChatCompletionChunk):
        return chunk
    raise ValueError("a chunk must be an object")


def merged(chunks: list[Json]) -> list[Json]:
    """``chunks`` with neighbours joined where pydantic-ai makes the same of them.

    The first chunks are changed in place. Joined are: text to text, reasoning to reasoning, arguments to
    the same tool call; the finish reason to the text before it; the usage to the chunk before it.
    """
    joined: list[Json] = []
    last: Json | None = None
    for chunk in chunks:
        if last is not None and _same_head(last, chunk) and _join(last, chunk):
            continue
        joined.append(chunk)
        last = chunk
    return joined


def _same_head(last: Json, chunk: Json) -> bool:
    """Whether two chunks agree in all that is not their choices."""
    if last.get("usage") or last.get("moderation") or chunk.get("moderation"):
        return False
    return _agree(last, chunk, _VARYING)


def _agree(a: Json, b: Json, but: frozenset[str]) -> bool:
    for key, value in a.items():
        if key not in but and b.get(key, _MISSING) != value:
            return False
    return all(key in a or key in but for key in b)


def _join(last: Json, chunk: Json) -> bool:
    """Add ``chunk`` to ``last`` if that changes nothing for the reader."""
    choices = chunk.get("choices")
    if choices == [] and chunk.get("usage"):
        last["usage"] = chunk["usage"]
        return True
    if chunk.get("usage"):
        return False
    before, after = _only_choice(last.get("choices")), _only_choice(choices)
    if before is None or after is None or before.get("finish_reason") or before.get("logprobs"):
        return False
    if after.get("logprobs") or not _agree(before, after, frozenset({"delta", "finish_reason", "logprobs"})):
        return False
    if not _join_deltas(before["delta"], after["delta"]):
        return False
    if after.get("finish_reason"):
        before["finish_reason"] = after["finish_reason"]
    return True


def _only_choice(choices: Any) -> Json | None:
    if type(choices) is list and len(choices) == 1:
        choice = choices[0]
        if type(choice) is dict and type(choice.get("delta")) is dict:
            return choice
    return None


def _join_deltas(last: Json, delta: Json) -> bool:
    kind, last_kind = _text_kind(delta), _text_kind(last)
    if kind is None or last_kind is None:
        return _join_arguments(last, delta)
    if not kind:  # nothing new: a role, an empty text
        return True
    if kind not in _MERGED_KINDS or (last_kind and kind != last_kind):
        return False
    for key in kind:
        before, text = last.get(key) or "", delta[key]
        # Whitespace at the start is dropped or kept by chunk, a tag is known by being one.
        if (last_kind and before.isspace()) or _may_be_tag(before) or _may_be_tag(text):
            return False
        last[key] = before + text
    return True


def _text_kind(delta: Json) -> tuple[str, ...] | None:
    """The keys of the texts that ``delta`` adds, in order; None if it adds something else."""
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


def _join_arguments(last: Json, delta: Json) -> bool:
    """Add a piece of a tool call's arguments to the piece before it."""
    before, after = _only_call(last), _only_call(delta)
    if before is None or after is None or before.get("index") != after.get("index"):
        return False
    if after.get("id") or after["function"].get("name") or not isinstance(before["function"], dict):
        return False
    arguments, more = before["function"].get("arguments"), after["function"].get("arguments")
    if not isinstance(arguments, str) or not isinstance(more, str):
        return False
    if not after.keys() <= {"index", "id", "type", "function"} or not after["function"].keys() <= {
        "name",
        "arguments",
    }:
        return False
    before["function"]["arguments"] = arguments + more
    return True


def _only_call(delta: Json) -> Json | None:
    if any(value for key, value in delta.items() if key not in ("role", "tool_calls")):
        return None
    calls = delta.get("tool_calls")
    if type(calls) is list and len(calls) == 1:
        call = calls[0]
        if type(call) is dict and type(call.get("function")) is dict:
            return call
    return None
