"""The store's contract is one suite: every database that it runs on is a parameter here."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd.store.database import Database
from musterd.store.postgres import PostgresDatabase
from musterd.store.sqlite import SqliteDatabase
from tests.support.postgres import PostgresServer
from tests.support.store import Records


@pytest.fixture
def sqlite_file(template: Path, tmp_path: Path) -> Path:
    """The test's own file."""
    return Path(shutil.copy(template, tmp_path))


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """The server of this run; the first test that needs it starts it."""
    return PostgresServer()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The test's own database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, anyio_backend: Any) -> AsyncIterator[Database]:
    """An open database without records."""
    found: Database
    if request.param == "sqlite":
        found = SqliteDatabase(request.getfixturevalue("sqlite_file"))
    else:
        found = PostgresDatabase(request.getfixturevalue("postgres_url"))
    await found.open()
    yield found
    await found.close()


@pytest.fixture
def records(database: Database) -> Records:
    """The store, as a test speaks to it."""
    return Records(database)
