"""Lanes: where a run begins that joins its session's line, by what it does about the run at work."""

from musterd.core.errors import Conflict
from musterd.core.records import RunRow
from musterd.core.scheduling import OnBusy
from musterd.core.states import RunState
from musterd.store import cancels
from musterd.store.cancels import Cancelled
from musterd.store.crashes import NOTHING_STORED
from musterd.store.database import Statement, Tx

HOLDER = Statement("lane_holder", "SELECT run_id FROM runs WHERE holder = :lane")
GO_ON = Statement(
    "run_go_on",
    """UPDATE runs SET state = :state, holder = :holder, expires_at = NULL, version = version + 1
       WHERE run_id = :run_id AND state = 'paused'""",
)
INTERRUPTED = "interrupt"
"""Who cancels, where a run interrupts another."""


async def place(tx: Tx, run: RunRow, slot_worker: str | None) -> str | None:
    """Decide, in ``run``, where it begins: running, ready or queued. The caller holds the session.

    :param run: its ``queued_at`` is when the session was held: not before the last end in it.
    :param slot_worker: the worker that keeps a slot free for it, or None when it has to wait for one.
    :return: the run at work that it interrupts: to be told to :func:`interrupt` once ``run`` is stored.
    :raises Conflict: the line is taken, and the run does not want to wait.
    """
    if run.on_busy is OnBusy.PARALLEL:  # beside the line, whoever holds it
        _begin(run, slot_worker)
        return None
    holder = await tx.one(HOLDER, {"lane": run.lane})
    if holder is None:
        run.holder = run.lane
        _begin(run, slot_worker)
        return None
    at_work = str(holder["run_id"])
    if run.on_busy is OnBusy.REJECT:
        raise Conflict(f"The session is busy: run {at_work} is at work.")
    run.state = RunState.QUEUED
    return at_work if run.on_busy is OnBusy.INTERRUPT else None


def _begin(run: RunRow, slot_worker: str | None) -> None:
    run.state = RunState.READY
    if slot_worker is not None:
        run.state, run.attempt, run.worker, run.started_at = RunState.RUNNING, 1, slot_worker, run.queued_at
        run.not_before = NOTHING_STORED


async def interrupt(tx: Tx, at_work: str, run: RunRow, now: float) -> Cancelled | None:
    """Have the run at work cancelled for ``run``, which is queued: it comes next. None: there is nobody to be told.

    A run that no attempt drives yet ends at once; then ``run`` may be ready already. A paused one that holds the
    line keeps it.
    """
    holder = await cancels.lock(tx, at_work)
    if holder is None or holder.state is RunState.PAUSED or holder.cancel_requested_at is not None:
        return None
    done = await cancels.request(tx, at_work, INTERRUPTED, now)
    if done is not None and done.promoted == run.run_id:
        run.state, run.holder, run.version = RunState.READY, run.lane, run.version + 1
    return done


async def go_on(tx: Tx, run: RunRow) -> None:
    """Let a paused run go on: ready where its line is free, else in the queue by its old place.

    The caller holds it and its session; ``run`` says where it stands then.
    """
    if run.holder is not None or run.on_busy is OnBusy.PARALLEL:
        run.state = RunState.READY
    elif await tx.one(HOLDER, {"lane": run.lane}) is None:
        run.state, run.holder = RunState.READY, run.lane
    else:
        run.state = RunState.QUEUED
    await tx.run(GO_ON, {"run_id": run.run_id, "state": run.state.value, "holder": run.holder})
