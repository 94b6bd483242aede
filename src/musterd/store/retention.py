"""Retention: runs that ended long ago go, with all that hangs on them; so do sessions that nobody has used since.

A session with a run that has not ended keeps all its runs: that one may show them to its model again. A run of which a
webhook is still to be told stays until it was, or that was given up. It goes in small transactions, each holding one
session; what two processes do at once is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from musterd.store import deliveries, removal
from musterd.store.database import Statement, Tx

# What every running and every paused root has leads SQLite to the index of those alone.
_LIVE = " UNION ALL ".join(
    f"SELECT session_id FROM runs WHERE state = '{state}'{also}"
    for state, also in (
        ("scheduled", ""),
        ("queued", ""),
        ("ready", ""),
        ("running", " AND parent_id IS NULL AND worker IS NOT NULL"),
        ("paused", " AND parent_id IS NULL AND expires_at IS NOT NULL"),
    )
)
OVER = Statement(
    "retention_over",
    f"""SELECT run_id, session_id FROM runs
        WHERE parent_id IS NULL AND ended_at IS NOT NULL AND pieces_joined IN (0, 1) AND ended_at <= :before
          AND session_id NOT IN ({_LIVE})
          AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.run_id = runs.run_id AND d.ended_at IS NULL)
        LIMIT :limit""",
)
HOLD = Statement("retention_hold", "SELECT session_id FROM sessions WHERE session_id = :session_id LOCK_FREE_ROWS")
IS_LIVE = Statement(
    "retention_is_live",
    f"SELECT 1 AS found FROM ({_LIVE}) live WHERE live.session_id = :session_id LIMIT 1",
)
UNUSED = Statement(
    "retention_unused",
    """SELECT session_id FROM sessions WHERE updated_at <= :before AND deleted_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.session_id = sessions.session_id)
       ORDER BY updated_at LIMIT :limit""",
)
REMOVE_UNUSED = Statement(
    "retention_remove_unused",
    """DELETE FROM sessions WHERE session_id = :session_id AND updated_at <= :before
       AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.session_id = sessions.session_id)""",
)


@dataclass(frozen=True, slots=True)
class Old:
    """What is old enough to go.

    :param roots: root runs by their session.
    :param sessions: sessions that have no runs.
    """

    roots: dict[str, list[str]] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)


async def old(tx: Tx, before: float, limit: int) -> Old:
    """What has ended, or was used last, before ``before``; at most so many of each.

    Sessions are looked for once few runs are left: before that most of the old ones have some.
    """
    found, over = Old(), await tx.all(OVER, {"before": before, "limit": limit})
    for row in over:
        found.roots.setdefault(row["session_id"], []).append(row["run_id"])
    if len(over) < limit:
        found.sessions.extend(row["session_id"] for row in await tx.all(UNUSED, {"before": before, "limit": limit}))
    return found


async def remove_roots(tx: Tx, session_id: str, roots: Sequence[str], now: float) -> int:
    """Remove root runs of a session, unless it has begun to live again, or somebody holds it; how many went."""
    if not await _held(tx, session_id) or await tx.one(IS_LIVE, {"session_id": session_id}) is not None:
        return 0
    untold = await deliveries.pending_of(tx, roots)
    roots = [root for root in roots if root not in untold]
    await removal.remove(tx, roots, now)
    return len(roots)


async def remove_session(tx: Tx, session_id: str, before: float) -> int:
    """Remove a session that has no runs, unless somebody uses it; whether it went."""
    if not await _held(tx, session_id):
        return 0
    return await tx.run(REMOVE_UNUSED, {"session_id": session_id, "before": before})


async def _held(tx: Tx, session_id: str) -> bool:
    return await tx.one(HOLD, {"session_id": session_id}) is not None
