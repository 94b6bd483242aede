"""Limits on the history that a model is shown: the number of messages and of tool calls."""

from collections.abc import Sequence, Set
from dataclasses import replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)

_REASONING_FIELDS = frozenset({None, "content", "reasoning", "reasoning_content"})
"""What pydantic-ai has as the id of reasoning that a provider of chat completions sent as text."""


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
    for message in messages:
        if isinstance(message, ModelResponse) and (lost := _lost_calls(message, dropped)) and _is_bound(message, lost):
            dropped.update(call.tool_call_id for call in message.tool_calls)
    remaining: list[ModelMessage] = []
    for message in messages:
        shortened: ModelMessage
        if isinstance(message, ModelRequest):
            shortened = replace(message, parts=[part for part in message.parts if _call_id(part) not in dropped])
        else:
            shortened = _without_calls(message, dropped)
        if shortened.parts:
            remaining.append(shortened)
    return remaining


def _lost_calls(response: ModelResponse, dropped: Set[str]) -> list[ToolCallPart]:
    return [call for call in response.tool_calls if call.tool_call_id in dropped]


def _is_bound(response: ModelResponse, lost: Sequence[ToolCallPart]) -> bool:
    """Whether the other calls of the response cannot do without those that it loses.

    OpenAI rejects reasoning without the items that followed it, and those items without the reasoning. Gemini signs the
    first of several calls, and rejects the others without it.
    """
    return any(
        isinstance(part, ThinkingPart) and (part.signature or part.id not in _REASONING_FIELDS)
        for part in response.parts
    ) or any((call.provider_details or {}).get("thought_signature") for call in lost)


def _without_calls(response: ModelResponse, dropped: Set[str]) -> ModelResponse:
    """The response without the calls; if it has any of them, without the reasoning that led to them as well."""
    lost = _lost_calls(response, dropped)
    if not lost:
        return response
    if _is_bound(response, lost):
        # The provider finds the reasoning of a text by the text's id.
        return replace(
            response, parts=[replace(part, id=None) for part in response.parts if isinstance(part, TextPart)]
        )
    parts = [part for part in response.parts if part not in lost and not isinstance(part, ThinkingPart)]
    return replace(response, parts=parts)


def _call_ids(request: ModelRequest) -> list[str]:
    return [call_id for part in request.parts if (call_id := _call_id(part)) is not None]


def _call_id(part: ModelRequestPart) -> str | None:
    """The id of the tool call whose result the part is; None: it is not a result."""
    if isinstance(part, ToolReturnPart) or (isinstance(part, RetryPromptPart) and part.tool_name):
        return part.tool_call_id
    return None
