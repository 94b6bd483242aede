"""Summaries of runs, for lists and for pages that watch many runs: what a run is about, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, RunAttempt, RunRow, SessionRow
from musterd.core.requirements import Requirement
from musterd.core.states import RunState

SUMMARY_CHARACTERS = 200
"""The length of a text in a summary."""


@dataclass(slots=True, kw_only=True)
class SummarizedRun:
    """A run, of a root or of a member, without its payload.

    :param owner: the user that a token authenticated when its session was created; isolation uses this.
    :param session_name: the session's name, otherwise its first message.
    :param input: the start of its message, or of a member's task.
    :param answer: the start of its answer, or the message of the error with which it failed; None: it has none yet.
    :param waiting: pending approvals of the run, with those of its members.
    :param question: the oldest of them.
    :param queue_position: how many runs of its session are ahead of a pending run; None if it is not pending.
    :param totals: what the run and its members used so far.
    :param activity: what the run does now.
    """

    run_id: str
    root_id: str
    parent_id: str | None
    path: str
    version: int
    next_event: int
    owner: str | None
    user_id: str | None
    session_id: str
    session_name: str
    component_kind: ComponentKind
    component_id: str
    component_name: str
    model: str
    state: RunState
    attempt: int
    input: str
    answer: str | None
    waiting: int
    question: Requirement | None
    queue_position: int | None
    totals: JsonObject | None
    activity: JsonObject | None
    created_at: float
    queued_at: float | None
    started_at: float | None
    ended_at: float | None
    cancel_requested_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedRun:
    """A run with the members' runs of its tree.

    :param run: the run itself, the root or a member.
    :param root: the row of the root of its tree.
    :param attempts: the attempts of the root that are stored.
    :param runs_behind: how many runs of the session wait for the root.
    :param forks: the ids of the runs that were forked from the root.
    :param members: every member's run of the tree, in the order of their start. Those that a fork took over come first.
    """

    run: SummarizedRun
    root: RunRow
    attempts: Sequence[RunAttempt]
    runs_behind: int
    forks: list[str]
    members: list[SummarizedRun]


@dataclass(frozen=True, slots=True)
class SessionOverview:
    """A session of a list.

    :param state: that of the unfinished run that most needs a look: a paused one before one at work before one that
        waits. If all have finished, that of the last run; None before the first run.
    :param last_run: None before the first run.
    :param run_count: the number of its root runs.
    :param waiting: the number of open questions of its runs, for persons.
    :param tokens: the tokens of its runs so far, without copied runs.
    :param cost: US dollars for its runs; None if the cost of one is unknown, or if no run has a cost.
    """

    row: SessionRow
    state: RunState | None
    last_run: SummarizedRun | None
    run_count: int = 0
    waiting: int = 0
    tokens: int = 0
    cost: float | None = None
