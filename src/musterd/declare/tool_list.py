"""What stands in ``tools=``: tools that are known at once, and those that a run learns of when it begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.declare.mcp_server import MCPServer
from musterd.declare.problems import noted
from musterd.declare.source_location import Place, wrong
from musterd.declare.toolkit import Toolkit, tools_in
from musterd.declare.tools import Tool


@dataclass(frozen=True, kw_only=True, eq=False)
class ToolFactory:
    """A function that gives the tools of a run: ``tools=function`` in place of a list.

    :param function: takes a :class:`musterd.ToolContext` called ``context``, or nothing; gives what may stand in
        ``tools=``.
    """

    function: Callable[..., Any]


ToolSource = MCPServer | ToolFactory
"""Where a run gets tools from when it begins."""


@dataclass(frozen=True, kw_only=True)
class ToolList:
    """What was declared, by when it is known.

    :param instructions: how to use the tools, each text once.
    """

    tools: tuple[Tool, ...]
    sources: tuple[ToolSource, ...]
    instructions: tuple[str, ...]


def read_tools(declared: Sequence[Any] | Callable[..., Any], label: str, place: Place) -> ToolList:
    """What the component called ``label`` has in ``tools=``.

    Notes a problem for everything there that is no tool, and leaves it out.
    """
    if callable(declared):
        factories: list[ToolSource] = []
        with noted(place):
            factories.append(_factory(declared, label, place))
        return ToolList(tools=(), sources=tuple(factories), instructions=())
    tools: list[Tool] = []
    told: list[str | None] = []
    sources: list[ToolSource] = []
    for given in declared:
        if isinstance(given, MCPServer):
            sources.append(given)
            told.append(given.instructions)
            continue
        found: list[Tool] = []
        with noted(place):
            found = tools_in(given, label, place)
        tools += found
        told.append(getattr(given, "instructions", None) if _is_toolkit(given) else None)
        told += [tool.instructions for tool in found]
    return ToolList(tools=tuple(tools), sources=tuple(sources), instructions=_each_once(told))


def _factory(function: Callable[..., Any], label: str, place: Place) -> ToolFactory:
    takes = [name for name in inspect.signature(function).parameters if name != "context"]
    if takes:
        name = getattr(function, "__name__", "it")
        what = f"{label}: 'tools' is a function that takes '{takes[0]}'"
        raise wrong(place, what, f"list it: tools=[{name}]; one that gives a run's tools takes `context` or nothing")
    return ToolFactory(function=function)


def _is_toolkit(given: Any) -> bool:
    return isinstance(given, Toolkit) or (isinstance(given, type) and issubclass(given, Toolkit))


def _each_once(texts: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts if text and text.strip()))
