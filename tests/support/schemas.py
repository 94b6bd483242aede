"""Databases with older schemas."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, create_engine

from musterd.store.upgrade import upgrade_to


@contextlib.contextmanager
def made_at(path: Path, revision: str) -> Iterator[Connection]:
    """A SQLite file with the schema of a revision."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade_to(connection, revision)
        yield connection
    engine.dispose()
