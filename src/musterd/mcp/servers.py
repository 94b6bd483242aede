"""All MCP servers of a process. Servers with equal declarations are one server and share a connection.

A function that creates a run's members may declare their servers again for each run, and with a key or token that is
different for each user. So such a connection is closed when it is no longer used. Those of served components stay open,
because a server may keep state between calls.
"""

import asyncio
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, fields

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.settings import Settings
from musterd.declare import MCPServer, ToolContext
from musterd.declare.mcp_server import ServerTools
from musterd.declare.source_location import declaration_error
from musterd.mcp.connection import Connection
from musterd.mcp.limits import Limits

IDLE_SECONDS = 600.0
"""After this time without a call a connection is closed. The next call opens it again."""
IDLE_CONNECTIONS = 100
"""Most connections without a call that are kept open."""


class Servers:
    """Lists and calls the tools of MCP servers. Implements :class:`musterd.loop.run_tools.ToolServers`."""

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits.of(settings)
        self._connections: dict[str, _Open] = {}
        self._kept: set[str] = set()
        # The timers that close connections without a call, by declaration; the one that is idle for longest is first.
        self._idle: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @staticmethod
    def check(server: MCPServer) -> None:
        """Raise DeclarationError if the server cannot be used in this installation."""
        if importlib.util.find_spec("mcp") is None:
            raise declaration_error(
                server.declared_at, f"{server.label} requires the extra 'mcp'", "pip install 'musterd[mcp]'"
            )

    def keep_open(self, server: MCPServer) -> None:
        """Do not close the connection to this server when it is no longer used."""
        self._kept.add(_declaration(server))

    async def tools(self, server: MCPServer) -> ServerTools:
        """The server's tools that the declaration selects.

        :raises RetryTool: the server cannot be reached, or its tools cannot be used.
        """
        with self._in_use(server) as connection:
            return await connection.tools()

    async def call(self, server: MCPServer, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call the server's ``tool`` and return its result as text.

        :raises ToolFailed: the server reported an error, or its answer cannot be used.
        :raises RetryTool: the call was not made.
        :raises OutcomeUnknown: the connection was lost during the call.
        """
        with self._in_use(server) as connection:
            return await connection.call(tool, arguments, context)

    async def close(self) -> None:
        """Close all connections and stop the programs that were started."""
        for key in list(self._connections):  # start all before waiting for any, so that they close in parallel
            self._drop(key)
        if self._closing:
            await asyncio.wait(self._closing)

    @contextmanager
    def _in_use(self, server: MCPServer) -> Iterator[Connection]:
        """The connection to a server, which is not closed before the call ends."""
        key = _declaration(server)
        entry = self._connections.get(key)
        if entry is None:
            entry = self._connections[key] = _Open(Connection(server, self._limits))
        if (timer := self._idle.pop(key, None)) is not None:
            timer.cancel()
        entry.call_count += 1
        try:
            yield entry.connection
        finally:
            entry.call_count -= 1
            if not entry.call_count and key not in self._kept and self._connections.get(key) is entry:
                # Its own context, because the timer outlives the run.
                loop = asyncio.get_running_loop()
                self._idle[key] = loop.call_later(IDLE_SECONDS, self._drop, key, context=Context())
                if len(self._idle) > IDLE_CONNECTIONS:
                    self._drop(next(iter(self._idle)))

    def _drop(self, key: str) -> None:
        """Forget a connection and start to close it."""
        if (timer := self._idle.pop(key, None)) is not None:
            timer.cancel()
        closing = asyncio.create_task(self._connections.pop(key).connection.close(), name="mcp close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


@dataclass(slots=True)
class _Open:
    """A connection, and how many calls use it now."""

    connection: Connection
    call_count: int = 0


def _declaration(server: MCPServer) -> str:
    """A server's whole declaration as text."""
    values = [getattr(server, field.name) for field in fields(server) if field.init]
    return jsontext.canonical([dict(value) if isinstance(value, Mapping) else value for value in values])
