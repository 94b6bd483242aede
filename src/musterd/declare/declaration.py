"""The options that agents and teams have in common, and their validation."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from musterd.declare.budget import Budget
from musterd.declare.hook_options import GuardOptions
from musterd.declare.hooks import check_hooks
from musterd.declare.knowledge_options import KnowledgeOptions
from musterd.declare.options import (
    COUNT,
    FLAG,
    MODEL,
    OBJECT,
    ON_UNKNOWN,
    POSITIVE,
    SCHEMA,
    TEXT,
    TEXTS,
    TOOLS,
    Declared,
    Kind,
    about,
    check_values,
)
from musterd.declare.output_options import AnswerOptions
from musterd.declare.problems import is_faulty, note, noting_problems
from musterd.declare.prompt_options import PromptOptions
from musterd.declare.reasoning_options import ReasoningOptions
from musterd.declare.session_options import SessionOptions
from musterd.declare.source_location import Place, closest_match, current_place, declaration_error
from musterd.declare.tool_list import ToolSource, read_tools
from musterd.declare.tool_options import ToolCallOptions, read_tool_choice
from musterd.declare.tools import Tool
from musterd.declare.unsupported import REMOVED

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_ai.models import Model

# The names of built-in tools of the loop.
_DELEGATION_TOOLS = frozenset({"delegate_task_to_member", "delegate_task_to_members"})

_BUDGET = Kind(words="a Budget(…)", accepts=lambda value: isinstance(value, Budget))
_INSTRUCTIONS = Kind(
    words="a text or a list of texts, or a function that gives one",
    accepts=lambda value: TEXTS.accepts(value) or callable(value),
    yaml=TEXTS.yaml,
)
_ID_PATTERN = re.compile(r"[^\s/?#\\\x00-\x1f\x7f]+( [^\s/?#\\\x00-\x1f\x7f]+)*")
_MAX_ID_LENGTH = 200


def id_from_name(name: str) -> str:
    """The id that is derived from a name. Agno derives the same, so URLs stay the same after porting."""
    return name.lower().replace(" ", "-").replace("_", "-")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Declaration(
    PromptOptions,
    SessionOptions,
    KnowledgeOptions,
    AnswerOptions,
    ToolCallOptions,
    GuardOptions,
    ReasoningOptions,
    Declared,
):
    """The declaration of an agent or a team."""

    removed = REMOVED

    id: str = field(
        default="",
        metadata=about(
            TEXT, "Names it in addresses and delegations; by default made from `name`, or without one from its place."
        ),
    )
    name: str | None = field(default=None, metadata=about(TEXT, "Its name for people; without one its id."))
    role: str | None = field(default=None, metadata=about(TEXT, "What it is for: its leader chooses by this."))
    description: str | None = field(default=None, metadata=about(TEXT, "Who it is: the first thing its model is told."))
    instructions: str | Sequence[str] | Callable[..., Any] | None = field(
        default=None,
        metadata=about(_INSTRUCTIONS, "What its model is told to do; in Python also a function that gives it."),
    )
    model: str | Model | None = field(
        default=None,
        metadata=about(
            MODEL,
            "`provider:name`, `local` or `scripted`, in Python also a pydantic-ai Model; else its leader's.",
        ),
    )
    tools: Any = field(
        default=(),
        metadata=about(
            TOOLS,
            "What its model may call: functions and toolkits (in YAML `pkg.mod:name`), MCP servers (in YAML "
            "`mcp: {…}`); or a function that gives such a list for each run.",
        ),
    )
    output_schema: type[BaseModel] | Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            SCHEMA,
            "The form of its answer: a pydantic model class (in YAML `pkg.mod:Class`) or a JSON schema.",
        ),
    )
    add_history_to_context: bool = field(
        default=False, metadata=about(FLAG, "Show earlier runs of the session to its model.")
    )
    num_history_runs: int = field(
        default=3, metadata=about(COUNT, "How many earlier runs `add_history_to_context` shows.")
    )
    session_state: Mapping[str, Any] | None = field(
        default=None,
        metadata=about(OBJECT, "What a new session's state starts from; tools may change it."),
    )
    dependencies: Mapping[str, Any] | None = field(
        default=None,
        metadata=about(
            OBJECT,
            "Values for its tools and texts; not stored. In Python a function is called once a run, and what it "
            "gives is stored with the run where it is JSON.",
        ),
    )
    metadata: Mapping[str, Any] | None = field(
        default=None, metadata=about(OBJECT, "Values that are shown with its runs.")
    )
    tool_call_limit: int | None = field(default=None, metadata=about(COUNT, "Tool calls that it may make in one run."))
    max_turns: int | None = field(
        default=None,
        metadata=about(POSITIVE, "Model calls that it may make in one run (`MUSTERD_MAX_TURNS`)."),
    )
    on_unknown_effect: str = field(
        default="pause",
        metadata=about(
            ON_UNKNOWN,
            "What is done about a tool call that was cut off, or whose time was over, and that is not retry-safe: "
            "`pause` for a person, `retry`, or `fail`.",
        ),
    )
    budget: Budget | None = field(
        default=None,
        metadata=about(_BUDGET, "What one run may use: `tokens`, `cost_usd`, `seconds`, `tool_calls`, `depth`."),
    )
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
            self.check_prompt(self.label, self.declared_at)
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
        return _DELEGATION_TOOLS | self.session_tool_names

    @property
    def listed_tools(self) -> tuple[Tool, ...]:
        """The tools that are known before a run begins."""
        tools = () if callable(self.tools) else self.tools
        return tuple(tool for tool in tools if isinstance(tool, Tool))

    def assign_id(self, component_id: str) -> None:
        """Set the id: the declared one, or a default for a declaration without id and name.

        :raises DeclarationError: it cannot be part of a URL.
        """
        if not _ID_PATTERN.fullmatch(component_id) or component_id in (".", "..") or len(component_id) > _MAX_ID_LENGTH:
            fix = f"set id= to letters, digits, '-', '_' and '.', {_MAX_ID_LENGTH} at most"
            description = (
                repr(component_id) if len(component_id) <= _MAX_ID_LENGTH else f"of {len(component_id)} characters"
            )
            raise declaration_error(
                self.declared_at, f"{self.label}: the id {description} cannot stand in an address", fix
            )
        self._set("id", component_id)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_tools(self, reserved: frozenset[str]) -> None:
        names: set[str] = set()
        for tool in self.listed_tools:
            if tool.name in reserved:
                problem = f"{self.label}: the tool name '{tool.name}' belongs to musterd"
                note(
                    declaration_error(tool.declared_at, problem, 'give the tool another: @tool(name="…")'),
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
            problem = f"{self.label}: tool_choice names '{choice}', which is none of its tools"
            raise declaration_error(self.declared_at, problem, f"did you mean '{suggestion}'?")
