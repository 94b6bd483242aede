"""LangChain's tools and toolkits as tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from musterd.declare.schema_tool import schema_tool
from musterd.declare.source_location import Place
from musterd.declare.tool_errors import ToolFailed
from musterd.declare.tools import Tool, ToolContext, check_tool_name

_TEXT_ARGUMENT = {
    "type": "object",
    "properties": {"__arg1": {"type": "string"}},
    "required": ["__arg1"],
    "additionalProperties": False,
}
"""The schema with which LangChain offers a tool that takes one text."""


def toolkit_tools(kit: Any, label: str, place: Place) -> list[Tool]:
    """The tools of a toolkit."""
    return [tool for entry in kit.get_tools() for tool in single_tool(entry, label, place)]


def single_tool(tool: Any, label: str, place: Place) -> list[Tool]:
    """The tool that calls one of LangChain's tools."""
    check_tool_name(tool.name, place)

    async def call(arguments: dict[str, Any], context: ToolContext) -> Any:
        # As a call of a model, so that tools get its id, and the result is a message that says whether it is an error.
        tool_call = {"type": "tool_call", "name": tool.name, "id": context.tool_call_id, "args": arguments}
        configurable = {"thread_id": context.session_id, "user_id": context.user_id}
        try:
            message = await tool.ainvoke(tool_call, config={"configurable": configurable})
        except Exception as error:
            if any(cls.__name__ == "ToolException" for cls in type(error).__mro__):
                raise ToolFailed(str(error)) from error
            raise
        content = _content(getattr(message, "content", message))
        if getattr(message, "status", None) == "error":
            raise ToolFailed(str(content))
        return content

    options = {"stop_after_tool_call": bool(tool.return_direct)}
    return [schema_tool(tool.name, tool.description or "", _parameters(tool), call, place, **options)]


def _parameters(tool: Any) -> dict[str, Any]:
    """The JSON schema of the arguments that the model passes."""
    if tool.args_schema is None and any(cls.__name__ == "Tool" for cls in type(tool).__mro__):
        return _TEXT_ARGUMENT
    schema = tool.tool_call_schema
    if not isinstance(schema, Mapping):
        schema = schema.model_json_schema() if hasattr(schema, "model_json_schema") else schema.schema()
    parameters = {name: value for name, value in schema.items() if name not in ("title", "description")}
    return {"type": "object", "properties": {}, **parameters}


def _content(content: Any) -> Any:
    """The content of a message: its text, if it consists of nothing else."""
    if not isinstance(content, list):
        return content
    texts = [block if isinstance(block, str) else block.get("text") for block in content]
    return "\n".join(texts) if all(isinstance(text, str) for text in texts) else content
