"""Turns a server's answers into JSON that is safe to pass on: usable tools only, and a result as one text."""

import json
import re
from collections.abc import Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.schema_costs import SchemaRefused, schema_cost
from musterd.declare import MCPServer
from musterd.mcp.limits import Limits

MAX_LEVELS = 100
"""Deepest nesting of a tool's definition."""
SKIPPED_TOOLS = "io.musterd/skipped-tools"
"""The entry of a tool list's ``_meta`` that names the tools that were left out, and why."""
LIST_BYTES = "io.musterd/bytes"
"""The entry of a tool list's ``_meta`` with the total size of its tools' definitions, references replaced."""

_COPY_BYTES = 40
"""How much a part counts that is copied when a model's profile replaces references by their targets."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64
_DISPLAY_LENGTH = 60
_DRAFT_7 = "http://json-schema.org/draft-07/schema#"
_KNOWN_DRAFTS = re.compile(r"https?://json-schema\.org/(draft-0[467]|draft/20(19-09|20-12))/schema#?")


class UnusableResult(Exception):
    """A result that cannot be passed on; the message says why."""


# --- lists of tools -------------------------------------------------------------------------------


def readable_tools(result: JsonObject, limits: Limits) -> JsonObject:
    """The result of ``tools/list`` reduced to the usable tools; ``_meta`` says which ones were left out.

    Output schemas are dropped: musterd passes results on as they are, and validating them against a schema from the
    server could take any amount of time.

    :raises UnusableResult: there are too many tools.
    """
    tools = result["tools"]
    if len(tools) > limits.tools:
        raise UnusableResult(too_many_tools(limits))
    usable: list[Json] = []
    skipped: list[Json] = []
    size = 0
    for position, tool in enumerate(tools, 1):
        definition = _definition(tool)
        tool_size, problem = _checked(definition, limits)
        if problem is None:
            usable.append(definition)
            size += tool_size
        else:
            skipped.append({"name": _display_name(tool) or f"number {position} of its list", "problem": problem})
    return {**result, "tools": usable, "_meta": {**_meta_of(result), SKIPPED_TOOLS: skipped, LIST_BYTES: size}}


def _meta_of(result: JsonObject) -> JsonObject:
    meta = result.get("_meta")
    return meta if isinstance(meta, dict) else {}


def too_many_tools(limits: Limits) -> str:
    """The reason to give for a server that has too many tools."""
    return f"it has more than {limits.tools} (MUSTERD_MCP_TOOLS)"


def _definition(tool: Any) -> JsonObject:
    """The parts of a tool's definition that musterd uses."""
    if not isinstance(tool, dict):
        return {}
    definition = {name: tool[name] for name in ("name", "inputSchema") if name in tool}
    definition |= {name: tool[name] for name in ("title", "description") if isinstance(tool.get(name), str)}
    hints = tool.get("annotations")
    if isinstance(hints, dict):
        used = {name: hints[name] for name in ("readOnlyHint", "idempotentHint") if isinstance(hints.get(name), bool)}
        definition["annotations"] = used
    if isinstance(definition.get("inputSchema"), dict):
        definition["inputSchema"] = {"type": "object", **definition["inputSchema"]}
    return definition


