"""What a run does, what it has used so far, and its attempts."""

import json
from collections.abc import Sequence
from typing import Annotated, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.records import AttemptOutcome, RunAttempt, RunRow
from musterd.core.states import RunState
from musterd.wire.shapes import UnixTime


class RunTotals(TypedDict):
    """What a run and its members have used so far."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost: Annotated[float | None, Field(description="US dollars; null if a model has no list price.")]
    model_calls: Annotated[int, Field(description="Model calls that were answered or failed.")]
    tool_calls: Annotated[int, Field(description="Tool calls and delegations that ended.")]
    delegations: Annotated[int, Field(description="Those of `tool_calls` that are delegations to members.")]
    failed_calls: Annotated[int, Field(description="Model calls, and calls of tools, that failed.")]


class RunActivity(TypedDict):
    """What a run does now; of several things the one that began last."""

    kind: Annotated[
        Literal["model", "loading", "writing", "tool", "waiting"],
        Field(
            description="model: it waits for its model. loading: the model is being loaded into the server's memory. "
            "writing: the model is sending text. tool: it calls a tool. waiting: it waits for a person."
        ),
    ]
    run_id: Annotated[str, Field(description="The run itself, or that of a member.")]
    member: Annotated[str, Field(description="The name of the team or agent that does it.")]
    tool: Annotated[str | None, Field(description="The tool that it calls, or for which it waits.")]
    since: UnixTime


class AttemptEntry(TypedDict):
    """An attempt to drive a run."""

    attempt: Annotated[int, Field(description="Its number, from 1.")]
    worker_id: Annotated[str | None, Field(description="The process that drove the run; null if it is not known.")]
    started_at: UnixTime
    ended_at: Annotated[
        float | None, Field(description="Of a lost attempt, its last write or its process's last heartbeat.")
    ]
    outcome: Annotated[
        Literal["running", "lost", "handed_over", "paused", "released", "ended"],
        Field(
            description="running: it is at work. lost: its process died. handed_over: its process was stopped. paused: "
            "the run waits for a person. released: its end could not be stored. ended: the run ended."
        ),
    ]


def totals_of(row: RunRow) -> RunTotals | None:
    """The totals of a root run; None before the first call, and of a member."""
    return None if row.totals is None else cast(RunTotals, json.loads(row.totals))


def activity_of(row: RunRow) -> RunActivity | None:
    """What a root run does now; None if it does nothing, and of a member."""
    return None if row.activity is None else cast(RunActivity, json.loads(row.activity))


def attempt_list(row: RunRow, attempts: Sequence[RunAttempt]) -> list[AttemptEntry]:
    """The attempts of a root run, in order.

    :param attempts: those that are stored. The others are read from the run's row.
    """
    if row.attempt == 0:
        return []
    entries = [_entry(attempt, row) for attempt in attempts]
    if not attempts or attempts[-1].attempt < row.attempt:
        own = RunAttempt(attempt=row.attempt, worker=row.worker, started_at=row.started_at or row.created_at)
        entries.append(_entry(own, row))
    return entries


def _entry(attempt: RunAttempt, row: RunRow) -> AttemptEntry:
    ended_at, outcome = attempt.ended_at, attempt.outcome
    if outcome is None and row.state is not RunState.RUNNING:
        ended_at = row.ended_at
    return {
        "attempt": attempt.attempt,
        "worker_id": attempt.worker,
        "started_at": attempt.started_at,
        "ended_at": ended_at,
        "outcome": _outcome(outcome, row.state),
    }


def _outcome(
    outcome: AttemptOutcome | None, state: RunState
) -> Literal["running", "lost", "handed_over", "paused", "released", "ended"]:
    if outcome is not None:
        return outcome.value
    return "running" if state is RunState.RUNNING else "ended"
