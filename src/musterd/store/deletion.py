"""Deleting a session to its end: what lives in it is cancelled, then its rows go.

The deletion itself is one mark (:func:`musterd.store.sessions.bury`). What follows it is done in pieces, by the request
that asked for it and by upkeep after it: a process that dies in the middle leaves nothing undone.
"""

from musterd.core import jsontext
from musterd.store import cancels, removal, sessions
from musterd.store.cancels import Cancelled
from musterd.store.database import Statement, Tx

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
    "SELECT run_id FROM runs WHERE IN_LIST(session_id, :sessions) AND parent_id IS NULL LIMIT :limit",
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


async def over(tx: Tx, now: float, limit: int) -> list[str]:
    """Deleted sessions in which nothing lives any more, so that their rows can go; at most so many."""
    return [row["session_id"] for row in await tx.all(OVER, {"now": now, "limit": limit})]


async def remove_over(tx: Tx, now: float, limit: int) -> int:
    """Remove rows of deleted sessions in which nothing lives: so many root runs at most, then the sessions.

    A session that another transaction holds is left to the next time.

    :return: how many rows of runs and sessions went; 0: there is nothing to do now.
    """
    held = await removal.hold(tx, await over(tx, now, limit))
    # What is deleted accepts no run: nothing can have begun in a session that was over before it was held.
    sessions = {"sessions": jsontext.dumps(sorted(held))}
    rows = await tx.all(ROOTS, {**sessions, "limit": limit})
    await removal.remove(tx, [row["run_id"] for row in rows], now)
    return len(rows) + (await tx.run(REMOVE, sessions) if len(rows) < limit else 0)
