"""How much of earlier runs a model is shown: by messages, and by tool calls."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    RetryPromptPart,
    ToolCallPart,
    ToolReturnPart,
)


def trimmed(
    messages: Sequence[ModelMessage], last_messages: int | None, last_calls: int | None
) -> Sequence[ModelMessage]:
    """The history without what is not shown.

    :param last_messages: how many messages are shown, as clients count them: each part of a request is one. None: all.
    :param last_calls: how many tool calls are shown, with their results. None: all.
    """
    if last_calls is not None:
        messages = _with_last_calls(messages, last_calls)
    return messages if last_messages is None else _last(messages, last_messages)


def _last(messages: Sequence[ModelMessage], count: int) -> list[ModelMessage]:
    kept: list[ModelMessage] = []
    for message in reversed(messages):
        count -= len(message.parts) if isinstance(message, ModelRequest) else 1
        if count < 0:
            break
        kept.insert(0, message)
    while kept and isinstance(kept[0], ModelRequest) and any(_call_id(part) for part in kept[0].parts):
        del kept[0]  # results of calls that are not shown
    return kept


def _with_last_calls(messages: Sequence[ModelMessage], count: int) -> list[ModelMessage]:
    ids = [call_id for message in messages if isinstance(message, ModelRequest) for call_id in _call_ids(message)]
    dropped = set(ids[: len(ids) - count] if count else ids)
    kept: list[ModelMessage] = []
    for message in messages:
        left: ModelMessage
        if isinstance(message, ModelRequest):
            left = replace(message, parts=[part for part in message.parts if _call_id(part) not in dropped])
        else:
            calls = [part for part in message.parts if isinstance(part, ToolCallPart) and part.tool_call_id in dropped]
            left = replace(message, parts=[part for part in message.parts if part not in calls])
        if left.parts:
            kept.append(left)
    return kept


def _call_ids(request: ModelRequest) -> list[str]:
    return [call_id for part in request.parts if (call_id := _call_id(part)) is not None]


def _call_id(part: ModelRequestPart) -> str | None:
    """The call that a part is the result of."""
    if isinstance(part, ToolReturnPart) or (isinstance(part, RetryPromptPart) and part.tool_name):
        return part.tool_call_id
    return None
