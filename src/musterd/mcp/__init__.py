"""Connections to MCP (Model Context Protocol) servers, and calls of their tools.

One task per server and process owns the connection: it opens it, and closes it when the server goes away. The SDK
(``musterd[mcp]``) is imported when a run needs a server for the first time.
"""

from musterd.mcp.servers import Servers

__all__ = ["Servers"]
