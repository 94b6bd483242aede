"""Removing a deleted session: its unfinished runs are cancelled, then its rows are removed.

The deletion itself is a mark on the session (:func:`musterd.store.sessions.mark_deleted`). The rest is done in small
transactions, by the request that deleted the session and afterwards by upkeep, so that a process which dies in the
middle leaves nothing undone.
"""

from collections.abc import Collection, Sequence

from musterd.core import jsontext
from musterd.store import cancels, run_removal, sessions
from musterd.store.cancels import StopResult
from musterd.store.database import Statement, Tx
from musterd.store.run_removal import InRemoval, removable
from musterd.store.shards import SessionTx

UNCANCELLED = Statement(
    "deletion_uncancelled",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND shard = :shard AND parent_id IS NULL
       AND cancel_requested_at IS NULL AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused')
       ORDER BY seq DESC LIMIT :limit""",
)
TO_CANCEL = Statement(
    "deletion_to_cancel",
    """SELECT s.session_id FROM sessions s WHERE s.deleted_at IS NOT NULL AND s.deleted_at <= :now AND EXISTS (
         SELECT 1 FROM runs r WHERE r.session_id = s.session_id AND r.shard = s.shard AND r.parent_id IS NULL
         AND r.cancel_requested_at IS NULL AND r.state IN ('scheduled', 'queued', 'ready', 'running', 'paused'))""",
)
OVER = Statement(  # a fork that is being made is deleted in the future (session_forks.py)
    "deletion_over",
    """SELECT s.session_id FROM sessions s WHERE s.deleted_at IS NOT NULL AND s.deleted_at <= :now AND NOT EXISTS (
         SELECT 1 FROM runs r WHERE r.session_id = s.session_id AND r.shard = s.shard AND r.parent_id IS NULL
         AND r.state IN ('scheduled', 'queued', 'ready', 'running', 'paused')) ORDER BY s.session_id LIMIT :limit""",
)
ROOTS = Statement(
    "deletion_roots",
    f"SELECT {run_removal.COLUMNS} FROM runs WHERE IN_LIST(session_id, :sessions) AND parent_id IS NULL LIMIT :limit",
)
REMOVE = Statement("deletion_remove", "DELETE FROM sessions WHERE IN_LIST(session_id, :sessions)")
BY = "session deleted"
LIMIT = 100


async def cancel_live(tx: Tx, session_id: str, now: float, limit: int = LIMIT) -> list[StopResult]:
    """Cancel runs of a deleted session; an empty list means that all have been cancelled.

    The last run comes first. In the other order each cancelled head would promote a run that is about to be cancelled.
    """
    tx = SessionTx(tx, session_id)
    session = await sessions.lock(tx, session_id)
    if session is None or session.deleted_at is None:
        return []
    rows = await tx.all(UNCANCELLED, {"session_id": session_id, "limit": limit})
    cancelled = [await cancels.request(tx, row["run_id"], BY, now) for row in rows]
    return [cancel for cancel in cancelled if cancel is not None]


async def to_cancel(tx: Tx, now: float) -> list[str]:
    """Deleted sessions with a run that has not been cancelled yet."""
    return [row["session_id"] for row in await tx.all(TO_CANCEL, {"now": now})]


async def is_any_removable(tx: Tx, now: float) -> bool:
    """Whether there is a deleted session without unfinished runs, so that its rows can be removed."""
    return await tx.one(OVER, {"now": now, "limit": 1}) is not None


async def remove_some(tx: Tx, now: float, hooks: Sequence[InRemoval] = ()) -> int:
    """Remove one batch of rows of deleted sessions without unfinished runs, and sessions that have no rows left.

    Sessions that another transaction has locked are left for the next call.

    :param hooks: called in this transaction, before rows of runs are removed.
    :return: how many runs and sessions were removed; 0: there is nothing to do now.
    """
    rows = await tx.all(OVER, {"now": now, "limit": run_removal.AT_ONCE})
    # A deleted session accepts no run, so none can start between this read and the lock.
    locked = await run_removal.lock_unlocked_sessions(tx, [row["session_id"] for row in rows])
    return await _remove(tx, locked, now, hooks)


async def remove_some_of(tx: Tx, session_id: str, hooks: Sequence[InRemoval] = ()) -> bool:
    """Remove one batch of rows of a deleted session, if all its runs have finished.

    :param hooks: called in this transaction, before rows of runs are removed.
    :return: whether rows were removed; then there may be more.
    """
    session = await sessions.lock(tx, session_id)
    if session is None or session.deleted_at is None or await sessions.live_runs(tx, session_id):
        return False
    return await _remove(tx, {session_id}, session.deleted_at, hooks) > 0


async def _remove(tx: Tx, locked: Collection[str], now: float, hooks: Sequence[InRemoval]) -> int:
    """Remove one batch of runs of locked sessions, and the sessions themselves if these were their last runs."""
    sessions_param = {"sessions": jsontext.dumps(sorted(locked))}
    rows = await tx.all(ROOTS, {**sessions_param, "limit": run_removal.AT_ONCE})
    batch = next(run_removal.slices(removable(row) for row in rows), [])
    await run_removal.remove(tx, [run.run_id for run in batch], now, hooks)
    # Only if these were certainly the last runs: a full page may have more after it, and a batch may be shorter than
    # its page.
    is_last = len(batch) == len(rows) < run_removal.AT_ONCE
    return len(batch) + (await tx.run(REMOVE, sessions_param) if is_last else 0)
