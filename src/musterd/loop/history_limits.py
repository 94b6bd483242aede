"""Limits on the history that a model is shown: the number of messages and of tool calls."""

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


def limit_history(
    messages: Sequence[ModelMessage], last_messages: int | None, last_calls: int | None
) -> Sequence[ModelMessage]:
    """The last part of the history.

    :param last_messages: how many messages to keep, as clients count them: each part of a request counts. None: all.
    :param last_calls: how many tool calls to keep, with their results. None: all.
    """
    if last_calls is not None:
        messages = _with_last_calls(messages, last_calls)
    return messages if last_messages is None else _last_messages(messages, last_messages)


def _last_messages(messages: Sequence[ModelMessage], count: int) -> list[ModelMessage]:
    remaining: list[ModelMessage] = []
    for message in reversed(messages):
        count -= len(message.parts) if isinstance(message, ModelRequest) else 1
        if count < 0:
            break
        remaining.insert(0, message)
    while remaining and isinstance(remaining[0], ModelRequest) and any(_call_id(part) for part in remaining[0].parts):
        del remaining[0]  # its calls were cut, and providers reject a result without its call
    return remaining


def _with_last_calls(messages: Sequence[ModelMessage], count: int) -> list[ModelMessage]:
    ids = [call_id for message in messages if isinstance(message, ModelRequest) for call_id in _call_ids(message)]
    # A call goes together with its result, because providers reject one without the other.
    dropped = set(ids[: len(ids) - count] if count else ids)
    remaining: list[ModelMessage] = []
    for message in messages:
        shortened: ModelMessage
        if isinstance(message, ModelRequest):
            shortened = replace(message, parts=[part for part in message.parts if _call_id(part) not in dropped])
        else:
            calls = [part for part in message.parts if isinstance(part, ToolCallPart) and part.tool_call_id in dropped]
            shortened = replace(message, parts=[part for part in message.parts if part not in calls])
        if shortened.parts:
            remaining.append(shortened)
    return remaining


def _call_ids(request: ModelRequest) -> list[str]:
    return [call_id for part in request.parts if (call_id := _call_id(part)) is not None]


def _call_id(part: ModelRequestPart) -> str | None:
    """The id of the tool call whose result the part is; None: it is not a result."""
    if isinstance(part, ToolReturnPart) or (isinstance(part, RetryPromptPart) and part.tool_name):
        return part.tool_call_id
    return None
