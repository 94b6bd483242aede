"""Upgrading the schema of a Postgres database to this program's revision.

Any number of processes may start at once: an advisory lock lets one of them migrate. A role without the right to create
tables can start if the schema is up to date; else the error says which role is needed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import structlog
from psycopg import conninfo
from psycopg.rows import scalar_row, tuple_row

from musterd.core.errors import StartError
from musterd.store.postgres_errors import CHECK_LOG, advice, place
from musterd.store.schema import HEAD, migrate_to_head, require_columns, require_known

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = structlog.get_logger("musterd.store")

OLDEST_SERVER = 130000
CONNECT_SECONDS = 10
LOCK = "SELECT pg_advisory_xact_lock(hashtext('musterd schema'))"
LOCK_TABLES = "LOCK TABLE sessions, runs IN ACCESS EXCLUSIVE MODE"
"""Locks the tables in the order in which all transactions lock rows (session, then run), so that older programs which
write meanwhile wait and cannot deadlock with the upgrade."""
UPGRADING = "musterd upgrade"
END_PLANS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'MEMBER')
AND application_name IN ('musterd', %s)
"""
"""Prepared statements fail for ever once a column of their table is added, so the connections of older programs are
ended. Those programs reconnect and repeat the transactions that were under way."""
MAX_DEADLOCKS = 10
"""How many deadlocks, of a second each, one start retries."""
OURS = frozenset({"alembic_version", "instance", "runs", "run_events"})

TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
"""
COLUMNS = """
SELECT '.' || version_num FROM alembic_version
UNION ALL
SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
"""
"""The revision and all columns in one statement, so from one snapshot: another process may upgrade at the same time."""
FORBIDDEN = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
         AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
ORDER BY c.relname
"""

SIZE = "SELECT pg_database_size(current_database())"
TIME = "SELECT extract(epoch FROM clock_timestamp())"
GRANT = "grant it SELECT, INSERT, UPDATE and DELETE on all tables of the schema"

T = TypeVar("T")
Query = Callable[[str], list[Any]]


def upgrade_postgres(url: str) -> None:
    """Create or upgrade the schema of the database at ``url``.

    :raises StartError: the database cannot be used; the message says why.
    :raises SchemaTooNew: a newer program wrote it; nothing is changed.
    """
    database = place(url)
    try:
        parameters = {**_parameters(url), "application_name": UPGRADING}
        connection = psycopg.connect(**parameters, autocommit=True, row_factory=scalar_row)
    except psycopg.Error as error:
        raise _refusal(database, error) from error
    with connection:
        try:
            _require_usable(connection, database)

            def query(text: str) -> list[Any]:
                return connection.execute(text.encode()).fetchall()

            if _is_older(_revision(query, database)):
                _migrate(connection, database, conninfo.conninfo_to_dict(url).get("application_name"))
            else:
                _require_head_tables(query, database)
            if forbidden := query(FORBIDDEN):
                raise StartError(f"{database}: role {connection.info.user} may not use table {forbidden[0]} — {GRANT}")
        except psycopg.Error as error:
            raise _refusal(database, error) from error


def revision_at(url: str) -> str | None:
    """The schema's revision, or None for a database without a schema.

    :raises StartError: the database cannot be used; the message says why.
    """
    return _inspect(url, lambda query: _revision(query, place(url)))


def server_at(url: str) -> tuple[str, int, float]:
    """The server's version, the size of the database in bytes, and the server's time.

    :raises StartError: the database cannot be used; the message says why.
    """

    def read(query: Query) -> tuple[str, int, float]:
        (version,), (size,), (now,) = query("SHOW server_version"), query(SIZE), query(TIME)
        return str(version), int(size), float(now)

    return _inspect(url, read)


def require_allowed(url: str) -> None:
    """Check that the role may write all tables.

    :raises StartError: it may not, or the database cannot be used.
    """
    if forbidden := _inspect(url, lambda query: query(FORBIDDEN)):
        raise StartError(f"{place(url)}: the role may not use table {forbidden[0]} — {GRANT}")


def require_head_tables(url: str) -> None:
    """Check that the tables of a database at revision HEAD are those of this program.

    :raises StartError: they are not, or the database cannot be used.
    """
    _inspect(url, lambda query: _require_head_tables(query, place(url)))


def _inspect(url: str, read: Callable[[Query], T]) -> T:
    database = place(url)
    try:
        with psycopg.connect(**_parameters(url), autocommit=True, row_factory=scalar_row) as connection:
            _require_usable(connection, database)
            return read(lambda text: connection.execute(text.encode()).fetchall())
    except psycopg.Error as error:
        raise _refusal(database, error) from error