def _checked(definition: JsonObject, limits: Limits) -> tuple[int, str | None]:
    """The size of the definition, and the reason why it cannot be used, if there is one."""
    if not isinstance(definition.get("name"), str) or not definition["name"]:
        return 0, "it has no name"
    if not isinstance(definition.get("inputSchema"), dict):
        return 0, "it has no inputSchema"
    if _is_deeper(definition, MAX_LEVELS):
        return 0, f"its definition is nested deeper than {MAX_LEVELS} levels"
    try:
        text = json.dumps(definition, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return 0, "its definition contains a number that is not valid in JSON"
    if len(text) > limits.tool_bytes:
        return 0, f"its definition is longer than {limits.tool_bytes} bytes (MUSTERD_MCP_TOOL_BYTES)"
    if not jsontext.is_storable(text):
        return 0, "its definition contains text that is not Unicode"
    try:
        # Other reasons not to check values against it do not matter here: then the server alone checks them.
        copies = schema_cost(definition["inputSchema"]).copies
    except SchemaRefused as refusal:
        return 0, f"its inputSchema should {refusal.expected}"
    return len(text) + copies * _COPY_BYTES, _schema_problem(definition["inputSchema"])


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
    # The library would fetch an unknown dialect from its address.
    if not _KNOWN_DRAFTS.fullmatch(str(schema.get("$schema", ""))):
        schema = {name: value for name, value in schema.items() if name != "$schema"}
    if jsonschema_rs.meta.is_valid(schema) or jsonschema_rs.meta.is_valid({**schema, "$schema": _DRAFT_7}):
        return None
    return "its inputSchema is not a JSON schema"


def _display_name(tool: Any) -> str:
    """A tool's name in printable form, shortened; empty if it has none."""
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str):
        return ""
    text = "".join(sign if sign.isprintable() else "�" for sign in name[:_DISPLAY_LENGTH])
    return text if len(name) <= _DISPLAY_LENGTH else f"{text}…"


def definitions_of(tools: Sequence[JsonObject], server: MCPServer) -> list[JsonObject]:
    """The tools that the declaration selects, each with the name by which a model calls it."""
    return [
        {
            "name": _callable_name(tool["name"], server.tool_name_prefix),
            "tool": tool["name"],
            "description": tool.get("description") or tool.get("title") or "",
            "parameters": {**tool["inputSchema"], "properties": tool["inputSchema"].get("properties", {})},
            "retry_safe": tool["name"] in (server.retry_safe_tools or ()) or _is_retry_safe(tool),
        }
        for tool in tools
        if _is_selected(tool, server)
    ]


def problems_of(skipped: Sequence[JsonObject], server: MCPServer) -> list[str]:
    """The problems of the tools that the declaration selects but that were left out."""
    return [f"{tool['name']}: {tool['problem']}" for tool in skipped if _is_selected(tool, server)]


def _is_selected(tool: JsonObject, server: MCPServer) -> bool:
    is_included = server.include_tools is None or tool["name"] in server.include_tools
    return is_included and tool["name"] not in (server.exclude_tools or ())


def _callable_name(name: str, prefix: str | None) -> str:
    return _NOT_IN_NAMES.sub("_", f"{prefix}_{name}" if prefix else name)[:_LONGEST_NAME]


def _is_retry_safe(tool: JsonObject) -> bool:
    """Whether the server says that repeating a call has no further effect."""
    hints = tool.get("annotations") or {}
    return bool(hints.get("readOnlyHint") or hints.get("idempotentHint"))


# --- results of calls -----------------------------------------------------------------------------


def as_one_text(result: JsonObject, limits: Limits) -> JsonObject:
    """The result of ``tools/call`` reduced to one block, the text that the model reads.

    :raises UnusableResult: it has too many blocks, or a block that cannot be read.
    """
    blocks = result.get("content") or []
    if not isinstance(blocks, list):
        raise UnusableResult("its content is not a list")
    if len(blocks) > limits.blocks:
        raise UnusableResult(f"it has {len(blocks)} blocks, more than {limits.blocks} (MUSTERD_MCP_BLOCKS)")
    texts = [_block_text(block, position) for position, block in enumerate(blocks, 1)]
    text = "\n".join(filter(None, texts))
    structured = result.get("structuredContent")
    if not text and structured is not None:
        try:
            text = json.dumps(structured, ensure_ascii=False)
        except RecursionError:
            raise UnusableResult("it is nested too deep") from None
    others = {name: value for name, value in result.items() if name not in ("structuredContent", "_meta")}
    return {**others, "content": [{"type": "text", "text": jsontext.storable(text)}]}


def _block_text(block: Any, position: int) -> str:
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
        raise UnusableResult(f"its block {position} is not of a type that the protocol defines")
    return text
