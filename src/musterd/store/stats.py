"""DatabaseStats: what the database alone knows of all runs, for whoever watches the server. Counted by index."""

from dataclasses import dataclass

from musterd.store.database import Statement, Tx

SCHEDULED = Statement("standing_scheduled", "SELECT count(*) AS n FROM runs WHERE state = 'scheduled'")
QUEUED = Statement("standing_queued", "SELECT count(*) AS n FROM runs WHERE state = 'queued'")
READY = Statement("standing_ready", "SELECT count(*) AS n, min(queued_at) AS oldest FROM runs WHERE state = 'ready'")
# What every running and every paused root has leads SQLite to the index of those alone.
RUNNING = Statement(
    "standing_running",
    "SELECT count(*) AS n FROM runs WHERE state = 'running' AND parent_id IS NULL AND worker IS NOT NULL",
)
PAUSED = Statement(
    "standing_paused",
    "SELECT count(*) AS n FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at IS NOT NULL",
)
PENDING = Statement("standing_pending", "SELECT count(*) AS n FROM approvals WHERE status = 'pending'")
WORKERS = Statement("standing_workers", "SELECT count(*) AS n FROM workers")
REVISION = Statement("standing_revision", "SELECT version_num FROM alembic_version")
OLDEST_WRITER = Statement("standing_oldest_writer", "SELECT oldest_writer FROM instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStats:
    """How many runs stand where.

    :param runs: root runs that have not ended, by state.
    :param oldest_ready_seconds: how long the run waits that waits longest for a worker; 0: none does.
    :param approvals: questions that wait for a person.
    :param workers: processes that have announced themselves.
    """

    runs: dict[str, int]
    oldest_ready_seconds: float
    approvals: int
    workers: int


@dataclass(frozen=True, slots=True)
class Schema:
    """What the database says of its schema."""

    revision: str
    oldest_writer: str | None


async def look(tx: Tx, now: float) -> DatabaseStats:
    """How many runs stand where, now."""
    ready = await tx.one(READY, {})
    oldest = None if ready is None else ready["oldest"]
    return DatabaseStats(
        runs={
            "scheduled": await _count(tx, SCHEDULED),
            "queued": await _count(tx, QUEUED),
            "ready": 0 if ready is None else int(ready["n"]),
            "running": await _count(tx, RUNNING),
            "paused": await _count(tx, PAUSED),
        },
        oldest_ready_seconds=0.0 if oldest is None else max(now - oldest, 0.0),
        approvals=await _count(tx, PENDING),
        workers=await _count(tx, WORKERS),
    )


async def schema(tx: Tx) -> Schema:
    """The revision that the database has now: a newer program may have raised it under this one."""
    revision, oldest = await tx.one(REVISION, {}), await tx.one(OLDEST_WRITER, {})
    return Schema(
        "" if revision is None else str(revision["version_num"]),
        None if oldest is None else str(oldest["oldest_writer"]),
    )


async def _count(tx: Tx, statement: Statement) -> int:
    row = await tx.one(statement, {})
    return 0 if row is None else int(row["n"])
