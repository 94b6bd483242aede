"""An MCP server that sends unusual and invalid JSON-RPC messages, over pipes or over HTTP.

    server = MCPServer(command=[*PROGRAM, "long text"])
    async with odd_http_server("long text") as url:
        server = MCPServer(url=url)

It has the tools ``odd``, whose response depends on the kind, and ``plain``, which returns ``fine``.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

PROGRAM = [sys.executable, "-P", __file__]
BASIC = "Basic bWU6aHVzaA=="
"""The ``Authorization`` of the user ``me`` with the password ``hush``."""
PLAIN = {"content": [{"type": "text", "text": "fine"}]}


def tool(name: str, **more: Any) -> dict[str, Any]:
    """A tool's definition."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def deep(levels: int) -> str:
    """An object with so many levels, as text."""
    return '{"a":' * levels + "1" + "}" * levels


DEEP_TOOL = f'{{"name":"deep","inputSchema":{{"type":"object","properties":{deep(5000)}}}}}'
LISTS = {
    "many tools": json.dumps([tool(f"t{number}") for number in range(3000)]),
    "odd tools": f'[{json.dumps(tool("plain"))},5,{{"name":"bad"}},{DEEP_TOOL},'
    '{"name":"half","description":"\\ud800","inputSchema":{"type":"object"}}]',
}
RESULTS = {
    "long text": json.dumps({"content": [{"type": "text", "text": "x" * 3_000_000}]}),
    "many blocks": json.dumps({"content": [{"type": "text", "text": ""}] * 20_000}),
    "many values": '{"content":[],"structuredContent":{"a":[' + "{}," * 300_000 + "{}]}}",
    "some values": '{"content":[],"structuredContent":{"a":[' + "{}," * 40_000 + "{}]}}",
    "deep result": f'{{"content":[],"structuredContent":{deep(5000)}}}',
    "numbers": '{"content":[],"structuredContent":{"a":NaN,"b":1e999,"c":1}}',
    "not text": '{"content":[{"type":"text","text":"a\\ud800b"}]}',
    "no block": '{"content":[{"type":"text"}]}',
}
ERRORS = {
    "error -32000": {"code": -32000, "message": "Connection closed"},
    "error -32600": {"code": -32600, "message": "Session terminated"},
    "error with a cause": {"code": 5, "message": "no", "data": {"io.musterd/cause": "not_sent"}},
}
FORGETTING = {
    "application/json": '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: not initialized"},"id":null}',
    "text/plain": "Invalid or missing Session ID",
}
"""How a server says, with status 400 and a body of this type, that it does not know the first session any more."""
MALFORMED = {
    "result that is a number": '"result":5',
    "neither result nor error": '"extra":1',
    "error without a code": '"error":{"message":"no"}',
    "result without content": '"result":{"content":"text"}',
}
CUT_OFF = "retry: 1\nid: 1\ndata:\n\n"
EVENTS = {
    "events of other names": "event: ping\ndata: now\n\nevent: ping\ndata: {}\n\nevent: message\ndata: REPLY\n\n",
    "mixed line ends": "event: message\ndata: REPLY\n\r\n",
    "lines that end with CR": "event: message\rdata: REPLY\r\r",
    "comments": ": wait\n\n: wait\n\ndata: REPLY\n\n",
    "cut off": CUT_OFF,
    "cut off, then goes on": CUT_OFF,
    "no reply": ": nothing\n\n",
}


def reply(kind: str, message: dict[str, Any]) -> str:
    """What is replied to a request, as JSON."""
    method, name = message["method"], message.get("params", {}).get("name")
    begin = f'{{"jsonrpc":"2.0","id":{json.dumps(message["id"])},'
    if method == "initialize":
        result = json.dumps(
            {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "odd", "version": "1"},
            }
        )
    elif method == "tools/list":
        result = f'{{"tools":{LISTS.get(kind) or json.dumps([tool("odd"), tool("plain")])}}}'
        if kind == "endless pages":
            result = f'{{"nextCursor":"x","tools":{json.dumps([tool("odd")] * 200)}}}'
    elif method == "tools/call" and name == "odd":
        if kind in ERRORS:
            return f'{begin}"error":{json.dumps(ERRORS[kind])}}}'
        if kind in MALFORMED:
            return f"{begin}{MALFORMED[kind]}}}"
        if kind == "no version":
            return f'{{"id":{message["id"]},"result":{json.dumps(PLAIN)}}}'
        result = RESULTS.get(kind, json.dumps(PLAIN))
        if kind.endswith("id last"):
            return f'{{"result":{RESULTS["long text"]},"jsonrpc":"2.0","id":{message["id"]}}}'
    elif method == "tools/call":
        result = json.dumps(PLAIN)
    else:
        return f'{begin}"error":{{"code":-32601,"message":"no such method"}}}}'
    return f'{begin}"result":{result}}}'


