"""What one answer of a model may hold, whichever way it comes."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai._parts_manager import ModelResponsePartsManager
from pydantic_ai.messages import (
    CompactionPart,
    ModelMessage,
    ModelRequest,
    NativeToolReturnPart,
    PartStartEvent,
    SpeechPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from musterd.core import clock
from musterd.core.errors import ModelFailed
from musterd.core.settings import Settings
from musterd.models.answer_limits import AnswerMeter, ReceivedMeter
from musterd.models.call import ModelAnswer, ModelCaller
from musterd.models.openai_http import build_model
from musterd.models.resolve import close, resolve
from tests.support.cpu_time import turns_of_at_most
from tests.support.endless_server import endless
from tests.unit.models.test_openai_http_failures import OK, SSE, Wire, response, wire

pytestmark = pytest.mark.usefixtures("loopback_models")


async def ask(model: Model, **settings: Any) -> ModelAnswer:
    return await ModelCaller(Settings(**settings)).stream(
        model,
        [ModelRequest(parts=[UserPromptPart("hello")])],
        ModelRequestParameters(),
        None,
        on_text=lambda text, reasoning: None,
        on_retry=lambda *retry: pytest.fail("it is not retried"),
    )


def says(*pieces: Any) -> FunctionModel:
    """A model that answers in these pieces."""

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Any]:
        for piece in pieces:
            yield piece

    return FunctionModel(stream_function=stream)


def calls(count: int, arguments: str = "{}") -> list[dict[int, DeltaToolCall]]:
    return [{place: DeltaToolCall(name="add", json_args=arguments, tool_call_id=f"c{place}")} for place in range(count)]


@pytest.mark.parametrize(
    "pieces, settings, code",
    [
        (["ü" * 6, "ü" * 5], {"model_answer_bytes": 21}, "answer_too_large"),
        ([{0: DeltaThinkingPart(content="x" * 22)}], {"model_answer_bytes": 21}, "answer_too_large"),
        (calls(2, '{"a": "12"}'), {"model_answer_bytes": 21}, "answer_too_large"),
        (calls(4), {"turn_tool_calls": 3}, "turn_tool_calls"),
    ],
    ids=["text", "reasoning", "arguments", "calls"],
)
async def test_an_answer_beyond_a_limit_ends_in_words(pieces: list[Any], settings: dict[str, Any], code: str) -> None:
    with pytest.raises(ModelFailed) as failed:
        await ask(says(*pieces), **settings)
    assert (failed.value.code, failed.value.retryable) == (code, False)
    assert str(next(iter(settings.values()))) in failed.value.message


@pytest.mark.parametrize(
    "part",
    [
        ThinkingPart(content="", signature="x" * 22),
        ThinkingPart(content="", provider_details={"encrypted": "x" * 22}),
        CompactionPart(content="x" * 22),
        NativeToolReturnPart(tool_name="web_search", content={"page": b"\xff" * 22}, tool_call_id="c"),
        SpeechPart(speaker="assistant", transcript="x" * 22),
    ],
    ids=lambda part: part.part_kind,
)
def test_what_a_provider_sends_whole_counts(part: Any) -> None:
    meter = AnswerMeter(Settings(model_answer_bytes=21))
    with pytest.raises(ModelFailed, match="larger than 21 bytes"):
        meter.add(PartStartEvent(index=0, part=part))


async def test_a_name_of_a_tool_has_so_many_characters() -> None:
    def named(pieces: int) -> list[dict[int, DeltaToolCall]]:
        begin = [{n: DeltaToolCall(name="add", json_args="", tool_call_id=f"c{n}")} for n in range(2)]
        return [*begin, *[{n: DeltaToolCall(name="x" * 10)} for _ in range(pieces) for n in range(2)]]

    answer = await ask(says(*named(100)))
    assert [len(call.tool_name) for call in answer.response.tool_calls] == [1003, 1003]
    with pytest.raises(ModelFailed, match="a name of more than 1000 characters") as failed:
        await ask(says(*named(101)))
    assert failed.value.code == "answer_too_large"


async def test_an_answer_at_its_limits_is_whole() -> None:
    answer = await ask(says("x" * 10, *calls(3)), model_answer_bytes=10 + 3 * len("addc0{}"), turn_tool_calls=3)
    assert len(answer.response.tool_calls) == 3


async def test_an_endless_answer_ends_at_its_limit() -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        while True:
            yield "x"

    with pytest.raises(ModelFailed, match="larger than 5000 bytes"):
        await ask(FunctionModel(stream_function=stream), model_answer_bytes=5000)


async def test_other_tasks_run_while_an_answer_comes_at_once() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await clock.yield_to_others()

    counting = asyncio.create_task(count())
    await clock.yield_to_others()
    before = turns
    await ask(says(*["x"] * 20_000))
    counting.cancel()
    assert turns - before > 2, "the model gave all pieces without a pause"


# OpenAI's chat completions


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"


def called(*places: int) -> bytes:
    function = {"name": "add", "arguments": "{}"}
    return chunk(
        {"tool_calls": [{"index": n, "id": f"c{n}", "type": "function", "function": function} for n in places]}
    )


END = chunk({}, "tool_calls") + b"data: [DONE]\n\n"


async def ask_wire(answer: bytes, **settings: Any) -> ModelAnswer:
    async with wire(answer, **settings) as (_, client):
        return await ask(build_model("m", client), **settings)


@pytest.mark.parametrize(
    "answer, settings, words",
    [
        (called(*range(5)) + END, {"turn_tool_calls": 4}, "more than 4 tool calls"),
        (b"".join(called(n) for n in range(5)) + END, {"turn_tool_calls": 4}, "more than 4 tool calls"),
        (b": wait\n\n" * 200_000, {"model_received_bytes": 100_000}, "sent more than 100000 bytes"),
        (b"data: " + b"x" * 200_000, {"model_answer_bytes": 1000}, "an event that is larger"),
        (b"data: x\n" * 20_000, {"model_answer_bytes": 1000}, "an event that is larger"),
        (
            b'data: {"usage":{"prompt_tokens_details":[' + b"{}," * 3000 + b"{}]}}\n\n",
            {},
            "not a chunk and has more than 2000",
        ),
    ],
    ids=[
        "calls in one event",
        "calls in events",
        "comments",
        "a line without an end",
        "an event without an end",
        "an event of many values",
    ],
)
async def test_what_a_provider_sends_is_limited(answer: bytes, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFailed, match=words):
        await ask_wire(SSE + b"\r\n" + answer, **settings)


async def test_other_tasks_run_while_chunks_come_of_which_no_events_are_made() -> None:
    last = chunk({"content": "a"}, "stop") + b"data: [DONE]\n\n"
    await ask_wire(SSE + b"\r\n" + last)  # imports what it uses
    async with turns_of_at_most(0.1):  # it was 0.5 s
        await ask_wire(SSE + b"\r\n" + b"data: {}\n\n" * 6_000 + last)


async def test_a_compressed_answer_is_counted_as_it_unfolds() -> None:
    packed = gzip.compress(b": x\n\n" * 2_000_000)
    head = SSE + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with pytest.raises(ModelFailed, match="sent more than 1000000 bytes"):
        await ask_wire(head + packed, model_received_bytes=1_000_000)


async def test_an_answer_that_is_no_stream_is_limited() -> None:
    body = b'{"choices": "' + b"x" * 200_000 + b'"}'
    head = OK + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    with pytest.raises(ModelFailed, match="sent more than") as failed:
        await ask_wire(head + body, model_answer_bytes=1000)
    assert failed.value.code == "answer_too_large"


async def test_the_work_on_many_calls_does_not_grow_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = 0
    get_parts = ModelResponsePartsManager.get_parts

    def counted(manager: ModelResponsePartsManager) -> Any:
        nonlocal copies
        copies += 1
        return get_parts(manager)

    monkeypatch.setattr(ModelResponsePartsManager, "get_parts", counted)
    answer = await ask_wire(SSE + b"\r\n" + called(*range(300)) + END, turn_tool_calls=300)
    assert [part.tool_call_id for part in answer.response.parts if isinstance(part, ToolCallPart)] == [
        f"c{n}" for n in range(300)
    ]
    assert copies <= 2, "all parts are made once, not once for each part"


# Providers' SDKs

SDK_MODELS = {"openai:m": "OPENAI_BASE_URL", "ollama:m": "OLLAMA_BASE_URL"}


async def ask_sdk(name: str, url: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> ModelAnswer:
    """Ask the provider at ``url`` through its SDK."""
    monkeypatch.setenv(SDK_MODELS[name], url)
    chosen = Settings(**settings)
    try:
        return await ask(resolve(name, chosen), **settings)
    finally:
        await close(chosen)


@asynccontextmanager
async def provider(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that answers with these bytes."""
    server = await asyncio.start_server(Wire(answer).serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()


@pytest.mark.parametrize("name", SDK_MODELS)
@pytest.mark.parametrize(
    "status, kind, body, words",
    [
        (200, b"text/event-stream", b": x\n\n" * 400_000, "sent more than 1000000 bytes"),
        (200, b"text/event-stream", b"data: " + b"x" * 900_000, "an event that is larger"),
        (200, b"application/json", b'{"x": "' + b"x" * 900_000, "a value that is larger"),
        (500, b"application/json", b'{"error": "' + b"x" * 900_000, "a value that is larger"),
    ],
    ids=["comments", "an event without an end", "no stream", "an error"],
)
async def test_a_compressed_answer_is_counted_before_an_sdk_parses_it(
    name: str, status: int, kind: bytes, body: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"model_received_bytes": 1_000_000, "model_answer_bytes": 1000, "media_bytes": 1000}
    headers = (b"content-type: %b" % kind, b"content-encoding: gzip")
    async with provider(response(status, gzip.compress(body), *headers)) as url:
        with pytest.raises(ModelFailed, match=words) as failed:
            await ask_sdk(name, url, monkeypatch, **limits)
    assert (failed.value.code, failed.value.retryable) == ("answer_too_large", False)


@pytest.mark.parametrize("name", SDK_MODELS)
@pytest.mark.parametrize("kind", ["interim responses", "one chunk extension"])
async def test_a_provider_without_an_end_is_hung_up_on_by_every_sdk(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with endless(kind) as (url, is_left):
        with pytest.raises(ModelFailed, match="connection to the model's provider failed"):
            await ask_sdk(name, url, monkeypatch, model_tries=1)
        await is_left.wait()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_the_events_of_a_stream_are_measured_one_by_one(end: bytes) -> None:
    meter = ReceivedMeter(Settings(model_answer_bytes=1, media_bytes=1), is_stream=True)
    for _ in range(40_000):
        for piece in (b"data: x", end, end):
            meter.add(piece)
    with pytest.raises(ModelFailed, match="an event that is larger"):
        meter.add(b"x" * 100_000)
