"""The scripted model behind pydantic-ai's model layer."""

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from musterd.models.plain_messages import plain_messages, plain_tools
from musterd.models.scripted import ScriptedModel

NONE = ModelRequestParameters()
pytestmark = pytest.mark.anyio


async def test_it_answers() -> None:
    response = await ScriptedModel().request([ModelRequest(parts=[UserPromptPart("hi")])], None, NONE)
    assert response.parts == [TextPart("Echo: hi")]
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)
    assert (response.model_name, response.finish_reason, response.state) == ("scripted", "stop", "complete")


async def test_it_calls_tools_with_ids_of_their_own() -> None:
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart('[[TOOL a {"x": 1}]][[TOOL a {"x": 2}]]')])]
    response = await ScriptedModel().request(messages, None, NONE)
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    assert [call.args_as_dict() for call in calls] == [{"x": 1}, {"x": 2}]
    assert len({call.tool_call_id for call in calls}) == 2


async def test_it_fails_as_a_provider_fails() -> None:
    with pytest.raises(ModelHTTPError) as caught:
        await ScriptedModel().request([ModelRequest(parts=[UserPromptPart("[[ERROR 503]]")])], None, NONE)
    assert caught.value.status_code == 503


def test_messages_and_tools_become_plain() -> None:
    messages: list[ModelMessage] = [
        ModelRequest(parts=[SystemPromptPart("s"), UserPromptPart(["u", "v"])]),
        ModelResponse(parts=[TextPart("t"), ToolCallPart("n", {"x": 1}, "id1")]),
        ModelRequest(parts=[ToolReturnPart("n", {"y": 2}, "id1")]),
    ]
    call = {"id": "id1", "type": "function", "function": {"name": "n", "arguments": '{"x":1}'}}
    assert plain_messages(messages, NONE) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "uv"},
        {"role": "assistant", "content": "t", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "id1", "content": '{"y":2}'},
    ]
    tool = ToolDefinition(name="n", description="d", parameters_json_schema={"type": "object"})
    assert plain_tools(ModelRequestParameters(function_tools=[tool])) == [
        {
            "type": "function",
            "function": {"name": "n", "description": "d", "parameters": {"type": "object"}},
        }
    ]
