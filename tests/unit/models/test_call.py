"""The one way a model is called."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.usage import RequestUsage
from structlog.testing import capture_logs

from musterd.core import clock
from musterd.core.errors import ModelFailed
from musterd.core.records import Usage
from musterd.core.settings import Settings
from musterd.models.call import ModelAnswer, ModelCaller, _usage
from musterd.models.resolve import close, resolve
from musterd.models.scripted import ScriptedModel
from tests.support.loop_clock import LoopClock
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.anyio
Stream = AsyncIterator[Any]


class Heard:
    """Calls a model and keeps what it was told meanwhile."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.caller = ModelCaller(self.settings)
        self.texts: list[tuple[str, str]] = []
        self.retries: list[tuple[int, float, str, bool]] = []

    async def ask(self, model: Model, text: str = "hello", *since: ModelMessage) -> ModelAnswer:
        return await self.caller.stream(
            model,
            [ModelRequest(parts=[UserPromptPart(text)]), *since],
            ModelRequestParameters(),
            None,
            on_text=lambda *delta: self.texts.append(delta),
            on_retry=lambda *retry: self.retries.append(retry),
        )


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting takes no time and is written down."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    monkeypatch.setattr(clock, "jitter", lambda seconds: seconds)
    return waited


def failing(*errors: Exception, first: str = "") -> FunctionModel:
    """A model that raises one error a try, after the text ``first``, then answers "ok"."""
    left = list(errors)

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        if left:
            if first:
                yield first
            raise left.pop(0)
        yield "ok"

    return FunctionModel(stream_function=stream)


def http(status: int, **headers: str) -> ModelHTTPError:
    return ModelHTTPError(status, "m", {"error": {"message": f"no {status}"}}, headers=headers)


async def test_deltas_are_told_as_they_come() -> None:
    observer = Heard()
    answer = await observer.ask(ScriptedModel())
    assert observer.texts == [("Echo: ", ""), ("hello", "")]
    assert answer.response.parts == [TextPart("Echo: hello")]
    assert answer.usage == Usage(input_tokens=10, output_tokens=5)
    assert answer.first_token_seconds is not None
    assert 0 <= answer.first_token_seconds <= answer.seconds


@pytest.mark.parametrize(
    "usage",
    [
        RequestUsage(details={"reasoning_tokens": 7}),
        RequestUsage(details={"thinking_tokens": 7}),
        RequestUsage(details={"thoughts_tokens": 7}),
        RequestUsage(output_reasoning_tokens=7),
    ],
    ids=["OpenAI", "Anthropic", "Gemini", "any"],
)
async def test_the_tokens_of_reasoning_are_counted(usage: RequestUsage) -> None:
    assert _usage(usage).reasoning_tokens == 7
    assert _usage(RequestUsage()).reasoning_tokens == 0


async def test_reasoning_is_told_apart() -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        yield {0: DeltaThinkingPart(content="hm")}
        yield {0: DeltaThinkingPart(content=", ok")}

    observer = Heard()
    await observer.ask(FunctionModel(stream_function=stream))
    assert observer.texts == [("", "hm"), ("", ", ok")]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again(status: int, waits: list[float]) -> None:
    observer = Heard()
    answer = await observer.ask(failing(http(status), http(status)))
    assert answer.response.parts == [TextPart("ok")]
    assert observer.retries == [(1, 0.5, f"no {status}", False), (2, 1.0, f"no {status}", False)]
    assert waits == [0.5, 1.0]
    assert [(retry["wait_seconds"], retry["reason"]) for retry in answer.retries] == [
        (0.5, f"no {status}"),
        (1.0, f"no {status}"),
    ]
    assert answer.tries == 3


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_what_will_not_pass_is_not_tried_again(status: int, waits: list[float]) -> None:
    with pytest.raises(ModelFailed, match=f"^no {status}$") as caught:
        await Heard().ask(failing(http(status)))
    assert not caught.value.retryable
    assert waits == []


@pytest.mark.parametrize("error", [OSError("x"), TimeoutError("x"), ConnectionResetError("x")])
async def test_broken_connections_are_tried_again(error: OSError, waits: list[float]) -> None:
    observer = Heard()
    await observer.ask(failing(error, first="par"))
    assert observer.retries == [(1, 0.5, "The connection to the model's provider failed", True)]


@pytest.mark.parametrize("error", [KeyError("choices"), TypeError("x"), ValueError("x"), AssertionError("x")])
async def test_nonsense_is_not_tried_again(error: Exception, waits: list[float]) -> None:
    with pytest.raises(ModelFailed, match="could not be read"):
        await Heard().ask(failing(error))
    assert waits == []


async def test_tries_end(waits: list[float]) -> None:
    with pytest.raises(ModelFailed, match=r"^no 500$") as caught:
        await Heard(model_tries=2).ask(failing(http(500), http(500)))
    assert caught.value.retryable
    assert len(waits) == 1


async def test_waiting_is_bounded_in_all(waits: list[float]) -> None:
    await Heard(model_tries=8, model_retry_seconds=5).ask(failing(*(http(500) for _ in range(6))))
    assert waits == [0.5, 1.0, 2.0, 1.5, 0.0, 0.0]


async def test_the_provider_says_when(waits: list[float]) -> None:
    await Heard().ask(failing(http(429, **{"retry-after": "3"}), http(503, **{"retry-after": "2"})))
    assert waits == [3.0, 2.0]


async def test_a_wait_that_is_too_long_is_not_begun(waits: list[float]) -> None:
    with pytest.raises(ModelFailed, match=r"^no 429$") as caught:
        await Heard().ask(failing(http(429, **{"retry-after": "60"})))
    assert caught.value.retryable
    assert waits == []


