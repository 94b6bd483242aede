"""Bringing a Postgres database's schema to the one this program writes.

Any number of processes may start at once: a lock of the transaction lets one of them migrate. A role that may only
read and write rows finds the schema up to date, or is told who has to bring it there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import structlog
from psycopg import conninfo
from psycopg.rows import scalar_row, tuple_row

from musterd.core.errors import StartError
from musterd.store.postgres_errors import advice, place
from musterd.store.upgrade import HEAD, STATE_OLDEST_WRITER, require_known, require_promised, upgrade_to

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = structlog.get_logger("musterd.store")

OLDEST_SERVER = 130000
CONNECT_SECONDS = 10
LOCK = "SELECT pg_advisory_xact_lock(hashtext('musterd schema'))"
HOLD_TABLES = "LOCK TABLE sessions, runs IN ACCESS EXCLUSIVE MODE"
"""In the order in which all transactions take rows: older programs that write meanwhile wait, and hold nothing up."""
UPGRADING = "musterd upgrade"
END_PLANS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'MEMBER')
AND application_name IN ('musterd', %s)
"""
"""Connections keep statements as they were planned for the tables of before, and refuse them for ever once a column is
added. Programs of older revisions make new connections by themselves, and do again what was under way."""
RINGS = 10
"""Deadlocks, of a second each, that one start tries again behind."""
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
"""The revision and all columns, in one statement: as they stood at one moment, for another process may upgrade."""
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
Ask = Callable[[str], list[Any]]


def upgrade_postgres(url: str) -> None:
    """Make the database of ``url`` one of this program's schema, from nothing or from an older one.

    :raises StartError: it cannot be used, in words.
    :raises SchemaTooNew: a newer program wrote it; nothing is changed.
    """
    where = place(url)
    try:
        own = {**_parameters(url), "application_name": UPGRADING}
        connection = psycopg.connect(**own, autocommit=True, row_factory=scalar_row)
    except psycopg.Error as error:
        raise _refusal(where, error) from error
    with connection:
        try:
            _require_usable(connection, where)

            def ask(text: str) -> list[Any]:
                return connection.execute(text.encode()).fetchall()

            revision = _revision(ask, where)
            if revision is not None:
                _require_promised(ask, where)
            if _is_older(revision):
                _migrate(connection, where, conninfo.conninfo_to_dict(url).get("application_name"))
            if forbidden := ask(FORBIDDEN):
                raise StartError(f"{where}: role {connection.info.user} may not use table {forbidden[0]} — {GRANT}")
        except psycopg.Error as error:
            raise _refusal(where, error) from error


def revision_at(url: str) -> str | None:
    """The schema's revision, or None for a database without records.

    :raises StartError: it cannot be used, in words.
    """
    return _asked(url, lambda ask: _revision(ask, place(url)))


def server_at(url: str) -> tuple[str, int, float]:
    """The server's version, the size of the database in bytes, what time it is there.

    :raises StartError: it cannot be used, in words.
    """

    def look(ask: Ask) -> tuple[str, int, float]:
        (version,), (size,), (now,) = ask("SHOW server_version"), ask(SIZE), ask(TIME)
        return str(version), int(size), float(now)

    return _asked(url, look)


def require_allowed(url: str) -> None:
    """Refuse a role that may not write the tables.

    :raises StartError: it may not, or nobody may now.
    """
    if forbidden := _asked(url, lambda ask: ask(FORBIDDEN)):
        raise StartError(f"{place(url)}: the role may not use table {forbidden[0]} — {GRANT}")


def require_promised_tables(url: str) -> None:
    """Refuse a database with records whose tables are not those of its revision.

    :raises StartError: they are not, or nobody can look now.
    """
    _asked(url, lambda ask: _require_promised(ask, place(url)))


def _asked(url: str, look: Callable[[Ask], T]) -> T:
    where = place(url)
    try:
        with psycopg.connect(**_parameters(url), autocommit=True, row_factory=scalar_row) as connection:
            _require_usable(connection, where)
            return look(lambda text: connection.execute(text.encode()).fetchall())
    except psycopg.Error as error:
        raise _refusal(where, error) from error


