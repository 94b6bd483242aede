"""All servers of a process, by their declarations: what is declared alike is one server.

A function that gives a run its members may declare their servers anew each time.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import fields

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.settings import Settings
from musterd.declare import MCPServer, ToolContext
from musterd.declare.mcp_server import ServerTools
from musterd.declare.source_location import wrong
from musterd.mcp.connection import Connection
from musterd.mcp.limits import Limits


class Servers:
    """Gives the tools of MCP servers, and calls them. The loop's :class:`musterd.loop.run_tools.ToolServers`."""

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits.of(settings)
        self._connections: dict[str, Connection] = {}

    @staticmethod
    def check(server: MCPServer) -> None:
        """Raise DeclarationError where the server cannot be used in this installation."""
        if importlib.util.find_spec("mcp") is None:
            raise wrong(server.declared_at, f"{server.label} needs the extra 'mcp'", "pip install 'musterd[mcp]'")

    async def tools(self, server: MCPServer) -> ServerTools:
        """The server's tools that count.

        :raises RetryTool: it cannot be reached, or its tools cannot be used, in words.
        """
        return await self._connection(server).tools()

    async def call(self, server: MCPServer, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call the server's ``tool`` and give its result as text.

        :raises ToolFailed: the server says that the call failed, or its answer cannot be used.
        :raises RetryTool: it was not made.
        :raises OutcomeUnknown: the connection was lost in it.
        """
        return await self._connection(server).call(tool, arguments, context)

    async def close(self) -> None:
        """Close every connection; programs that were started are stopped."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.begin_close()
        for connection in connections.values():
            await connection.close()

    def _connection(self, server: MCPServer) -> Connection:
        declared = _declared(server)
        found = self._connections.get(declared)
        if found is None:
            found = self._connections[declared] = Connection(server, self._limits)
        return found


def _declared(server: MCPServer) -> str:
    """All that was declared of a server, as text."""
    values = [getattr(server, field.name) for field in fields(server) if field.init]
    return jsontext.canonical([dict(value) if isinstance(value, Mapping) else value for value in values])
