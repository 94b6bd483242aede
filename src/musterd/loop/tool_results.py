"""The results of tools and members as text, and how long they may be."""

import asyncio
import json
from dataclasses import replace

from pydantic_core import to_json

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepState
from musterd.loop.steps import ToolStep
from musterd.models.answer_limits import byte_count

SMALL_SIZE = 10_000
"""Characters and values that are made into text on the event loop; more is done in a thread."""

WHOLE_MESSAGE_BYTES = 1000
"""Messages of exceptions up to this size are never cut."""


class ResultTooLarge(Exception):
    """The tool was called, and what it returned, or left in the session's state, is larger than it may be."""


def as_text(result: Json) -> str:
    """A tool's result as the model reads it: text as it is, anything else as JSON, nothing as nothing."""
    if result is None:
        return ""
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError):
        return to_json(result, fallback=str).decode()


async def bounded_text(result: Json, most_bytes: int) -> str:
    """A tool's result as text.

    :raises ResultTooLarge: it has more than ``most_bytes`` in UTF-8.
    """
    if isinstance(result, str) or _size(result, SMALL_SIZE) <= SMALL_SIZE:
        return _bounded_text(result, most_bytes)
    return await asyncio.to_thread(_bounded_text, result, most_bytes)


def check_state_change(change: JsonObject | None, most_bytes: int) -> None:
    """Check what a tool changed in the session's state: it must be JSON, and small enough.

    :raises ResultTooLarge: it has more than ``most_bytes``.
    :raises TypeError, ValueError: it is no JSON value.
    """
    if change is None:
        return
    if _size(change, most_bytes) > most_bytes or byte_count(jsontext.dumps(change)) > most_bytes:
        raise ResultTooLarge(
            f"The tool was called, but it left more than {most_bytes} bytes in the session state; nothing was kept."
        )


def error_text(words: str, most_bytes: int) -> str:
    """The message of a tool's exception, cut with a word about it if it is longer than a result may be."""
    limit = max(most_bytes, WHOLE_MESSAGE_BYTES)
    if len(words) * 4 <= limit or byte_count(words[: limit + 1]) <= limit:
        return words
    return f"{words[: limit // 4]}\n[… cut: the message has {len(words)} characters]"


def within_limit(step: ToolStep, most_bytes: int) -> ToolStep:
    """``step``, or a failed one that says that its result has more than ``most_bytes``."""
    if len(step.result) * 4 <= most_bytes or (size := byte_count(step.result)) <= most_bytes:
        return step
    words = f"The answer has {size} bytes; at most {most_bytes} are kept. Ask for a shorter one."
    return replace(step, result=words, is_error=True, state=StepState.FAILED, media=())


def _bounded_text(result: Json, most_bytes: int) -> str:
    # Measured first: the JSON encoder holds the interpreter for as long as it works.
    if not isinstance(result, str) and _size(result, most_bytes) > most_bytes:
        raise _too_large(f"has more than {most_bytes} bytes as JSON, or contains itself", most_bytes)
    text = as_text(result)
    if len(text) > most_bytes:
        raise _too_large(f"has {len(text)} characters", most_bytes)
    if len(text) * 4 > most_bytes and (size := byte_count(text)) > most_bytes:
        raise _too_large(f"has {size} bytes", most_bytes)
    return text


def _too_large(how: str, most_bytes: int) -> ResultTooLarge:
    return ResultTooLarge(
        f"The tool was called, but its result {how}; at most {most_bytes} bytes are kept. Ask for less of it."
    )


def _size(value: Json, most: int) -> int:
    """A lower bound of the length of ``value`` as JSON; counting stops beyond ``most``."""
    size, waiting = 1, [value]
    while waiting:
        one = waiting.pop()
        size += len(one) if isinstance(one, str | dict | list | tuple) else 0
        if size > most:
            break
        if isinstance(one, dict):
            waiting.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
    return size
