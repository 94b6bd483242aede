"""The queue of a session: one run at a time is its head; ``on_busy`` decides what a new run does if there is one.

A run that is the head has ``holder`` set to its session's id. The column is unique, so a session has at most one head.
"""

from musterd.core.errors import Conflict
from musterd.core.queueing import OnBusy
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.store import transitions
from musterd.store.crashes import NOTHING_STORED
from musterd.store.database import Statement
from musterd.store.rows import run_row
from musterd.store.shards import SessionTx

HEAD = Statement("session_queue_head", "SELECT run_id FROM runs WHERE holder = :lane AND shard = :shard")


async def place(tx: SessionTx, run: RunRow, slot_worker: str | None) -> str | None:
    """Set the first state of ``run``: running, ready or queued.

    The caller holds the session's lock. Otherwise the head could finish after this look, and the run would be queued
    with no one left to promote it.

    :param run: its ``queued_at`` is when the session was locked, so never before the last end in the session.
    :param slot_worker: the worker that reserved a slot for the run, or None if it has to wait for one.
    :return: the id of the run that it interrupts; pass it to ``cancels.interrupt`` once ``run`` is stored.
    :raises Conflict: the session is busy, and the run does not want to wait.
    """
    if run.on_busy is OnBusy.PARALLEL:  # runs outside the queue, whether or not the queue has a head
        _make_ready(run, slot_worker)
        return None
    head = await tx.one(HEAD, {"lane": run.lane})
    if head is None:
        run.holder = run.lane
        _make_ready(run, slot_worker)
        return None
    head_id = str(head["run_id"])
    if run.on_busy is OnBusy.REJECT:
        raise Conflict(f"The session is busy with run {head_id}.")
    run.state = RunState.QUEUED
    return head_id if run.on_busy is OnBusy.INTERRUPT else None


def _make_ready(run: RunRow, slot_worker: str | None) -> None:
    """Make the run ready, or running if a worker has a slot for it; that saves a second commit for the claim."""
    run.state = RunState.READY
    if slot_worker is not None:
        run.state, run.attempt, run.worker, run.started_at = RunState.RUNNING, 1, slot_worker, run.queued_at
        run.not_before = NOTHING_STORED


async def promote(tx: SessionTx, session_id: str) -> RunRow | None:
    """Make the next queued run the head of its session's queue, if the queue has none: interrupters first, then by seq.

    :return: the run, or None. The caller holds the session's lock.
    """
    row = await tx.one(transitions.PROMOTE, {"lane": session_id})
    return None if row is None else run_row(row)


async def resume(tx: SessionTx, run: RunRow) -> None:
    """Let a paused run continue: ready if its queue has no head, else queued at its old place.

    The caller has locked the run and its session. The function updates ``run``.
    """
    if run.holder is not None or run.on_busy is OnBusy.PARALLEL:
        run.state = RunState.READY
    elif await tx.one(HEAD, {"lane": run.lane}) is None:
        run.state, run.holder = RunState.READY, run.lane
    else:
        run.state = RunState.QUEUED
    await tx.run(transitions.RESUME[run.state], {"run_id": run.run_id, "holder": run.holder})
