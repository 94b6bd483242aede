"""Converts pydantic-ai's messages and tools to the format of OpenAI's chat completions, for the built-in models."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition


def plain_messages(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[dict[str, Any]]:
    """The conversation as ``role``/``content`` objects, with text and tool calls only."""
    plain: list[dict[str, Any]] = [
        {"role": "system", "content": part.content} for part in parameters.instruction_parts or ()
    ]
    for message in messages:
        if isinstance(message, ModelRequest):
            if message.instructions and not parameters.instruction_parts:
                plain.append({"role": "system", "content": message.instructions})
            plain.extend(_request_messages(message.parts))
        else:
            text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
            calls = [_plain_call(part) for part in message.parts if isinstance(part, ToolCallPart)]
            plain.append({"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})})
    return plain


def plain_tools(parameters: ModelRequestParameters) -> list[dict[str, Any]]:
    """The available tools, as function tools."""
    return [_plain_tool(tool) for tool in (*parameters.function_tools, *parameters.output_tools)]


def _request_messages(parts: Sequence[ModelRequestPart]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if isinstance(part, SystemPromptPart):
            yield {"role": "system", "content": part.content}
        elif isinstance(part, UserPromptPart):
            yield {"role": "user", "content": _user_text(part)}
        elif isinstance(part, ToolReturnPart):
            yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": _returned_text(part)}
        elif isinstance(part, RetryPromptPart):
            yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": part.model_response()}


def _returned_text(part: ToolReturnPart) -> str:
    content: Any = part.content
    if isinstance(content, list) and any(isinstance(item, BinaryContent | ImageUrl) for item in content):
        return "\n".join(item for item in content if isinstance(item, str))
    return part.model_response_str()


def _user_text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return "".join(item for item in part.content if isinstance(item, str))


def _plain_call(part: ToolCallPart) -> dict[str, Any]:
    return {
        "id": part.tool_call_id,
        "type": "function",
        "function": {"name": part.tool_name, "arguments": part.args_as_json_str()},
    }


def _plain_tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.parameters_json_schema,
    }
    return {"type": "function", "function": function}
