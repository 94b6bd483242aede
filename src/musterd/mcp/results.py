"""What a server says, in the house's words: its tools as JSON, a call's result as text."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from musterd.core.jsontypes import JsonObject
from musterd.specs import MCPServer

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock, Tool

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH = 64


def definitions_of(found: "Sequence[Tool]", server: MCPServer) -> list[JsonObject]:
    """The tools of ``server`` that count, each with the name under which a model calls it."""
    return [
        {
            "name": _callable_name(tool.name, server.tool_name_prefix),
            "tool": tool.name,
            "description": tool.description or tool.title or "",
            "parameters": {**tool.input_schema, "properties": tool.input_schema.get("properties", {})},
            "retry_safe": tool.name in (server.retry_safe_tools or ()) or _is_retry_safe(tool),
        }
        for tool in found
        if (not server.include_tools or tool.name in server.include_tools)
        and tool.name not in (server.exclude_tools or ())
    ]


def _callable_name(name: str, prefix: str | None) -> str:
    return _NOT_IN_NAMES.sub("_", f"{prefix}_{name}" if prefix else name)[:_NAME_LENGTH]


def _is_retry_safe(tool: "Tool") -> bool:
    """Whether the server says that a second call does nothing that the first has not done."""
    said = tool.annotations
    return said is not None and bool(said.read_only_hint or said.idempotent_hint)


def text_of(result: "CallToolResult") -> tuple[str, bool]:
    """A result as the model reads it, and whether the server calls it an error."""
    text = "\n".join(part for block in result.content if (part := _block_text(block)))
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    return text, bool(result.is_error)


def _block_text(block: "ContentBlock") -> str:
    if block.type == "text":
        return block.text
    if block.type == "resource_link":
        return f"[{block.name}: {block.uri}]"
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        return text if isinstance(text, str) else f"[{block.resource.mime_type or 'data'}: {block.resource.uri}]"
    return f"[{block.type}, {block.mime_type}]"
