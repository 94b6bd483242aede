"""The test kit itself: a scanner or a model that errs would let every test that leans on it err unseen."""

import asyncio
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest

from tests.support import scanned
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


BROKEN = {
    "a brace in a comment": ': {\n\ndata: {"event": "A"}\n\n',
    "an end in words": 'data: {"event": "A"}\n\ndata: [DONE]\n\n',
    "no space": 'data:{"event": "A"}\n\n',
    "several lines": 'data: {"event":\ndata: "A"}\n\n',
    "a key that is the frame's": 'data: {"event": "A", "data": {}}\n\n',
    "a brace in the id": 'id: {"r": 1}\ndata: {"event": "A"}\n\n',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("is_left", [False, True])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_client_of_the_tests_refuses_a_stream_that_breaks_real_ones(
    text: str, encoding: str, is_left: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"content-encoding", encoding.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = gzip.compress(text.encode()) if encoding == "gzip" else text.encode()
        await send({"type": "http.response.body", "body": body})

    async with scanned.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as http:
        with pytest.raises((AssertionError, ValueError)):
            await read(http, is_left)


async def read(http: scanned.AsyncClient, is_left: bool) -> None:
    """Read a stream to its end, or leave it after the first chunk."""
    async with http.stream("GET", "/") as answer:
        async for _ in answer.aiter_bytes():
            if is_left:
                break


def test_whole_streams_of_any_kind_pass() -> None:
    scanned.check(': ping\n\nevent: A\nid: 3\ndata: {"event": "A", "content": "{"}\n\nevent: B\ndata: {"event"')
    scanned.check("")


def test_tests_make_their_clients_where_streams_are_scanned() -> None:
    root = Path(__file__).resolve().parent.parent
    own = re.compile(r"\b(?:httpx2?|httpx2?\.\w+)\.(?:Async)?Client\(")
    files = [path for path in root.rglob("*.py") if "node_modules" not in path.parts and own.search(path.read_text())]
    # One asks AgentOS's own gateway, from an environment without these tests; the others have transports of their own.
    with_transports = {
        "test_http_client.py",
        *("test_approvals.py", "test_client.py", "test_errors.py", "test_operations.py", "test_paging.py"),
        "test_retries.py",
    }
    assert {path.name for path in files} == {"agentos_client.py", *with_transports}


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