def _parameters(url: str) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_SECONDS, "fallback_application_name": "musterd"} | conninfo.conninfo_to_dict(url)


def _refusal(database: str, error: psycopg.Error) -> StartError:
    problem, cure = advice(error)
    return StartError(f"{database}: {problem} — {cure}")


def _require_usable(connection: psycopg.Connection[Any], database: str) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        raise StartError(f"{database}: is PostgreSQL {version} — use PostgreSQL 13 or newer")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise StartError(f"{database}: does not store UTF-8 — create the database with ENCODING 'UTF8'")
    if connection.execute("SELECT pg_is_in_recovery()").fetchone():
        raise StartError(
            f"{database}: is a read-only standby — "
            "name the primary, or several hosts with ?target_session_attrs=read-write"
        )
    if connection.execute("SELECT current_schema()").fetchone() is None:
        raise StartError(f"{database}: no schema of its search_path exists — create it, or change search_path")


def _revision(query: Query, database: str) -> str | None:
    """The schema's revision, or None for a database without a schema.

    :raises SchemaTooNew: this program must not write it.
    :raises StartError: this program cannot use or migrate it; the message says why.
    """
    tables = set(query(TABLES))
    if not tables:
        return None
    if not tables >= OURS:
        raise StartError(
            f"{database}: holds tables of another program ({', '.join(sorted(tables)[:3])}, …) — "
            "name another database, or a schema of its own with ?options=-csearch_path%3DNAME"
        )
    revisions = query("SELECT version_num FROM alembic_version")
    revision = str(revisions[0]) if revisions else "none"
    oldest = query("SELECT oldest_writer FROM instance") if revision > HEAD else []
    require_known(database, revision, oldest[0] if oldest else None)
    return revision


def _require_head_tables(query: Query, database: str) -> None:
    columns = query(COLUMNS)
    if f".{HEAD}" in columns:
        require_columns(database, HEAD, columns)


def _is_older(revision: str | None) -> bool:
    return revision is None or revision < HEAD


def _migrate(connection: psycopg.Connection[Any], database: str, name: Any) -> None:
    """Run the migrations in one transaction, unless another process has done so while this one waited for the lock.

    :param name: the ``application_name`` of connections of this program, if the operator has set one.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    connection.autocommit, connection.row_factory = False, tuple_row

    def migrate() -> None:
        with engine.begin() as bound:

            def query(text: str) -> list[Any]:
                return list(bound.exec_driver_sql(text).scalars())

            # One migration at a time. The revision is read again under the lock; the earlier read only decided whether
            # a migration may be needed.
            bound.exec_driver_sql(LOCK)
            revision = _revision(query, database)
            if revision is None:
                migrate_to_head(bound)
            elif _is_older(revision):
                # Take both tables at once. DDL would lock them one by one, in the order of the migrations, and so
                # deadlock with transactions of older programs.
                bound.exec_driver_sql(LOCK_TABLES)
                migrate_to_head(bound)
                require_columns(database, revision, query(COLUMNS))
                # Before the commit, while the tables are still locked: a connection that older programs open now waits
                # too, and plans its statements for the new tables.
                _end_plans(bound, name)

    try:
        _retry_deadlocks(migrate)
    except DBAPIError as error:
        cause = error.orig
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise StartError(
                f"{database}: role {connection.info.user} may not create tables — start once with a role that may, "
                "then grant this one SELECT, INSERT, UPDATE and DELETE on all tables"
            ) from error
        problem, cure = advice(cause) if isinstance(cause, psycopg.Error) else (str(cause), CHECK_LOG)
        raise StartError(f"{database}: the schema could not be brought up to date: {problem} — {cure}") from error
    finally:
        connection.autocommit, connection.row_factory = True, scalar_row


def _end_plans(bound: "Connection", name: Any) -> None:
    """End the connections of older programs, while they wait for the tables, if this role may do so."""
    from sqlalchemy.exc import DBAPIError

    # In a savepoint, because a missing privilege must not undo the migration.
    try:
        with bound.begin_nested():
            bound.exec_driver_sql(END_PLANS, (name,))
    except DBAPIError as error:
        log.warning("older servers on this database must be restarted", reason=str(error.orig))


def _retry_deadlocks(migrate: Callable[[], None]) -> None:
    """Migrate, and retry after a deadlock with a transaction that read the two tables in the other order."""
    from sqlalchemy.exc import DBAPIError

    for _ in range(MAX_DEADLOCKS):
        try:
            migrate()
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.DeadlockDetected):
                raise
        else:
            return
    migrate()
