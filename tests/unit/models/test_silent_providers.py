"""A provider is silent if it sends nothing, and not if its model has no answer yet."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest, TextPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from musterd.core import clock
from musterd.core.errors import ModelFailed
from musterd.core.settings import Settings
from musterd.models.call import ModelAnswer, ModelCaller
from musterd.models.openai_http import OpenAIClient, build_client, build_model
from tests.support.loop_clock import LoopClock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("loopback_models")]

SETTINGS = Settings(model_first_byte_seconds=60, model_chunk_seconds=60, model_tries=1)
COMMENT = b": PROCESSING\n\n"
PAUSE_SECONDS = 50.0


def _event(data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (str(data.get("type", "")).encode(), json.dumps(data).encode())


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"id": "c", "created": 1, "model": "m", "choices": [choice]}).encode()


RESPONSE = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "tools": []}
PLACE = {"item_id": "i", "output_index": 0, "content_index": 0}
CHAT_ANSWER = _chunk({"content": "ok"}, "stop") + b"data: [DONE]\n\n"
RESPONSES_ANSWER = (
    _event({"type": "response.created", "sequence_number": 0, "response": RESPONSE})
    + _event({"type": "response.output_text.delta", "sequence_number": 1, "delta": "ok", "logprobs": [], **PLACE})
    + _event({"type": "response.completed", "sequence_number": 2, "response": {**RESPONSE, "status": "completed"}})
)


def _chat(client: OpenAIClient) -> Model:
    return build_model("m", client)


def _responses(client: OpenAIClient) -> Model:
    return OpenAIResponsesModel("m", provider=OpenAIProvider(openai_client=client))


async def _let_all_run() -> None:
    """What was written is read, and timers that are due fire."""
    for _ in range(30):
        await clock.yield_to_others()


@contextlib.asynccontextmanager
async def slow_provider(sent_meanwhile: bytes, answer: bytes, loop_clock: LoopClock) -> AsyncIterator[OpenAIClient]:
    """A provider that sends ``sent_meanwhile`` every 50 s, and after 150 s the answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            await _let_all_run()
            for _ in range(3):
                loop_clock.put_forward(PAUSE_SECONDS)
                writer.write(sent_meanwhile)
                await _let_all_run()
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with build_client(base_url=address, api_key="x", settings=SETTINGS) as client:
        yield client
    server.close()


async def ask(model: Model, model_settings: ModelSettings | None = None) -> ModelAnswer:
    return await ModelCaller(SETTINGS).stream(
        model,
        [ModelRequest(parts=[UserPromptPart("x")])],
        ModelRequestParameters(),
        model_settings,
        on_text=lambda *_: None,
        on_retry=lambda *_: None,
    )


@pytest.mark.parametrize(
    ("answer", "make_model"), [(CHAT_ANSWER, _chat), (RESPONSES_ANSWER, _responses)], ids=["own client", "an SDK's"]
)
async def test_comments_while_the_model_reasons_are_no_silence(
    answer: bytes, make_model: Callable[[OpenAIClient], Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slow_provider(COMMENT, answer, LoopClock(monkeypatch)) as client:
        answered = await ask(make_model(client))
    assert [part.content for part in answered.response.parts if isinstance(part, TextPart)] == ["ok"]


async def test_a_provider_that_sends_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow_provider(b"", CHAT_ANSWER, LoopClock(monkeypatch)) as client:
        with pytest.raises(ModelFailed, match=r"^The model gave no answer for 60 s$"):
            await ask(_chat(client))


async def test_a_longer_timeout_of_the_model_comes_before_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow_provider(b"", CHAT_ANSWER, LoopClock(monkeypatch)) as client:
        answered = await ask(_chat(client), ModelSettings(timeout=600))
    assert answered.response.parts == [TextPart("ok")]
