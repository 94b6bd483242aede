"""A stream gives the answer that the SDK's gives, however its bytes come."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openai import APIConnectionError, AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

from musterd.core import clock, flush_window
from musterd.core.settings import Settings
from musterd.models import openai_http_stream
from musterd.models.openai_http import build_client, build_model

pytestmark = pytest.mark.usefixtures("loopback_models")

Json = dict[str, Any]
HEAD: Json = {"id": "c1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m-1"}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
QUESTION: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("x")])]


def chunk(delta: Json, finish: str | None = None, **more: Any) -> Json:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def call(index: int, arguments: str, **more: Any) -> Json:
    name = more.pop("name", None)
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return chunk({"tool_calls": [{"index": index, "function": function, **more}]})


LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}
ANSWERS: dict[str, list[Json]] = {
    "text": [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": f"wörd{n} "}) for n in range(20)),
        chunk({}, "stop"),
        {**HEAD, "choices": [], "usage": USAGE},
    ],
    "text and tool calls": [
        chunk({"role": "assistant", "content": None}),
        chunk({"content": "I look. "}),
        call(0, "", id="k0", name="look", type="function"),
        *(call(0, part) for part in ('{"ci', 'ty": ', '"B"}')),
        call(1, '{"n": 1}', id="k1", name="list", type="function"),
        chunk({}, "tool_calls"),
        {**HEAD, "choices": [], "usage": USAGE},
    ],
    "reasoning": [
        *(chunk({"content": None, "reasoning_content": text}) for text in ("let ", "me ", "see")),
        *(chunk({"content": text, "reasoning_content": None}) for text in ("It ", "is ", "7.")),
        chunk({"content": ""}, "stop", usage=USAGE),
    ],
    "thinking tags": [
        *(chunk({"content": text}) for text in ("<think>", "a ", "b", "</think>", "\n\n", "so ", "it is")),
        chunk({}, "stop"),
    ],
    "refusal": [chunk({"refusal": "I "}), chunk({"refusal": "can't."}), chunk({}, "stop")],
    "logprobs": [
        {**HEAD, "choices": [{**chunk({"content": "a"})["choices"][0], "logprobs": LOGPROBS}]},
        {**HEAD, "choices": [{**chunk({"content": "a"})["choices"][0], "logprobs": LOGPROBS}]},
        chunk({}, "length"),
    ],
    "usage with every chunk": [
        chunk({"content": text}, usage={**USAGE, "completion_tokens": n}) for n, text in enumerate("abc")
    ]
    + [chunk({}, "stop")],
    "an odd provider": [
        {**HEAD, "object": "", "model": "", "choices": [], "prompt_filter_results": [{"x": 1}]},
        *(chunk({"content": text}, object=None, service_tier="standard", x_extra=1) for text in "abc"),
        chunk({"content": [{"type": "text", "text": "d"}, {"type": "reference", "n": 1}]}),
        chunk({}, "eos_token"),
    ],
    "an azure filter": [
        {**HEAD, "choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        *(
            {
                **HEAD,
                "choices": [{**chunk({"content": t})["choices"][0], "content_filter_results": {"hate": h}}],
            }
            for t, h in (("a", {}), ("b", {}), ("c", {"filtered": False}))
        ),
        chunk({}, "content_filter"),
    ],
}


class Script:
    """A server that answers the pieces it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.headers: dict[str, str] = {"content-type": "text/event-stream; charset=utf-8"}
        self.go_on = asyncio.Event()
        self.is_over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=self.headers)
        await response.prepare(request)
        try:
            for piece in self.pieces:
                if piece:
                    await response.write(piece)
                else:
                    await self.go_on.wait()
            return response
        finally:
            self.is_over.set()


@pytest.fixture
async def served() -> AsyncIterator[tuple[Script, str]]:
    script = Script()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", script.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield script, str(server.make_url("/v1"))


def events(answer: list[Json], end: str = "\n") -> list[bytes]:
    lines = [f"data: {json.dumps(one)}{end}{end}" for one in answer]
    return [text.encode() for text in [f": ping{end}{end}", *lines, f"data: [DONE]{end}{end}"]]


async def read(model: Model, settings: OpenAIChatModelSettings | None = None) -> ModelResponse:
    async with model.request_stream(QUESTION, settings, ModelRequestParameters()) as stream:
        async for _ in stream:
            pass
        response = stream.get()
    now = response.timestamp
    return replace(response, timestamp=now.fromtimestamp(0, now.tzinfo), provider_url="")


@pytest.mark.parametrize("pieces", ["one read", "by event", "by byte", "by 7 bytes", "gathered"])
@pytest.mark.parametrize("case", ANSWERS)
async def test_the_answer_is_the_one_of_the_sdk(
    served: tuple[Script, str], case: str, pieces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, base_url = served
    if pieces == "gathered":
        tell_later(monkeypatch, 0.01)
    parts = events(ANSWERS[case], "\r\n" if pieces == "by byte" else "\n")
    whole, step = b"".join(parts), {"one read": 10**9, "by byte": 1, "by 7 bytes": 7}.get(pieces)
    script.pieces = [whole[n : n + step] for n in range(0, len(whole), step)] if step else parts
    settings = OpenAIChatModelSettings(openai_continuous_usage_stats=case == "usage with every chunk")
    stock = AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0)
    ours = build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({}))
    async with stock, ours:
        theirs = await read(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=stock)), settings)
        plain = await read(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=ours)), settings)
        own = await read(build_model("m", ours), settings)
    assert own == theirs
    assert plain == theirs
    assert own.usage == theirs.usage
    assert own.provider_details == theirs.provider_details