async def test_a_silent_model_is_given_up() -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        await asyncio.Event().wait()
        yield ""

    observer = Heard(model_first_byte_seconds=0.02, model_tries=1)
    with pytest.raises(ModelFailed, match=r"^The model gave no answer for 0\.02 s$"):
        await observer.ask(FunctionModel(stream_function=stream))


async def test_a_stalling_answer_is_given_up() -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        yield "begun"
        await asyncio.Event().wait()

    observer = Heard(model_chunk_seconds=0.02, model_tries=1)
    with pytest.raises(ModelFailed, match=r"^The model's answer stalled for 0\.02 s$"):
        await observer.ask(FunctionModel(stream_function=stream))
    assert observer.texts == [("begun", "")]


async def test_a_steady_answer_may_take_longer_than_the_limit_between_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_clock = LoopClock(monkeypatch)

    async def sleep(seconds: float) -> None:
        loop_clock.put_forward(seconds)
        for _ in range(3):  # timers that are due fire meanwhile
            await clock.yield_to_others()

    monkeypatch.setattr(clock, "sleep", sleep)
    observer = Heard(model_first_byte_seconds=60, model_chunk_seconds=60)
    answer = await observer.ask(ScriptedModel(), "[[WORDS 10 20000]]")
    assert answer.seconds >= 200


async def test_an_answer_without_an_end_is_tried_again(waits: list[float]) -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        yield {}

    with pytest.raises(ModelFailed, match="was cut off") as caught:
        await Heard().ask(FunctionModel(stream_function=stream))
    assert caught.value.retryable
    assert len(waits) == 2


async def test_cancelling_closes_the_stream() -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        try:
            yield "begun"
            begun.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    observer = Heard()
    call = asyncio.create_task(observer.ask(FunctionModel(stream_function=stream)))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert closed.is_set()
    assert observer.texts == [("begun", "")]


async def test_calls_are_bounded_in_all_and_for_a_provider() -> None:
    open_now = peak = 0
    free = asyncio.Event()

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> Stream:
        nonlocal open_now, peak
        open_now += 1
        peak = max(peak, open_now)
        await free.wait()
        open_now -= 1
        yield "ok"

    model = FunctionModel(stream_function=stream)
    for in_all, to_one, bound in ((9, 4, 4), (3, 4, 3)):
        free.clear()
        peak = 0
        observer = Heard(model_calls=in_all, provider_calls=to_one)
        calls = [asyncio.create_task(observer.ask(model)) for _ in range(8)]
        while open_now < bound:
            await asyncio.wait(calls, timeout=0.01)
        free.set()
        await asyncio.gather(*calls)
        assert peak == bound


@pytest.mark.usefixtures("loopback_models")
async def test_a_real_protocol(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        observer = Heard()
        model = resolve("openai-chat:fake", observer.settings)
        assert isinstance(model, OpenAIChatModel)
        answer = await observer.ask(model)
        assert answer.response.parts == [TextPart("Echo: hello")]
        assert answer.usage == Usage(input_tokens=10, output_tokens=5)
        with pytest.raises(ModelFailed, match=r"^fake model error 500$") as caught:
            await observer.ask(model, "[[ERROR 500]]")
        assert caught.value.retryable
        assert server.count("[[ERROR 500]]") == 3
        with pytest.raises(ModelFailed, match=r"rejected this server's credentials \(401\)"):
            await observer.ask(model, "[[ERROR 401]]")
        assert server.count("[[ERROR 401]]") == 1
        await _cancelled(observer, model, server.open_calls)
        await close(observer.settings)
    with pytest.raises(ModelFailed, match=r"^The connection to the model's provider failed$"):
        await observer.ask(resolve("openai-chat:fake", observer.settings))
    await close(observer.settings)


@pytest.mark.usefixtures("loopback_models")
@pytest.mark.parametrize("name", ["openai-chat:fake", "scripted"])
async def test_a_model_is_told_what_was_wrong_with_its_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    feedback = RetryFeedbackPart(content="that was no JSON", retry=RetryInfo(cause="model_retry"))
    since = ModelResponse(parts=[TextPart("{")]), ModelRequest(parts=[feedback])
    observer = Heard()
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        answer = await observer.ask(resolve(name, observer.settings), "give JSON", *since)
    await close(observer.settings)
    (said,) = answer.response.parts
    assert isinstance(said, TextPart)
    assert "that was no JSON" in said.content


async def _cancelled(observer: Heard, model: Model, open_calls: Callable[[], int]) -> None:
    call = asyncio.create_task(observer.ask(model, "[[SLEEP 60000]]"))
    while await asyncio.to_thread(open_calls) == 0:
        assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while await asyncio.to_thread(open_calls):
        pass


async def test_each_failed_try_leaves_a_line_and_its_words_are_for_debugging(waits: list[float]) -> None:
    observer = Heard()
    with capture_logs() as lines, pytest.raises(ModelFailed):
        await observer.ask(failing(http(500), AttributeError("a secret")))
    warnings = [line for line in lines if line["log_level"] != "debug"]
    assert [(line["log_level"], line["event"]) for line in warnings] == [
        ("info", "model call failed and will be retried"),
        ("warning", "model call failed"),
    ]
    assert (warnings[1]["provider"], warnings[1]["error"]) == ("function", "AttributeError")
    assert "test_call.py" in warnings[1]["at"].rsplit(" > ", 1)[-1]
    assert "a secret" not in str(warnings)
