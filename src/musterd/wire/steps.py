"""The steps of a run's journal, as clients read them: without their results."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import StepKind, StepRow, StepState
from musterd.wire.shapes import UnixTime


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


def step_object(step: StepRow) -> RunStep:
    """One step."""
    return {
        "path": step.path,
        "kind": step.kind,
        "state": step.state,
        "attempt": step.attempt,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "usage": None if step.usage is None else step.usage.as_json(),
        "cost": step.cost,
    }
