"""The tools of agents and teams in a file of Agno."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from musterd.agno.functions import with_agno_values
from musterd.agno.mcp_tools import mcp_servers
from musterd.declare import Tool, ToolContext
from musterd.declare.library_tools.agno_state import IdsInState
from musterd.declare.library_tools.agno_tools import function_tool, run_context, toolkit_tools
from musterd.declare.problems import noting_problems
from musterd.declare.source_location import Place, declaration_error, describe_type


def converted_tools(
    tools: Any, owner: Any, label: str, place: Place, retry_safe: Collection[str]
) -> list[Any] | Callable[..., Any]:
    """``tools=`` for musterd. A problem is noted for each entry that cannot be used.

    :param owner: Agno's agent or team that has the tools.
    :param retry_safe: the names of those that may be called again after a crash.
    """
    if callable(tools) and not isinstance(tools, Sequence):
        return _factory(tools, owner, label, place, retry_safe)
    converted: list[Any] = []
    for entry in tools or ():
        with noting_problems(place):
            converted += _entry(entry, owner, label, place)
    return [
        replace(tool, retry_safe=True) if isinstance(tool, Tool) and tool.name in retry_safe else tool
        for tool in _first_of_each_name(converted)
    ]


def with_tools(tools: Sequence[Any] | Callable[..., Any], added: list[Any]) -> list[Any] | Callable[..., Any]:
    """Add tools to ``tools``, which is a list or the function of :func:`converted_tools`."""
    if not callable(tools):
        return _first_of_each_name([*tools, *added])
    declared_tools = tools

    async def tools_of_run(context: ToolContext) -> list[Any]:
        return _first_of_each_name([*await declared_tools(context), *added])

    return tools_of_run


def _factory(
    function: Callable[..., Any], owner: Any, label: str, place: Place, retry_safe: Collection[str]
) -> Callable[..., Any]:
    """The function that returns the tools of a run, from Agno's function for the same."""
    import inspect

    parameters = inspect.signature(function).parameters

    async def tools_of_run(context: ToolContext) -> list[Any]:
        values = {"agent": owner, "team": owner, "session_state": context.session_state}
        values["run_context"] = run_context(context)
        with IdsInState(context):
            returned = function(**{name: values[name] for name in parameters if name in values})
            if inspect.isawaitable(returned):
                returned = await returned
        tools = converted_tools(list(returned or ()), owner, label, place, retry_safe)
        assert isinstance(tools, list)
        return tools

    return tools_of_run


def _entry(entry: Any, owner: Any, label: str, place: Place) -> list[Any]:
    names = {cls.__name__ for cls in type(entry).__mro__}
    if isinstance(entry, dict):
        problem = f"{label}: a tool is the provider's own ({entry.get('type', 'a dict')})"
        raise declaration_error(place, problem, "list a function or an MCP server instead")
    if names & {"MCPTools", "MultiMCPTools"}:
        return [*mcp_servers(entry, label, place)]
    if "Toolkit" in names:
        return toolkit_tools(entry, label, place, lambda function: _function(function, owner, place))
    if "Function" in names:
        return [_function(entry, owner, place)]
    if callable(entry):
        from agno.tools.function import Function

        function = Function.from_callable(entry)
        function.approval_type = getattr(entry, "_agno_approval_type", None)
        return [_function(function, owner, place)]
    problem = f"{label}: a tool is {describe_type(entry)}"
    raise declaration_error(place, problem, "list functions and toolkits")


def _function(function: Any, owner: Any, place: Place) -> Tool:
    if owner.tool_hooks is not None:  # those of the agent take the place of the function's own
        function = function.model_copy(deep=True)
        function.tool_hooks = None
    return function_tool(function, place, owner, lambda hook: with_agno_values(hook, owner))


def _first_of_each_name(tools: Iterable[Any]) -> list[Any]:
    """The tools without those whose name an earlier one has, which Agno ignores too."""
    kept: list[Any] = []
    names: set[str] = set()
    for tool in tools:
        if isinstance(tool, Tool):
            if tool.name in names:
                continue
            names.add(tool.name)
        kept.append(tool)
    return kept
