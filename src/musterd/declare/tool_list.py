"""Reads ``tools=``: tools that are known immediately, and sources that a run asks for tools when it starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.declare.library_tools import tools_per_run
from musterd.declare.mcp_server import MCPServer
from musterd.declare.problems import noting_problems
from musterd.declare.source_location import Place, declaration_error
from musterd.declare.toolkit import Toolkit, toolkit_named, tools_in
from musterd.declare.tools import Tool


@dataclass(frozen=True, kw_only=True, eq=False)
class ToolFactory:
    """A function that returns the tools of a run: ``tools=function`` instead of a list.

    :param function: takes a :class:`musterd.ToolContext` named ``context``, or no parameter. Returns a list as for
        ``tools=``.
    """

    function: Callable[..., Any]


ToolSource = MCPServer | ToolFactory
"""A source that a run asks for tools when it starts."""


@dataclass(frozen=True, kw_only=True)
class ToolList:
    """The entries of ``tools=``.

    :param instructions: how to use the tools, without duplicates.
    """

    tools: tuple[Tool, ...]
    sources: tuple[ToolSource, ...]
    instructions: tuple[str, ...]


def read_tools(declared: Sequence[Any] | Callable[..., Any], label: str, place: Place) -> ToolList:
    """Read ``tools=`` of the component ``label``.

    A problem is noted for each entry that is not a tool, and the entry is left out.
    """
    if callable(declared):
        factories: list[ToolSource] = []
        with noting_problems(place):
            factories.append(_factory(declared, label, place))
        return ToolList(tools=(), sources=tuple(factories), instructions=())
    tools: list[Tool] = []
    instructions: list[str | None] = []
    sources: list[ToolSource] = []
    for entry in declared:
        if isinstance(entry, MCPServer):
            sources.append(entry)
            instructions.append(entry.instructions)
            continue
        entry_tools: list[Tool] = []
        with noting_problems(place):
            if isinstance(entry, str):
                entry = toolkit_named(entry, label, place)
            if (per_run := tools_per_run(entry, label, place)) is not None:
                sources.append(ToolFactory(function=per_run))
            else:
                entry_tools = tools_in(entry, label, place)
        tools += entry_tools
        instructions.append(getattr(entry, "instructions", None) if _is_toolkit(entry) else None)
        instructions += [tool.instructions for tool in entry_tools]
    return ToolList(tools=tuple(tools), sources=tuple(sources), instructions=_distinct(instructions))


def _factory(function: Callable[..., Any], label: str, place: Place) -> ToolFactory:
    extra_parameters = [name for name in inspect.signature(function).parameters if name != "context"]
    if extra_parameters:
        name = getattr(function, "__name__", "it")
        problem = f"{label}: 'tools' is a function that takes '{extra_parameters[0]}'"
        raise declaration_error(
            place, problem, f"list it: tools=[{name}]; a function that returns tools takes `context` or no parameter"
        )
    return ToolFactory(function=function)


def _is_toolkit(entry: Any) -> bool:
    return isinstance(entry, Toolkit) or (isinstance(entry, type) and issubclass(entry, Toolkit))


def _distinct(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts if text and text.strip()))
