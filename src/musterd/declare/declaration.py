"""The declaration of an agent or a team: its options and their validation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from musterd.core.knowledge_filters import FilterInvalid, parse_filters
from musterd.core.suggestions import closest_match
from musterd.declare.component_options import ComponentOptions
from musterd.declare.hooks import check_hooks
from musterd.declare.options import check_values
from musterd.declare.problems import is_faulty, note, noting_problems
from musterd.declare.removed_options import REMOVED
from musterd.declare.run_context import RETRIEVER_PARAMETERS, check_callable
from musterd.declare.source_location import Place, current_place, declaration_error
from musterd.declare.tool_choice import read_tool_choice
from musterd.declare.tool_list import ToolSource, read_tools
from musterd.declare.tools import Tool

# The names of built-in tools of the loop.
_DELEGATION_TOOLS = frozenset({"delegate_task_to_member", "delegate_task_to_members"})

_ID_PATTERN = re.compile(r"[^\s/?#\\\x00-\x1f\x7f]+( [^\s/?#\\\x00-\x1f\x7f]+)*")
_MAX_ID_LENGTH = 200


def id_from_name(name: str) -> str:
    """The id that is derived from a name. Agno derives the same, so URLs stay the same after porting."""
    return name.lower().replace(" ", "-").replace("_", "-")


def checked_id(component_id: str, label: str, place: Place) -> str:
    """Return ``component_id``.

    :param label: the declaration as error messages name it.
    :raises DeclarationError: it cannot be part of a URL.
    """
    if not _ID_PATTERN.fullmatch(component_id) or component_id in (".", "..") or len(component_id) > _MAX_ID_LENGTH:
        fix = f"set id= to letters, digits, '-', '_' and '.', at most {_MAX_ID_LENGTH}"
        is_short = len(component_id) <= _MAX_ID_LENGTH
        description = repr(component_id) if is_short else f"of {len(component_id)} characters"
        raise declaration_error(place, f"{label}: the id {description} cannot be part of a URL", fix)
    return component_id


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Declaration(ComponentOptions):
    """The declaration of an agent or a team."""

    removed = REMOVED

    declared_at: Place = field(default_factory=current_place, init=False)
    tool_sources: tuple[ToolSource, ...] = field(default=(), init=False)
    tool_instructions: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Check the values and convert them to their final form."""
        check_values(self, self.label, self.declared_at)
        with noting_problems(self.declared_at):
            if component_id := self.id or id_from_name(self.name or ""):
                self.assign_id(component_id)
        with noting_problems(self.declared_at):
            self._check_prompt()
        with noting_problems(self.declared_at):
            self._check_knowledge()
        if isinstance(self.instructions, list):
            self._set("instructions", tuple(self.instructions))
        tool_list = read_tools(self.tools, self.label, self.declared_at)
        self._set("tools", tool_list.tools)
        self._set("tool_sources", tool_list.sources)
        self._set("tool_instructions", tool_list.instructions)
        with noting_problems(self.declared_at):
            self._check_tools(self.reserved_tool_names)
        for hooks, subject in ((self.pre_hooks, "run_input"), (self.post_hooks, "run_output")):
            with noting_problems(self.declared_at):
                check_hooks(hooks or (), subject, self.label, self.kind, self.declared_at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    @property
    def label(self) -> str:
        """The declaration as error messages name it: "agent 'writer'"."""
        component_id = self.id or self.name
        return f"{self.kind} '{component_id}'" if component_id else f"this {self.kind}"

    @property
    def reserved_tool_names(self) -> frozenset[str]:
        """Names that its tools must not have."""
        return _DELEGATION_TOOLS | self.added_tool_names

    @property
    def listed_tools(self) -> tuple[Tool, ...]:
        """The tools that are known before a run begins."""
        tools = () if callable(self.tools) else self.tools
        return tuple(tool for tool in tools if isinstance(tool, Tool))

    def assign_id(self, component_id: str) -> None:
        """Set the id: the declared one, or a default for a declaration without id and name.

        :raises DeclarationError: it cannot be part of a URL.
        """
        self._set("id", checked_id(component_id, self.label, self.declared_at))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_prompt(self) -> None:
        """Check the parameters of functions and the time zone, which a kind of option cannot check.

        :raises DeclarationError: a function has an unknown parameter, or the time zone does not exist.
        """
        functions = {"system_message": self.system_message, "instructions": self.instructions}
        functions.update({f"dependencies[{name!r}]": value for name, value in (self.dependencies or {}).items()})
        for name, function in functions.items():
            if callable(function):
                check_callable(function, f"{self.label}: the function in {name}", self.declared_at)
        if self.timezone_identifier is not None:
            _check_zone(self.timezone_identifier, self.label, self.declared_at)

    def _check_knowledge(self) -> None:
        """Check the filters and the retriever, and that the options have something to search.

        :raises DeclarationError: one of them is wrong.
        """
        if self.knowledge_filters is not None:
            self._set("knowledge_filters", _filters_as_json(self.knowledge_filters))
            try:
                parse_filters(self.knowledge_filters)
            except FilterInvalid as error:
                problem = f"{self.label}: knowledge_filters is not valid"
                raise declaration_error(self.declared_at, problem, str(error).removesuffix(".")) from error
        if self.knowledge_retriever is not None:
            label = f"{self.label}: the function in knowledge_retriever"
            check_callable(self.knowledge_retriever, label, self.declared_at, RETRIEVER_PARAMETERS)
        if is_faulty(self.declared_at):
            return
        needs = {
            "add_knowledge_to_context": self.can_search,
            "enable_agentic_knowledge_filters": self.can_search,
            "update_knowledge": self.knowledge is not None,
        }
        for name, is_possible in needs.items():
            if getattr(self, name) and not is_possible:
                problem = f"{self.label} sets {name} and has no knowledge base"
                raise declaration_error(self.declared_at, problem, "set knowledge=Knowledge(…)")

    def _check_tools(self, reserved: frozenset[str]) -> None:
        names: set[str] = set()
        for tool in self.listed_tools:
            if tool.name in reserved:
                problem = f"{self.label}: the tool name '{tool.name}' is reserved by musterd"
                note(
                    declaration_error(tool.declared_at, problem, 'choose another name: @tool(name="…")'),
                    self.declared_at,
                )
            if tool.name in names:
                problem = f"{self.label} has two tools named '{tool.name}'"
                note(
                    declaration_error(tool.declared_at, problem, 'list it once or rename one: @tool(name="…")'),
                    self.declared_at,
                )
            names.add(tool.name)
        self._check_tool_choice({*names, *reserved})

    def _check_tool_choice(self, names: set[str]) -> None:
        """Reject a ``tool_choice`` that looks like a misspelt tool name.

        Other unknown names are accepted, because tool sources and functions add tools when a run starts.
        """
        choice = read_tool_choice(self.tool_choice)
        if choice is None or choice in ("auto", "none", "required") or choice in names or is_faulty(self.declared_at):
            return
        if suggestion := closest_match(choice, names):
            problem = f"{self.label}: tool_choice names '{choice}', which is not one of its tools"
            raise declaration_error(self.declared_at, problem, f"did you mean '{suggestion}'?")


def _filters_as_json(filters: Any) -> Any:
    """The filters of a declaration with expressions of Python as JSON."""
    if isinstance(filters, list | tuple):
        return [_filters_as_json(item) for item in filters]
    return filters.to_dict() if hasattr(filters, "to_dict") else filters


def _check_zone(name: str, label: str, place: Place) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        fix = (
            "use an IANA name like 'Europe/Berlin'; install the package tzdata if the system has no time zone database"
        )
        raise declaration_error(place, f"{label}: unknown time zone '{name}'", fix) from error
