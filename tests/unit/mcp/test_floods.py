"""Servers that send many lines or events at once: other tasks run in between, and an event has so many lines."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from musterd import MCPServer, Settings
from musterd.mcp import http
from musterd.mcp.limits import Limits
from musterd.mcp.messages import Inbox
from musterd.mcp.sdk import installed
from musterd.mcp.stdio import _Pipes
from musterd.mcp.stdio_log import ProgramLog
from tests.support.cpu_time import turns_of_at_most

SDK = installed()
REPLY = b'data: {"jsonrpc": "2.0", "id": 1, "result": {}}\n\n'


def inbox() -> Inbox:
    return Inbox(Limits.of(Settings()), lambda: None)


async def events_of(*chunks: bytes) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    exchange = http._Exchange(SDK.httpx, None, inbox())
    response: Any = SimpleNamespace(stream=stream())
    return [event async for event in exchange._checked_events(response, 1)]


@pytest.mark.parametrize("flood", [b"\n\n" * 32_000, b": wait\n\n" * 16_000], ids=["blank", "comments"])
async def test_other_tasks_run_while_a_server_sends_events_without_a_message(flood: bytes) -> None:
    async with turns_of_at_most(0.06):
        assert await events_of(flood, REPLY) == [REPLY]


async def test_other_tasks_run_while_an_event_of_many_lines_is_read() -> None:
    async with turns_of_at_most(0.06):
        assert await events_of(b"a\n" * (http.EVENT_LINES - 10) + REPLY) == [REPLY]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
async def test_an_event_has_so_many_lines(end: bytes) -> None:
    (answer,) = await events_of((b"a" + end) * http.EVENT_LINES + b"a" + end + end)
    assert b"it has more than 100000 lines" in answer


async def test_the_last_id_of_an_event_counts() -> None:
    lines = b"retry: 1\nid: 1\nretry: 2\nid: 2\nother: 3\nevent: message\n"
    assert await events_of(lines + REPLY) == [b"retry: 2\nid: 2\n" + REPLY]


async def test_other_tasks_run_while_a_program_writes_lines_that_are_no_messages() -> None:
    stdout = asyncio.StreamReader(limit=1 << 20)
    stdout.feed_data(b"x\n" * 32_000)
    stdout.feed_eof()
    process: Any = SimpleNamespace(stdout=stdout)
    pipes = _Pipes(process, inbox(), SDK, ProgramLog(MCPServer(name="desk", command=["desk"])))
    async with turns_of_at_most(0.06):
        await pipes.read()
    pipes.hang_up()
