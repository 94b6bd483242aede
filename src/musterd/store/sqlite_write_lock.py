"""The write lock of a SQLite file, which several processes share."""

import sqlite3

from musterd.core import clock

RETRY_SECONDS = 0.002
_PRIMARY = 0xFF


def wait_in_short_steps(connection: sqlite3.Connection) -> None:
    """Leave the waiting for the lock to :func:`begin_write`.

    SQLite's own busy handler waits longer from try to try, up to 100 ms. A process that writes much takes the lock
    again within a millisecond of its commit, so that the others would hardly ever find it free.
    """
    connection.execute("PRAGMA busy_timeout = 0")


def begin_write(connection: sqlite3.Connection, seconds: float) -> None:
    """Begin a transaction that holds the write lock. Blocks the thread until the lock is free.

    IMMEDIATE takes the lock at the start. A transaction that first reads and then writes could otherwise fail in the
    middle with SQLITE_BUSY, because another process has written since its read.

    :param seconds: how long to wait if another process has the lock.
    :raises sqlite3.OperationalError: the lock was not free in that time, or the file is unusable.
    """
    deadline = clock.monotonic() + seconds
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY != sqlite3.SQLITE_BUSY or clock.monotonic() >= deadline:
                raise
        else:
            return
        clock.block(RETRY_SECONDS)
