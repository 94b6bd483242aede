"""What agents and teams have in common: who they are, what they are told, what they can do."""

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
from musterd.declare.problems import is_faulty, note, noted
from musterd.declare.prompt_options import PromptOptions
from musterd.declare.reasoning_options import ReasoningOptions
from musterd.declare.session_options import SessionOptions
from musterd.declare.source_location import Place, here, nearest, wrong
from musterd.declare.tool_list import ToolSource, read_tools
from musterd.declare.tool_options import ToolCallOptions, read_tool_choice
from musterd.declare.tools import Tool
from musterd.declare.unsupported import REMOVED

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_ai.models import Model

# Names that the loop gives to tools of its own.
_DELEGATION = frozenset({"delegate_task_to_member", "delegate_task_to_members"})

_BUDGET = Kind(words="a Budget(…)", accepts=lambda value: isinstance(value, Budget))
_INSTRUCTIONS = Kind(
    words="a text or a list of texts, or a function that gives one",
    accepts=lambda value: TEXTS.accepts(value) or callable(value),
    yaml=TEXTS.yaml,
)
_ID_SIGNS = re.compile(r"[^\s/?#\\\x00-\x1f\x7f]+( [^\s/?#\\\x00-\x1f\x7f]+)*")
_ID_LENGTH = 200


def id_from_name(name: str) -> str:
    """The id that a declaration gets from its name; the same as Agno's, so that addresses survive a port."""
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
    """An agent or a team as it is written down."""

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
    declared_at: Place = field(default_factory=here, init=False)
    tool_sources: tuple[ToolSource, ...] = field(default=(), init=False)
    tool_instructions: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Check what is given and bring it to its stored form: an id, tuples, tools."""
        check_values(self, self.label, self.declared_at)
        with noted(self.declared_at):
            if known_as := self.id or id_from_name(self.name or ""):
                self.take_id(known_as)
        with noted(self.declared_at):
            self.check_prompt(self.label, self.declared_at)
        if isinstance(self.instructions, list):
            self._keep("instructions", tuple(self.instructions))
        found = read_tools(self.tools, self.label, self.declared_at)
        self._keep("tools", found.tools)
        self._keep("tool_sources", found.sources)
        self._keep("tool_instructions", found.instructions)
        with noted(self.declared_at):
            self._check_tools(self.reserved_tool_names)
        for hooks, given in ((self.pre_hooks, "run_input"), (self.post_hooks, "run_output")):
            with noted(self.declared_at):
                check_hooks(hooks or (), given, self.label, self.kind, self.declared_at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    @property
    def label(self) -> str:
        """The declaration as a sentence names it: "agent 'writer'"."""
        known_as = self.id or self.name
        return f"{self.kind} '{known_as}'" if known_as else f"this {self.kind}"

    @property
    def reserved_tool_names(self) -> frozenset[str]:
        """Names that its tools must not have."""
        return _DELEGATION | self.session_tool_names

    @property
    def listed_tools(self) -> tuple[Tool, ...]:
        """The tools that are known before a run begins."""
        given = () if callable(self.tools) else self.tools
        return tuple(tool for tool in given if isinstance(tool, Tool))

    def take_id(self, known_as: str) -> None:
        """Take an id: the declared one, or for a declaration without id and name that of its place.

        :raises DeclarationError: it cannot stand in an address.
        """
        if not _ID_SIGNS.fullmatch(known_as) or known_as in (".", "..") or len(known_as) > _ID_LENGTH:
            cure = f"set id= to letters, digits, '-', '_' and '.', {_ID_LENGTH} at most"
            shown = repr(known_as) if len(known_as) <= _ID_LENGTH else f"of {len(known_as)} characters"
            raise wrong(self.declared_at, f"{self.label}: the id {shown} cannot stand in an address", cure)
        self._keep("id", known_as)

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_tools(self, reserved: frozenset[str]) -> None:
        seen: set[str] = set()
        for declared in self.listed_tools:
            if declared.name in reserved:
                what = f"{self.label}: the tool name '{declared.name}' belongs to musterd"
                note(wrong(declared.declared_at, what, 'give the tool another: @tool(name="…")'), self.declared_at)
            if declared.name in seen:
                what = f"{self.label} has two tools named '{declared.name}'"
                note(wrong(declared.declared_at, what, 'list it once or rename one: @tool(name="…")'), self.declared_at)
            seen.add(declared.name)
        self._check_choice({*seen, *reserved})

    def _check_choice(self, known: set[str]) -> None:
        """Refuse a choice that is one of the tools' names with a slip; those that runs alone know are let through."""
        choice = read_tool_choice(self.tool_choice)
        if choice is None or choice in ("auto", "none", "required") or choice in known or is_faulty(self.declared_at):
            return
        if meant := nearest(choice, known):
            what = f"{self.label}: tool_choice names '{choice}', which is none of its tools"
            raise wrong(self.declared_at, what, f"did you mean '{meant}'?")
