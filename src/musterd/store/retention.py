"""Retention: removing runs that finished long ago, and sessions without runs that have not been used since.

A session with an unfinished run keeps all its runs, because their ids are in that run's journal and a later attempt may
read them again. A run with a pending delivery stays until it is delivered or given up. Two processes may do this at the
same time; each run is removed once.
"""

from collections.abc import Sequence

from musterd.core import jsontext
from musterd.store import deliveries, run_removal
from musterd.store.database import Statement, Tx
from musterd.store.run_removal import InRemoval, Removable, removable

# The extra conditions hold for every running and every paused root. They make SQLite use the partial index of these.
_LIVE = " UNION ALL ".join(
    f"SELECT session_id FROM runs WHERE state = '{state}'{condition}"
    for state, condition in (
        ("scheduled", ""),
        ("queued", ""),
        ("ready", ""),
        ("running", " AND parent_id IS NULL AND worker IS NOT NULL"),
        ("paused", " AND parent_id IS NULL AND expires_at IS NOT NULL"),
    )
)
# `is_compacted IN (0, 1)` holds for every run. With it the index on (is_compacted, ended_at) gives the range of old
# runs. Neither the list nor its conditions are locked; `remove_runs` checks them again.
OVER = Statement(
    "retention_over",
    f"""SELECT {run_removal.COLUMNS} FROM runs
        WHERE parent_id IS NULL AND ended_at IS NOT NULL AND is_compacted IN (0, 1) AND ended_at <= :before
          AND session_id NOT IN ({_LIVE})
          AND NOT EXISTS (SELECT 1 FROM deliveries d
                          WHERE d.run_id = runs.run_id AND d.shard = runs.shard AND d.ended_at IS NULL)
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
       AND NOT EXISTS (SELECT 1 FROM runs
                       WHERE runs.session_id = sessions.session_id AND runs.shard = sessions.shard)
       ORDER BY updated_at LIMIT :limit""",
)
REMOVE_UNUSED = Statement(
    "retention_remove_unused",
    """DELETE FROM sessions WHERE IN_LIST(session_id, :sessions) AND updated_at <= :before AND deleted_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM runs
                       WHERE runs.session_id = sessions.session_id AND runs.shard = sessions.shard)""",
)


async def old_runs(tx: Tx, before: float, limit: int) -> list[Removable]:
    """Up to ``limit`` root runs that finished before ``before`` and that nothing needs any more."""
    return [removable(row) for row in await tx.all(OVER, {"before": before, "limit": limit})]


async def unused_sessions(tx: Tx, before: float, limit: int) -> list[str]:
    """Up to ``limit`` sessions without runs that were last used before ``before``."""
    return [row["session_id"] for row in await tx.all(UNUSED, {"before": before, "limit": limit})]


async def remove_runs(tx: Tx, runs: Sequence[Removable], now: float, hooks: Sequence[InRemoval] = ()) -> int:
    """Remove old runs, except those whose session has a new run or is locked; return how many were removed.

    :param hooks: called in this transaction, before the rows are removed.
    """
    # The list of runs was read without locks. With the sessions locked no run can be accepted in them, so unfinished
    # runs and pending deliveries are checked once more here.
    locked = await run_removal.lock_unlocked_sessions(tx, [run.session_id for run in runs])
    live = await tx.all(LIVE_OF, {"sessions": jsontext.dumps(sorted(locked))})
    undelivered = await deliveries.pending_of(tx, [run.run_id for run in runs])
    removable_sessions = locked - {row["session_id"] for row in live}
    roots = [run.run_id for run in runs if run.session_id in removable_sessions and run.run_id not in undelivered]
    await run_removal.remove(tx, roots, now, hooks)
    return len(roots)


async def remove_sessions(tx: Tx, sessions: Sequence[str], before: float) -> int:
    """Remove sessions without runs, except those used meanwhile or locked; return how many were removed."""
    locked = await run_removal.lock_unlocked_sessions(tx, sessions)
    return await tx.run(REMOVE_UNUSED, {"sessions": jsontext.dumps(sorted(locked)), "before": before})
