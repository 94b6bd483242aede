"""Agno's functions and toolkits as tools."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from musterd.core.jsontypes import JsonObject
from musterd.declare.library_tools.agno_connections import with_connection
from musterd.declare.library_tools.agno_media import MEDIA, agno_media, musterd_media
from musterd.declare.library_tools.agno_state import IdsInState, take_over
from musterd.declare.library_tools.argument_errors import wrong_arguments
from musterd.declare.run_context import RunContext
from musterd.declare.schema_tool import SchemaSignature, schema_tool
from musterd.declare.source_location import Place, declaration_error
from musterd.declare.tool_errors import RetryTool, StopRun, ToolFailed
from musterd.declare.tool_result import ToolResult
from musterd.declare.tools import Tool, ToolContext, check_tool_name, check_tool_options

_INJECTED = frozenset({"agent", "team", "run_context", "fc", *MEDIA})
"""The parameters that Agno fills by their names."""
_FLAGS = (
    *("requires_confirmation", "requires_user_input", "user_input_fields"),
    *("external_execution", "external_execution_silent", "stop_after_tool_call", "show_result"),
    *("pre_hook", "post_hook", "tool_hooks", "cache_results", "cache_ttl"),
)
"""The fields of a function that are options of ``@tool`` under the same names."""


def toolkit_tools(kit: Any, label: str, place: Place, make_tool: Callable[[Any], Tool] | None = None) -> list[Tool]:
    """The tools of a toolkit, each with its instructions. Async variants are preferred, as in Agno's async runs.

    :param make_tool: makes the tool of a function; default: :func:`function_tool`.
    :raises DeclarationError: musterd has its own counterpart of the toolkit.
    """
    names = {cls.__name__ for cls in type(kit).__mro__}
    if names & {"MCPTools", "MultiMCPTools"}:
        problem = f"{label}: a tool is {type(kit).__name__} of agno"
        raise declaration_error(place, problem, "use MCPServer(…) of musterd")
    if names & {"UserControlFlowTools", "UserFeedbackTools"}:
        # The loops of both libraries handle the calls of these tools themselves.
        from musterd.declare.user_input_tools import ask_user, get_user_input

        return [get_user_input if "UserControlFlowTools" in names else ask_user]
    functions = kit.get_async_functions().values()
    instructions = kit.instructions if kit.add_instructions else None
    tools = [function_tool(function, place) if make_tool is None else make_tool(function) for function in functions]
    tools = with_connection(kit, tools)
    return [_with_instructions(tool, instructions) for tool in tools] if instructions else tools


def function_tools(function: Any, label: str, place: Place) -> list[Tool]:
    """The tool of one function."""
    return [function_tool(function, place)]


def function_tool(
    function: Any, place: Place, owner: Any = None, adapt_hook: Callable[[Any], Any] = lambda hook: hook
) -> Tool:
    """The tool that calls one of Agno's functions.

    :param owner: Agno's agent or team that has the tool, for parameters that take it.
    :param adapt_hook: makes a hook for musterd of each of the function's.
    :raises DeclarationError: its name or its options cannot be used.
    """
    function = function.model_copy(deep=True)
    function.process_entrypoint()
    name, entrypoint = str(function.name), function.entrypoint
    check_tool_name(name, place)
    parameters = _parameters(function)
    options = {flag: value for flag in _FLAGS if (value := getattr(function, flag, None)) is not None}
    for name_of_hook in ("pre_hook", "post_hook"):
        if name_of_hook in options:
            options[name_of_hook] = adapt_hook(options[name_of_hook])
    options["tool_hooks"] = [adapt_hook(hook) for hook in options.get("tool_hooks", ())]
    if approval := getattr(function, "approval_type", None):
        options["approval"] = approval
    tool = schema_tool(
        name,
        function.description or "",
        parameters,
        _caller(function, owner) if entrypoint is not None else _without_entrypoint(name),
        place,
        instructions=function.instructions if function.add_instructions else None,
        **check_tool_options(name, options, parameters, place),
    )
    # Agno's schemas are narrower than its functions: they leave out that an optional argument may be null, for example.
    # So only the names are checked here. The types are checked, and converted, by Agno's wrapper of the function.
    names: dict[str, JsonObject] = {argument: {} for argument in parameters["properties"]}
    return replace(tool, signature=SchemaSignature({**parameters, "properties": names}))


def _with_instructions(tool: Tool, instructions: str) -> Tool:
    return replace(tool, instructions="\n\n".join(text for text in (instructions, tool.instructions) if text))


def _parameters(function: Any) -> dict[str, Any]:
    """The JSON schema of all arguments. Agno's leaves out those that only a person fills in."""
    schema = {**function.parameters}
    properties, required = dict(schema.get("properties", {})), list(schema.get("required", ()))
    accepted = inspect.signature(function.entrypoint).parameters if function.entrypoint is not None else {}
    for field in function.user_input_schema or ():
        if field.name in (function.user_input_fields or ()) and field.name not in properties:
            properties[field.name] = _field_schema(field)
            has_default = field.name in accepted and accepted[field.name].default is not inspect.Parameter.empty
            required += [] if has_default or field.name in required else [field.name]
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
        schema.setdefault("additionalProperties", False)
    return {**schema, "properties": properties, "required": [name for name in required if name in properties]}


