"""Servers of tools that speak the Model Context Protocol: their connections, and the calls of their tools.

One task a server and process owns its connection: it alone opens and closes it, and ends it when the server goes. The
SDK (``musterd[mcp]``) is imported when a run needs the first server.
"""

from musterd.mcp.servers import Servers

__all__ = ["Servers"]
