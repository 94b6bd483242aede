"""The agent of a workflow: a model that answers a request itself, or runs the workflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from musterd.declare.agent import Agent
from musterd.declare.options import COUNT, FLAG, MODEL, TEXT, Declared, about, check_values
from musterd.declare.problems import is_faulty, noting_problems
from musterd.declare.source_location import Place, current_place, declaration_error, placed_at

if TYPE_CHECKING:
    from pydantic_ai.models import Model

RUN_WORKFLOW = "run_workflow"
"""The name of the agent's tool."""
CONTEXT = "workflow_context"
"""The name that stands for the description of the workflow and its earlier runs in instructions."""

_INSTRUCTIONS = f"""You answer requests to a workflow. You know its earlier runs in this session.

- If the earlier runs contain what the user asks for, answer from them. That includes comparisons of earlier results and
  questions about them.
- Otherwise call {RUN_WORKFLOW} once, with a clear and complete query. Then answer with its result.

Be concise."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WorkflowAgent(Declared):
    """A model that decides whether a request needs the workflow.

    ``docs/reference/workflows.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "workflow agent"

    model: str | Model | None = field(default=None, metadata=about(MODEL, "The model. It must be set."))
    instructions: str | None = field(
        default=None,
        metadata=about(
            TEXT,
            "Replace the default instructions. `{workflow_context}` stands for the workflow's description and the "
            "earlier runs; without it they follow at the end.",
        ),
    )
    add_workflow_history: bool = field(
        default=True, metadata=about(FLAG, "Show it the inputs and outputs of earlier runs of the session.")
    )
    num_history_runs: int = field(
        default=5, metadata=about(COUNT, "How many, up to 20.", part_of="add_workflow_history")
    )

    declared_at: Place = field(default_factory=current_place, init=False)

    def __post_init__(self) -> None:
        """Check the values."""
        is_valid = check_values(self, "this workflow agent", self.declared_at)
        with noting_problems(self.declared_at):
            if self.model is None and is_valid and not is_faulty(self.declared_at):
                fix = 'set model="openai:gpt-5-mini" (or another provider:name, or "local")'
                raise declaration_error(self.declared_at, "this workflow agent has no model", fix)

    def __repr__(self) -> str:
        return f"WorkflowAgent(model={self.model!r})"

    def as_agent(self, workflow_id: str) -> Agent:
        """The agent whose run decides, without its tool."""
        text = self.instructions or _INSTRUCTIONS
        placeholder = f"{{{CONTEXT}}}"
        with placed_at(self.declared_at):
            return Agent(
                id=f"{workflow_id}-workflow-agent",
                name="Workflow agent",
                model=self.model,
                instructions=text if placeholder in text else f"{text}\n\n{placeholder}",
            )
