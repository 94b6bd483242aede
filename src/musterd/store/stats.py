"""Counts over all runs, for metrics and ``musterd doctor``. Every count uses an index."""

from dataclasses import dataclass

from musterd.store.database import Statement, Tx

SCHEDULED = Statement("standing_scheduled", "SELECT count(*) AS n FROM runs WHERE state = 'scheduled'")
QUEUED = Statement("standing_queued", "SELECT count(*) AS n FROM runs WHERE state = 'queued'")
READY = Statement("standing_ready", "SELECT count(*) AS n, min(queued_at) AS oldest FROM runs WHERE state = 'ready'")
# The extra conditions hold for every running and every paused root. They make SQLite use the partial index of these.
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
SIZE = Statement("standing_size", "SELECT DATABASE_SIZE AS bytes, DATABASE_VERSION AS version")
OLDEST_WRITER = Statement("standing_oldest_writer", "SELECT oldest_writer FROM instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStats:
    """Counts over the whole database.

    :param runs: unfinished root runs by state.
    :param oldest_ready_seconds: how long the oldest ready run has waited for a worker; 0 if none waits.
    :param approvals: pending approvals.
    :param workers: announced workers.
    """

    runs: dict[str, int]
    oldest_ready_seconds: float
    approvals: int
    workers: int


@dataclass(frozen=True, slots=True)
class Schema:
    """The revision of the schema, and the oldest revision whose programs may still write it."""

    revision: str
    oldest_writer: str | None


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """How much a database holds, and the version of its program.

    :param bytes: the size of its content; on SQLite without what the write-ahead log holds twice.
    """

    bytes: int
    version: str


async def size(tx: Tx) -> DatabaseSize:
    """The size of the database."""
    row = await tx.one(SIZE, {})
    if row is None:
        raise RuntimeError("a statement without tables returned no row")
    return DatabaseSize(int(row["bytes"]), str(row["version"]))


async def read(tx: Tx, now: float) -> DatabaseStats:
    """Read the counts."""
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
    """The schema's current revision: a newer program may have upgraded it while this one runs."""
    revision, oldest = await tx.one(REVISION, {}), await tx.one(OLDEST_WRITER, {})
    return Schema(
        "" if revision is None else str(revision["version_num"]),
        None if oldest is None else str(oldest["oldest_writer"]),
    )


async def _count(tx: Tx, statement: Statement) -> int:
    row = await tx.one(statement, {})
    return 0 if row is None else int(row["n"])