async def test_text_is_given_out_as_it_comes(served: tuple[Script, str]) -> None:
    script, base_url = served
    first, *rest = events(ANSWERS["text"])[2:]
    script.pieces = [first, b"", *rest]
    texts = []
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        model = build_model("m", client)
        async with model.request_stream(QUESTION, None, ModelRequestParameters()) as stream:
            async for event in stream:
                if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                    texts.append(event.part.content)
                    script.go_on.set()  # not before: the first word came alone
                elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                    texts.append(event.delta.content_delta)
    assert texts[0] == "wörd0 "
    assert "".join(texts) == "".join(f"wörd{n} " for n in range(20))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_answer_is_read(served: tuple[Script, str], encoding: str) -> None:
    script, base_url = served
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    script.pieces = [packer.compress(b"".join(events(ANSWERS["text"]))) + packer.flush()]
    script.headers["content-encoding"] = encoding
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        response = await read(build_model("m", client))
    assert response.text == "".join(f"wörd{n} " for n in range(20))


async def test_the_connection_is_used_again(served: tuple[Script, str]) -> None:
    script, base_url = served
    script.pieces = events(ANSWERS["text"])
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        session = await client._pool.session()
        for _ in range(3):
            await read(build_model("m", client))
        assert session.connector is not None
        assert len(list(session.connector._conns.values())) == 1
        assert [len(connections) for connections in session.connector._conns.values()] == [1]


async def test_an_end_that_does_not_come_is_not_awaited(served: tuple[Script, str]) -> None:
    script, base_url = served
    script.pieces = [*events(ANSWERS["text"]), b""]  # says [DONE] and keeps the answer open
    began = clock.monotonic()
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        assert (await read(build_model("m", client))).finish_reason == "stop"
        assert clock.monotonic() - began < 60, "the end would never come"
        script.go_on.set()


async def test_the_headers_of_a_stream_can_be_read(served: tuple[Script, str]) -> None:
    script, base_url = served
    script.pieces = events(ANSWERS["text"])
    script.headers["x-request-id"] = "r1"
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        async with stream:
            assert stream.response.headers["x-request-id"] == "r1"
            chunks = [chunk async for chunk in stream]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert chunks[-1].usage is not None


def tell_later(monkeypatch: pytest.MonkeyPatch, seconds: float = 1) -> None:
    """Have text told that much later than now, and answers left unread from the first."""
    monkeypatch.setattr(openai_http_stream, "DELAYED_SHARE", 1e9)
    loop = asyncio.get_running_loop()
    flush_window.next_flush_at.set(lambda: loop.time() + seconds)


class Looks:
    """Stands for the time in which an answer is left unread."""

    def __init__(self) -> None:
        self.away = asyncio.Event()
        self.back = asyncio.Event()
        self.count = 0

    async def sleep(self, _: float) -> None:
        self.count += 1
        self.away.set()
        await self.back.wait()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    still_looks = Looks()
    monkeypatch.setattr(clock, "sleep", still_looks.sleep)
    return still_looks


async def test_what_comes_until_text_is_told_is_one_chunk(
    served: tuple[Script, str], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_later(monkeypatch)
    script, base_url = served
    first, *rest = events(ANSWERS["text"])[2:]
    script.pieces = [first, b"", *rest]
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        reading = asyncio.create_task(_all(stream))
        await looks.away.wait()
        script.go_on.set()
        await script.is_over.wait()
        assert not reading.done()
        looks.back.set()
        chunks = await reading
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == "".join(f"wörd{n} " for n in range(20))
    assert len(texts) < 5
    assert chunks[-1].usage is not None


async def test_a_short_answer_is_not_held_up(served: tuple[Script, str], looks: Looks) -> None:
    loop = asyncio.get_running_loop()
    flush_window.next_flush_at.set(lambda: loop.time() + 1)
    script, base_url = served
    script.pieces = events(ANSWERS["text"])
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        assert (await read(build_model("m", client))).finish_reason == "stop"
    assert looks.count == 0


async def test_a_call_cancelled_while_its_answer_is_unread_hangs_up(
    served: tuple[Script, str], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_later(monkeypatch)
    script, base_url = served
    script.pieces = [events(ANSWERS["text"])[2], b""]
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        reading = asyncio.create_task(read(build_model("m", client)))
        await looks.away.wait()
        reading.cancel()
        await script.is_over.wait()  # the server's handler is cancelled once its caller is gone
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_an_answer_that_breaks_off_unread_gives_what_came_and_fails(
    served: tuple[Script, str], looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_later(monkeypatch)
    script, base_url = served
    first, second, *_ = events(ANSWERS["text"])[2:]
    script.pieces = [first, b"", second]
    async with build_client(base_url=base_url, api_key="x", settings=Settings.model_validate({})) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        assert (await anext(stream)).choices[0].delta.content == "wörd0 "
        following = asyncio.create_task(anext(stream))
        await looks.away.wait()
        script.go_on.set()
        await script.is_over.wait()
        looks.back.set()
        assert (await following).choices[0].delta.content == "wörd1 "
        with pytest.raises(APIConnectionError, match="before it was complete"):
            await anext(stream)


async def _all(stream: AsyncStream[ChatCompletionChunk]) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in stream]
