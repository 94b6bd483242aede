"""Servers of tools: what they offer and answer, what becomes of a call whose server dies, and the way back."""

import asyncio
import functools
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import MCPServer, ToolContext
from musterd.core import clock, trace_context
from musterd.core.settings import Settings
from musterd.declare.tool_errors import OutcomeUnknown, RetryTool, ToolFailed
from musterd.http_client.httpx_transport import httpx_transport
from musterd.mcp import Servers
from musterd.mcp.connection import Connection
from musterd.mcp.limits import Limits
from musterd.mcp.servers import IDLE_SECONDS
from tests.support.loop_clock import LoopClock
from tests.support.mcp_server import CONNECT_SECONDS, PROGRAM, HttpServer

CONTEXT = ToolContext(
    run_id="r1",
    root_run_id="r1",
    session_id="s1",
    user_id=None,
    agent_id="solo",
    tool_call_id="c1",
    idempotency_key="key1",
    session_state={},
    dependencies={},
    metadata={},
)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    opened = Servers(Settings())
    yield opened
    await opened.close()


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "stdio":
        yield MCPServer(name="desk", command=[*PROGRAM, str(tmp_path)], connect_seconds=CONNECT_SECONDS)
        return
    with HttpServer(tmp_path) as http:
        yield MCPServer(name="desk", url=http.url, connect_seconds=CONNECT_SECONDS)


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def use_sessions(monkeypatch: pytest.MonkeyPatch, mode: str = "legacy") -> None:
    """Speak a version of the protocol in which servers have sessions."""
    from mcp import Client

    monkeypatch.setattr("musterd.mcp.sdk2.Client", functools.partial(Client, mode=mode))


async def test_a_server_offers_its_tools_and_answers(servers: Servers, server: MCPServer, tmp_path: Path) -> None:
    tools = {tool["name"]: tool for tool in (await servers.tools(server)).definitions}
    assert list(tools) == ["add", "send", "fail", "desk_report", "learn"]
    assert tools["add"]["description"] == "Add two numbers."
    assert tools["add"]["parameters"]["required"] == ["a", "b"]
    assert [name for name, tool in tools.items() if tool["retry_safe"]] == ["add"]
    assert await servers.call(server, "add", {"a": 1, "b": 2}, CONTEXT) == "3"
    assert await servers.call(server, "send", {"text": "x"}, CONTEXT) == "sent x"
    assert calls(tmp_path) == ["add", "send x key1"], "the key comes with the call"


async def test_a_call_carries_the_trace_that_it_is_of(servers: Servers, server: MCPServer, tmp_path: Path) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    token = trace_context.outgoing.set(traceparent)
    try:
        await servers.call(server, "send", {"text": "x"}, CONTEXT)
    finally:
        trace_context.outgoing.reset(token)
    assert calls(tmp_path) == ["send x key1", f"trace {traceparent}"]


async def test_a_tool_that_fails_says_why(servers: Servers, server: MCPServer) -> None:
    with pytest.raises(ToolFailed, match="no, "):
        await servers.call(server, "fail", {}, CONTEXT)
    with pytest.raises(ToolFailed, match="nothing"):
        await servers.call(server, "nothing", {}, CONTEXT)


async def test_progress_of_a_server_is_the_calls(servers: Servers, server: MCPServer) -> None:
    progress: list[dict[str, Any]] = []

    class Heard(ToolContext):
        def _report(self, report: dict[str, Any]) -> None:
            progress.append(report)

    context = Heard(**vars(CONTEXT))
    assert await servers.call(server, "desk.report", {}, context) == "reported"
    assert progress == [{"content": "half", "progress": 1.0, "total": 2.0}]


