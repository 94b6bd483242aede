"""Failing runs that no attempt drives: those that waited too long, and those that crashed too often."""

from musterd.core.deliveries import Notice
from musterd.core.errors import RunFailed
from musterd.core.events import Event, EventKind
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.store import (
    approvals,
    attempt_writes,
    deliveries,
    follow_ups,
    run_outputs,
    session_queue,
    sessions,
    transitions,
)
from musterd.store.cancels import StopResult
from musterd.store.shards import SessionTx

EXPIRED = "expired"
"""The error code of a run for which no decision came in time."""


async def fail(tx: SessionTx, run: RunRow, error: RunFailed, now: float) -> StopResult:
    """Finish a run that no attempt drives as ERROR, and keep its output so far.

    The caller has locked the run and its session, so FAIL always matches; else the caller has a bug.
    """
    key = {"run_id": run.run_id, "state": run.state.value, "attempt": run.attempt}
    row = await tx.one(transitions.FAIL, {**key, "code": error.code, "now": now})
    if row is None:
        raise RuntimeError(f"run {run.run_id} changed its state inside a transaction")
    index = int(row["next_event"]) - 1
    output = await run_outputs.get(tx, run.run_id)
    output.content, output.content_type, output.requirements = error.message, "str", []
    output.error = {"code": error.code, "message": error.message, "retryable": error.retryable}
    await sessions.merge_changes_of_paused(tx, output, now)
    await run_outputs.replace(tx, run.run_id, output)
    event = Event(EventKind.RUN_ERROR, run.run_id, now, {"content": error.message, "error": output.error})
    await attempt_writes.add_events(tx, run.run_id, index, [event])
    await tx.run(attempt_writes.CLOSE_STEPS, {"root": run.run_id})
    await tx.run(transitions.CLOSE_MEMBERS[RunState.ERROR], {"root": run.run_id, "now": now})
    await approvals.close(tx, run.run_id, approvals.EXPIRED if error.code == EXPIRED else approvals.CANCELLED)
    if run.webhooks:
        await deliveries.add(tx, Notice.of_end(run, RunState.ERROR, now, output.error))
    # The follow-up run is queued before the promotion, which may pick it. A run that was not the head needs no
    # promotion for its own sake, but its follow-up does if the queue has no head.
    next_run_id = await follow_ups.begin_next(tx, run.run_id, now) if run.signals else None
    may_promote = run.holder is not None or next_run_id is not None
    promoted = await session_queue.promote(tx, run.lane) if may_promote and run.lane is not None else None
    run.state, run.ended_at, run.holder, run.worker = RunState.ERROR, now, None, None
    run.next_event, run.error_code = index + 1, error.code
    return StopResult(run, promoted, (index, event))