def start_child(pipe: str) -> None:
    """Start a program that ignores SIGTERM and holds this named pipe open."""
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); held = open(sys.argv[1], 'w')"
    command = [sys.executable, "-c", f"{code}; print(flush=True); time.sleep(60)", pipe]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()


def begin(kind: str) -> None:
    """Do what is done before the first message."""
    if kind.startswith("child "):
        start_child(kind.removeprefix("child "))
    if kind == "noise":
        sys.stderr.write("hello \x1b[2J level=error \n" + "y" * 5000 + "\n" + "key is hush-hush\n" + "more\n" * 3000)
        sys.stderr.flush()
    if kind == "junk":
        sys.stdout.write("not a message\n")
    if kind == "endless noise":
        threading.Thread(target=lambda: [sys.stderr.write("noise\n") for _ in iter(int, 1)], daemon=True).start()


def serve(kind: str) -> None:
    """Serve over the pipes."""
    begin(kind)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        is_odd = message.get("params", {}).get("name") == "odd"
        if kind == "endless line" and is_odd:
            while True:
                sys.stdout.write("x" * 100_000)
        if kind == "many requests" and is_odd:
            requests = [f'{{"jsonrpc":"2.0","id":"r{number}","method":"roots/list"}}\n' for number in range(5000)]
            sys.stdout.write("".join(requests))
        if kind == "long notification" and is_odd:
            note = '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"'
            sys.stdout.write(note + "x" * 3_000_000 + '"}}\n')
        sys.stdout.write(reply(kind, message) + "\n")
        sys.stdout.flush()


def _in_sessions(kind: str, answer: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """Gives each client a session, and refuses the call of ``odd`` in the first."""
    from aiohttp import web

    sessions: list[str] = []

    async def answer_in_session(request: web.Request) -> web.StreamResponse:
        message = await request.json()
        if message.get("method") == "initialize":
            sessions.append(str(len(sessions)))
        elif message.get("params", {}).get("name") == "odd" and request.headers["mcp-session-id"] == "0":
            return web.Response(status=400, text=FORGETTING[kind], content_type=kind)
        answered: web.StreamResponse = await answer(request)
        answered.headers["mcp-session-id"] = sessions[-1]
        return answered

    return answer_in_session


@contextlib.asynccontextmanager
async def odd_http_server(kind: str, *, as_events: bool = False) -> AsyncIterator[str]:
    """The same over HTTP, in this process; its address."""
    from aiohttp import web

    replies: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        message = await request.json()
        if kind == "wants a password" and request.headers.get("Authorization") != BASIC:
            return web.Response(status=401)
        if "id" not in message:
            return web.Response(status=202)
        is_odd = message.get("params", {}).get("name") == "odd"
        if is_odd and kind.startswith("status "):
            return web.Response(status=int(kind.split()[1]), text="no")
        if is_odd and kind == "endless event":
            endless = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await endless.prepare(request)
            with contextlib.suppress(ConnectionError):
                while True:
                    await endless.write(b"data: " + b"x" * 100_000)
            return endless
        text = await asyncio.to_thread(reply, kind, message)
        replies.append(text)
        as_written = EVENTS.get(kind) if is_odd else None
        if as_events or as_written:
            events = (as_written or "event: message\r\ndata: REPLY\r\n\r\n").replace("REPLY", text)
            return web.Response(text=events, content_type="text/event-stream")
        return web.Response(text=text, content_type="application/json")

    async def rest(request: web.Request) -> web.Response:
        if request.headers.get("Last-Event-ID") == "1" and kind == "cut off, then goes on":
            return web.Response(text=f"data: {replies[-1]}\n\n", content_type="text/event-stream")
        return web.Response(status=405)

    app = web.Application()
    app.router.add_post("/mcp", _in_sessions(kind, answer) if kind in FORGETTING else answer)
    app.router.add_route("*", "/mcp", rest)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    serve(sys.argv[1])
