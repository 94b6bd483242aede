"""Reads the tables of an AgentOS database, row by row. Nothing is written there.

Tables are recognized by their columns, because an application can choose their names and, in Postgres, their schema.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musterd.core.errors import StartError
from musterd.core.jsontypes import Json
from musterd.core.redacted_urls import redacted_url
from musterd.imports.report import OTHER_TABLES
from musterd.imports.values import Unreadable
from musterd.store.open_database import sqlite_path

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, TableClause

PAGE_IDS = 500
_OWN_SCHEMAS = ("information_schema", "pg_catalog", "pg_toast")


@dataclass(frozen=True, slots=True)
class TableShape:
    """The columns by which a table of AgentOS is recognized.

    :param key: its primary key.
    :param columns: all columns that are read. A table that lacks one of them is of another version.
    :param json_columns: the columns that contain JSON.
    :param marks: a set of columns that no other table has.
    """

    key: str
    columns: tuple[str, ...]
    json_columns: tuple[str, ...]
    marks: frozenset[str]


SESSIONS = TableShape(
    key="session_id",
    columns=(
        *("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "session_data", "metadata"),
        *("runs", "summary", "created_at", "updated_at"),
    ),
    json_columns=("session_data", "metadata", "runs", "summary"),
    marks=frozenset({"session_id", "session_type", "session_data"}),
)
MEMORIES = TableShape(
    key="memory_id",
    columns=(
        *("memory_id", "memory", "topics", "user_id", "agent_id", "team_id", "input", "created_at", "updated_at"),
    ),
    json_columns=("memory", "topics"),
    marks=frozenset({"memory_id", "memory", "feedback"}),
)
APPROVALS = TableShape(
    key="id",
    columns=(
        *("id", "run_id", "status", "pause_type", "approval_type", "tool_name", "tool_args", "requirements"),
        *("context", "resolution_data", "resolved_by", "resolved_at", "created_at"),
    ),
    json_columns=("tool_args", "requirements", "context", "resolution_data"),
    marks=frozenset({"pause_type", "source_type", "resolution_data", "run_status"}),
)
SHAPES = (SESSIONS, MEMORIES, APPROVALS)
IGNORED_COLUMNS = frozenset(
    {"agent_data", "team_data", "workflow_data", "feedback", "session_id", "source_type", "source_name", "expires_at"}
    | {"agent_id", "team_id", "workflow_id", "user_id", "schedule_id", "schedule_run_id", "updated_at", "run_status"}
)
"""Columns of AgentOS that are redundant, or that musterd has no place for."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of AgentOS.

    :param unknown_columns: columns that AgentOS 2.5 does not have.
    """

    name: str
    schema: str | None
    shape: TableShape
    unknown_columns: tuple[str, ...]

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a database.

    :param others: tables that are not imported, with their row counts.
    """

    by_shape: Mapping[TableShape, list[Table]] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)


