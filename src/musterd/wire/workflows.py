"""Workflows as clients list them: a short item, and a detail with the declared steps."""

from typing import TYPE_CHECKING, Annotated, Any, NotRequired, cast

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from musterd.wire.components import (
    AgentResponse,
    Describe,
    TeamResponse,
    WorkflowSummary,
    component_item,
    workflow_summary,
)
from musterd.wire.shapes import without_nulls

if TYPE_CHECKING:
    from musterd.declare import StepNode, WorkflowComponent


class _Nested(TypedDict, total=False):
    steps: Annotated[
        list["WorkflowStep"],
        WithJsonSchema(  # without references: a schema that contains itself cannot be resolved as a whole
            {
                "type": "array",
                "items": {"type": "object", "additionalProperties": True},
                "description": "The steps (WorkflowStep) of a container: its branches, or the choices of a router.",
            }
        ),
    ]
    else_steps: Annotated[
        list["WorkflowStep"],
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": "object", "additionalProperties": True},
                "description": "The steps (WorkflowStep) that run if the condition does not hold.",
            }
        ),
    ]


class _Flags(TypedDict, total=False):
    max_iterations: int
    max_retries: Annotated[int, Field(description="How often a failed step is retried.")]
    on_error: Annotated[str, Field(examples=["fail", "skip", "pause"])]
    requires_confirmation: bool
    requires_user_input: bool
    user_input_schema: list[dict[str, Any]]


class WorkflowStep(_Nested, _Flags):
    """A step of a workflow. Keys without a value are left out."""

    name: str
    description: NotRequired[str | None]
    type: Annotated[str, Field(examples=["Step", "Steps", "Loop", "Parallel", "Condition", "Router"])]
    step_id: Annotated[str, Field(description="The same in events and results of every run.")]
    agent: NotRequired[AgentResponse]
    team: NotRequired[TeamResponse]
    workflow: NotRequired[Annotated[WorkflowSummary, Field(description="The nested workflow that it runs.")]]


class DeclaredStep(TypedDict):
    """A step of a workflow in short."""

    name: str
    description: str | None
    type: str


class WorkflowResponse(WorkflowSummary):
    """A workflow."""

    input_schema: NotRequired[
        Annotated[
            dict[str, Any] | None,
            Field(description="The JSON schema of messages; of a function, that of its further parameters."),
        ]
    ]
    steps: list[WorkflowStep]
    metadata: NotRequired[dict[str, Any] | None]
    workflow_agent: Annotated[bool, Field(description="Whether a model decides when the workflow runs.")]


def workflow_item(workflow: "WorkflowComponent", describe: Describe) -> WorkflowResponse:
    """One workflow with its declared steps: the answer of ``GET /workflows/{id}``."""
    metadata = workflow.spec.metadata
    item: WorkflowResponse = {
        **workflow_summary(workflow),
        "input_schema": _input_schema(workflow),
        "steps": [_step(node, describe) for node in workflow.steps],
        "metadata": None if metadata is None else dict(metadata),
        "workflow_agent": workflow.spec.agent is not None,
    }
    return without_nulls(item)


def declared_steps(workflow: "WorkflowComponent") -> list[DeclaredStep]:
    """The steps of a workflow in short, as its sessions show them."""
    return [
        {"name": node.name, "description": node.spec.description, "type": node.type_name} for node in workflow.steps
    ]


def _input_schema(workflow: "WorkflowComponent") -> dict[str, Any] | None:
    if workflow.message_schema is not None:
        return workflow.message_schema[1]
    parameters = workflow.parameters
    return None if parameters is None or not parameters.schema["properties"] else parameters.schema


def _step(node: "StepNode", describe: Describe) -> WorkflowStep:
    spec, component = node.spec, node.component
    step: dict[str, Any] = {"name": node.name}
    if spec.description:
        step["description"] = spec.description
    step["type"] = node.type_name
    step["step_id"] = node.step_id
    if component is not None and component.kind == "workflow":
        step["workflow"] = workflow_summary(component)
    elif component is not None:
        step[component.kind] = component_item(component, describe)
    if node.children:
        step["steps"] = [_step(child, describe) for child in node.children]
    if node.else_children:
        step["else_steps"] = [_step(child, describe) for child in node.else_children]
    step.update((name, getattr(spec, name)) for name in _SETTINGS if hasattr(spec, name))
    step.update((name, True) for name in _PERSON_FLAGS if getattr(spec, name, False))
    if fields := getattr(spec, "user_input_schema", ()):
        step["user_input_schema"] = [entry.as_json() for entry in fields]
    return cast(WorkflowStep, step)


_SETTINGS = ("max_iterations", "max_retries", "on_error")
_PERSON_FLAGS = ("requires_confirmation", "requires_user_input")
