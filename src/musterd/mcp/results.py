"""What a server answers, as JSON that is safe to hand on: tools that can be read, and a result as one text."""

import json
import re
from collections.abc import Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import MCPServer
from musterd.mcp.limits import Limits

MOST_LEVELS = 100
"""How deep the definition of a tool may be nested."""
SKIPPED_TOOLS = "io.musterd/skipped-tools"
"""Where a list of tools says, in its ``_meta``, which ones were left out and why."""
LIST_BYTES = "io.musterd/bytes"
"""Where it says how long the definitions of its tools are."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH = 64
_SHOWN_LENGTH = 60
_DRAFT_7 = "http://json-schema.org/draft-07/schema#"
_KNOWN_DRAFTS = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?")


class UnusableResult(Exception):
    """A result that cannot be handed on, in words."""


# --- lists of tools -------------------------------------------------------------------------------


def readable_tools(result: JsonObject, limits: Limits) -> JsonObject:
    """The result of ``tools/list`` with those tools alone that can be used; ``_meta`` says what was left out.

    Output schemas are dropped: musterd hands on what a tool answers, and checking it against a schema of the server's
    could take any time.

    :raises UnusableResult: there are too many.
    """
    tools = result["tools"]
    if len(tools) > limits.tools:
        raise UnusableResult(too_many_tools(limits))
    kept: list[Json] = []
    skipped: list[Json] = []
    size = 0
    for place, tool in enumerate(tools):
        definition = _definition(tool)
        text, problem = _checked(definition, limits)
        if problem is None:
            kept.append(definition)
            size += len(text)
        else:
            skipped.append({"name": _shown_name(tool) or f"number {place + 1} of its list", "problem": problem})
    return {**result, "tools": kept, "_meta": {**_meta_of(result), SKIPPED_TOOLS: skipped, LIST_BYTES: size}}


def _meta_of(result: JsonObject) -> JsonObject:
    meta = result.get("_meta")
    return meta if isinstance(meta, dict) else {}


def too_many_tools(limits: Limits) -> str:
    """Why the tools of a server that has too many cannot be used."""
    return f"it has more than {limits.tools} (MUSTERD_MCP_TOOLS)"


def _definition(tool: Any) -> JsonObject:
    """What is used of a tool's definition."""
    if not isinstance(tool, dict):
        return {}
    definition = {name: tool[name] for name in ("name", "inputSchema") if name in tool}
    definition |= {name: tool[name] for name in ("title", "description") if isinstance(tool.get(name), str)}
    hints = tool.get("annotations")
    if isinstance(hints, dict):
        kept = {name: hints[name] for name in ("readOnlyHint", "idempotentHint") if isinstance(hints.get(name), bool)}
        definition["annotations"] = kept
    if isinstance(definition.get("inputSchema"), dict):
        definition["inputSchema"] = {"type": "object", **definition["inputSchema"]}
    return definition


def _checked(definition: JsonObject, limits: Limits) -> tuple[str, str | None]:
    """The definition as text, and why it cannot be used."""
    if not isinstance(definition.get("name"), str) or not definition["name"]:
        return "", "it has no name"
    if not isinstance(definition.get("inputSchema"), dict):
        return "", "it has no inputSchema"
    if _is_deeper(definition, MOST_LEVELS):
        return "", f"its definition is nested deeper than {MOST_LEVELS} levels"
    try:
        text = json.dumps(definition, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return "", "its definition holds a number that JSON does not have"
    if len(text) > limits.tool_bytes:
        return "", f"its definition is longer than {limits.tool_bytes} bytes (MUSTERD_MCP_TOOL_BYTES)"
    if not jsontext.is_storable(text):
        return "", "its definition holds text that is not Unicode"
    return text, _schema_problem(definition["inputSchema"])


def _is_deeper(value: Json, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_is_deeper(child, levels - 1) for child in (value.values() if isinstance(value, dict) else value))


def _schema_problem(schema: JsonObject) -> str | None:
    """Why ``schema`` is not a JSON schema for arguments; None if it is one, of any draft."""
    import jsonschema_rs

    if schema["type"] != "object":
        return "its inputSchema is not of type object"
    # A dialect that is not built in would be looked for at its address.
    if not _KNOWN_DRAFTS.fullmatch(str(schema.get("$schema", ""))):
        schema = {name: value for name, value in schema.items() if name != "$schema"}
    if jsonschema_rs.meta.is_valid(schema) or jsonschema_rs.meta.is_valid({**schema, "$schema": _DRAFT_7}):
        return None
    return "its inputSchema is not a JSON schema"


def _shown_name(tool: Any) -> str:
    """A tool's name as a sentence shows it; empty: it has none."""
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str):
        return ""
    text = "".join(letter if letter.isprintable() else "�" for letter in name[:_SHOWN_LENGTH])
    return text if len(name) <= _SHOWN_LENGTH else f"{text}…"


