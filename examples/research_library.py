"""A server of tools that speaks the Model Context Protocol over its pipes: a small library that needs no network.

examples/research.py starts it. Any other server of the kind can stand in its place.
"""

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

BOOKS = {
    "tides": "Tides rise and fall twice a day, because the Moon's pull differs across the Earth.",
    "bees": "A honey bee tells others the way to flowers by a dance.",
    "glass": "Glass has no crystals: it is a liquid that became too slow to flow.",
}

server = MCPServer("library")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def search_library(topic: str) -> str:
    """Search the library for what is known of a topic.

    Args:
        topic: One word.
    """
    found = [text for name, text in BOOKS.items() if topic.strip().lower() in (name, name.rstrip("s"))]
    return "\n".join(found) or f"The library has nothing about {topic}. It knows of {', '.join(BOOKS)}."


if __name__ == "__main__":
    server.run("stdio")
