"""Upgrading a SQLite database to this program's schema, and the checks of a schema that both databases share.

Alembic is imported only if there is a migration to run, so a start with an up-to-date file stays fast.
"""

import contextlib
import fcntl
import functools
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from musterd.core.errors import SchemaTooNew, StartError
from musterd.store.owner_files import make_owner_only, open_owner_only
from musterd.store.sqlite_errors import advice

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = Path(__file__).parent / "schema_sqlite.sql"
"""The schema that all migrations together create, rendered by ``tools/schema.py``; a test compares the two."""

BUSY_SECONDS = 5.0
HEAD = "0011"
"""The revision of this program; a test compares it with the last migration."""
OLDEST_WRITER = "0004"
"""The oldest revision whose programs may still write a database of revision HEAD. They may run next to newer ones.

A migration that only adds something does not change it. A migration that removes something raises it to its own
revision, and so does a new format of rows that older programs cannot read.
"""
STATE_OLDEST_WRITER = f"UPDATE instance SET oldest_writer = '{OLDEST_WRITER}'"

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "glusterfs"})


def upgrade_sqlite(path: Path) -> None:
    """Create or upgrade the database at ``path``.

    :raises StartError: the file cannot be used; the message says why.
    :raises SchemaTooNew: a newer program wrote it; nothing is changed.
    """
    require_usable_place(path)
    with _one_at_a_time(path):
        revision = revision_of(path)
        if revision is not None:
            require_promised_tables(path)
        if revision is None:
            _create(path)
        elif revision < HEAD:
            _migrate(path)
        else:
            require_writable(path)


def require_known(database: str, revision: str, oldest_writer: str | None) -> None:
    """Refuse a schema that is newer than this program, unless programs of this revision may still write it.

    :param oldest_writer: the oldest revision that may write it, as stored in the database, or None.
    :raises SchemaTooNew: this program must not write it.
    """
    if revision > HEAD and (oldest_writer is None or oldest_writer > HEAD):
        raise SchemaTooNew(
            f"{database}: written by a newer musterd (schema {revision}, this one writes {HEAD}) — "
            "run that version, or name another database"
        )


def require_promised(database: str, revision: str, columns: Collection[str]) -> None:
    """Check that the tables have exactly the columns that their revision creates.

    The revision's number is not enough: an unreleased program may have created different tables under the same number,
    and an upgrade of those would leave a broken schema. Additional tables and newer revisions are not checked.

    :param columns: all columns of the database, as ``table.column``.
    :raises StartError: the columns differ; nothing is changed.
    """
    if revision > HEAD:
        return
    promised = _promised_columns(revision) if revision in _revisions() else frozenset[str]()
    tables = {column.partition(".")[0] for column in promised}
    present = {column for column in columns if column.partition(".")[0] in tables}
    differences = [f"{column} is missing" for column in sorted(promised - present)]
    differences += [f"{column} is unknown" for column in sorted(present - promised)]
    if not promised:
        differences = ["no version has this revision"]
    if differences:
        raise StartError(
            f"{database}: its tables are not those of schema {revision} ({', '.join(differences[:3])}) — "
            "go on with the version that made it, restore a backup, or name another database; nothing was changed"
        )


def require_promised_tables(path: Path) -> None:
    """Check that the tables of a SQLite file are those of its revision.

    :raises StartError: they are not, or the file cannot be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one snapshot for both reads: another process may upgrade
            columns = _columns_of(connection)
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        problem, cure = advice(error, path)
        raise StartError(f"{path}: {problem} — {cure}") from error
    require_promised(str(path), revision, columns)


def _columns_of(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
    )
    return {f"{table}.{column}" for table, column in rows}


def _revisions() -> set[str]:
    return {file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")}


@functools.cache
def _promised_columns(revision: str) -> frozenset[str]:
    """The columns that a revision creates, read from an empty database in memory; the same for SQLite and Postgres."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        if revision == HEAD:
            statements = SCHEMA.read_text(encoding="utf-8").split(";\n")  # without indexes, as every start does this
            connection.executescript(
                ";\n".join(text for text in statements if text.lstrip().startswith("CREATE TABLE"))
            )
        else:
            _run_revisions(connection, revision)
        return frozenset(_columns_of(connection))


