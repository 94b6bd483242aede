"""The test kit itself: a scanner or a model that errs would let every test that leans on it err unseen."""

import asyncio
import json
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.brace_scanner import scan
from tests.support.model_server import ModelServer


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


async def ask(server: ModelServer, text: str, **options: object) -> tuple[int, str]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **options}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.base_url}/chat/completions", json=body) as answer,
    ):
        return answer.status, await answer.text()


def test_scanner_reads_events_as_browser_clients_do() -> None:
    stream = ': ping\n\nid: 1\nevent: A\ndata: {"event": "A", "content": "\\"}{"}\n\ndata: {"b": {}}\n\n'
    assert scan(stream) == [{"event": "A", "content": '"}{'}, {"b": {}}]


@pytest.mark.parametrize("stream", [': a { in a comment\n\ndata: {"a": 1}\n\n', "data: {oops}\n\n"])
def test_scanner_refuses_what_would_lose_the_stream(stream: str) -> None:
    with pytest.raises(ValueError):
        scan(stream)


async def test_answers_whole(server: ModelServer) -> None:
    status, text = await ask(server, "hello")
    choice = json.loads(text)["choices"][0]
    assert (status, choice["message"]["content"], choice["finish_reason"]) == (200, "Echo: hello", "stop")


async def test_streams_a_chunk_for_each_word(server: ModelServer) -> None:
    status, text = await ask(server, "[[WORDS 50]]", stream=True, stream_options={"include_usage": True})
    *chunks, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    deltas = [choice["delta"] for chunk in chunks for choice in json.loads(chunk)["choices"]]
    said = [delta["content"] for delta in deltas if delta.get("content")]
    assert status == 200
    assert done == "[DONE]"
    assert len(said) == 50
    assert json.loads(chunks[-1])["usage"]["total_tokens"] == 15


async def test_streams_tool_calls_in_pieces(server: ModelServer) -> None:
    _, text = await ask(server, '[[TOOL get_weather {"city": "Rome"}]]', stream=True)
    chunks = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city": "Rome"}'
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_answers_errors(server: ModelServer) -> None:
    assert (await ask(server, "[[ERROR 503]]"))[0] == 503


async def test_counts_calls_and_notices_callers_that_go_away(server: ModelServer) -> None:
    waiting = asyncio.create_task(ask(server, "[[SLEEP 60000]] forever"))
    while not await asyncio.to_thread(server.open_calls):
        pass
    waiting.cancel()
    while await asyncio.to_thread(server.open_calls):
        pass
    assert server.count("[[SLEEP 60000]] forever") == 1
    assert server.calls()[-1][1] == "[[SLEEP 60000]] forever#0"
    server.reset()
    assert server.count() == 0
