"""Tools that belong together: the public methods of an object."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from musterd.declare.problems import is_faulty, note, noted
from musterd.declare.source_location import Place, cure_of, here, kind_of, listed, nearest, wrong
from musterd.declare.tool_methods import MethodTool
from musterd.declare.tools import Tool, as_tool
from musterd.declare.unsupported import REMOVED_OF_TOOLKITS

# What libraries give a class is not what its author wrote for a model.
_NOT_FOR_MODELS = frozenset({"abc", "builtins", "enum", "pydantic", "typing"})
_FOREIGN = frozenset({"agno", "pydantic_ai"})


# Lists of a toolkit's tools, and what each says of them.
_FLAGS = {
    "requires_confirmation_tools": "requires_confirmation",
    "external_execution_required_tools": "external_execution",
    "stop_after_tool_call_tools": "stop_after_tool_call",
    "show_result_tools": "show_result",
}


class ToolkitOptions(TypedDict, total=False):
    """What :class:`Toolkit` takes."""

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
    """Tools that belong together: those given, or the public methods of the class that is made from this one.

    An object of any other class in ``tools=`` counts as ``Toolkit(tools=[thing])``.

    :param name: what messages call it; default: the class's name.
    :param tools: functions, tools, and objects whose public methods are tools.
    :param instructions: how to use the tools: part of the system message of whoever has them.
    :param include_tools: the names of the tools that count; none: all.
    :param exclude_tools: the names of tools that do not count.
    :param tool_name_prefix: stands before each tool's name, with an underscore.
    :param requires_confirmation_tools: the names of tools that have ``requires_confirmation``.
    :param external_execution_required_tools: the names of tools that have ``external_execution``.
    :param stop_after_tool_call_tools: the names of tools that have ``stop_after_tool_call``.
    :param show_result_tools: the names of tools that have ``show_result``.
    :raises DeclarationError: it has no such option.
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
                cure = cure_of(option, ToolkitOptions.__annotations__, REMOVED_OF_TOOLKITS)
                note(wrong(here(), f"a toolkit has no option '{option}'", cure))
            elif value is not None:  # else what the class says
                setattr(self, option, value)


def tools_in(given: Any, label: str, place: Place) -> list[Tool]:
    """The tools of what stands in ``tools=`` of the component called ``label``.

    :raises DeclarationError: it is no tool and has none.
    """
    if isinstance(given, Tool | MethodTool) or (callable(given) and not inspect.isclass(given)):
        return [as_tool(given, place)]
    owner = _made(given, label, place) if inspect.isclass(given) else given
    root = type(owner).__module__.partition(".")[0]
    if root in _FOREIGN:
        what = f"{label}: a tool is {kind_of(owner)}"
        raise wrong(place, what, "list functions, objects with public methods, Toolkit(…) or MCPServer(…)")
    if isinstance(owner, Toolkit):
        return _kept(owner, label, place)
    found = [] if root in _NOT_FOR_MODELS else list(_public_methods(owner, place))
    if not found:
        what = f"{label}: a tool is {kind_of(owner)}, which has no public methods"
        raise wrong(place, what, "list functions, objects with public methods, Toolkit(…) or MCPServer(…)")
    return found


def _made(cls: type, label: str, place: Place) -> object:
    try:
        inspect.signature(cls).bind()
    except (TypeError, ValueError) as error:
        what = f"{label}: a tool is the class {cls.__name__}, which needs arguments ({error})"
        raise wrong(place, what, f"list an object of it: tools=[{cls.__name__}(…)]") from error
    made: object = cls()
    return made


def _kept(kit: Toolkit, label: str, place: Place) -> list[Tool]:
    """The tools of a toolkit that count, under their names."""
    known_as = f"{label}: toolkit '{kit.name or type(kit).__name__}'"
    if kit.tools is None:
        found = list(_public_methods(kit, place))
    else:
        found = []
        for given in kit.tools:
            with noted(place):
                found += tools_in(given, label, place)
    if not found and not is_faulty(place):
        raise wrong(place, f"{known_as} has no tools", "give it tools=[…], or public methods")
    names = [tool.name for tool in found]
    for option in ("include_tools", "exclude_tools", *_FLAGS):
        for name in getattr(kit, option) or ():
            if name not in names and not is_faulty(place):
                meant = nearest(name, names)
                cure = f"did you mean '{meant}'?" if meant else f"it has {listed(names)}"
                note(wrong(place, f"{known_as}: {option} names '{name}'", cure))
    return [
        _as_kit_says(kit, tool)
        for tool in found
        if (not kit.include_tools or tool.name in kit.include_tools) and tool.name not in (kit.exclude_tools or ())
    ]


def _as_kit_says(kit: Toolkit, tool: Tool) -> Tool:
    changed: dict[str, Any] = {flag: True for names, flag in _FLAGS.items() if tool.name in (getattr(kit, names) or ())}
    if kit.tool_name_prefix:
        changed["name"] = f"{kit.tool_name_prefix}_{tool.name}"
    return replace(tool, **changed) if changed else tool


def _public_methods(owner: object, place: Place) -> Iterator[Tool]:
    """The public methods of an object as tools: inherited ones first, in the order in which they are written."""
    written: dict[str, Any] = {}
    for cls in reversed(type(owner).__mro__):
        if cls is not Toolkit and cls.__module__.partition(".")[0] not in _NOT_FOR_MODELS:
            written.update(vars(cls))
    for name, value in written.items():
        if name.startswith("_"):
            continue
        if isinstance(value, MethodTool):
            yield value.bound_to(owner)
        elif isinstance(value, Tool | classmethod | staticmethod) or inspect.isfunction(value):
            yield as_tool(getattr(owner, name), place)