def _run_revisions(connection: sqlite3.Connection, revision: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.begin() as bound:
        upgrade_to(bound, revision)


def upgrade_to(bound: "Connection", revision: str) -> None:
    """Run the migrations up to ``revision`` on this connection, in its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = bound
    command.upgrade(config, revision)


def require_usable_place(path: Path) -> None:
    """Check that a database can be stored at ``path``.

    :raises StartError: its folder does not exist, or is on a network file system.
    """
    folder = path.parent
    if not folder.is_dir():
        raise StartError(f"{path}: its folder does not exist — create {folder}, or name another place with --db")
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StartError(
            f"{path}: lies on a network file system ({kind}), where SQLite loses data — "
            "use a local disk, or Postgres for several machines"
        )


def file_system(folder: Path) -> str | None:
    """The type of the file system of ``folder``, or None if unknown (other systems than Linux)."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    resolved = folder.resolve()
    best, kind = -1, None
    for line in mounts.splitlines():
        point, fs_type = line.split(" ")[1:3]
        mount_point = Path(point.encode().decode("unicode_escape"))
        if resolved.is_relative_to(mount_point) and len(mount_point.parts) > best:
            best, kind = len(mount_point.parts), fs_type
    return kind


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold an OS lock, so that of several processes that start together only one upgrades.

    The lock file is never removed: otherwise two processes could hold locks on two different files of this name.
    """
    lock_path = path.with_name(path.name + ".upgrade-lock")
    try:
        file = open_owner_only(lock_path)
    except OSError as error:
        raise StartError(
            f"{path}: cannot be used ({error.strerror}) — make its folder writable for this user, "
            "or name another place with --db"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def revision_of(path: Path) -> str | None:
    """The schema's revision, or None for a missing file or one without a schema.

    :raises SchemaTooNew: this program must not write it.
    """
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables:
                return None
            if "alembic_version" not in tables or "runs" not in tables:
                raise StartError(
                    f"{path}: is a database of another program (tables {', '.join(sorted(tables)[:3])}, …) — "
                    "name another place with --db"
                )
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if row is None:
                return None
            oldest = connection.execute("SELECT oldest_writer FROM instance").fetchone() if row[0] > HEAD else None
            require_known(str(path), row[0], oldest and oldest[0])
            return str(row[0])
    except sqlite3.Error as error:
        problem, cure = advice(error, path)
        raise StartError(f"{path}: {problem} — {cure}") from error


def require_writable(path: Path) -> None:
    """Check that the file is neither locked nor read-only, without writing, before the server starts."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        problem, cure = advice(error, path)
        raise StartError(f"{path}: {problem} — {cure}") from error


def _create(path: Path) -> None:
    """Create the schema of HEAD from its SQL file, so that a first start does not import Alembic."""
    schema = SCHEMA.read_text(encoding="utf-8")
    try:
        make_owner_only(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE;\n{schema}\nCOMMIT;")
    except OSError as error:
        raise StartError(f"{path}: cannot be made ({error.strerror}) — name another place with --db") from error
    except sqlite3.Error as error:
        problem, cure = advice(error, path)
        raise StartError(f"{path}: the schema could not be made: {problem} — {cure}") from error


def _migrate(path: Path) -> None:
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    # Python's driver does not begin transactions for DDL by itself. Without this one a process that is killed during
    # the migration would leave half a schema.
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"isolation_level": None})
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with contextlib.closing(sqlite3.connect(path)) as plain:
            plain.execute("PRAGMA journal_mode = WAL")
        with engine.begin() as connection:
            upgrade_to(connection, "head")
            connection.exec_driver_sql(STATE_OLDEST_WRITER)
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        problem, cure = advice(cause, path) if isinstance(cause, sqlite3.Error) else (str(cause), "see the error")
        raise StartError(f"{path}: the schema could not be brought up to date: {problem} — {cure}") from error
    finally:
        engine.dispose()


def render_schema(path: Path) -> str:
    """The SQL of the schema of HEAD, read from a new database at ``path`` after all migrations."""
    _migrate(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type = 'index', rowid"
        ).fetchall()
    statements = [line.rstrip() for row in rows for line in (*row[0].strip().splitlines(), ";")]
    return "\n".join(statements).replace("\n;", ";\n") + f"\nINSERT INTO alembic_version VALUES ('{HEAD}');\n"
