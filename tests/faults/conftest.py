"""Real processes on a file of the test's own."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.store.upgrade import upgrade_sqlite
from tests.support.process import Site, sites


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without records."""
    path = tmp_path_factory.mktemp("template") / "musterd.db"
    upgrade_sqlite(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Site]:
    """A folder with a database, and the processes that share it."""
    yield from sites(template, tmp_path, Path(__file__).with_name("house.py"))
