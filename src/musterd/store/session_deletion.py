"""Deleting a session to its end: what lives in it is cancelled, then its rows go.

The deletion itself is one mark (:func:`musterd.store.sessions.bury`). What follows it is done in pieces, by the request
that asked for it and by upkeep after it: a process that dies in the middle leaves nothing undone.
"""

from collections.abc import Collection

from musterd.core import jsontext
from musterd.store import cancels, run_removal, sessions
from musterd.store.cancels import Cancelled
from musterd.store.database import Statement, Tx
from musterd.store.run_removal import removable

UNCANCELLED = Statement(
    "deletion_uncancelled",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND parent_id IS NULL AND cancel_requested_at IS NULL
       AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') ORDER BY seq DESC LIMIT :limit""",
)
TO_CANCEL = Statement(
    "deletion_to_cancel",
    """SELECT s.session_id FROM sessions s WHERE s.deleted_at IS NOT NULL AND s.deleted_at <= :now AND EXISTS (
         SELECT 1 FROM runs r WHERE r.session_id = s.session_id AND r.parent_id IS NULL
         AND r.cancel_requested_at IS NULL AND r.state IN ('scheduled', 'queued', 'ready', 'running', 'paused'))""",
)
OVER = Statement(  # one that is deleted ahead of time is being made
    "deletion_over",
    """SELECT s.session_id FROM sessions s WHERE s.deleted_at IS NOT NULL AND s.deleted_at <= :now AND NOT EXISTS (
         SELECT 1 FROM runs r WHERE r.session_id = s.session_id AND r.parent_id IS NULL
         AND r.state IN ('scheduled', 'queued', 'ready', 'running', 'paused')) ORDER BY s.session_id LIMIT :limit""",
)
ROOTS = Statement(
    "deletion_roots",
    f"SELECT {run_removal.COLUMNS} FROM runs WHERE IN_LIST(session_id, :sessions) AND parent_id IS NULL LIMIT :limit",
)
REMOVE = Statement("deletion_remove", "DELETE FROM sessions WHERE IN_LIST(session_id, :sessions)")
BY = "session deleted"
LIMIT = 100


async def cancel_live(tx: Tx, session_id: str, now: float, limit: int = LIMIT) -> list[Cancelled]:
    """Cancel runs of a deleted session, last first, so that none takes the place of another; none: all are."""
    session = await sessions.lock(tx, session_id)
    if session is None or session.deleted_at is None:
        return []
    rows = await tx.all(UNCANCELLED, {"session_id": session_id, "limit": limit})
    found = [await cancels.request(tx, row["run_id"], BY, now) for row in rows]
    return [done for done in found if done is not None]


async def to_cancel(tx: Tx, now: float) -> list[str]:
    """Deleted sessions in which a run is still to be cancelled."""
    return [row["session_id"] for row in await tx.all(TO_CANCEL, {"now": now})]


async def is_any_over(tx: Tx, now: float) -> bool:
    """Whether nothing lives any more in a deleted session, so that its rows can go."""
    return await tx.one(OVER, {"now": now, "limit": 1}) is not None


async def remove_over(tx: Tx, now: float) -> int:
    """Remove some rows of deleted sessions in which nothing lives: runs, or the sessions with the last of their runs.

    A session that another transaction holds is left to the next time.

    :return: how many runs and sessions went; 0: there is nothing to do now.
    """
    over = await tx.all(OVER, {"now": now, "limit": run_removal.AT_ONCE})
    # What is deleted accepts no run, so nothing can begin in a session between this look and the hold.
    return await _remove(tx, await run_removal.hold(tx, [row["session_id"] for row in over]), now)


async def remove_if_over(tx: Tx, session_id: str) -> bool:
    """Remove some rows of a session that was deleted, once none of its runs lives.

    :return: whether some went; then there may be more.
    """
    session = await sessions.lock(tx, session_id)
    if session is None or session.deleted_at is None or await sessions.live_runs(tx, session_id):
        return False
    return await _remove(tx, {session_id}, session.deleted_at) > 0


async def _remove(tx: Tx, held: Collection[str], now: float) -> int:
    """Remove as many runs of sessions that are held as one transaction may, and the sessions if these were the last."""
    named = {"sessions": jsontext.dumps(sorted(held))}
    rows = await tx.all(ROOTS, {**named, "limit": run_removal.AT_ONCE})
    some = next(run_removal.slices(removable(row) for row in rows), [])
    await run_removal.remove(tx, [run.run_id for run in some], now)
    is_last = len(some) == len(rows) < run_removal.AT_ONCE
    return len(some) + (await tx.run(REMOVE, named) if is_last else 0)
