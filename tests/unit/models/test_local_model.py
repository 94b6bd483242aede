"""The embedded model behind pydantic-ai's model layer."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from musterd.core import clock
from musterd.core.metrics import Metrics
from musterd.core.records import Usage
from musterd.core.settings import Settings
from musterd.models.call import ModelCaller
from musterd.models.call_progress import CallProgress
from musterd.models.local.model import LocalModel
from musterd.models.local.runtime import Runtime

pytestmark = pytest.mark.anyio
SETTINGS = Settings()


class FakeRuntime:
    """Says the same to everything."""

    is_loaded = True

    def __init__(self, *pieces: str, progress: Sequence[Mapping[str, int]] = ()) -> None:
        self.pieces = pieces
        self.progress = progress
        self.bodies: list[Mapping[str, Any]] = []
        self.closed = 0

    async def stream(self, key: str, body: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any]]:
        self.bodies.append(body)
        try:
            for progress in self.progress:
                yield {"choices": [{"delta": {"role": "assistant", "content": None}}], "prompt_progress": progress}
            for piece in self.pieces:
                yield {"choices": [{"delta": {"content": piece}}]}
            yield {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
        finally:
            self.closed += 1


def model(runtime: FakeRuntime) -> LocalModel:
    return LocalModel(SETTINGS, cast(Runtime, runtime))


MESSAGES: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("hi")])]


async def test_it_streams_text() -> None:
    texts: list[str] = []
    answer = await ModelCaller(SETTINGS).stream(
        model(FakeRuntime("a ", "b")),
        MESSAGES,
        ModelRequestParameters(),
        None,
        on_text=lambda text, _: texts.append(text),
        on_retry=lambda *_: None,
    )
    assert texts == ["a ", "b"]
    assert answer.response.parts == [TextPart("a b")]
    assert (answer.response.model_name, answer.response.finish_reason) == ("local", "stop")
    assert answer.usage == Usage(input_tokens=9, output_tokens=2)


def read(*tokens: int) -> list[Mapping[str, int]]:
    return [{"total": 200, "cache": 0, "processed": count, "time_ms": 1} for count in tokens]


@pytest.mark.parametrize(
    ("report_seconds", "read_tokens", "reported"),
    [
        pytest.param(60.0, [0, 64, 128, 200], [0, 200], id="one batch takes less than a second"),
        pytest.param(0.0, [0, 64, 128, 200], [0, 64, 128, 200], id="slow batches"),
        pytest.param(0.0, [190, 200], [], id="nearly all was read for an earlier call"),
    ],
)
async def test_it_says_how_much_of_a_long_prompt_it_has_read(
    monkeypatch: pytest.MonkeyPatch, report_seconds: float, read_tokens: list[int], reported: list[int]
) -> None:
    monkeypatch.setattr("musterd.models.local.turn.REPORT_SECONDS", report_seconds)
    stages: list[CallProgress] = []
    texts: list[str] = []
    await ModelCaller(SETTINGS).stream(
        model(FakeRuntime("a", progress=read(*read_tokens))),
        MESSAGES,
        ModelRequestParameters(),
        None,
        on_text=lambda text, _: texts.append(text),
        on_retry=lambda *_: None,
        on_progress=stages.append,
    )
    assert texts == ["a"]
    assert stages == [CallProgress("reading", count, 200) for count in reported]


async def test_an_answer_for_which_the_model_is_not_needed_is_no_call() -> None:
    tool = ToolDefinition(name="t", parameters_json_schema={"type": "object", "properties": {}})
    metrics = Metrics()
    answers = [
        await ModelCaller(SETTINGS, metrics).stream(
            model(FakeRuntime("a")),
            MESSAGES,
            ModelRequestParameters(function_tools=tools),
            None,
            on_text=lambda *_: None,
            on_retry=lambda *_: None,
        )
        for tools in ([tool], [])
    ]
    assert [answer.tries for answer in answers] == [0, 1]
    assert metrics.model_calls.values == {("local", "local", "answered"): 1}


async def test_it_calls_tools() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    parameters = ModelRequestParameters(function_tools=[ToolDefinition(name="t", parameters_json_schema=schema)])
    response = await model(FakeRuntime('[{"x":', "1}]")).request(MESSAGES, None, parameters)
    (call,) = response.parts
    assert isinstance(call, ToolCallPart)
    assert (call.tool_name, call.args_as_dict()) == ("t", {"x": 1})
    assert response.finish_reason == "tool_call"


async def test_it_takes_the_form_of_an_answer() -> None:
    runtime = FakeRuntime("{}")
    form = OutputObjectDefinition(json_schema={"type": "object", "title": "Form"})
    parameters = ModelRequestParameters(output_mode="native", output_object=form)
    await model(runtime).request(MESSAGES, None, parameters)
    assert runtime.bodies[0]["response_format"]["json_schema"]["schema"]["title"] == "Form"


async def test_leaving_early_ends_the_generation() -> None:
    runtime = FakeRuntime("a", "b", "c")
    async with model(runtime).request_stream(MESSAGES, None, ModelRequestParameters()) as stream:
        async for _ in stream:
            break
        assert runtime.closed == 0
    assert runtime.closed == 1
    assert stream.get().state == "incomplete"


async def test_it_may_take_its_time() -> None:
    class Slow(FakeRuntime):
        async def stream(self, key: str, body: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any]]:
            await clock.sleep(0.05)
            yield {"choices": [{"delta": {"content": "late"}}]}

    impatient = Settings(model_first_byte_seconds=0.01, model_chunk_seconds=0.01)
    answer = await ModelCaller(impatient).stream(
        model(Slow()), MESSAGES, ModelRequestParameters(), None, on_text=lambda *_: None, on_retry=lambda *_: None
    )
    assert answer.response.parts == [TextPart("late")]
