"""The end or pause of a run, computed from how its loop ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from musterd.core import clock
from musterd.core.errors import RunFailed
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.core.user_memories import MemoryChanges, changed_ids, in_order
from musterd.engine.attempt import Attempt
from musterd.loop import state
from musterd.loop.assignment import Progress
from musterd.loop.hooks import message_of
from musterd.loop.loop import Loop
from musterd.loop.members import end_event, pause_event
from musterd.store import attempt_writes, pauses
from musterd.store.attempt_writes import Batch, End, Lease, Settle, Settled
from musterd.store.database import Tx
from musterd.store.pauses import Pause


@dataclass(slots=True)
class DriveResult:
    """How driving the loop ended."""

    state: RunState
    error: RunFailed | None = None
    requirements: list[Requirement] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end or pause of a run, ready to be stored.

    :param output: what the run has produced.
    :param store: the store function that ends or pauses the run.
    :param event: the event that reports it.
    :param seconds: how long the run took; None if it pauses.
    """

    state: RunState
    output: Output
    store: Settle
    event: Event
    seconds: float | None = None


def settlement_of(attempt: Attempt, result: DriveResult, progress: Progress) -> Settlement:
    """The settlement of the attempt's run.

    :param progress: what the run has produced; its output is completed.
    """
    if result.state is RunState.PAUSED:
        return _pause(attempt, result, progress)
    return _end(attempt, result, progress)


def _end(attempt: Attempt, result: DriveResult, progress: Progress) -> Settlement:
    run, loop, journal = attempt.run, attempt.loop, attempt.journal
    output, at = progress.output, clock.now()
    kind, data = end_event(run.run_id, progress, result.state, result.error)
    if output.seconds is None or run.attempt > 1:  # the loop's own clock does not count earlier attempts
        output.seconds = _seconds_so_far(attempt, at)
    is_from_loop = loop is not None and progress is loop.progress
    output.budget, output.cost = _budget_report(attempt), _cost(attempt)
    # If the result could not be stored, the end is built without the loop's progress, and without its state: the
    # database may have refused just that. The empty delta then leaves the session as it is.
    state_after = loop.run.state if loop is not None and is_from_loop else attempt.state_before
    output.session_state = state_after or None
    if result.state is RunState.CANCELLED and journal is not None:
        output.cut_off = journal.cut_off
    changes = _memory_changes(attempt) if result.state is RunState.COMPLETED else []
    output.memories = changed_ids(changes)
    if kind is EventKind.RUN_COMPLETED:
        data["output"] = output.as_event()
    end = End(
        state=result.state,
        at=at,
        output=output,
        messages=progress.messages,
        state_delta=state.changed_keys(attempt.state_before, state_after),
        summary=progress.summary if result.state is RunState.COMPLETED else None,
        first_message=_first_message(attempt),
    )
    return Settlement(
        state=result.state,
        output=output,
        store=lambda tx, lease, batch: _store_end(tx, lease, batch, end, attempt, changes),
        event=Event(kind, run.run_id, at, data),
        seconds=_seconds_so_far(attempt, at),
    )


async def _store_end(
    tx: Tx, lease: Lease, batch: Batch, end: End, attempt: Attempt, changes: Sequence[MemoryChanges]
) -> Settled:
    """Store the end of a run, and what a run that completes remembers of its user, in one transaction."""
    settled = await attempt_writes.finish(tx, lease, batch, end)
    # After the session and the root: the lock of the user's memories is the last one of every transaction.
    hook = attempt.resources.memory_hook
    if changes and hook is not None:
        await hook.note(tx, attempt.run, changes)
    return settled


def _memory_changes(attempt: Attempt) -> list[MemoryChanges]:
    """The changes of the user's memories that the runs of the tree have recorded."""
    noted = {} if attempt.journal is None else attempt.journal.noted
    return [changes for changes in in_order(noted.values()) if not changes.is_empty]


def memory_outcome(noted: JsonObject) -> str:
    """The outcome of an update of memories, for metrics."""
    if noted["error"]:
        return "failed"
    return "unchanged" if MemoryChanges.from_json(noted).is_empty else "changed"


def _pause(attempt: Attempt, result: DriveResult, progress: Progress) -> Settlement:
    run, loop, at = attempt.run, attempt.loop, clock.now()
    data = pause_event(run.component_kind, result.requirements)
    state_so_far = loop.run.state if loop is not None else attempt.state_before
    output = replace(  # a copy: the loop may go on with its own, or a cancel that comes first may store it
        progress.output,
        content=data["content"],
        requirements=data["requirements"],
        budget=_budget_report(attempt),
        cost=_cost(attempt),
        seconds=_seconds_so_far(attempt, at),
        session_state=state_so_far or None,
        state_changes=state.changed_keys(attempt.state_before, state_so_far),
    )
    pause = Pause(
        at=at,
        expires_at=_expires_at(attempt, result.requirements, at),
        output=output,
        messages=progress.messages,
    )
    return Settlement(
        state=result.state,
        output=output,
        store=lambda tx, lease, batch: pauses.pause(tx, lease, batch, pause),
        event=Event(EventKind.RUN_PAUSED, run.run_id, at, data, f"attempt {run.attempt}"),
    )


def _first_message(attempt: Attempt) -> str | None:
    """The session's name, if this is its first run and hooks may have changed the input that it is named after."""
    loop = attempt.loop
    if not isinstance(loop, Loop) or attempt.run.seq != 0 or not loop.run.component.spec.pre_hooks:
        return None
    return message_of(loop.run.prompt)[:200]


def _budget_report(attempt: Attempt) -> JsonObject | None:
    return None if attempt.budgets is None else attempt.budgets.as_json("")


def _cost(attempt: Attempt) -> float | None:
    return None if attempt.journal is None else attempt.journal.cost_below("")


def _expires_at(attempt: Attempt, requirements: Sequence[Requirement], at: float) -> float:
    """When the first of these requirements takes its default decision, or the run ends without a decision.

    The server's limit is for those that have no time of their own.
    """
    limit = at + attempt.resources.settings.pause_seconds
    times = (requirement.expires_at for requirement in requirements)
    return min((limit if own is None else own for own in times), default=limit)


def _seconds_so_far(attempt: Attempt, at: float) -> float:
    """How long the run has taken so far, in seconds from the start of its first attempt."""
    return max(at - (attempt.run.started_at or at), 0.0)
