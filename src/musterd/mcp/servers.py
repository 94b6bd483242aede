"""All servers of a process, by their declarations."""

import importlib.util

from musterd.core.jsontypes import JsonObject
from musterd.mcp.connection import Connection
from musterd.specs import MCPServer, ToolContext
from musterd.specs.places import wrong


class Servers:
    """Gives the tools of MCP servers, and calls them. The loop's :class:`musterd.team.run_tools.ToolServers`."""

    def __init__(self) -> None:
        self._connections: dict[MCPServer, Connection] = {}

    @staticmethod
    def check(server: MCPServer) -> None:
        """Raise DeclarationError where the server cannot be used in this installation."""
        if importlib.util.find_spec("mcp") is None:
            raise wrong(server.declared_at, f"{server.label} needs the extra 'mcp'", "pip install 'musterd[mcp]'")

    async def tools(self, server: MCPServer) -> list[JsonObject]:
        """The server's tools that count: ``name``, ``tool`` (its own name), ``description``, ``parameters``,
        ``retry_safe``.

        :raises RetryTool: it cannot be reached, in words.
        """
        return await self._connection(server).tools()

    async def call(self, server: MCPServer, tool: str, arguments: JsonObject, context: ToolContext) -> str:
        """Call the server's ``tool`` and give its result as text.

        :raises ToolFailed: the server says that the call failed.
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
        found = self._connections.get(server)
        if found is None:
            found = self._connections[server] = Connection(server)
        return found
