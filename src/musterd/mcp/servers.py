"""All MCP servers of a process. Servers with equal declarations are one server and share a connection.

A function that creates a run's members may declare their servers again for each run.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import fields

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.core.settings import Settings
from musterd.declare import MCPServer, ToolContext
from musterd.declare.mcp_server import ServerTools
from musterd.declare.source_location import declaration_error
from musterd.mcp.connection import Connection
from musterd.mcp.limits import Limits


class Servers:
    """Lists and calls the tools of MCP servers. Implements :class:`musterd.loop.run_tools.ToolServers`."""

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits.of(settings)
        self._connections: dict[str, Connection] = {}

    @staticmethod
    def check(server: MCPServer) -> None:
        """Raise DeclarationError if the server cannot be used in this installation."""
        if importlib.util.find_spec("mcp") is None:
            raise declaration_error(
                server.declared_at, f"{server.label} requires the extra 'mcp'", "pip install 'musterd[mcp]'"
            )

    async def tools(self, server: MCPServer) -> ServerTools:
        """The server's tools that the declaration selects.

        :raises RetryTool: the server cannot be reached, or its tools cannot be used.
        """
        return await self._connection(server).tools()

    async def call(self, server: MCPServer, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call the server's ``tool`` and return its result as text.

        :raises ToolFailed: the server reported an error, or its answer cannot be used.
        :raises RetryTool: the call was not made.
        :raises OutcomeUnknown: the connection was lost during the call.
        """
        return await self._connection(server).call(tool, arguments, context)

    async def close(self) -> None:
        """Close all connections and stop the programs that were started."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():  # start all before waiting for any, so that they close in parallel
            connection.begin_close()
        for connection in connections.values():
            await connection.close()

    def _connection(self, server: MCPServer) -> Connection:
        key = _declaration(server)
        connection = self._connections.get(key)
        if connection is None:
            connection = self._connections[key] = Connection(server, self._limits)
        return connection


def _declaration(server: MCPServer) -> str:
    """A server's whole declaration as text."""
    values = [getattr(server, field.name) for field in fields(server) if field.init]
    return jsontext.canonical([dict(value) if isinstance(value, Mapping) else value for value in values])