def definitions_of(tools: Sequence[JsonObject], server: MCPServer) -> list[JsonObject]:
    """Those of a list of tools that count, each with the name under which a model calls it."""
    return [
        {
            "name": _callable_name(tool["name"], server.tool_name_prefix),
            "tool": tool["name"],
            "description": tool.get("description") or tool.get("title") or "",
            "parameters": {**tool["inputSchema"], "properties": tool["inputSchema"].get("properties", {})},
            "retry_safe": tool["name"] in (server.retry_safe_tools or ()) or _is_retry_safe(tool),
        }
        for tool in tools
        if _counts(tool, server)
    ]


def problems_of(skipped: Sequence[JsonObject], server: MCPServer) -> list[str]:
    """Those of the tools that were left out that would count, each with what is wrong with it."""
    return [f"{tool['name']}: {tool['problem']}" for tool in skipped if _counts(tool, server)]


def _counts(tool: JsonObject, server: MCPServer) -> bool:
    is_included = not server.include_tools or tool["name"] in server.include_tools
    return is_included and tool["name"] not in (server.exclude_tools or ())


def _callable_name(name: str, prefix: str | None) -> str:
    return _NOT_IN_NAMES.sub("_", f"{prefix}_{name}" if prefix else name)[:_NAME_LENGTH]


def _is_retry_safe(tool: JsonObject) -> bool:
    """Whether the server says that a second call does nothing that the first has not done."""
    hints = tool.get("annotations") or {}
    return bool(hints.get("readOnlyHint") or hints.get("idempotentHint"))


# --- results of calls -----------------------------------------------------------------------------


def as_one_text(result: JsonObject, limits: Limits) -> JsonObject:
    """The result of ``tools/call`` with one block, the text that the model reads.

    :raises UnusableResult: it has too many blocks, or one that cannot be read.
    """
    blocks = result.get("content") or []
    if not isinstance(blocks, list):
        raise UnusableResult("its content is no list")
    if len(blocks) > limits.blocks:
        raise UnusableResult(f"it has {len(blocks)} blocks, more than {limits.blocks} (MUSTERD_MCP_BLOCKS)")
    text = "\n".join(part for place, block in enumerate(blocks) if (part := _block_text(block, place)))
    structured = result.get("structuredContent")
    if not text and structured is not None:
        try:
            text = json.dumps(structured, ensure_ascii=False)
        except RecursionError:
            raise UnusableResult("it is nested too deep") from None
    kept = {name: value for name, value in result.items() if name not in ("structuredContent", "_meta")}
    return {**kept, "content": [{"type": "text", "text": jsontext.storable(text)}]}


def _block_text(block: Any, place: int) -> str:
    try:
        kind = block["type"]
        if kind == "text":
            text = block["text"]
        elif kind == "resource_link":
            text = f"[{block['name']}: {block['uri']}]"
        elif kind == "resource":
            resource = block["resource"]
            text = resource.get("text", f"[{resource.get('mimeType') or 'data'}: {resource['uri']}]")
        else:
            text = f"[{kind}, {block['mimeType']}]"
    except (KeyError, TypeError, AttributeError):
        text = None
    if not isinstance(text, str):
        raise UnusableResult(f"its block {place + 1} is not of a type that the protocol defines")
    return text
