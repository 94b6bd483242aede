"""A run in a few words: the row of a list, and a message of the feed of changes."""

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import ComponentKind
from musterd.core.run_summaries import SUMMARY_CHARACTERS, SummarizedRun
from musterd.core.states import RunState
from musterd.wire.lists import RunPageInfo
from musterd.wire.progress import RunActivity, RunTotals
from musterd.wire.questions import question_text
from musterd.wire.shapes import UnixTime
from musterd.wire.states import STATUS, STATUSES, RunStatus
from musterd.wire.times import rounded_to_ms


class RunSummary(TypedDict):
    """A run in a few words. Values that are not known are null."""

    run_id: str
    component_kind: ComponentKind
    component_id: str
    component_name: str
    session_id: str
    session_name: Annotated[str, Field(description="The session's name, otherwise its first message.")]
    user_id: str | None
    status: RunStatus
    input: Annotated[str, Field(description=f"The first {SUMMARY_CHARACTERS} characters of the message.")]
    outcome: Annotated[
        str | None,
        Field(
            description=f"The first {SUMMARY_CHARACTERS} characters of the answer, or of what a cancelled run had "
            "produced; the error's message of a failed run; the question of a run that needs a person."
        ),
    ]
    created_at: UnixTime
    queued_at: UnixTime | None
    started_at: UnixTime | None
    ended_at: UnixTime | None
    attempts: Annotated[int, Field(description="How often the run was started.")]
    queue_position: Annotated[int | None, Field(description="The number of runs ahead of this one, while PENDING.")]
    waiting: Annotated[int, Field(description="Pending approvals of the run and its members.")]
    activity: Annotated[RunActivity | None, Field(description="What the run does now.")]
    totals: Annotated[RunTotals | None, Field(description="What the run and its members have used so far.")]
    cancel_requested_at: UnixTime | None


class RunSummaryPage(TypedDict):
    """A page of runs in a few words."""

    data: list[RunSummary]
    meta: RunPageInfo


class RunCountsResponse(TypedDict):
    """How many runs there are."""

    all: int
    pending: int
    running: int
    paused: int
    completed: int
    error: int
    cancelled: int
    needs_you: Annotated[int, Field(description="Those with a pending approval, paused or still running.")]


def run_summary_page(runs: Sequence[SummarizedRun], next_cursor: str | None, limit: int) -> RunSummaryPage:
    """The answer of ``GET /runs?view=summary``."""
    return {"data": [run_summary(run) for run in runs], "meta": {"limit": limit, "next_cursor": next_cursor}}


def run_counts(by_state: Mapping[RunState, int], needs_you: int) -> RunCountsResponse:
    """The answer of ``GET /runs/counts``."""
    count_of = dict.fromkeys(STATUSES, 0)
    for state, count in by_state.items():
        count_of[STATUS[state]] += count
    return {
        "all": sum(count_of.values()),
        "pending": count_of["PENDING"],
        "running": count_of["RUNNING"],
        "paused": count_of["PAUSED"],
        "completed": count_of["COMPLETED"],
        "error": count_of["ERROR"],
        "cancelled": count_of["CANCELLED"],
        "needs_you": needs_you,
    }


def run_summary(run: SummarizedRun) -> RunSummary:
    """A run in a few words."""
    return {
        "run_id": run.run_id,
        "component_kind": run.component_kind,
        "component_id": run.component_id,
        "component_name": run.component_name,
        "session_id": run.session_id,
        "session_name": run.session_name,
        "user_id": run.user_id,
        "status": STATUS[run.state],
        "input": run.input,
        "outcome": outcome_of(run),
        "created_at": round(run.created_at, 3),
        "queued_at": rounded_to_ms(run.queued_at),
        "started_at": rounded_to_ms(run.started_at),
        "ended_at": rounded_to_ms(run.ended_at),
        "attempts": run.attempt,
        "queue_position": run.queue_position,
        "waiting": run.waiting,
        "activity": cast(RunActivity | None, run.activity),
        "totals": cast(RunTotals | None, run.totals),
        "cancel_requested_at": rounded_to_ms(run.cancel_requested_at),
    }


def outcome_of(run: SummarizedRun) -> str | None:
    """What became of the run, or what it waits for."""
    if run.state.is_final:
        return run.answer or None
    if run.question is None:
        return None
    others = f" (and {run.waiting - 1} more)" if run.waiting > 1 else ""
    return question_text(run.question)[:SUMMARY_CHARACTERS] + others
