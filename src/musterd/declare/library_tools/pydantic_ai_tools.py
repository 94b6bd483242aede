"""pydantic-ai's tools and toolsets as tools. ``ctx.deps`` of a function is the :class:`musterd.ToolContext`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

from musterd.declare.library_tools.argument_errors import wrong_arguments
from musterd.declare.schema_tool import schema_tool
from musterd.declare.source_location import Place, declaration_error, describe_type
from musterd.declare.tool_errors import RetryTool, ToolFailed
from musterd.declare.tool_result import Media, ToolResult
from musterd.declare.tools import Tool, ToolContext, check_tool_name, check_tool_options


def single_tool(tool: Any, label: str, place: Place) -> list[Tool]:
    """The tool that calls one of pydantic-ai's tools."""

    async def call(arguments: dict[str, Any], ctx: Any) -> Any:
        return await tool.function_schema.call(arguments, ctx)

    validator = tool.function_schema.validator
    return [_tool(tool.tool_def, _checked_call(validator, tool.args_validator, call), place)]


def toolset_tools(toolset: Any, label: str, place: Place) -> list[Tool]:
    """The tools of a toolset that are known when it is declared.

    :raises DeclarationError: they are known only during a run.
    """
    if tools_per_run(toolset, label, place) is not None:
        problem = f"{label}: a toolkit contains {describe_type(toolset)}, whose tools are known only during a run"
        raise declaration_error(place, problem, "list it in tools= itself")
    return [tool for entry in toolset.tools.values() for tool in single_tool(entry, label, place)]


def tools_per_run(entry: Any, label: str, place: Place) -> Callable[..., Any] | None:
    """The function that lists the tools of ``entry`` for each run; None: they are known when it is declared.

    They depend on the run if a function prepares or filters them.

    :raises DeclarationError: the toolset connects to something, or decides by itself when a call needs approval.
    """
    if not hasattr(entry, "get_tools"):
        if entry.prepare is None:
            return None
        from pydantic_ai.toolsets import FunctionToolset

        entry = FunctionToolset([entry])
    leaves = list(_leaves(entry, label, place))
    is_known = leaves == [entry] and all(tool.prepare is None for tool in entry.tools.values())
    if is_known and not getattr(entry, "_instructions", None):
        return None

    async def list_tools(context: ToolContext) -> list[Tool]:
        ctx = _run_context(context)
        tools = [_toolset_tool(tool, place) for tool in (await entry.get_tools(ctx)).values()]
        parts = await entry.get_instructions(ctx) or []
        parts = [parts] if isinstance(parts, str) or not isinstance(parts, list | tuple) else parts
        instructions = "\n\n".join(str(getattr(part, "content", part)) for part in parts) or None
        return [replace(tool, instructions=instructions) for tool in tools]

    return list_tools


def _leaves(toolset: Any, label: str, place: Place) -> Iterator[Any]:
    """The toolsets inside others.

    :raises DeclarationError: one of them cannot be used.
    """
    names = {cls.__name__ for cls in type(toolset).__mro__}
    if "ApprovalRequiredToolset" in names:
        problem = f"{label}: a toolset decides for each call whether it needs approval"
        raise declaration_error(place, problem, "set requires_approval=True on its tools")
    if "WrapperToolset" in names:
        yield from _leaves(toolset.wrapped, label, place)
    elif "CombinedToolset" in names:
        for part in toolset.toolsets:
            yield from _leaves(part, label, place)
    elif names & {"FunctionToolset", "ExternalToolset"}:
        yield toolset
    else:
        problem = f"{label}: a tool is {describe_type(toolset)}"
        raise declaration_error(place, problem, "list a FunctionToolset(…) or an MCPServer(…) of musterd")


def _toolset_tool(tool: Any, place: Place) -> Tool:
    async def call(arguments: dict[str, Any], ctx: Any) -> Any:
        return await tool.toolset.call_tool(tool.tool_def.name, arguments, ctx, tool)

    validator = getattr(tool, "args_validator_func", None)
    return _tool(tool.tool_def, _checked_call(tool.args_validator, validator, call), place)


def _tool(definition: Any, call: Callable[..., Any], place: Place) -> Tool:
    check_tool_name(definition.name, place)
    parameters = definition.parameters_json_schema
    options = {
        "requires_confirmation": definition.kind == "unapproved",
        "external_execution": definition.kind == "external",
        "timeout_seconds": definition.timeout,
    }
    checked = check_tool_options(definition.name, options, parameters, place)
    return schema_tool(definition.name, definition.description or "", parameters, call, place, **checked)


# --- calls ------------------------------------------------------------------------------------------


def _checked_call(validator: Any, check: Callable[..., Any] | None, call: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a tool: converts the arguments, has ``check`` look at them, and calls ``call``."""

    async def checked_call(arguments: dict[str, Any], context: ToolContext) -> Any:
        from pydantic import ValidationError
        from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry
        from pydantic_ai.exceptions import ToolFailed as CallFailed

        ctx = _run_context(context)
        try:
            converted = validator.validate_python(arguments)
        except ValidationError as error:
            raise wrong_arguments(error) from error
        try:
            if check is not None:
                checked = check(ctx, **converted)
                if inspect.isawaitable(checked):
                    await checked
            return _result(await call(converted, ctx))
        except ModelRetry as error:
            raise RetryTool(error.message) from error
        except CallFailed as error:
            raise ToolFailed(str(error)) from error
        except (ApprovalRequired, CallDeferred) as error:
            text = "The tool defers the call while it runs, which is not supported. Nothing was done."
            raise ToolFailed(text) from error

    return checked_call


def _run_context(context: ToolContext) -> Any:
    from pydantic_ai.tools import RunContext
    from pydantic_ai.usage import RunUsage

    return RunContext(
        deps=context,
        model=cast("Any", None),  # of a run that pydantic-ai does not drive
        usage=RunUsage(),
        run_id=context.run_id,
        tool_call_id=context.tool_call_id or None,
        tool_call_approved=True,
        metadata=context.metadata,
    )


def _result(result: Any) -> Any:
    from pydantic_ai.messages import BinaryContent, ImageUrl, ToolReturn

    if not isinstance(result, ToolReturn):
        return result
    from pydantic_core import to_json

    items = [result.content] if isinstance(result.content, str) else list(result.content or ())
    returned = result.return_value
    texts = [returned if isinstance(returned, str) else to_json(returned, fallback=str).decode()]
    media: dict[str, list[Media]] = {}
    for item in items:
        if isinstance(item, BinaryContent):
            kind = {"image": "images", "audio": "audios", "video": "videos"}.get(item.media_type.partition("/")[0])
            media.setdefault(kind or "files", []).append(Media(content=item.data, mime_type=item.media_type))
        elif isinstance(item, ImageUrl):
            media.setdefault("images", []).append(Media(url=item.url))
        else:
            texts.append(str(getattr(item, "url", item)))
    return ToolResult(content="\n".join(texts), **media)
