"""The results of tools and members as text, and the limits of their size."""

import json
from dataclasses import replace

from pydantic_core import to_json

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepState
from musterd.core.threads import in_thread
from musterd.loop import state
from musterd.loop.state import MAX_VALUES
from musterd.loop.steps import ToolStep
from musterd.models.answer_limits import byte_count

SMALL_SIZE = 10_000
"""Results up to this many characters and values are converted on the event loop; larger ones in a thread."""

WHOLE_MESSAGE_BYTES = 1000
"""Exception messages up to this size are never cut."""


class ResultTooLarge(Exception):
    """The tool was called, but its result or its change of the session's state is too large."""


def as_text(result: Json) -> str:
    """A tool's result as the model reads it: text unchanged, None as empty text, anything else as JSON."""
    if result is None:
        return ""
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError):
        return to_json(result, fallback=str).decode()


async def bounded_text(result: Json, max_bytes: int) -> str:
    """A tool's result as text.

    :raises ResultTooLarge: if it has more than ``max_bytes`` in UTF-8.
    """
    if isinstance(result, str) or _size(result, SMALL_SIZE) <= SMALL_SIZE:
        return _bounded_text(result, max_bytes)
    return await in_thread(_bounded_text, result, max_bytes)


def checked_change(change: JsonObject | None, max_bytes: int) -> JsonObject | None:
    """A tool's change of the session's state as JSON, with dates, times and UUIDs as text.

    :raises ResultTooLarge: if it has more than ``max_bytes``, or than ``MAX_VALUES`` values.
    :raises TypeError, ValueError: if it is not a JSON value.
    """
    if change is None:
        return None
    much = f"more than {max_bytes} bytes"
    if _size(change, max_bytes) <= max_bytes:
        change, text = state.as_json(change)
        much = much if byte_count(text) > max_bytes else ""
    if not much and jsontext.has_more_values(change, MAX_VALUES):
        much = f"more than {MAX_VALUES:,} values"
    if much:
        raise ResultTooLarge(f"The tool was called, but it left {much} in the session state; nothing was kept.")
    return change


def error_text(message: str, max_bytes: int) -> str:
    """The message of a tool's exception, cut with a note if it is too long for a result."""
    # A character has at most four bytes in UTF-8, so most texts are measured without encoding them.
    limit = max(max_bytes, WHOLE_MESSAGE_BYTES)
    if len(message) * 4 <= limit or byte_count(message[: limit + 1]) <= limit:
        return message
    return f"{message[: limit // 4]}\n[… cut: the message has {len(message)} characters]"


def within_limit(step: ToolStep, max_bytes: int) -> ToolStep:
    """``step`` itself, or a failed step with an explanation if its result has more than ``max_bytes``."""
    if len(step.result) * 4 <= max_bytes or (size := byte_count(step.result)) <= max_bytes:
        return step
    message = f"The answer has {size} bytes; at most {max_bytes} are kept. Ask for a shorter one."
    return replace(step, result=message, is_error=True, state=StepState.FAILED, media=())


def _bounded_text(result: Json, max_bytes: int) -> str:
    # Measure before encoding: the JSON encoder holds the interpreter lock until it is done, even in a thread.
    if not isinstance(result, str) and _size(result, max_bytes) > max_bytes:
        raise _too_large(f"has more than {max_bytes} bytes as JSON, or contains itself", max_bytes)
    text = as_text(result)
    if len(text) > max_bytes:
        raise _too_large(f"has {len(text)} characters", max_bytes)
    if len(text) * 4 > max_bytes and (size := byte_count(text)) > max_bytes:
        raise _too_large(f"has {size} bytes", max_bytes)
    return text


def _too_large(reason: str, max_bytes: int) -> ResultTooLarge:
    return ResultTooLarge(
        f"The tool was called, but its result {reason}; at most {max_bytes} bytes are kept. Ask for less of it."
    )


def _size(value: Json, most: int) -> int:
    """A lower bound of the length of ``value`` as JSON. Counting stops above ``most``, so a cyclic value ends too."""
    size, remaining = 1, [value]
    while remaining:
        item = remaining.pop()
        size += len(item) if isinstance(item, str | dict | list | tuple) else 0
        if size > most:
            break
        if isinstance(item, dict):
            remaining.extend(item)
            remaining.extend(item.values())
        elif isinstance(item, list | tuple):
            remaining.extend(item)
    return size
