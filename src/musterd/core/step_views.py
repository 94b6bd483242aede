"""Steps as clients read them: with their place, their contents, and what settled them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepRow

TEXT_CHARACTERS = 100_000
"""The most characters of a result that a client reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContent:
    """What a step was given, and what came out of it.

    :param arguments: of a call, as it was made.
    :param result: as text, at most ``TEXT_CHARACTERS`` of it.
    :param result_characters: the length of the whole result.
    :param references: what a search of a knowledge base found: query, references, time.
    """

    arguments: JsonObject | None
    result: str | None
    result_characters: int | None
    references: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettlement:
    """A decision that gave a tool call its outcome in place of the tool.

    :param verdict: ``happened``: the decision has the call's result. ``refused``: the call must not be made.
    :param by: who decided, as the approval says.
    :param was_cut_off: whether the call had begun and was cut off; else it waited and never began.
    """

    verdict: Literal["happened", "refused"]
    by: str | None
    at: float | None
    was_cut_off: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """A step of a run.

    :param run_id: the run whose step it is: the root or a member.
    :param parent_path: the path of the delegation in which it happened; None for a step of the root.
    :param child_run_ids: the runs that it began.
    :param is_at_work: whether an attempt is at work on it, if it has not ended.
    :param settlement: the decision that gave it its outcome; None if there was none.
    :param content: None in lists.
    """

    step: StepRow
    run_id: str
    parent_path: str | None
    child_run_ids: Sequence[str]
    approval_id: str | None
    is_at_work: bool
    settlement: StepSettlement | None = None
    content: StepContent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedStep:
    """A step that has finished.

    :param next_path: the step from which a fork takes over this one and those before it; None: no other has begun yet.
    """

    name: str
    ended_at: float
    next_path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSteps:
    """The finished steps of a workflow's run, in the order of their ends.

    :param numbers: the numbers of the steps that are declared at the top, by their ids; empty for a function.
    """

    steps: Sequence[FinishedStep]
    numbers: Mapping[str, int]
