"""Toolkits: groups of tools, such as the public methods of an object."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import musterd
from musterd.core.suggestions import closest_match
from musterd.declare.library_tools import library_tools
from musterd.declare.problems import is_faulty, note, noting_problems
from musterd.declare.removed_options import REMOVED_OF_TOOLKITS
from musterd.declare.source_location import (
    Place,
    current_place,
    declaration_error,
    describe_type,
    fix_for_unknown,
    quoted_list,
)
from musterd.declare.tool_methods import MethodTool
from musterd.declare.tools import Tool, as_tool

TOOLKITS = {"schedules": "SchedulerTools"}
"""The toolkits that can be listed by name in ``tools=``, with their classes in :mod:`musterd`."""

# Methods that a class inherits from these modules are not tools.
_LIBRARY_MODULES = frozenset({"abc", "builtins", "enum", "pydantic", "typing"})
_OTHER_FRAMEWORKS = frozenset({"agno", "pydantic_ai"})


# Options that list tools of a toolkit, and the flag that each sets on them.
_FLAG_LISTS = {
    "requires_confirmation_tools": "requires_confirmation",
    "external_execution_required_tools": "external_execution",
    "stop_after_tool_call_tools": "stop_after_tool_call",
    "show_result_tools": "show_result",
}


class ToolkitOptions(TypedDict, total=False):
    """The options of :class:`Toolkit`."""

    name: str | None
    tools: Sequence[Any] | None
    instructions: str | None
    include_tools: Sequence[str] | None
    exclude_tools: Sequence[str] | None
    tool_name_prefix: str | None
    requires_confirmation_tools: Sequence[str] | None
    external_execution_required_tools: Sequence[str] | None
    stop_after_tool_call_tools: Sequence[str] | None
    show_result_tools: Sequence[str] | None


class Toolkit:
    """A group of tools: those in ``tools``, or the public methods of a subclass.

    An object of any other class in ``tools=`` of an agent or team is treated as ``Toolkit(tools=[thing])``.

    :param name: its name in messages; default: the name of the class.
    :param tools: functions, tools, and objects whose public methods are tools.
    :param instructions: how to use the tools; added to the system message of agents and teams that have them.
    :param include_tools: the names of the tools to include; default: all. An empty list includes none.
    :param exclude_tools: the names of the tools to leave out.
    :param tool_name_prefix: a prefix for the name of each tool, separated by an underscore.
    :param requires_confirmation_tools: the names of the tools with ``requires_confirmation``.
    :param external_execution_required_tools: the names of the tools with ``external_execution``.
    :param stop_after_tool_call_tools: the names of the tools with ``stop_after_tool_call``.
    :param show_result_tools: the names of the tools with ``show_result``.
    :raises DeclarationError: an option is unknown.
    """

    name: str | None = None
    tools: Sequence[Any] | None = None
    instructions: str | None = None
    include_tools: Sequence[str] | None = None
    exclude_tools: Sequence[str] | None = None
    tool_name_prefix: str | None = None
    requires_confirmation_tools: Sequence[str] | None = None
    external_execution_required_tools: Sequence[str] | None = None
    stop_after_tool_call_tools: Sequence[str] | None = None
    show_result_tools: Sequence[str] | None = None

    def __init__(self, **options: Unpack[ToolkitOptions]) -> None:
        for option, value in options.items():
            if option not in ToolkitOptions.__annotations__:
                fix = fix_for_unknown(option, ToolkitOptions.__annotations__, REMOVED_OF_TOOLKITS)
                note(declaration_error(current_place(), f"a toolkit has no option '{option}'", fix))
            elif value is not None:  # None keeps the value of the class
                setattr(self, option, value)


def toolkit_named(name: str, label: str, place: Place) -> Any:
    """The toolkit that ``tools=`` of the component ``label`` lists by name.

    :raises DeclarationError: there is none.
    """
    if name not in TOOLKITS:
        suggestion = closest_match(name, TOOLKITS)
        fix = f"did you mean '{suggestion}'?" if suggestion else f"the toolkits with names are {quoted_list(TOOLKITS)}"
        raise declaration_error(place, f"{label}: there is no toolkit '{name}'", fix)
    return getattr(musterd, TOOLKITS[name])()


def tools_in(entry: Any, label: str, place: Place) -> list[Tool]:
    """The tools of one entry of ``tools=`` of the component ``label``.

    :raises DeclarationError: the entry is not a tool and has no public methods.
    """
    owner = _instantiate(entry, label, place) if inspect.isclass(entry) else entry
    if (of_library := library_tools(owner, label, place)) is not None:
        return of_library
    if isinstance(entry, Tool | MethodTool) or (callable(entry) and not inspect.isclass(entry)):
        return [as_tool(entry, place)]
    root = type(owner).__module__.partition(".")[0]
    if root in _OTHER_FRAMEWORKS:
        problem = f"{label}: a tool is {describe_type(owner)}"
        raise declaration_error(
            place, problem, "list functions, objects with public methods, Toolkit(…) or MCPServer(…)"
        )
    if isinstance(owner, Toolkit):
        return _toolkit_tools(owner, label, place)
    tools = [] if root in _LIBRARY_MODULES else list(_public_methods(owner, place))
    if not tools:
        problem = f"{label}: a tool is {describe_type(owner)}, which has no public methods"
        raise declaration_error(
            place, problem, "list functions, objects with public methods, Toolkit(…) or MCPServer(…)"
        )
    return tools


def _instantiate(cls: type, label: str, place: Place) -> object:
    try:
        inspect.signature(cls).bind()
    except (TypeError, ValueError) as error:
        problem = f"{label}: a tool is the class {cls.__name__}, which needs arguments ({error})"
        raise declaration_error(place, problem, f"list an object of it: tools=[{cls.__name__}(…)]") from error
    instance: object = cls()
    return instance


def _toolkit_tools(kit: Toolkit, label: str, place: Place) -> list[Tool]:
    """The included tools of a toolkit, with its prefix and flags."""
    kit_label = f"{label}: toolkit '{kit.name or type(kit).__name__}'"
    if kit.tools is None:
        tools = list(_public_methods(kit, place))
    else:
        tools = []
        for entry in kit.tools:
            with noting_problems(place):
                tools += tools_in(entry, label, place)
    if not tools and not is_faulty(place):
        raise declaration_error(place, f"{kit_label} has no tools", "add tools=[…] or public methods")
    names = [tool.name for tool in tools]
    for option in ("include_tools", "exclude_tools", *_FLAG_LISTS):
        for name in getattr(kit, option) or ():
            if name not in names and not is_faulty(place):
                suggestion = closest_match(name, names)
                fix = f"did you mean '{suggestion}'?" if suggestion else f"it has {quoted_list(names)}"
                note(declaration_error(place, f"{kit_label}: {option} names '{name}'", fix))
    return [
        _with_kit_options(kit, tool)
        for tool in tools
        if (kit.include_tools is None or tool.name in kit.include_tools) and tool.name not in (kit.exclude_tools or ())
    ]


def _with_kit_options(kit: Toolkit, tool: Tool) -> Tool:
    changes: dict[str, Any] = {
        flag: True for names, flag in _FLAG_LISTS.items() if tool.name in (getattr(kit, names) or ())
    }
    if kit.tool_name_prefix:
        changes["name"] = f"{kit.tool_name_prefix}_{tool.name}"
    return replace(tool, **changes) if changes else tool


def _public_methods(owner: object, place: Place) -> Iterator[Tool]:
    """The public methods of an object as tools: inherited ones first, in the order of their definition."""
    attributes: dict[str, Any] = {}
    for cls in reversed(type(owner).__mro__):
        if cls is not Toolkit and cls.__module__.partition(".")[0] not in _LIBRARY_MODULES:
            attributes.update(vars(cls))
    for name, value in attributes.items():
        if name.startswith("_"):
            continue
        if isinstance(value, MethodTool):
            yield value.bound_to(owner)
        elif isinstance(value, Tool | classmethod | staticmethod) or inspect.isfunction(value):
            yield as_tool(getattr(owner, name), place)
