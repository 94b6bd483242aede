"""A SQLite connection for a thread other than the event loop's, such as that of the heartbeat."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from musterd.store.database import Work, drive
from musterd.store.sqlite_errors import unavailable
from musterd.store.sqlite_tx import SqliteTx

T = TypeVar("T")


class SqliteThreadConnection:
    """A connection that belongs to one thread. Its writes survive a crash of the process, but not of the machine."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._connect = connect
        self._tx: SqliteTx | None = None

    def do(self, work: Work[T]) -> T:
        """Do ``work``, each statement in a transaction of its own.

        :raises StoreUnavailable: the database is unavailable.
        """
        try:
            if self._tx is None:
                connection = self._connect()
                # Without a flush of the disk: nothing depends on a heartbeat that a crash of the machine loses.
                connection.execute("PRAGMA synchronous = NORMAL")
                self._tx = SqliteTx(connection)
            return drive(work(self._tx))
        except sqlite3.Error as error:
            self.close()
            raise unavailable(error, self._path) from error

    def close(self) -> None:
        """Close the connection."""
        if self._tx is not None:
            self._tx.connection.close()
            self._tx = None
