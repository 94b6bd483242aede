"""Cancelling runs. A cancel is committed first; only then are the attempt and the subscribers notified."""

from dataclasses import dataclass

from musterd.core.deliveries import Notice
from musterd.core.events import Event, EventKind
from musterd.core.records import RunRow, StepKind, StepOutcome
from musterd.core.states import RunState
from musterd.store import (
    approvals,
    attempt_writes,
    blobs,
    deliveries,
    run_locks,
    run_outputs,
    session_queue,
    sessions,
    transitions,
)
from musterd.store.database import Statement
from musterd.store.shards import SessionTx

# The first cancel counts: a later one must not change who cancelled the run, or when.
FLAG = Statement(
    "cancel_flag",
    f"""UPDATE runs SET {transitions.NEXT_VERSION}, cancel_requested_at = :now, cancel_by = :by
        WHERE run_id = :run_id AND shard = :shard AND state = 'running' AND cancel_requested_at IS NULL""",
)
OPEN_STEPS = Statement(
    "steps_open",
    "SELECT path, kind FROM journal WHERE root_id = :root AND shard = :shard AND state = 'started' ORDER BY path",
)
INTERRUPTED = "interrupt"
"""The ``cancel_by`` of a run that another run interrupted."""


@dataclass(frozen=True, slots=True)
class StopResult:
    """The result of cancelling or failing a run from outside its attempt.

    :param run: the run as it is now.
    :param promoted: the run that became the head of the session's queue, if any.
    :param end_event: the event that finished the run, with its index; None if the run did not finish here.
    """

    run: RunRow
    promoted: RunRow | None = None
    end_event: tuple[int, Event] | None = None


async def request(tx: SessionTx, root_id: str, by: str, now: float) -> StopResult | None:
    """Cancel a run: at once if no attempt drives it, else by a flag that its attempt must obey. None: no such run."""
    # With the lock held no claim, end or pause can commit in between, so the state that is read here still holds below.
    run = await run_locks.lock(tx, root_id)
    if run is None:
        return None
    if run.state.is_final:
        return StopResult(run)
    if run.state is RunState.RUNNING:
        await tx.run(FLAG, {"run_id": root_id, "now": now, "by": by})
        run.cancel_requested_at = run.cancel_requested_at or now
        return StopResult(run)
    return await finish(tx, run, by, now)


async def interrupt(tx: SessionTx, head_id: str, run: RunRow, now: float) -> StopResult | None:
    """Cancel the head of the queue in favour of ``run``, which is queued and comes next. None: nothing was cancelled.

    A head that no attempt drives yet ends at once, and ``run`` may then be ready already. A paused head stays the head.
    """
    # Lock and read again: the head may have paused, or been cancelled, since `session_queue.place` read its id.
    head = await run_locks.lock(tx, head_id)
    if head is None or head.state is RunState.PAUSED or head.cancel_requested_at is not None:
        return None
    cancelled = await request(tx, head_id, INTERRUPTED, now)
    if cancelled is not None and cancelled.promoted is not None and cancelled.promoted.run_id == run.run_id:
        run.state, run.holder, run.version = RunState.READY, run.lane, run.version + 1
    return cancelled


async def finish(tx: SessionTx, run: RunRow, by: str, now: float) -> StopResult:
    """Finish a run as cancelled that no attempt drives; the caller has locked it and its session."""
    params = {"run_id": run.run_id, "state": run.state.value, "now": now, "by": by}
    row = await tx.one(transitions.CANCEL, params)
    if row is None:
        raise RuntimeError(f"run {run.run_id} changed its state inside a transaction")
    index = int(row["next_event"]) - 1
    event = Event(EventKind.RUN_CANCELLED, run.run_id, now, {"reason": f"Run {run.run_id} was cancelled"})
    await attempt_writes.add_events(tx, run.run_id, index, [event])
    if run.attempt:
        await _keep_what_was_begun(tx, run.run_id, now)
    await tx.run(transitions.CLOSE_MEMBERS[RunState.CANCELLED], {"root": run.run_id, "now": now})
    await approvals.close(tx, run.run_id)
    await blobs.release(tx, run.run_id)
    if run.webhooks:
        await deliveries.add(tx, Notice.of_end(run, RunState.CANCELLED, now))
    # Only the head of the queue leaves a place for the next run. Its `holder` was cleared by CANCEL above.
    promoted = await session_queue.promote(tx, run.lane) if run.holder is not None and run.lane is not None else None
    run.state, run.ended_at, run.holder, run.next_event = RunState.CANCELLED, now, None, index + 1
    return StopResult(run, promoted, (index, event))


async def _keep_what_was_begun(tx: SessionTx, root_id: str, now: float) -> None:
    """Close the steps that the last attempt left open, and list them in the output. A tool's outcome is unknown.

    What the run had changed in the session's state when it paused is merged into it.
    """
    cut_off = []
    # Read before CLOSE_STEPS: afterwards the steps that were open look like any other steps.
    for row in await tx.all(OPEN_STEPS, {"root": root_id}):
        outcome = StepOutcome.UNKNOWN if StepKind(row["kind"]).has_effect else StepOutcome.STOPPED
        cut_off.append({"path": row["path"], "kind": row["kind"], "name": None, "outcome": outcome.value})
    await tx.run(attempt_writes.CLOSE_STEPS, {"root": root_id})
    output = await run_outputs.get(tx, root_id)
    if cut_off or output.state_changes is not None:
        output.cut_off = cut_off
        await sessions.merge_changes_of_paused(tx, output, now)
        await run_outputs.replace(tx, root_id, output)
