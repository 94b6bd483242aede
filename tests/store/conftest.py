"""The store's contract is one suite: every database that it runs on is a parameter here."""

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd.store.database import Database
from musterd.store.sqlite import SqliteDatabase
from musterd.store.upgrade import upgrade_sqlite
from tests.support.store import Records


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without records."""
    path = tmp_path_factory.mktemp("template") / "musterd.db"
    upgrade_sqlite(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def sqlite_file(sqlite_template: Path, tmp_path: Path) -> Path:
    """The test's own file."""
    return Path(shutil.copy(sqlite_template, tmp_path))


@pytest.fixture(params=["sqlite"])
async def database(request: pytest.FixtureRequest, anyio_backend: Any) -> AsyncIterator[Database]:
    """An open database without records."""
    found = SqliteDatabase(request.getfixturevalue("sqlite_file"))
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def records(database: Database) -> Records:
    """The store, as a test speaks to it."""
    return Records(database)