async def test_a_server_that_dies_in_a_call_leaves_it_unknown_and_is_reached_again(
    servers: Servers, tmp_path: Path
) -> None:
    server = MCPServer(command=[*PROGRAM, str(tmp_path)], connect_seconds=CONNECT_SECONDS)
    await servers.tools(server)
    (tmp_path / "die").touch()
    with pytest.raises(OutcomeUnknown, match="the outcome of the call is unknown"):
        await servers.call(server, "send", {"text": "x"}, CONTEXT)
    assert await servers.call(server, "send", {"text": "y"}, CONTEXT) == "sent y"
    assert calls(tmp_path) == ["send x key1", "send y key1"]


async def test_an_http_server_that_dies_in_a_call_leaves_it_unknown_and_is_reached_again(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: at)
    with HttpServer(tmp_path) as http:
        server = MCPServer(url=http.url, connect_seconds=CONNECT_SECONDS)
        await servers.tools(server)
        (tmp_path / "die").touch()
        with pytest.raises(OutcomeUnknown, match="the outcome of the call is unknown"):
            await servers.call(server, "send", {"text": "x"}, CONTEXT)
        http.wait()
        with pytest.raises(RetryTool, match="cannot be reached: the connection failed"):
            await servers.call(server, "send", {"text": "y"}, CONTEXT)
        http.start()
        with pytest.raises(RetryTool, match="cannot be reached"):  # it is left alone for a while
            await servers.call(server, "send", {"text": "y"}, CONTEXT)
        at += 60
        assert await servers.call(server, "send", {"text": "z"}, CONTEXT) == "sent z"
    assert calls(tmp_path) == ["send x key1", "send z key1"]


async def test_an_http_server_that_was_away_between_two_calls_is_not_asked_twice(
    servers: Servers, tmp_path: Path
) -> None:
    with HttpServer(tmp_path) as http:
        server = MCPServer(url=http.url, connect_seconds=CONNECT_SECONDS)
        assert await servers.call(server, "send", {"text": "x"}, CONTEXT) == "sent x"
        http.kill()
        with pytest.raises(RetryTool, match="cannot be reached"):
            await servers.call(server, "send", {"text": "y"}, CONTEXT)
    with HttpServer(tmp_path) as http:
        server = MCPServer(url=http.url, connect_seconds=CONNECT_SECONDS)
        assert await servers.call(server, "send", {"text": "x"}, CONTEXT) == "sent x"
        http.kill()
        http.start()  # it knows nothing of our session any more
        assert await servers.call(server, "send", {"text": "z"}, CONTEXT) == "sent z"
    assert calls(tmp_path) == ["send x key1", "send x key1", "send z key1"]


