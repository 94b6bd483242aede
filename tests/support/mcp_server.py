"""An MCP server in a process of its own, over pipes or over HTTP. It records its calls in a folder.

server = MCPServer(command=[*PROGRAM, str(folder)])
with HttpServer(folder) as http:
    server = MCPServer(url=http.url)
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

PROGRAM = [sys.executable, "-P", __file__]
CONNECT_SECONDS = 60.0
"""How long a test lets a server start: it imports an SDK, which takes seconds on a busy machine."""


def make(folder: Path) -> Any:
    """The server with its tools."""
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations

    server = MCPServer("desk")
    calls = folder / "calls"
    with (folder / "started").open("a") as started:
        started.write(".")

    def note(text: str) -> None:
        with calls.open("a") as file:
            file.write(f"{text}\n")

    def die_where_told() -> None:
        if (folder / "die").exists():
            (folder / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        note("add")
        die_where_told()
        return a + b

    @server.tool()
    async def send(text: str, context: Context[Any, Any]) -> str:
        """Send a text."""
        meta = context.request_context.meta or {}
        note(f"send {text} {meta.get('io.musterd/idempotency-key', '-')}")
        if traceparent := dict(meta).get("traceparent"):
            note(f"trace {traceparent}")
        die_where_told()
        return f"sent {text}"

    @server.tool()
    def fail() -> str:
        """Fail."""
        raise ToolError(f"no, {os.environ.get('SECRET', '')}")

    @server.tool(name="desk.report")
    async def report(context: Context[Any, Any]) -> str:
        """Report."""
        await context.report_progress(1, 2, "half")
        return "reported"

    @server.tool()
    async def learn(context: Context[Any, Any]) -> str:
        """Add a tool."""
        server.add_tool(lambda: "new", name="novel", description="New.")
        await context.session.send_tool_list_changed()
        return "learnt"

    return server


class HttpServer:
    """The server over streamable HTTP; it can be killed, and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/mcp"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start it, and wait until it listens."""
        command = [*PROGRAM, str(self._folder), str(self._port)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "running on" in line:
                return self
        raise AssertionError(f"the server did not start: {''.join(said)}")

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def wait(self) -> None:
        """Wait until it has exited."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *raised: object) -> None:
        self.kill()


def main() -> None:
    """Serve according to the arguments."""
    server = make(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
