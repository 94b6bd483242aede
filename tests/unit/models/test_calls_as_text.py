"""Providers that reject tool calls in a request without tools get them as text."""

from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from musterd import Agent
from musterd.core.settings import Settings
from musterd.models.call import ModelCaller
from tests.support.loop import Call, LoopHarness, TurnModel

IMAGE = BinaryContent(b"x", media_type="image/png")
CALLS: list[ModelMessage] = [
    ModelRequest(parts=[UserPromptPart("draw it")]),
    ModelResponse(parts=[ThinkingPart("hm"), TextPart("I look."), ToolCallPart("look", {"at": 1}, tool_call_id="a")]),
    ModelRequest(parts=[ToolReturnPart("look", "seen", tool_call_id="a")]),
    ModelResponse(parts=[ToolCallPart("draw", {}, tool_call_id="b")]),
    ModelRequest(parts=[ToolReturnPart("draw", ["drawn", IMAGE], tool_call_id="b")]),
]


class Bedrock(TurnModel):
    """A model of the provider, which reads no calls without tools."""

    @property
    def system(self) -> str:
        return "bedrock"


async def sent(model: TurnModel, parameters: ModelRequestParameters) -> list[ModelMessage]:
    ignore: Any = lambda *_: None  # noqa: E731
    await ModelCaller(Settings()).stream(model, list(CALLS), parameters, None, on_text=ignore, on_retry=ignore)
    return model.seen[0]


async def test_calls_are_told_with_their_results() -> None:
    first, said, seen, drawn = await sent(Bedrock("ok"), ModelRequestParameters())
    assert first == CALLS[0]
    assert said.parts == [TextPart("I look.")]
    (text,) = seen.parts
    assert isinstance(text, UserPromptPart)
    expected = '<tool_call name="look">\n<arguments>{"at":1}</arguments>\n<result>\nseen\n</result>\n</tool_call>'
    assert text.content == expected
    (content,) = drawn.parts
    assert isinstance(content, UserPromptPart)
    assert content.content[1:3] == ["drawn", IMAGE]


@pytest.mark.parametrize("model", [TurnModel("ok"), Bedrock("ok")])
async def test_calls_stay_calls_where_they_are_accepted(model: TurnModel) -> None:
    tool = ToolDefinition(name="look", parameters_json_schema={"type": "object"})
    tools = [tool] if isinstance(model, Bedrock) else []
    assert await sent(model, ModelRequestParameters(function_tools=tools)) == CALLS


async def test_an_output_model_reads_the_calls_of_its_run() -> None:
    def look() -> str:
        """Look."""
        return "seen"

    words = Bedrock("worded")
    spec = Agent(id="solo", model=TurnModel(Call("look"), "a draft"), tools=[look], output_model=words)
    output = await LoopHarness(spec).drive()
    assert output.content == "worded"
    parts = [part for message in words.seen[0] for part in message.parts]
    assert not any(isinstance(part, ToolCallPart | ToolReturnPart) for part in parts)
    assert any("seen" in str(part.content) for part in parts if isinstance(part, UserPromptPart))
