"""The steps of a run's journal, as clients read them."""

import json
from typing import Annotated, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepState
from musterd.core.step_views import TEXT_CHARACTERS, StepContent, StepView
from musterd.wire.references import References
from musterd.wire.shapes import UnixTime

Outcome = Literal["running", "waiting", "completed", "failed", "unknown", "cut_off", "cancelled"]


class StepError(TypedDict):
    """Why a step failed."""

    code: Annotated[str, Field(description="The kind of error, for programs.", examples=["model_error"])]
    message: str


class StepSettled(TypedDict):
    """A person's decision that gave a tool call its outcome in place of the tool."""

    outcome: Annotated[
        Literal["happened", "refused"],
        Field(description="happened: the call was made, and its result was entered. refused: it must not be made."),
    ]
    by: Annotated[str | None, Field(description="Who decided, as `resolved_by` of the approval.")]
    at: UnixTime | None


class StepAttempt(TypedDict):
    """One attempt of a step. Steps are repeated only if they failed or were cut off."""

    attempt: Annotated[
        int, Field(description="The attempt of the run in which it was made; 0: in the run that this one continues.")
    ]
    started_at: UnixTime
    ended_at: Annotated[float | None, Field(description="null if it has not ended, or its end is not known.")]
    outcome: Annotated[
        Outcome,
        Field(
            description="running, completed and failed; waiting: for a person. unknown: a tool call that may have "
            "taken effect. cut_off: its process ended first. cancelled: a model call that was stopped with its run."
        ),
    ]


class ModelRetry(TypedDict):
    """A try of a model call that failed, and after which the model was called again."""

    failed_at: UnixTime
    wait_seconds: Annotated[float, Field(description="The wait until the next try.")]
    reason: Annotated[str, Field(examples=["The model is overloaded."])]


class RunStep(TypedDict):
    """A step of a run or of one of its members."""

    path: Annotated[str, Field(description="Its position in the run tree: `t0/c1` is the first turn's second call.")]
    kind: StepKind
    state: StepState
    attempt: Annotated[int, Field(description="The last attempt that wrote it.")]
    started_at: UnixTime
    ended_at: UnixTime | None
    usage: Annotated[dict[str, int] | None, Field(description="Tokens of a model call.")]
    cost: Annotated[float | None, Field(description="US dollars of a model call; null if its price is unknown.")]
    name: Annotated[str | None, Field(description="The name of the tool, the hook or the model.")]
    run_id: Annotated[str, Field(description="The run whose step it is: the root run or a member's.")]
    parent_path: Annotated[str | None, Field(description="The delegation in which it happened.")]
    tool_call_id: Annotated[str | None, Field(description="The id that the model gave to the call.")]
    child_run_ids: Annotated[
        list[str],
        Field(
            description="The members' runs that it began; of a copied step, those of the run that this run continues."
        ),
    ]
    approval_id: Annotated[str | None, Field(description="The last approval for which the call waited.")]
    error: StepError | None
    tries: Annotated[
        int,
        Field(
            description="How often the model was called, with retries; 0 for other steps, and if the embedded model "
            "was not needed for the answer."
        ),
    ]
    attempts: Annotated[list[StepAttempt], Field(description="Its attempts, the last one last.")]
    first_token_seconds: Annotated[
        float | None,
        Field(description="From the start of a model call to the first piece of its answer; null if it is not known."),
    ]
    retries: Annotated[
        list[ModelRetry],
        Field(description="Of a model call, the tries of its last attempt that failed before the last."),
    ]
    settled: Annotated[
        StepSettled | None,
        Field(description="The decision that gave the call its outcome; null if the call ended by itself."),
    ]
    arguments: NotRequired[
        Annotated[JsonObject | None, Field(description="Only with `path`: the arguments of the call.")]
    ]
    result: NotRequired[
        Annotated[
            str | None,
            Field(description=f"Only with `path`: the first {TEXT_CHARACTERS:,} characters of the result."),
        ]
    ]
    result_characters: NotRequired[
        Annotated[int | None, Field(description="Only with `path`: the length of the whole result.")]
    ]
    references: NotRequired[
        Annotated[References, Field(description="Only with `path`, and only of a search: what it found.")]
    ]


_OUTCOMES: dict[StepState, Outcome] = {
    StepState.WAITING: "waiting",
    StepState.COMPLETED: "completed",
    StepState.FAILED: "failed",
    StepState.UNKNOWN: "unknown",
    StepState.CANCELLED: "cancelled",
}


def step_object(view: StepView) -> RunStep:
    """One step."""
    step = view.step
    timing: JsonObject = {} if step.timing is None else json.loads(step.timing)
    value: RunStep = {
        "path": step.path,
        "kind": step.kind,
        "state": step.state,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "usage": None if step.usage is None else step.usage.as_json(),
        "cost": step.cost,
        "name": step.name,
        "run_id": view.run_id,
        "parent_path": view.parent_path,
        "tool_call_id": step.call_id,
        "child_run_ids": list(view.child_run_ids),
        "approval_id": view.approval_id,
        "error": None if step.error is None else json.loads(step.error),
        "tries": step.tries,
        "attempts": _attempts(view),
        "first_token_seconds": timing.get("first_token_seconds"),
        "retries": timing.get("retries", []),
        "settled": _settled(view),
    }
    if view.content is not None:
        _add_content(value, view.content)
    return value


def _attempts(view: StepView) -> list[StepAttempt]:
    step = view.step
    attempts: list[StepAttempt] = [] if step.earlier is None else json.loads(step.earlier)
    # A delegation waits with its members, and every other step that was begun and is not at work was cut off.
    idle: Outcome = "waiting" if step.kind is StepKind.DELEGATE else "cut_off"
    outcome: Outcome = "running" if view.is_at_work else idle
    last: StepAttempt = {
        "attempt": step.attempt,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "outcome": _OUTCOMES.get(step.state, outcome),
    }
    if view.settlement is not None and view.settlement.was_cut_off:
        # The step ended with the decision, but the call itself with its process.
        last["ended_at"], last["outcome"] = None, "unknown"
    return [*attempts, last]


def _settled(view: StepView) -> StepSettled | None:
    settlement = view.settlement
    if settlement is None:
        return None
    return {"outcome": settlement.verdict, "by": settlement.by, "at": settlement.at}


def _add_content(value: RunStep, content: StepContent) -> None:
    value["arguments"] = content.arguments
    value["result"] = content.result
    value["result_characters"] = content.result_characters
    if content.references is not None:
        value["references"] = cast(References, content.references)
