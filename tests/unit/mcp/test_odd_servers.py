"""Servers of tools that say too much, or what cannot be read: a call or a tool fails in words, others go on."""

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import MCPServer, Settings
from musterd.core import clock
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, ToolFailed
from musterd.mcp import Servers, messages, stdio
from musterd.mcp.limits import Limits
from musterd.mcp.messages import INLINE_BYTES, MAX_VALUES, OPEN_REQUESTS, Inbox, UnreadableMessage
from musterd.mcp.sdk import installed
from tests.support.mcp_server import CONNECT_SECONDS
from tests.support.odd_mcp_server import BASIC, EVENTS, FORGETTING, PROGRAM, RESULTS, odd_http_server
from tests.unit.mcp.test_servers import CONTEXT

MAX_BYTES = 1_000_000
Desk = Callable[[str], Awaitable[MCPServer]]


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    opened = Servers(Settings.model_validate({"mcp_message_bytes": MAX_BYTES}))
    yield opened
    await opened.close()


@pytest.fixture(params=["stdio", "json", "events"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Gives a server of the kind that is named."""
    async with contextlib.AsyncExitStack() as stack:

        async def give(kind: str) -> MCPServer:
            if request.param == "stdio":
                return MCPServer(name="desk", command=[*PROGRAM, kind], connect_seconds=CONNECT_SECONDS)
            http = odd_http_server(kind, as_events=request.param == "events")
            return MCPServer(name="desk", url=await stack.enter_async_context(http), connect_seconds=CONNECT_SECONDS)

        yield give


async def odd(servers: Servers, server: MCPServer) -> str:
    return await servers.call(server, "odd", {}, CONTEXT)


async def still_works(servers: Servers, server: MCPServer) -> None:
    assert await servers.call(server, "plain", {}, CONTEXT) == "fine"


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("long text", r"cannot be used: it is longer than 1000000 bytes \(MUSTERD_MCP_MESSAGE_BYTES\)"),
        ("long text, id last", r"cannot be used: it is longer than 1000000 bytes"),
        ("many values", "cannot be used: it contains more than 100000 values"),
        ("no block", "cannot be used: its block 1 is not of a type that the protocol defines"),
        ("result that is a number", "cannot be used: it has neither a result nor an error.$"),
        ("neither result nor error", "cannot be used: it has neither a result nor an error.$"),
        ("error without a code", "cannot be used: it has neither a result nor an error.$"),
        ("no version", "cannot be used: it is not JSON-RPC 2.0.$"),
        ("result without content", "cannot be used: content: Input should be a valid list.$"),
        ("error -32000", "^Connection closed$"),
        ("error -32600", "^Session terminated$"),
        ("error with a cause", "^no$"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_a_failed_call(
    servers: Servers, desk: Desk, kind: str, says: str
) -> None:
    server = await desk(kind)
    together = asyncio.gather(
        odd(servers, server), *[still_works(servers, server) for _ in range(3)], return_exceptions=True
    )
    failed, *others = await together
    assert others == [None] * 3, "it costs that call alone"
    with pytest.raises(ToolFailed, match=says):
        raise failed  # type: ignore[misc]
    assert not isinstance(failed, RetryTool)
    await still_works(servers, server)


async def test_a_result_has_so_many_blocks(desk: Desk) -> None:
    servers = Servers(Settings.model_validate({"mcp_message_bytes": 10 * MAX_BYTES}))
    server = await desk("many blocks")
    with pytest.raises(ToolFailed, match=r"20000 blocks, more than 1000 \(MUSTERD_MCP_BLOCKS\)"):
        await odd(servers, server)
    await still_works(servers, server)
    await servers.close()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("not text", "a?b"),
        ("numbers", '{"a": null, "b": null, "c": 1}'),
    ],
)
async def test_what_is_odd_in_a_result_is_replaced(servers: Servers, desk: Desk, kind: str, text: str) -> None:
    assert await odd(servers, await desk(kind)) == text


async def test_what_is_too_deep_in_a_result_is_replaced(servers: Servers, desk: Desk) -> None:
    text = await odd(servers, await desk("deep result"))
    assert "(nested too deep)" in text
    assert text.count("{") < 200


async def test_a_server_has_so_many_tools(servers: Servers, desk: Desk) -> None:
    for kind in ("many tools", "endless pages"):
        server = await desk(kind)
        words = r"The tools of the MCP server 'desk' cannot be used: .*more than 500 \(MUSTERD_MCP_TOOLS\)"
        with capture_logs() as lines, pytest.raises(RetryTool, match=words):
            await servers.tools(server)
        with capture_logs() as more_lines, pytest.raises(RetryTool, match=words):
            await servers.tools(server)
        assert ([line["event"] for line in lines], more_lines) == (["MCP server has unusable tools"], [])
        await still_works(servers, server)


async def test_tools_that_cannot_be_read_cost_themselves_alone(servers: Servers, desk: Desk) -> None:
    with capture_logs() as lines:
        offered = await servers.tools(await desk("odd tools"))
    assert [tool["name"] for tool in offered.definitions] == ["plain"]
    problem = (
        "number 2 of its list: it has no name; bad: it has no inputSchema; "
        "deep: its definition is nested deeper than 100 levels; half: its definition contains text that is not Unicode"
    )
    assert offered.note == (
        f"Some tools of the MCP server 'desk' cannot be used: {problem}. This run continues without them."
    )
    assert [(line["log_level"], line["server"], line["problem"]) for line in lines] == [("warning", "desk", problem)]


# --- programs -------------------------------------------------------------------------------------


async def test_a_line_without_an_end_costs_its_call_and_the_program_is_started_again(servers: Servers) -> None:
    server = MCPServer(name="desk", command=[*PROGRAM, "endless line"], connect_seconds=CONNECT_SECONDS)
    with pytest.raises(ToolFailed, match="cannot be used: it is longer than 1000000 bytes"):
        await odd(servers, server)
    await still_works(servers, server)


async def test_calls_that_wait_beside_a_line_without_an_end_are_unknown(servers: Servers) -> None:
    server = MCPServer(name="desk", command=[*PROGRAM, "endless line"], connect_seconds=CONNECT_SECONDS)
    await still_works(servers, server)
    both = await asyncio.gather(odd(servers, server), odd(servers, server), return_exceptions=True)
    assert [type(one) for one in both] == [OutcomeUnknown] * 2


async def test_a_long_notification_is_read_over(servers: Servers) -> None:
    assert (
        await odd(servers, MCPServer(command=[*PROGRAM, "long notification"], connect_seconds=CONNECT_SECONDS))
        == "fine"
    )


async def test_programs_that_a_program_has_started_end_with_it(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "EXIT_SECONDS", 0.2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = asyncio.create_task(asyncio.to_thread(pipe.read_bytes))  # until no process has it open for writing
    await still_works(servers, MCPServer(command=[*PROGRAM, f"child {pipe}"], connect_seconds=CONNECT_SECONDS))
    assert not held.done()
    await servers.close()
    assert await asyncio.wait_for(held, 30) == b""


async def test_a_program_is_killed_if_the_wait_for_its_end_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "EXIT_SECONDS", 600)
    pipe, input_ended = tmp_path / "pipe", tmp_path / "input-ended"
    for path in (pipe, input_ended):
        os.mkfifo(path)
    held, is_stopping = [asyncio.create_task(asyncio.to_thread(path.read_bytes)) for path in (pipe, input_ended)]
    server = MCPServer(command=["sh", "-c", f"trap '' TERM; exec 9>{pipe}; cat; : >{input_ended}; sleep 600"])

    async def connect() -> None:
        async with stdio.program_streams(server, Inbox(Limits.of(Settings()), lambda: None), installed()):
            pass

    connection = asyncio.create_task(connect())
    await asyncio.wait_for(is_stopping, 60)
    assert not held.done()
    connection.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection
    assert await asyncio.wait_for(held, 60) == b""


async def test_what_a_program_writes_beside_messages_is_labelled_escaped_and_bounded(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_SECRET", "hush-hush")
    server = MCPServer(
        name="desk", command=[*PROGRAM, "noise"], env={"SECRET": "${OUR_SECRET}"}, connect_seconds=CONNECT_SECONDS
    )
    with capture_logs() as lines:
        assert await odd(servers, server) == "fine"
        await servers.close()
    assert {line["server"] for line in lines} == {"desk"}
    assert {line["event"] for line in lines} == {"MCP server wrote to its standard error"}
    texts = [line["line"] for line in lines]
    assert {"hello \\x1b[2J level=error", "y" * 1000 + "…", "key is …"} <= set(texts)
    assert len(texts) < 70
    assert any(line.get("lines_left_out") for line in lines)


async def test_a_server_that_asks_without_an_end_is_answered_so_often_as_it_listens(servers: Servers) -> None:
    server = MCPServer(command=[*PROGRAM, "many requests"], connect_seconds=CONNECT_SECONDS)
    assert await odd(servers, server) == "fine"
    await still_works(servers, server)


async def test_requests_of_a_server_that_wait_for_an_answer_have_a_limit() -> None:
    inbox = Inbox(Limits.of(Settings()), lambda: None)
    requests = [{"jsonrpc": "2.0", "id": f"r{number}", "method": "roots/list"} for number in range(OPEN_REQUESTS + 1)]
    *taken, left = [await inbox.read(json.dumps(message).encode()) for message in requests]
    assert (taken, left) == (requests[:-1], None)
    inbox.note_sent({"jsonrpc": "2.0", "id": "r3", "result": {}})
    assert await inbox.read(json.dumps(requests[-1]).encode()) == requests[-1]


async def test_a_line_that_is_no_message_is_logged(servers: Servers) -> None:
    with capture_logs() as lines:
        assert (
            await odd(servers, MCPServer(name="desk", command=[*PROGRAM, "junk"], connect_seconds=CONNECT_SECONDS))
            == "fine"
        )
        await servers.close()
    assert [(line["server"], line["line"]) for line in lines] == [("desk", "not a message")]


async def test_a_program_that_writes_without_an_end_is_not_read_without_an_end(servers: Servers) -> None:
    server = MCPServer(name="desk", command=[*PROGRAM, "endless noise"], connect_seconds=CONNECT_SECONDS)
    with capture_logs() as lines:
        for _ in range(20):
            await still_works(servers, server)
        await servers.close()
    assert len(lines) < 100


# --- HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "raised", "says"),
    [
        ("status 404", ToolFailed, "^it answered 404$"),
        ("status 401", ToolFailed, "^it answered 401$"),
        ("status 502", OutcomeUnknown, "the outcome of the call is unknown"),
        ("status 202", ToolFailed, "^it answered 202$"),
        ("no reply", OutcomeUnknown, "the outcome of the call is unknown"),
        ("endless event", ToolFailed, "cannot be used: it is longer than 1000000 bytes"),
    ],
)
async def test_what_an_http_answer_without_a_reply_means(
    servers: Servers, kind: str, raised: type[Exception], says: str
) -> None:
    async with odd_http_server(kind) as url:
        server = MCPServer(name="desk", url=url, connect_seconds=CONNECT_SECONDS)
        with pytest.raises(raised, match=says):
            await odd(servers, server)
        await still_works(servers, server)


# --- work on the event loop ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(EVENTS.keys() - {"no reply", "cut off"}))
async def test_streams_of_events_are_read_however_they_are_written(servers: Servers, kind: str) -> None:
    async with odd_http_server(kind) as url:
        assert await odd(servers, MCPServer(url=url, connect_seconds=CONNECT_SECONDS)) == "fine"


async def test_a_stream_that_is_cut_off_and_cannot_be_taken_up_again_leaves_the_call_unknown(servers: Servers) -> None:
    async with odd_http_server("cut off") as url, asyncio.timeout(30):
        with pytest.raises(OutcomeUnknown):
            await odd(servers, MCPServer(url=url, connect_seconds=CONNECT_SECONDS))


async def test_who_musterd_is_stands_in_the_headers_or_in_the_address(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with odd_http_server("wants a password") as url:
        await still_works(
            servers, MCPServer(url=url, headers={"Authorization": BASIC}, connect_seconds=CONNECT_SECONDS)
        )
        await still_works(servers, MCPServer(url=url.replace("://", "://me:hush@"), connect_seconds=CONNECT_SECONDS))


async def test_the_proxy_of_the_environment_is_used(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    async with odd_http_server("plain") as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/mcp"))
        await still_works(servers, MCPServer(url="http://desk.invalid/mcp"))


@pytest.mark.parametrize("kind", ["many blocks", "some values", "long text"])
async def test_others_have_their_turns_while_a_long_message_is_read(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = f'{{"jsonrpc":"2.0","id":1,"result":{RESULTS[kind]}}}'.encode()
    assert len(raw) > INLINE_BYTES
    inbox = Inbox(Limits.of(Settings()), lambda: None)
    is_released, parse = threading.Event(), messages._read

    def parse_later(raw: bytes, limits: Limits) -> Any:
        assert is_released.wait(60)
        return parse(raw, limits)

    monkeypatch.setattr(messages, "_read", parse_later)
    reading = asyncio.ensure_future(inbox.read(raw))
    await clock.yield_to_others()
    assert not reading.done(), "this task has its turn before it is read"
    is_released.set()
    assert await reading


async def test_a_long_message_that_is_not_json_is_refused_in_linear_time() -> None:
    values, quotes = b"[" * (MAX_VALUES + 1), b'\\"' * 20_000
    inbox = Inbox(Limits.of(Settings()), lambda: None)
    began_at = time.process_time()
    with pytest.raises(UnreadableMessage):
        await inbox.read(b'{"jsonrpc":"2.0","id":1,"result":{"a":"' + quotes + values)
    assert time.process_time() - began_at < 2.5  # it was 8 s, in which no other thread could compute


async def test_a_short_message_is_read_at_once() -> None:
    inbox = Inbox(Limits.of(Settings()), lambda: None)
    messages: list[dict[str, Any]] = [{"jsonrpc": "2.0", "id": 1, "result": {}}, {"jsonrpc": "2.0", "method": "a"}]
    for message in messages:
        assert await inbox.read(json.dumps(message).encode()) == message
    assert await inbox.read(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}') is None


@pytest.mark.parametrize("kind", FORGETTING)
async def test_a_server_that_answers_400_to_a_session_it_forgot_is_called_in_a_new_one(
    servers: Servers, kind: str
) -> None:
    async with odd_http_server(kind) as url:
        server = MCPServer(name="desk", url=url, connect_seconds=CONNECT_SECONDS)
        await still_works(servers, server)
        assert await odd(servers, server) == "fine"
