"""The revision of the schema, which revisions this program accepts, and how it migrates; the same for each database.

A database stores its revision, and the oldest revision whose programs may still write it. So old and new programs can
work on one database during a deploy, and a program refuses a database that is too new for it.
"""

import contextlib
import functools
import sqlite3
import threading
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from musterd.core.errors import SchemaTooNew, StartError

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = Path(__file__).parent / "schema_sqlite.sql"
"""The schema that all migrations together create, rendered by ``tools/schema.py``; a test compares the two."""

HEAD = "v0001"
"""The revision of this program; a test compares it with the last migration.

Revisions are compared as text. Development versions before the first release used the numbers 0001 to 0011. All of them
sort before ``v0001``, so this program recognizes their databases, and they refuse its databases as too new.
"""
OLDEST_WRITER = "v0001"
"""The oldest revision whose programs may still write a database of revision HEAD. They may run next to newer ones.

A migration that only adds something does not change it. A migration that removes something raises it to its own
revision, and so does a new format of rows that older programs cannot read.
"""
COLUMNS_SQLITE = (
    "SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
)
_ALEMBIC = threading.Lock()


def require_known(database: str, revision: str, oldest_writer: str | None) -> None:
    """Refuse a schema that this program can neither use nor migrate.

    :param oldest_writer: the oldest revision that may write it, as stored in the database, or None.
    :raises SchemaTooNew: a newer program wrote it, and this one must not.
    :raises StartError: a development version from before the first release made it.
    """
    if revision < HEAD and revision not in _revisions():
        raise StartError(
            f"{database}: made by a development version of musterd (schema {revision}), which no release can upgrade — "
            "name another database, or keep using that version; nothing was changed"
        )
    if revision > HEAD and (oldest_writer is None or oldest_writer > HEAD):
        raise SchemaTooNew(
            f"{database}: written by a newer musterd (schema {revision}, this one writes {HEAD}) — "
            "run that version, or name another database"
        )


def _revisions() -> set[str]:
    return {file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("v*.py")}


def require_columns(database: str, revision: str, columns: Collection[str]) -> None:
    """Check that the tables have exactly the columns of this program's schema. Additional tables are not checked.

    The revision alone is not enough: a development version may have created other tables under the same revision.

    :param revision: the revision that the database had before it was migrated to HEAD, if it was.
    :param columns: all columns of the database, as ``table.column``.
    :raises StartError: the columns differ. A migration in progress must be rolled back.
    """
    expected = _columns_of(SCHEMA)
    tables = {column.partition(".")[0] for column in expected}
    present = {column for column in columns if column.partition(".")[0] in tables}
    differences = [f"{column} is missing" for column in sorted(expected - present)]
    differences += [f"{column} is unknown" for column in sorted(present - expected)]
    if differences:
        raise StartError(
            f"{database}: its tables are not those of schema {revision} ({', '.join(differences[:3])}) — "
            "go on with the version that made it, restore a backup, or name another database; nothing was changed"
        )


@functools.cache
def _columns_of(schema: Path) -> frozenset[str]:
    """The columns that a schema creates, read from an empty database in memory; the same for SQLite and Postgres."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        statements = schema.read_text(encoding="utf-8").split(";\n")  # without indexes: every start does this
        connection.executescript(";\n".join(text for text in statements if text.lstrip().startswith("CREATE TABLE")))
        return frozenset(column for (column,) in connection.execute(COLUMNS_SQLITE))


def migrate_to_head(bound: "Connection") -> None:
    """Migrate to HEAD on this connection, in its transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = bound
    # Alembic keeps the migration in progress in globals of its modules (alembic.context, alembic.op), so two threads
    # would run each other's. A thread that waits here has locked its own database only, so this cannot deadlock.
    with _ALEMBIC:
        command.upgrade(config, "head")
    bound.exec_driver_sql(f"UPDATE instance SET oldest_writer = '{OLDEST_WRITER}'")  # a new database has no row yet
