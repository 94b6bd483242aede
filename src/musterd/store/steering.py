"""Steering a running run: messages to its agents, and cancels of single members.

Each of them raises the root's ``signals`` counter. The attempt that drives the run is notified, or sees that the
counter is higher than at its last read, and reads the new messages and cancels. A message is marked as taken in the
transaction of the model call that saw it (:mod:`musterd.store.messages`). Messages that no call took start the
session's next run, in the transaction that finishes this one (:mod:`musterd.store.follow_ups`).
"""

from dataclasses import replace

from musterd.core.errors import Conflict
from musterd.core.records import RunRow, SteeringMessage
from musterd.core.states import RunState
from musterd.store import approvals, messages, run_locks, session_queue, transitions
from musterd.store.database import Statement
from musterd.store.rows import RUN_COLUMNS, run_row
from musterd.store.shards import SessionTx

SIGNAL = Statement(
    "signals_raise", "UPDATE runs SET signals = signals + 1 WHERE run_id = :root AND shard = :shard RETURNING signals"
)
MEMBER = Statement(
    "signals_member",
    f"SELECT {RUN_COLUMNS} FROM runs WHERE run_id = :run_id AND shard = :shard AND root_id = :root",
)
# As with the root's cancel, the first one counts.
FLAG_MEMBER = Statement(
    "member_cancel_flag",
    f"""UPDATE runs SET {transitions.NEXT_VERSION}, cancel_requested_at = :now, cancel_by = :by
        WHERE run_id = :run_id AND shard = :shard AND cancel_requested_at IS NULL""",
)
FLAGGED = Statement(
    "members_flagged",
    """SELECT run_id FROM runs WHERE root_id = :root AND shard = :shard AND parent_id IS NOT NULL
       AND cancel_requested_at IS NOT NULL AND state IN ('running', 'paused')""",
)


async def send(tx: SessionTx, root_id: str, message: SteeringMessage) -> RunRow:
    """Store a message for a run that has not finished; return the root as it is now.

    :raises Conflict: the run or the member has finished.
    """
    # With the root locked, the end of the run is either committed, and the message is refused, or waits for this
    # commit and then sees the raised `signals`: no message is lost between the two.
    root = await _live_root(tx, root_id)
    if message.run_id != root_id:
        await _live_member(tx, root_id, message.run_id)
    await messages.add(tx, root_id, message)
    return await _with_raised_signals(tx, root)


async def cancel_member(tx: SessionTx, root_id: str, run_id: str, by: str, now: float) -> RunRow:
    """Request that one member stops; return the root as it is now. A paused run resumes, so that its leader can react.

    :raises Conflict: the run or the member has finished.
    """
    root = await _live_root(tx, root_id)
    member = await _live_member(tx, root_id, run_id)
    await tx.run(FLAG_MEMBER, {"run_id": run_id, "now": now, "by": by})
    await approvals.close_below(tx, root_id, member.path)
    if root.state is RunState.PAUSED:
        await session_queue.resume(tx, root)
    return await _with_raised_signals(tx, root)


async def _live_root(tx: SessionTx, root_id: str) -> RunRow:
    root = await run_locks.lock_unless_deleted(tx, root_id)
    if root is None or root.state.is_final or root.cancel_requested_at is not None:
        raise Conflict("The run has finished or is being cancelled.")
    return root


async def _live_member(tx: SessionTx, root_id: str, run_id: str) -> RunRow:
    row = await tx.one(MEMBER, {"root": root_id, "run_id": run_id})
    if row is None or RunState(row["state"]).is_final:
        raise Conflict("The member's run has finished.")
    return run_row(row)


async def _with_raised_signals(tx: SessionTx, root: RunRow) -> RunRow:
    return replace(root, signals=await raise_signals(tx, root.run_id))


async def raise_signals(tx: SessionTx, root_id: str) -> int:
    """Raise the root's ``signals`` counter and return it."""
    row = await tx.one(SIGNAL, {"root": root_id})
    return 0 if row is None else int(row["signals"])


async def members_to_cancel(tx: SessionTx, root_id: str) -> list[str]:
    """The ids of unfinished members with a cancel request."""
    return [str(row["run_id"]) for row in await tx.all(FLAGGED, {"root": root_id})]
