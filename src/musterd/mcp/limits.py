"""Size limits for what an MCP server sends."""

from dataclasses import dataclass
from typing import Self

from musterd.core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits for one server, from the settings ``MUSTERD_MCP_…`` of the same names.

    :param message_bytes: largest size of one message, and of the whole list of tools.
    :param blocks: most content blocks in one result.
    :param tools: most tools of one server.
    :param tool_bytes: largest size of one tool's definition.
    """

    message_bytes: int
    blocks: int
    tools: int
    tool_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits from the settings."""
        return cls(
            message_bytes=settings.mcp_message_bytes,
            blocks=settings.mcp_blocks,
            tools=settings.mcp_tools,
            tool_bytes=settings.mcp_tool_bytes,
        )
