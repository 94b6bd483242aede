"""Retention: runs that ended long ago go, with all that hangs on them; so do sessions that nobody has used since.

A session with a run that has not ended keeps all its runs: that one may show them to its model again. A run of which a
webhook is still to be told stays until it was, or that was given up. What two processes do at once is done once.
"""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.store import deliveries, run_removal
from musterd.store.database import Statement, Tx
from musterd.store.run_removal import Removable, removable

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
    f"""SELECT {run_removal.COLUMNS} FROM runs
        WHERE parent_id IS NULL AND ended_at IS NOT NULL AND pieces_joined IN (0, 1) AND ended_at <= :before
          AND session_id NOT IN ({_LIVE})
          AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.run_id = runs.run_id AND d.ended_at IS NULL)
        LIMIT :limit""",
)
LIVE_OF = Statement(
    "retention_live_of",
    """SELECT DISTINCT session_id FROM runs WHERE IN_LIST(session_id, :sessions) AND parent_id IS NULL
       AND state IN ('scheduled', 'queued', 'ready', 'running', 'paused')""",
)
UNUSED = Statement(
    "retention_unused",
    """SELECT session_id FROM sessions WHERE updated_at <= :before AND deleted_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.session_id = sessions.session_id)
       ORDER BY updated_at LIMIT :limit""",
)
REMOVE_UNUSED = Statement(
    "retention_remove_unused",
    """DELETE FROM sessions WHERE IN_LIST(session_id, :sessions) AND updated_at <= :before AND deleted_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.session_id = sessions.session_id)""",
)


async def old_runs(tx: Tx, before: float, limit: int) -> list[Removable]:
    """Root runs that ended before ``before`` and that nothing needs any more; at most so many."""
    return [removable(row) for row in await tx.all(OVER, {"before": before, "limit": limit})]


async def unused_sessions(tx: Tx, before: float, limit: int) -> list[str]:
    """Sessions without runs that were used last before ``before``; at most so many."""
    return [row["session_id"] for row in await tx.all(UNUSED, {"before": before, "limit": limit})]


async def remove_runs(tx: Tx, runs: Sequence[Removable], now: float) -> int:
    """Remove old runs, except those whose session has begun to live again or is held by somebody; how many went."""
    free = await run_removal.hold(tx, [run.session_id for run in runs])
    live = await tx.all(LIVE_OF, {"sessions": jsontext.dumps(sorted(free))})
    untold = await deliveries.pending_of(tx, [run.run_id for run in runs])
    free -= {row["session_id"] for row in live}
    roots = [run.run_id for run in runs if run.session_id in free and run.run_id not in untold]
    await run_removal.remove(tx, roots, now)
    return len(roots)


async def remove_sessions(tx: Tx, sessions: Sequence[str], before: float) -> int:
    """Remove sessions that have no runs, except those that somebody uses; how many went."""
    free = await run_removal.hold(tx, sessions)
    return await tx.run(REMOVE_UNUSED, {"sessions": jsontext.dumps(sorted(free)), "before": before})
