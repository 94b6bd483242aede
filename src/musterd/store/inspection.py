"""Inspecting a database without serving from it and without upgrading its schema, for ``musterd doctor`` and ``db``."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

from musterd.core import clock
from musterd.core.errors import StartError, StoreUnavailable
from musterd.core.redacted_urls import redacted_url
from musterd.store import stats
from musterd.store.database import Row, Statement, Tx
from musterd.store.open_database import open_database, sqlite_path
from musterd.store.sqlite_upgrade import file_system, revision_of
from musterd.store.stats import DatabaseStats, Schema
from musterd.store.worker_locks import WorkerLocks

IDENTITY = Statement("inspection_identity", "SELECT id, created_at FROM instance")
WORKERS = Statement("inspection_workers", "SELECT id, host, pid, role FROM workers ORDER BY started_at")
SESSIONS = Statement("inspection_sessions", "SELECT count(*) AS n FROM sessions")
RUNS = Statement("inspection_runs", "SELECT count(*) AS n FROM runs WHERE parent_id IS NULL")
BASES = Statement("inspection_knowledge_bases", "SELECT id, embedder FROM knowledge_bases ORDER BY id")
CONTENTS = Statement(
    "inspection_contents", "SELECT status, count(*) AS n FROM contents WHERE status <> 'deleted' GROUP BY status"
)
CONTENT_STATUSES = ("queued", "reading", "embedding", "completed", "failed")
LATE = Statement(
    "inspection_late",
    """SELECT (SELECT count(*) FROM runs WHERE state = 'scheduled' AND not_before <= :since)
            + (SELECT count(*) FROM runs WHERE state = 'paused' AND parent_id IS NULL AND expires_at <= :since) AS n""",
)
HTTP_ROLES = ("server", "api")
"""The roles of processes that serve HTTP; those of ``musterd worker`` only answer probes."""
LATE_SECONDS = 60.0
"""Runs that have been due for longer than this show that no process does the upkeep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStorage:
    """Where and how a database is stored.

    :param kind: the database and its version.
    :param size: its size in bytes, including the write-ahead log.
    :param free: free bytes on its volume, or None if unknown.
    :param file_system: the type of the file system of a SQLite file, if known.
    :param skew_seconds: how far the server's clock is ahead of this machine's; None for a file.
    """

    kind: str
    size: int
    free: int | None = None
    file_system: str | None = None
    skew_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """The contents of a database.

    :param embedders: the embedder of each knowledge base; None if it is searched only by words.
    :param knowledge_contents: the contents of all knowledge bases by status, without deleted ones.
    :param late: runs that have been due for a minute, so no process does the upkeep.
    :param dead: announced workers that are dead according to the locks of this host.
    :param servers: the other announced workers that serve HTTP, each as ``process 7 on HOST``.
    """

    schema: Schema
    instance: str
    created_at: float
    sessions: int
    runs: int
    embedders: dict[str, str | None]
    knowledge_contents: dict[str, int]
    stats: DatabaseStats
    late: int
    dead: list[str] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)


def sqlite_version() -> tuple[int, ...]:
    """The version of Python's SQLite library."""
    return sqlite3.sqlite_version_info


def is_file(url: str) -> bool:
    """Whether ``url`` names a SQLite file."""
    return url.startswith("sqlite:")


def revision(url: str) -> str | None:
    """The schema's revision; None: there is no schema yet.

    :raises StartError: the database cannot be used; the message says why.
    """
    if is_file(url):
        return revision_of(sqlite_path(url))
    open_database(url)  # raises a helpful error if psycopg is missing
    from musterd.store.postgres_upgrade import revision_at

    return revision_at(url)


def require_head_tables(url: str) -> None:
    """Check that the tables of a database at this program's revision are those that it creates.

    :raises StartError: they are not; the message says which differ.
    """
    if is_file(url):
        from musterd.store.sqlite_upgrade import require_head_tables as require

        require(sqlite_path(url))
    else:
        from musterd.store.postgres_upgrade import require_head_tables as require_at

        require_at(url)


def storage(url: str) -> DatabaseStorage:
    """Where the database is stored, and its size.

    :raises StartError: it cannot be used; the message says why.
    """
    if not is_file(url):
        from musterd.store.postgres_upgrade import server_at

        version, size, now = server_at(url)
        return DatabaseStorage(kind=f"PostgreSQL {version}", size=size, skew_seconds=now - clock.now())
    path = sqlite_path(url)
    sizes = [file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists()]
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else None
    kind = f"SQLite {sqlite3.sqlite_version}"
    return DatabaseStorage(kind=kind, size=sum(sizes), free=free, file_system=file_system(path.parent))


def require_writable(url: str) -> None:
    """Check that the database can be written, without writing anything.

    :raises StartError: it cannot be written; the message says why.
    """
    if is_file(url):
        from musterd.store.sqlite_upgrade import require_writable as require

        require(sqlite_path(url))
    else:
        from musterd.store.postgres_upgrade import require_allowed

        require_allowed(url)


def inspect(url: str) -> Inspected:
    """The contents of the database. It has a schema, see :func:`revision`.

    :raises StartError: it cannot be read; the message says why.
    """
    now = clock.now()

    async def read(tx: Tx) -> tuple[Inspected, Sequence[Row]]:
        identity, late = await tx.one(IDENTITY, {}), await tx.one(LATE, {"since": now - LATE_SECONDS})
        sessions, runs = await tx.one(SESSIONS, {}), await tx.one(RUNS, {})
        bases, contents = await tx.all(BASES, {}), await tx.all(CONTENTS, {})
        inspected = Inspected(
            schema=await stats.schema(tx),
            instance="" if identity is None else identity["id"],
            created_at=0.0 if identity is None else identity["created_at"],
            sessions=0 if sessions is None else sessions["n"],
            runs=0 if runs is None else runs["n"],
            embedders={row["id"]: row["embedder"] for row in bases},
            knowledge_contents=dict.fromkeys(CONTENT_STATUSES, 0) | {row["status"]: row["n"] for row in contents},
            stats=await stats.read(tx, now),
            late=0 if late is None else late["n"],
        )
        return inspected, await tx.all(WORKERS, {})

    with closing(open_database(url).thread_connection()) as connection:
        try:
            inspected, announced = connection.do(read)
        except StoreUnavailable as error:
            reason = str(error.__cause__ or error.message).partition("\n")[0]
            cure = "check that the database is running and that this user may read it"
            raise StartError(f"{redacted_url(url)}: cannot be read ({reason}) — {cure}") from error
    if is_file(url):
        locks = WorkerLocks(sqlite_path(url))
        inspected.dead.extend(row["id"] for row in announced if locks.is_free(row["id"]))
    servers = [row for row in announced if row["id"] not in inspected.dead and row["role"] in HTTP_ROLES]
    inspected.servers.extend(f"process {row['pid']} on {row['host']}" for row in servers)
    return inspected