class AgentOSDatabase:
    """An open AgentOS database. Use it in one thread at a time.

    :param address: a file, or a database URL as AgentOS accepts it, with or without a driver.
    :raises StartError: it cannot be opened.
    """

    def __init__(self, address: str) -> None:
        self.name = redacted_url(address)
        self._engine = _engine(address)
        with _as_start_error(self.name):
            self._connection: Connection = self._engine.connect()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._engine.dispose()

    def tables(self) -> Tables:
        """The tables that can be imported, and AgentOS's other tables.

        :raises StartError: there is no AgentOS table, or one is of another version.
        """
        import sqlalchemy as sa

        by_shape: dict[TableShape, list[Table]] = {shape: [] for shape in SHAPES}
        others: dict[str, int] = {}
        with _as_start_error(self.name):
            inspector = sa.inspect(self._connection)
            for schema in self._schemas(inspector.get_schema_names()):
                for name in sorted(inspector.get_table_names(schema=schema)):
                    columns = [column["name"] for column in inspector.get_columns(name, schema=schema)]
                    shape = next((shape for shape in SHAPES if shape.marks <= set(columns)), None)
                    if shape is not None:
                        by_shape[shape].append(self._table(name, schema, shape, columns))
                    elif name in OTHER_TABLES and (rows := self._count_in(name, schema)):
                        others[name] = others.get(name, 0) + rows
        if not any(by_shape.values()):
            raise StartError(f"{self.name}: has no AgentOS 2.5 tables — use the database in the application's db=")
        return Tables(by_shape, others)

    def _schemas(self, names: Sequence[str]) -> list[str | None]:
        if self._connection.dialect.name == "sqlite":
            return [None]
        return [name for name in names if name not in _OWN_SCHEMAS and not name.startswith("pg_")]

    def _table(self, name: str, schema: str | None, shape: TableShape, columns: Sequence[str]) -> Table:
        if missing := sorted(set(shape.columns) - set(columns)):
            raise StartError(
                f"{self.name}: table {name} lacks the columns {', '.join(missing)} — only AgentOS 2.5 tables can be "
                "imported; start AgentOS 2.5.6 on the database once to migrate it"
            )
        unknown = tuple(column for column in columns if column not in shape.columns and column not in IGNORED_COLUMNS)
        return Table(name, schema, shape, unknown)

    def count(self, table: Table) -> int:
        """The number of rows of a table.

        :raises StartError: the database cannot be read.
        """
        with _as_start_error(self.name):
            return self._count_in(table.name, table.schema)

    def _count_in(self, name: str, schema: str | None) -> int:
        import sqlalchemy as sa

        counted = sa.select(sa.func.count()).select_from(sa.table(name, schema=schema))
        return int(self._connection.execute(counted).scalar_one())

    def count_without_id(self, table: Table) -> int:
        """The number of rows whose primary key is NULL, which SQLite permits.

        :raises StartError: the database cannot be read.
        """
        import sqlalchemy as sa

        key: sa.ColumnClause[str] = sa.column(table.shape.key)
        query = sa.select(sa.func.count()).select_from(_source(table)).where(key.is_(None))
        with _as_start_error(self.name):
            return int(self._connection.execute(query).scalar_one())

    def ids(self, table: Table) -> Iterator[list[str]]:
        """The primary keys in order, in pages, because a table may have more rows than fit into memory.

        SQLite stores any value in any column, so a key may be of another type.

        :raises StartError: the database cannot be read.
        """
        import sqlalchemy as sa

        key: sa.ColumnClause[str] = sa.column(table.shape.key)
        query = sa.select(key).select_from(_source(table)).order_by(key).limit(PAGE_IDS)
        condition = key.is_not(None)
        while True:
            with _as_start_error(self.name):
                page = list(self._connection.execute(query.where(condition)).scalars())
            if not page:
                return
            yield page
            condition = key > _parameter(page[-1])

    def row(self, table: Table, key: str) -> Mapping[str, Json]:
        """One row, with its JSON columns as text.

        :raises Unreadable: the row was deleted during the import, or contains text that is not UTF-8.
        :raises StartError: the database cannot be read.
        """
        import sqlalchemy as sa

        shape = table.shape
        columns = [
            sa.cast(sa.column(name), sa.Text).label(name) if name in shape.json_columns else sa.column(name)
            for name in shape.columns
        ]
        of_key: sa.ColumnClause[str] = sa.column(shape.key)
        query = sa.select(*columns).select_from(_source(table)).where(of_key == _parameter(key)).limit(2)
        with _as_start_error(self.name):
            rows = self._connection.execute(query).mappings().all()
        if not rows:
            raise Unreadable("AgentOS deleted it during the import")
        if len(rows) > 1:
            raise Unreadable("several rows have this id")
        for name, value in rows[0].items():
            if isinstance(value, str) and not _is_utf8(value):
                raise Unreadable(f"{name} is not UTF-8 text")
        return dict(rows[0])


def _source(table: Table) -> "TableClause":
    import sqlalchemy as sa

    return sa.table(table.name, schema=table.schema)


def _decoded(text: bytes) -> str:
    """Text of SQLite, which does not check the encoding. A row with other bytes must not make others unreadable."""
    return text.decode("utf-8", "surrogateescape")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parameter(key: Any) -> Any:
    """A key as :meth:`AgentOSDatabase.ids` returned it, as a parameter of a query."""
    import sqlalchemy as sa

    if not isinstance(key, str) or _is_utf8(key):
        return key
    return sa.cast(sa.literal(key.encode("utf-8", "surrogateescape"), sa.LargeBinary), sa.Text)


def _engine(address: str) -> "Engine":
    import sqlalchemy as sa

    scheme, separator, rest = address.partition("://")
    kind = scheme.partition("+")[0]
    if not separator:
        return _sqlite(Path(address).absolute())
    if kind == "sqlite":
        return _sqlite(sqlite_path(f"sqlite://{rest}"))
    if kind not in ("postgresql", "postgres"):
        raise StartError(f"{redacted_url(address)}: not a SQLite or Postgres database — {_ADDRESS_FORMS}")
    try:
        import psycopg  # noqa: F401 - SQLAlchemy's own error does not say what to install
    except ImportError as error:
        raise StartError("reading Postgres requires psycopg — pip install 'musterd[postgres]'") from error
    try:
        url = sa.make_url(f"postgresql+psycopg://{rest}")
    except sa.exc.ArgumentError as error:
        raise StartError(f"{redacted_url(address)}: not a database URL — {_ADDRESS_FORMS}") from error
    # A bug here must not change AgentOS's data.
    options = {"options": "-c default_transaction_read_only=on"}
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", connect_args=options)


_ADDRESS_FORMS = "use a file, sqlite:///file or postgresql://user@host/database"


def _sqlite(path: Path) -> "Engine":
    import sqlalchemy as sa

    if not path.is_file():
        raise StartError(f"{path}: does not exist — {_ADDRESS_FORMS}")
    # Reads run in changing threads, one at a time.
    options = {"uri": True, "check_same_thread": False}
    engine = sa.create_engine(f"sqlite:///{path.as_uri()}?mode=ro&uri=true", connect_args=options)
    sa.event.listen(engine, "connect", lambda connection, record: setattr(connection, "text_factory", _decoded))
    return engine


@contextlib.contextmanager
def _as_start_error(name: str) -> Iterator[None]:
    import sqlalchemy as sa

    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise StartError(f"{name}: cannot be read ({cause[0] if cause else type(error).__name__})") from error
