"""Deleting a session to its end: what lives in it is cancelled, then its rows go.

The deletion itself is one mark (:func:`musterd.store.sessions.bury`). What follows it is done in pieces, by the request
that asked for it and by upkeep after it: a process that dies in the middle leaves nothing undone.
"""

from musterd.store import cancels, sessions
from musterd.store.cancels import Cancelled
from musterd.store.database import Statement, Tx

UNCANCELLED = Statement(
    "deletion_uncancelled",
    """SELECT run_id FROM runs WHERE session_id = :session_id AND parent_id IS NULL AND cancel_requested_at IS NULL
       AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused') ORDER BY seq DESC LIMIT :limit""",
)
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


async def undone(tx: Tx, now: float) -> list[str]:
    """Deleted sessions in which a run is still to be cancelled, or nothing lives any more: their rows can go."""
    found = []
    for session_id in await sessions.buried(tx, now):
        is_left = await tx.one(UNCANCELLED, {"session_id": session_id, "limit": 1}) is not None
        if is_left or not await sessions.live_runs(tx, session_id):
            found.append(session_id)
    return found
