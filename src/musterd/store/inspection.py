"""Inspection: what can be told of a database without serving from it, and without bringing its schema up to date."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field

from musterd.core import clock
from musterd.core.errors import StartError, StoreUnavailable
from musterd.store import stats
from musterd.store.database import Statement, Tx
from musterd.store.locks import WorkerLocks
from musterd.store.open_database import open_database, shown_url, sqlite_path
from musterd.store.stats import DatabaseStats, Schema
from musterd.store.upgrade import file_system, revision_of

IDENTITY = Statement("inspection_identity", "SELECT id, created_at FROM instance")
WORKERS = Statement("inspection_workers", "SELECT id, host, pid FROM workers ORDER BY started_at")
SESSIONS = Statement("inspection_sessions", "SELECT count(*) AS n FROM sessions")
RUNS = Statement("inspection_runs", "SELECT count(*) AS n FROM runs WHERE parent_id IS NULL")
LATE = Statement(
    "inspection_late",
    """SELECT (SELECT count(*) FROM runs WHERE state = 'scheduled' AND not_before <= :since)
            + (SELECT count(*) FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at <= :since) AS n""",
)
LATE_SECONDS = 60.0
"""What has been due for so long nobody sees to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a database lies.

    :param size: its bytes, with what is not yet merged.
    :param free: bytes that are free where it lies; None where nobody can tell.
    :param kind: the database and its version.
    :param file_system: of a file, where the system tells.
    :param skew_seconds: by how much the server's clock is ahead of this one's; None: it has the same.
    """

    kind: str
    size: int
    free: int | None = None
    file_system: str | None = None
    skew_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a database holds.

    :param late: what has been due for a minute: no process sees to it.
    :param dead: workers that have announced themselves and are dead, as far as this host's locks tell.
    """

    schema: Schema
    instance: str
    created_at: float
    sessions: int
    runs: int
    stats: DatabaseStats
    late: int
    dead: list[str] = field(default_factory=list)


def sqlite_version() -> tuple[int, ...]:
    """The version of SQLite that this Python has."""
    return sqlite3.sqlite_version_info


def is_file(url: str) -> bool:
    """Whether ``url`` names a SQLite file."""
    return url.startswith("sqlite:")


def revision(url: str) -> str | None:
    """The schema's revision; None: there are no records yet.

    :raises StartError: the database cannot be used, in words.
    """
    if is_file(url):
        return revision_of(sqlite_path(url))
    open_database(url)  # says what is missing
    from musterd.store.postgres_upgrade import revision_at

    return revision_at(url)


def require_promised_tables(url: str) -> None:
    """Refuse tables that are not those of their revision. There are records: see :func:`revision`.

    :raises StartError: they are not, in words.
    """
    if is_file(url):
        from musterd.store.upgrade import require_promised_tables as require

        require(sqlite_path(url))
    else:
        from musterd.store.postgres_upgrade import require_promised_tables as require_at

        require_at(url)


def place(url: str) -> Place:
    """Where the database lies, and how large it is.

    :raises StartError: it cannot be used, in words.
    """
    if not is_file(url):
        from musterd.store.postgres_upgrade import server_at

        version, size, now = server_at(url)
        return Place(kind=f"PostgreSQL {version}", size=size, skew_seconds=now - clock.now())
    path = sqlite_path(url)
    sizes = [found.stat().st_size for found in (path, path.with_name(path.name + "-wal")) if found.exists()]
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else None
    kind = f"SQLite {sqlite3.sqlite_version}"
    return Place(kind=kind, size=sum(sizes), free=free, file_system=file_system(path.parent))


def require_writable(url: str) -> None:
    """Begin to write, and leave it.

    :raises StartError: it cannot be written, in words.
    """
    if is_file(url):
        from musterd.store.upgrade import require_writable as require

        require(sqlite_path(url))
    else:
        from musterd.store.postgres_upgrade import require_allowed

        require_allowed(url)


def inspect(url: str) -> Inspected:
    """What the database holds. It has records: see :func:`revision`.

    :raises StartError: it cannot be read, in words.
    """
    now = clock.now()

    async def look(tx: Tx) -> tuple[Inspected, list[str]]:
        identity, late = await tx.one(IDENTITY, {}), await tx.one(LATE, {"since": now - LATE_SECONDS})
        sessions, runs = await tx.one(SESSIONS, {}), await tx.one(RUNS, {})
        found = Inspected(
            schema=await stats.schema(tx),
            instance="" if identity is None else identity["id"],
            created_at=0.0 if identity is None else identity["created_at"],
            sessions=0 if sessions is None else sessions["n"],
            runs=0 if runs is None else runs["n"],
            stats=await stats.look(tx, now),
            late=0 if late is None else late["n"],
        )
        return found, [row["id"] for row in await tx.all(WORKERS, {})]

    with closing(open_database(url).apart()) as connection:
        try:
            found, announced = connection.do(look)
        except StoreUnavailable as error:
            reason = str(error.__cause__ or error.message).partition("\n")[0]
            raise StartError(f"{shown_url(url)}: cannot be read ({reason}) — see the error") from error
    if is_file(url):
        locks = WorkerLocks(sqlite_path(url))
        found.dead.extend(worker for worker in announced if locks.is_free(worker))
    return found
