"""What only runs of workflows have: the outputs of their steps, metrics by step, and the step that they wait at."""

from collections.abc import Iterable, Iterator
from typing import Annotated, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Input, Output, RunRow, RunView
from musterd.core.states import RunState
from musterd.wire.metrics import RunMetrics
from musterd.wire.requirements import WaitingLists, waiting_lists
from musterd.wire.run_media import MediaItem

_Media = list[MediaItem] | None


class StepOutput(TypedDict):
    """The output of a step, or of a container of steps. All keys but `steps` are there, null without a value."""

    content: Annotated[Json, Field(description="What the step answered; of a container what became of it.")]
    step_name: str | None
    step_id: Annotated[str | None, Field(description="The same in every run of the workflow.")]
    step_type: Annotated[
        str | None,
        Field(examples=["Step", "Steps", "Parallel", "Condition", "Loop", "Router"], description="Its kind."),
    ]
    executor_type: Annotated[
        str | None, Field(examples=["agent", "team", "function", "workflow", "parallel"], description="What it ran.")
    ]
    executor_name: str | None
    step_run_id: Annotated[str | None, Field(description="The run of its agent, team or workflow.")]
    images: _Media
    videos: _Media
    audio: _Media
    files: _Media
    metrics: RunMetrics | None
    success: bool
    error: str | None
    stop: Annotated[bool, Field(description="Whether it stopped the workflow.")]
    steps: NotRequired[
        Annotated[
            list["StepOutput"],
            WithJsonSchema(  # without references: a schema that contains itself cannot be resolved as a whole
                {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": True},
                    "description": "Of a container, the outputs (StepOutput) of its steps.",
                }
            ),
        ]
    ]


class _PausedStep(TypedDict, total=False):
    paused_step_index: Annotated[int | list[int], Field(description="The step that a paused run waits at.")]
    paused_step_name: str


class PausedWorkflow(_PausedStep, WaitingLists):
    """What a paused workflow waits for."""


class StepMetrics(TypedDict):
    """What the agent or team of a step used."""

    step_name: str
    executor_type: str
    executor_name: str
    metrics: RunMetrics


class WorkflowMetrics(TypedDict):
    """What a workflow's run used, by step."""

    steps: Annotated[dict[str, StepMetrics], Field(description="By the name of the step.")]
    duration: Annotated[float | None, Field(description="Seconds; null until the run has finished or paused.")]


def workflow_metrics(output: Output | None) -> WorkflowMetrics:
    """The metrics of a workflow's run: those of its agents' and teams' steps, of a step in a loop the last ones."""
    if output is None:
        return {"steps": {}, "duration": None}
    steps: dict[str, StepMetrics] = {}
    for step in leaf_outputs(output.step_results):
        if step.get("metrics") and step.get("executor_name"):
            steps[step["step_name"]] = {
                "step_name": step["step_name"],
                "executor_type": step["executor_type"],
                "executor_name": step["executor_name"],
                "metrics": step["metrics"],
            }
    return {"steps": steps, "duration": output.seconds}


def leaf_outputs(results: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """The outputs of the steps themselves, those of containers taken apart."""
    for result in results:
        if nested := result.get("steps"):
            yield from leaf_outputs(nested)
        else:
            yield result


def step_id_of(row: RunRow) -> str | None:
    """The id of the step that started a run; None of other runs."""
    step_id: str | None = None if row.step is None else jsontext.loads(row.step).get("step_id")
    return step_id


def workflow_input(run_input: Input) -> Json:
    """The message, or its value if the workflow declares an input schema."""
    return jsontext.loads(run_input.message) if run_input.options.get("has_input_schema") else run_input.message


def paused_workflow(view: RunView) -> PausedWorkflow:
    """What a paused run waits for, and the first step among that; nothing of other runs."""
    if view.row.state is not RunState.PAUSED or view.output is None:
        return {}
    requirements = view.output.requirements
    steps = (requirement.get("step") for requirement in requirements)
    step = next((step for step in steps if step is not None), None)
    place: _PausedStep = {}
    if step is not None:
        place = {"paused_step_index": step["step_index"], "paused_step_name": step["step_name"]}
    return {**place, **waiting_lists(requirements, view.row.run_id)}