def _parameters(url: str) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_SECONDS, "fallback_application_name": "musterd"} | conninfo.conninfo_to_dict(url)


def _refusal(where: str, error: psycopg.Error) -> StartError:
    what, cure = advice(error)
    return StartError(f"{where}: {what} — {cure}")


def _require_usable(connection: psycopg.Connection[Any], where: str) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.server_version // 10000
        raise StartError(f"{where}: is PostgreSQL {version} — use PostgreSQL 13 or newer")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise StartError(f"{where}: does not store UTF-8 — create the database with ENCODING 'UTF8'")
    if connection.execute("SELECT pg_is_in_recovery()").fetchone():
        raise StartError(
            f"{where}: is a read-only standby — "
            "name the primary, or several hosts with ?target_session_attrs=read-write"
        )
    if connection.execute("SELECT current_schema()").fetchone() is None:
        raise StartError(f"{where}: no schema of its search_path exists — create it, or change search_path")


def _revision(ask: Ask, where: str) -> str | None:
    """The schema's revision, or None for a database without records.

    :raises SchemaTooNew: this program must not write it.
    """
    tables = set(ask(TABLES))
    if not tables:
        return None
    if not tables >= OURS:
        raise StartError(
            f"{where}: holds tables of another program ({', '.join(sorted(tables)[:3])}, …) — "
            "name another database, or a schema of its own with ?options=-csearch_path%3DNAME"
        )
    found = ask("SELECT version_num FROM alembic_version")
    if not found:
        return None
    oldest = ask("SELECT oldest_writer FROM instance") if found[0] > HEAD else []
    require_known(where, found[0], oldest[0] if oldest else None)
    return str(found[0])


def _require_promised(ask: Ask, where: str) -> None:
    found = ask(COLUMNS)
    revision = next(name.removeprefix(".") for name in found if name.startswith("."))
    require_promised(where, revision, found)


def _is_older(revision: str | None) -> bool:
    return revision is None or revision < HEAD


def _migrate(connection: psycopg.Connection[Any], where: str, name: Any) -> None:
    """Run the revisions in one transaction, unless another process has done so when it is this one's turn.

    :param name: what connections of this program are called at the server, where the operator has named them.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    connection.autocommit, connection.row_factory = False, tuple_row

    def migrate() -> None:
        with engine.begin() as bound:
            bound.exec_driver_sql(LOCK)
            revision = _revision(lambda text: list(bound.exec_driver_sql(text).scalars()), where)
            if _is_older(revision):
                if revision is not None:
                    bound.exec_driver_sql(HOLD_TABLES)
                upgrade_to(bound, "head")
                bound.exec_driver_sql(STATE_OLDEST_WRITER)
                if revision is not None:
                    _end_plans(bound, name)

    try:
        _until_no_ring(migrate)
    except DBAPIError as error:
        cause = error.orig
        if isinstance(cause, psycopg.errors.InsufficientPrivilege):
            raise StartError(
                f"{where}: role {connection.info.user} may not create tables — start once with a role that may, "
                "then grant this one SELECT, INSERT, UPDATE and DELETE on all tables"
            ) from error
        what, cure = advice(cause) if isinstance(cause, psycopg.Error) else (str(cause), "see the error")
        raise StartError(f"{where}: the schema could not be brought up to date: {what} — {cure}") from error
    finally:
        connection.autocommit, connection.row_factory = True, scalar_row


def _end_plans(bound: "Connection", name: Any) -> None:
    """End the connections of older programs, while they wait for the tables; where this role may."""
    from sqlalchemy.exc import DBAPIError

    try:
        with bound.begin_nested():
            bound.exec_driver_sql(END_PLANS, (name,))
    except DBAPIError as error:
        log.warning("older servers on this database have to be started again", reason=str(error.orig))


def _until_no_ring(migrate: Callable[[], None]) -> None:
    """Migrate, again where that waited in a ring with a reader that went from one table to the other."""
    from sqlalchemy.exc import DBAPIError

    for _ in range(RINGS):
        try:
            migrate()
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.DeadlockDetected):
                raise
        else:
            return
    migrate()