def _field_schema(field: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    from musterd.declare.signature import schema_writer

    schema = TypeAdapter(field.field_type).json_schema(schema_generator=schema_writer())
    return {**schema, "description": field.description} if field.description else schema


# --- calls ------------------------------------------------------------------------------------------


def _without_entrypoint(name: str) -> Callable[..., Any]:
    def call(arguments: dict[str, Any], context: ToolContext) -> Any:
        raise ToolFailed(f"{name} has no function: its calls are executed by the client.")

    return call


def _caller(function: Any, owner: Any) -> Callable[..., Any]:
    """The function of a tool: it takes the arguments and the context of a call."""
    entrypoint, injected = function.entrypoint, _injected(function.entrypoint)

    async def call_async(arguments: dict[str, Any], context: ToolContext) -> Any:
        values = _values(function, arguments, context, owner, injected.values())
        with _in_run(values, context, entrypoint):
            result = entrypoint(**_named(injected, values), **arguments)
            while inspect.isawaitable(result):  # @tool wraps an async generator in a coroutine
                result = await result
            if isinstance(result, AsyncIterator):
                result = "".join([_piece(item, context) async for item in result])
        return _result(result)

    def call(arguments: dict[str, Any], context: ToolContext) -> Any:
        values = _values(function, arguments, context, owner, injected.values())
        with _in_run(values, context, entrypoint):
            result = entrypoint(**_named(injected, values), **arguments)
            if isinstance(result, Iterator):
                result = "".join([_piece(item, context) for item in result])
        return _result(result)

    is_async = inspect.iscoroutinefunction(entrypoint) or inspect.isasyncgenfunction(entrypoint)
    return call_async if is_async else call


@contextlib.contextmanager
def _in_run(values: Mapping[str, Any], context: ToolContext, entrypoint: Callable[..., Any]) -> Iterator[None]:
    """Run a function: the session state has the ids of the run, and Agno's exceptions become those of musterd."""
    with IdsInState(context):
        try:
            yield
        except Exception as error:
            raise _translated(error, entrypoint) from error
        finally:
            take_over(getattr(values.get("run_context"), "session_state", None), context)


def _injected(entrypoint: Callable[..., Any]) -> dict[str, str]:
    """The parameters that Agno fills: by their names, and by their types if these are ``Agent`` or ``Team``."""
    injected = {name: name for name in inspect.signature(entrypoint).parameters if name in _INJECTED}
    try:
        hints = typing.get_type_hints(entrypoint)
    except (NameError, TypeError):  # names that are imported for type checkers only
        hints = {}
    for name, hint in hints.items():
        classes = {cls.__name__ for cls in getattr(hint, "__mro__", ()) if cls.__module__.startswith("agno.")}
        if name not in injected and (role := classes & {"Agent", "Team"}):
            injected[name] = role.pop().lower()
    return injected


def _named(injected: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {parameter: values[value] for parameter, value in injected.items()}


def _values(function: Any, arguments: dict[str, Any], context: ToolContext, owner: Any, names: Any) -> dict[str, Any]:
    """The values that Agno fills in, of which only those in ``names`` are created."""
    is_team = any(cls.__name__ == "Team" for cls in type(owner).__mro__)
    values = {"agent": None if is_team else owner, "team": owner if is_team else None}
    if "run_context" in names:
        values["run_context"] = run_context(context)
    if "fc" in names:
        from agno.tools.function import FunctionCall

        values["fc"] = FunctionCall(function=function, arguments=arguments, call_id=context.tool_call_id)
    for name in MEDIA.keys() & set(names):  # those of the request
        values[name] = agno_media(name, context.media.get("audio" if name == "audios" else name, []))
    return values


def run_context(context: RunContext) -> Any:
    """Agno's context of a run, with the session state of ``context``."""
    from agno.run.base import RunContext as AgnoContext

    return AgnoContext(
        run_id=context.run_id,
        session_id=context.session_id,
        user_id=context.user_id,
        session_state=context.session_state,
        dependencies=context.dependencies,
        metadata=context.metadata,
    )


def _piece(item: Any, context: ToolContext) -> str:
    """One item that a function yields: an event becomes a report of its progress, anything else text of the result."""
    names = {cls.__name__ for cls in type(item).__mro__ if cls.__module__.startswith("agno.run.")}
    if "CustomEvent" in names:
        own = {name: value for name, value in vars(item).items() if name not in _event_fields(type(item))}
        context.progress(str(own.pop("content", None) or ""), **own)
        return ""
    if names:  # an event of another agent's run, of which the text counts
        content = item.content if names & {"RunContentEvent", "TeamRunContentEvent"} else None
        return str(content or "")
    return str(item)


def _event_fields(cls: type) -> set[str]:
    """The fields that all of Agno's events have; musterd sets them itself."""
    bases = [base for base in cls.__mro__ if base.__module__.startswith("agno.")]
    names = {name for base in bases for name in getattr(base, "__dataclass_fields__", {})}
    return names - {"content"}


def _result(result: Any) -> Any:
    if any((cls.__module__, cls.__name__) == ("agno.tools.function", "ToolResult") for cls in type(result).__mro__):
        media = {name: tuple(musterd_media(getattr(result, name)) or ()) for name in MEDIA}
        return ToolResult(content=result.content, **media)
    return result


def _translated(error: Exception, entrypoint: Callable[..., Any]) -> Exception:
    """Exceptions of Agno that tell the model something, and those about wrong arguments, as those of musterd."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError) and error.title == getattr(entrypoint, "__qualname__", ""):
        return wrong_arguments(error)
    return translated_exit(error)


def translated_exit(error: Exception) -> Exception:
    """An exception of Agno that tells the model something, as one of musterd; any other exception unchanged."""
    names = {cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "agno.exceptions"}
    if "AgentRunException" not in names:
        return error
    messages = (error, getattr(error, "agent_message", None), getattr(error, "user_message", None))
    texts = [str(getattr(message, "content", message)) for message in messages if message]
    text = "\n".join(dict.fromkeys(texts))
    cls = StopRun if "StopAgentRun" in names else RetryTool if "RetryAgentRun" in names else ToolFailed
    translated = cls(text)
    translated.keeps_state = True
    return translated
