"""Workflows: steps in a declared order, or one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from musterd.declare.agent import Agent
from musterd.declare.budget import Budget
from musterd.declare.declaration import checked_id, id_from_name
from musterd.declare.options import (
    COUNT,
    FLAG,
    OBJECT,
    ON_BUSY,
    SCHEMA,
    TEXT,
    Declared,
    Kind,
    about,
    check_values,
)
from musterd.declare.problems import is_faulty, noting_problems
from musterd.declare.removed_options import REMOVED
from musterd.declare.source_location import Place, current_place, declaration_error
from musterd.declare.team import Team
from musterd.declare.workflow.steps import AnyStep, Step, Steps, as_steps, steps_below
from musterd.declare.workflow.workflow_agent import WorkflowAgent

_STEPS = Kind(
    words="a list of steps, functions, agents, teams and workflows, or one function",
    accepts=lambda value: isinstance(value, list | tuple | Steps) or (callable(value) and not isinstance(value, type)),
    yaml=list[Any],
)
_BUDGET = Kind(words="a Budget(…)", accepts=lambda value: isinstance(value, Budget))
_AGENT = Kind(words="a WorkflowAgent(…)", accepts=lambda value: isinstance(value, WorkflowAgent), yaml=dict[str, Any])
# Options of Agno without a meaning here: runs are always stored, and the rest belongs to each request.
IGNORED = frozenset(
    {
        "cache_session",
        "db",
        "debug_level",
        "debug_mode",
        "events_to_skip",
        "session_id",
        "store_events",
        "stream",
        "stream_events",
        "telemetry",
        "user_id",
    }
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Workflow(Declared):
    """Steps in a declared order.

    ``docs/reference/workflows.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "workflow"
    ignored = IGNORED
    removed = REMOVED

    id: str = field(default="", metadata=about(TEXT, "The id in URLs; by default derived from `name`."))
    name: str | None = field(default=None, metadata=about(TEXT, "The display name; defaults to the id."))
    description: str | None = field(default=None, metadata=about(TEXT, "What it is for; clients show it."))
    steps: Any = field(
        default=(),
        metadata=about(
            _STEPS,
            "The steps, in their order; functions, agents, teams and workflows stand for a step that runs them. In "
            "Python also one function, which is the whole workflow.",
        ),
    )
    input_schema: Any = field(
        default=None,
        metadata=about(
            SCHEMA,
            "The schema of messages, which are then JSON: a pydantic model class (in YAML `pkg.mod:Class`) or a "
            "JSON schema.",
        ),
    )
    session_state: Mapping[str, Any] | None = field(
        default=None, metadata=about(OBJECT, "The initial state of a new session; functions and tools may change it.")
    )
    overwrite_db_session_state: bool = field(
        default=False,
        metadata=about(FLAG, "Start each run from the declared state and the request's, and ignore the stored state."),
    )
    dependencies: Mapping[str, Any] | None = field(
        default=None, metadata=about(OBJECT, "Values for functions, tools and prompt texts of the steps; not stored.")
    )
    metadata: Mapping[str, Any] | None = field(
        default=None, metadata=about(OBJECT, "Values that are returned with every run.")
    )
    add_workflow_history_to_steps: bool = field(
        default=False, metadata=about(FLAG, "Put earlier runs of the session before each step's message.")
    )
    num_history_runs: int = field(
        default=3, metadata=about(COUNT, "The number of runs.", part_of="add_workflow_history_to_steps")
    )
    stream_executor_events: bool = field(
        default=True,
        metadata=about(FLAG, "Include the events of agents and teams, and the texts of generators, in the stream."),
    )
    store_executor_outputs: bool = field(
        default=True, metadata=about(FLAG, "Include the runs of agents and teams in the run output.")
    )
    budget: Budget | None = field(
        default=None,
        metadata=about(_BUDGET, "Limits for one run: `tokens`, `cost_usd`, `seconds`, `tool_calls`, `depth`."),
    )
    on_busy: str = field(
        default="enqueue",
        metadata=about(
            ON_BUSY,
            "What a new run does while another run of its session is active, unless the request sets it: "
            "`enqueue`, `reject`, `interrupt` or `parallel`.",
        ),
    )
    hold_paused: bool = field(
        default=False, metadata=about(FLAG, "Keep later runs of a session waiting while one is paused.")
    )
    store_media: bool = field(
        default=True, metadata=about(FLAG, "False: delete a run's media when it finishes without an error.")
    )
    agent: WorkflowAgent | None = field(
        default=None,
        metadata=about(
            _AGENT, "A model that answers from earlier runs of the session, or runs the workflow: a `WorkflowAgent`."
        ),
    )

    declared_at: Place = field(default_factory=current_place, init=False)
    function: Callable[..., Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Check the values, and convert the list to steps."""
        check_values(self, self.label, self.declared_at)
        with noting_problems(self.declared_at):
            if workflow_id := self.id or id_from_name(self.name or ""):
                self.assign_id(workflow_id)
        if isinstance(self.steps, Steps):
            self._set("steps", (self.steps,))
        elif callable(self.steps):
            self._set("function", self.steps)
            self._set("steps", ())
        self._set("steps", as_steps(self.steps, f"{self.label}: 'steps'", self.declared_at))
        with noting_problems(self.declared_at):
            if not self.steps and self.function is None and not is_faulty(self.declared_at):
                raise declaration_error(self.declared_at, f"{self.label} has no steps", "list some in steps=")

    def __repr__(self) -> str:
        return f"Workflow(id={self.id!r})"

    @property
    def label(self) -> str:
        """The workflow as error messages name it: "workflow 'news'"."""
        workflow_id = self.id or self.name
        return f"workflow '{workflow_id}'" if workflow_id else "this workflow"

    @property
    def top_steps(self) -> Sequence[AnyStep]:
        """The steps of the list; none if one function is the whole workflow."""
        steps: Sequence[AnyStep] = self.steps
        return steps

    @property
    def components(self) -> list[Agent | Team | Workflow]:
        """The agents, teams and workflows that its steps run, in the order of the steps."""
        steps = (step for step in steps_below(self.top_steps) if isinstance(step, Step))
        components = [component for step in steps if (component := step.component) is not None]
        return list({id(component): component for component in components}.values())

    def assign_id(self, workflow_id: str) -> None:
        """Set the id: the declared one, or a default for a workflow without id and name.

        :raises DeclarationError: it cannot be part of a URL.
        """
        self._set("id", checked_id(workflow_id, self.label, self.declared_at))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
