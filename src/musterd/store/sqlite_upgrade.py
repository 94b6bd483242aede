"""Creating the schema of a SQLite file, or migrating it to this program's revision.

Alembic is imported only if there is a migration to run, so a start with an up-to-date file stays fast.
"""

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from musterd.core.errors import StartError
from musterd.store.owner_files import make_owner_only, open_owner_only
from musterd.store.schema import COLUMNS_SQLITE, HEAD, SCHEMA, migrate_to_head, require_columns, require_known
from musterd.store.sqlite_errors import CHECK_FILE, advice

BUSY_SECONDS = 5.0
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "glusterfs"})


def upgrade_sqlite(path: Path) -> None:
    """Create or upgrade the database at ``path``.

    :raises StartError: the file cannot be used; the message says why.
    :raises SchemaTooNew: a newer program wrote it; nothing is changed.
    """
    require_usable_place(path)
    with _one_at_a_time(path):
        revision = revision_of(path)
        if revision is None:
            _create(path)
        elif revision < HEAD:
            _migrate(path, revision)
        else:
            require_head_tables(path)
            require_writable(path)


def require_head_tables(path: Path) -> None:
    """Check that the tables of a SQLite file at revision HEAD are those of this program.

    :raises StartError: they are not, or the file cannot be read.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # one snapshot for both reads: another process may migrate meanwhile
            columns = [column for (column,) in connection.execute(COLUMNS_SQLITE)]
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        problem, cure = advice(error, path)
        raise StartError(f"{path}: {problem} — {cure}") from error
    if revision == HEAD:
        require_columns(str(path), revision, columns)


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
    :raises StartError: this program cannot use or migrate it; the message says why.
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
            revision = "none" if row is None else str(row[0])
            oldest = connection.execute("SELECT oldest_writer FROM instance").fetchone() if revision > HEAD else None
            require_known(str(path), revision, oldest and oldest[0])
            return revision
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
            # The journal mode cannot be changed inside a transaction. The schema is created in one: after a crash the
            # file has no tables, and the next start creates them.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE;\n{schema}\nCOMMIT;")
    except OSError as error:
        raise StartError(f"{path}: cannot be made ({error.strerror}) — name another place with --db") from error
    except sqlite3.Error as error:
        problem, cure = advice(error, path)
        raise StartError(f"{path}: the schema could not be made: {problem} — {cure}") from error


def _migrate(path: Path, revision: str | None) -> None:
    """Run the migrations in one transaction.

    :param revision: the revision that the file has, or None for a file without a schema.
    """
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    # Python's driver does not begin transactions for DDL by itself. Without this one a process that is killed during
    # the migration would leave half a schema.
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"isolation_level": None})
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            migrate_to_head(connection)
            if revision is not None:  # before the commit, so that a schema that is not known stays as it was
                columns = connection.exec_driver_sql(COLUMNS_SQLITE).scalars().all()
                require_columns(str(path), revision, columns)
        with contextlib.closing(sqlite3.connect(path)) as plain:
            plain.execute("PRAGMA journal_mode = WAL")
    except (DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        problem, cure = advice(cause, path) if isinstance(cause, sqlite3.Error) else (str(cause), CHECK_FILE)
        raise StartError(f"{path}: the schema could not be brought up to date: {problem} — {cure}") from error
    finally:
        engine.dispose()


def render_schema(path: Path) -> str:
    """The SQL of the schema of HEAD, read from a new database at ``path`` after all migrations."""
    _migrate(path, None)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            """SELECT sql FROM sqlite_master
               WHERE sql IS NOT NULL AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
               ORDER BY type = 'index', rowid"""
        ).fetchall()
    statements = [line.rstrip() for row in rows for line in (*row[0].strip().splitlines(), ";")]
    return "\n".join(statements).replace("\n;", ";\n") + f"\nINSERT INTO alembic_version VALUES ('{HEAD}');\n"
