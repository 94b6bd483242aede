"""The store's contract is one suite: it runs on each database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd.store.database import Database
from musterd.store.open_database import open_database
from musterd.store.postgres import PostgresDatabase
from tests.support.partitions import PlanWatch
from tests.support.postgres import PARTITIONED
from tests.support.store import Records


@pytest.fixture
def postgres_template(plans: PlanWatch) -> str:
    """Tables in partitions, where each statement that a test executes touches one partition or has a reason."""
    return PARTITIONED


@pytest.fixture
async def database(database_url: str, anyio_backend: Any) -> AsyncIterator[Database]:
    """An open database without records."""
    database = open_database(database_url)
    if isinstance(database, PostgresDatabase):  # else a transaction that a test holds ends if the machine stands still
        database = PostgresDatabase(database_url, silent_seconds=100)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def records(database: Database) -> Records:
    """The store, as a test speaks to it."""
    return Records(database)
