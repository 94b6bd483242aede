"""Rewrites tool calls and their results as text, for requests to a provider that rejects them without tools.

A model that only words an answer, or reasons about a request, reads a conversation with calls but is offered no tools.
"""

from collections.abc import Sequence
from dataclasses import replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    RetryPromptPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters

_PROVIDERS = frozenset({"bedrock"})
"""Those that reject calls in a request without tools."""


def accepted_by(model: Model, messages: list[ModelMessage], parameters: ModelRequestParameters) -> list[ModelMessage]:
    """The conversation in a form that the model's provider accepts with these parameters."""
    if model.system not in _PROVIDERS or parameters.function_tools or parameters.output_tools:
        return messages
    calls = {
        part.tool_call_id: part
        for message in messages
        for part in message.parts
        if isinstance(message, ModelResponse) and isinstance(part, ToolCallPart)
    }
    return _rewritten(messages, calls) if calls else messages


def _rewritten(messages: Sequence[ModelMessage], calls: dict[str, ToolCallPart]) -> list[ModelMessage]:
    rewritten: list[ModelMessage] = []
    for message in messages:
        changed: ModelMessage
        if isinstance(message, ModelRequest):
            changed = replace(message, parts=[_as_text(part, calls) for part in message.parts])
        else:
            # A call is told together with its result. Told in the model's own voice, it would be taken for a way to
            # answer. Its reasoning is only valid beside the call itself.
            has_calls = any(isinstance(part, ToolCallPart) for part in message.parts)
            dropped = (ToolCallPart, ThinkingPart) if has_calls else ()
            changed = replace(message, parts=[part for part in message.parts if not isinstance(part, dropped)])
        if changed.parts:
            rewritten.append(changed)
    return rewritten


def _as_text(part: ModelRequestPart, calls: dict[str, ToolCallPart]) -> ModelRequestPart:
    results: list[UserContent]
    if isinstance(part, ToolReturnPart):
        results = [*part.content_items(mode="str")]
    elif isinstance(part, RetryPromptPart) and part.tool_name:
        results = [part.model_response()]
    else:
        return part
    call = calls.get(part.tool_call_id)
    arguments = "" if call is None else f"\n<arguments>{call.args_as_json_str()}</arguments>"
    opening = f'<tool_call name="{part.tool_name}">{arguments}\n<result>'
    content = [opening, *results, "</result>\n</tool_call>"]
    texts = [item for item in content if isinstance(item, str)]
    return UserPromptPart("\n".join(texts) if len(texts) == len(content) else content, timestamp=part.timestamp)
