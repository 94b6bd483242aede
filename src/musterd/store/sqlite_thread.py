"""A SQLite connection for a thread beside the event loop."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from musterd.store.database import Work, drive
from musterd.store.sqlite_errors import unavailable
from musterd.store.sqlite_tx import SqliteTx

T = TypeVar("T")


class SqliteThreadConnection:
    """Belongs to the thread that uses it. What it writes may be lost with the machine, not with the process."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._tx: SqliteTx | None = None

    def do(self, work: Work[T]) -> T:
        """Do ``work``, each statement in a transaction of its own.

        :raises StoreUnavailable: the database cannot be used now.
        """
        try:
            if self._tx is None:
                connection = self._connect()
                connection.execute("PRAGMA synchronous = NORMAL")  # waits for no disk: only the living look at it
                self._tx = SqliteTx(connection)
            return drive(work(self._tx))
        except sqlite3.Error as error:
            self.close()
            raise unavailable(error, self._path) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._tx is not None:
            self._tx.connection.close()
            self._tx = None