async def test_an_http_server_that_forgot_the_session_lists_its_tools_again(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sessions(monkeypatch)
    with HttpServer(tmp_path) as http:
        server = MCPServer(url=http.url, connect_seconds=CONNECT_SECONDS)
        before = await servers.tools(server)
        http.kill()
        http.start()
        assert await servers.tools(server) == before
        http.kill()
        http.start()
        listings = await asyncio.gather(*(servers.tools(server) for _ in range(5)))
        assert listings == [before] * 5


async def test_calls_that_an_http_server_forgot_the_session_of_are_all_made_in_a_new_one(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sessions(monkeypatch)
    with HttpServer(tmp_path) as http:
        server = MCPServer(url=http.url, connect_seconds=CONNECT_SECONDS)
        await servers.tools(server)
        http.kill()
        http.start()
        texts = [f"text {number}" for number in range(10)]
        answers = await asyncio.gather(*(servers.call(server, "send", {"text": text}, CONTEXT) for text in texts))
    assert answers == [f"sent {text}" for text in texts]
    assert sorted(calls(tmp_path)) == [f"send {text} key1" for text in texts]


async def test_a_call_that_cannot_be_sent_leaves_the_other_calls_alone(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_held, gate = asyncio.Event(), asyncio.Event()

    def transport(library: Any, open_session: Any) -> Any:
        chosen = httpx_transport(library, open_session)
        send = chosen.handle_async_request

        async def hold_or_refuse(request: Any) -> Any:
            content = await request.aread()
            if b"held" in content:
                is_held.set()
                await gate.wait()
            if b"unsent" in content:
                raise library.ConnectError("no route")
            return await send(request)

        chosen.handle_async_request = hold_or_refuse
        return chosen

    monkeypatch.setattr("musterd.mcp.http.httpx_transport", transport)
    with HttpServer(tmp_path) as http:
        server = MCPServer(url=http.url, connect_seconds=CONNECT_SECONDS)
        held = asyncio.ensure_future(servers.call(server, "send", {"text": "held"}, CONTEXT))
        await is_held.wait()
        with pytest.raises(RetryTool, match="cannot be reached"):
            await servers.call(server, "send", {"text": "unsent"}, CONTEXT)
        gate.set()
        assert await held == "sent held"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_changed_list_is_asked_for_again(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    use_sessions(monkeypatch, mode)
    server = MCPServer(command=[*PROGRAM, str(tmp_path)], connect_seconds=CONNECT_SECONDS)
    before = [tool["name"] for tool in (await servers.tools(server)).definitions]
    await servers.call(server, "learn", {}, CONTEXT)
    after = [tool["name"] for tool in (await servers.tools(server)).definitions]
    assert set(after) - set(before) == {"novel"}


async def test_what_is_secret_is_in_no_words(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "hush-hush")
    server = MCPServer(
        command=[*PROGRAM, str(tmp_path)], env={"SECRET": "${OUR_SECRET}"}, connect_seconds=CONNECT_SECONDS
    )
    assert "hush" not in repr(server)
    with pytest.raises(ToolFailed) as caught:
        await servers.call(server, "fail", {}, CONTEXT)
    assert "no, …" in caught.value.message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"command": "no-such-program-anywhere --port 1"}, "No such file or directory"),
        ({"command": [sys.executable, "-c", "print('nonsense')"]}, "MCP server 'desk' cannot be reached"),
        ({"url": "http://127.0.0.1:1/mcp"}, "the connection failed"),
    ],
)
async def test_a_server_that_is_not_there_says_so(servers: Servers, options: dict[str, Any], says: str) -> None:
    server = MCPServer(name="desk", **options)
    with pytest.raises(RetryTool, match=r"The MCP server 'desk' cannot be reached: ") as caught:
        await servers.tools(server)
    assert says in caught.value.message
    with pytest.raises(RetryTool, match="cannot be reached"):
        await servers.tools(server)


async def test_a_server_that_wants_a_key_says_its_status(servers: Servers, tmp_path: Path) -> None:
    with HttpServer(tmp_path) as http:
        server = MCPServer(name="desk", url=http.url.replace("/mcp", "/elsewhere"), connect_seconds=CONNECT_SECONDS)
        with pytest.raises(RetryTool, match="cannot be reached: it answered 404"):
            await servers.tools(server)


async def test_many_calls_go_over_one_connection(servers: Servers, tmp_path: Path) -> None:
    server = MCPServer(command=[*PROGRAM, str(tmp_path)], connect_seconds=CONNECT_SECONDS)
    results = await asyncio.gather(*(servers.call(server, "add", {"a": n, "b": 1}, CONTEXT) for n in range(20)))
    assert results == [str(n + 1) for n in range(20)]
    assert (tmp_path / "started").read_text() == "."


async def test_a_caller_that_goes_leaves_the_connection_to_others(servers: Servers, tmp_path: Path) -> None:
    server = MCPServer(command=[*PROGRAM, str(tmp_path)], connect_seconds=CONNECT_SECONDS)
    first = asyncio.create_task(servers.tools(server))
    second = asyncio.create_task(servers.tools(server))
    await asyncio.wait([first, second], timeout=0)  # both wait for the program to start
    first.cancel()
    assert [tool["name"] for tool in (await second).definitions][:1] == ["add"]
    assert first.cancelled()
    assert (tmp_path / "started").read_text() == "."


