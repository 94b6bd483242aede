"""How much an MCP server may say."""

from dataclasses import dataclass
from typing import Self

from musterd.core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is taken from one server; the settings ``MUSTERD_MCP_…`` of the same names.

    :param message_bytes: of one message, and of a whole list of tools.
    :param blocks: of one result.
    :param tools: of one server.
    :param tool_bytes: of the definition of one tool.
    """

    message_bytes: int
    blocks: int
    tools: int
    tool_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the settings name."""
        return cls(
            message_bytes=settings.mcp_message_bytes,
            blocks=settings.mcp_blocks,
            tools=settings.mcp_tools,
            tool_bytes=settings.mcp_tool_bytes,
        )
