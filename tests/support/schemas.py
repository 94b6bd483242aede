"""Databases of other programs: of development versions before the first release, and of a next release."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from musterd.store import postgres_upgrade, schema, sqlite_upgrade

DEVELOPMENT = ("0001", "0004", "0011")
"""Revisions of development versions before the first release."""
NEXT = "v0002"
_MIGRATION = f'''"""What a next release adds."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{schema.HEAD}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column."""
    op.add_column("sessions", sa.Column("added", sa.Text()))
'''


def become_next_release(
    folder: Path, replace: Callable[[object, str, object], None], *, oldest_writer: str = schema.OLDEST_WRITER
) -> None:
    """Make this process a program of a next release: its migration adds the column ``sessions.added``.

    :param folder: an empty folder for its migrations.
    :param replace: ``setattr``, or that of a ``MonkeyPatch``.
    :param oldest_writer: the oldest revision whose programs may write its databases.
    """
    migrations = folder / "migrations"
    shutil.copytree(schema.MIGRATIONS, migrations)
    (migrations / "versions" / f"{NEXT}_added.py").write_text(_MIGRATION)
    for module in (schema, sqlite_upgrade, postgres_upgrade):
        replace(module, "HEAD", NEXT)
    replace(schema, "MIGRATIONS", migrations)
    replace(schema, "OLDEST_WRITER", oldest_writer)
    sql = folder / "schema.sql"
    sql.write_text(sqlite_upgrade.render_schema(folder / "rendered.db"))
    for owner in (schema, sqlite_upgrade):
        replace(owner, "SCHEMA", sql)


def execute(path: Path, statement: str, *values: object) -> None:
    """Execute a statement on a SQLite file.

    :param values: of its parameters, each a ``?``.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def set_revision(path: Path, revision: str) -> None:
    """Change the revision of a SQLite file."""
    execute(path, "UPDATE alembic_version SET version_num = ?", revision)