async def test_a_server_that_does_not_answer_is_given_up(servers: Servers) -> None:
    server = MCPServer(command=[sys.executable, "-c", "import sys; sys.stdin.read()"], connect_seconds=0.2)
    with pytest.raises(RetryTool, match=r"no answer within 0\.2 s"):
        await servers.tools(server)


async def test_a_connection_without_calls_is_closed_and_opened_again(
    servers: Servers, server: MCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_clock = LoopClock(monkeypatch)
    assert await servers.call(server, "add", {"a": 1, "b": 2}, CONTEXT) == "3"
    (first,) = open_tasks(server)
    loop_clock.put_forward(IDLE_SECONDS / 2)
    await servers.tools(server)
    loop_clock.put_forward(IDLE_SECONDS / 2 + 1)
    await servers.tools(server)
    assert open_tasks(server) == [first], "a call begins the time anew"
    loop_clock.put_forward(IDLE_SECONDS + 1)
    await asyncio.wait([first])
    assert not servers._connections, "nothing remembers the declaration with its secrets"
    assert await servers.call(server, "add", {"a": 1, "b": 2}, CONTEXT) == "3"


async def test_the_connection_of_a_served_component_stays_open(
    servers: Servers, server: MCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_clock = LoopClock(monkeypatch)
    servers.keep_open(server)
    await servers.tools(server)
    (task,) = open_tasks(server)
    loop_clock.put_forward(IDLE_SECONDS + 1)
    await clock.yield_to_others()
    await servers.tools(server)
    assert open_tasks(server) == [task]


async def test_a_connection_is_not_closed_during_a_call(
    servers: Servers, server: MCPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loop_clock = LoopClock(monkeypatch)
    await servers.tools(server)
    held, let_go = asyncio.Event(), asyncio.Event()
    call = Connection.call

    async def hold(self: Connection, *arguments: Any) -> str:
        held.set()
        await let_go.wait()
        return await call(self, *arguments)

    monkeypatch.setattr(Connection, "call", hold)
    calling = asyncio.create_task(servers.call(server, "add", {"a": 1, "b": 2}, CONTEXT))
    await held.wait()
    await servers.tools(server)  # ends while the call goes on
    loop_clock.put_forward(IDLE_SECONDS + 1)
    await clock.yield_to_others()
    await clock.yield_to_others()
    (task,) = open_tasks(server)
    let_go.set()
    assert await calling == "3"
    assert open_tasks(server) == [task]


async def test_of_too_many_connections_without_calls_the_oldest_is_closed(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.mcp.servers.IDLE_CONNECTIONS", 1)
    one, other = (
        MCPServer(name=name, command=[*PROGRAM, str(tmp_path)], connect_seconds=CONNECT_SECONDS)
        for name in ("one", "other")
    )
    await servers.tools(one)
    (task,) = open_tasks(one)
    await servers.tools(other)
    await asyncio.wait([task])
    assert len(open_tasks(other)) == 1


def open_tasks(server: MCPServer) -> list[asyncio.Task[Any]]:
    """The tasks that own connections to a server."""
    return [task for task in asyncio.all_tasks() if task.get_name() == f"mcp {server.known_as}"]


async def test_waits_get_longer_and_an_answer_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    at = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: at)
    connection = Connection(MCPServer(command="no-such-program-anywhere"), Limits.of(Settings()))
    waits = []
    for _ in range(8):
        with pytest.raises(RetryTool):
            await connection.tools()
        waits.append(connection._retry_at - at)
        at = connection._retry_at
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    connection._failure_count = 1100  # days later
    with pytest.raises(RetryTool):
        await connection.tools()
    assert connection._retry_at - at == 30


def test_a_server_without_mcp_servers_does_not_import_the_sdk() -> None:
    probe = "import sys, musterd.app; print('mcp' in sys.modules, 'musterd.mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
