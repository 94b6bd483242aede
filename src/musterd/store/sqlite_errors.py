"""What SQLite's faults mean, and what an operator should do about each."""

import os
import sqlite3
from pathlib import Path

import structlog

from musterd.core.errors import StoreUnavailable

log = structlog.get_logger("musterd.store")

_ADVICE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free space on its volume"),
    sqlite3.SQLITE_READONLY: (
        "the file or its folder is read-only",
        "make both writable for the server's user",
    ),
    sqlite3.SQLITE_BUSY: (
        "another program holds the database",
        "close what has it open, or move it away from there",
    ),
    sqlite3.SQLITE_LOCKED: ("another program holds the database", "close what has it open"),
    sqlite3.SQLITE_PROTOCOL: ("another program holds the database", "close what has it open"),
    sqlite3.SQLITE_PERM: ("the file may not be used", "make it and its folder writable for the server's user"),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", "stop the server and restore the file from a backup"),
    sqlite3.SQLITE_NOTADB: (
        "the file is not a SQLite database",
        "name another file, or restore it from a backup",
    ),
    sqlite3.SQLITE_IOERR: ("the disk reports an error", "check the volume"),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", "check that its folder exists and is writable"),
    sqlite3.SQLITE_NOMEM: ("the machine is out of memory", "free memory"),
}
_PRIMARY = 0xFF
ROOM_BYTES = 64 * 1024
"""With less free than this a volume is called full: SQLite grows its index of the WAL by half as much at a time."""


def advice(error: sqlite3.Error, path: Path) -> tuple[str, str]:
    """What happened to the file at ``path``, and what to do. It holds at a start as well as for a running server."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_IOERR and _is_full(path):  # what SQLite says if it cannot map its index of the WAL
        code = sqlite3.SQLITE_FULL
    return _ADVICE.get(code, (str(error), "see the error"))


def _is_full(path: Path) -> bool:
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < ROOM_BYTES


def is_database_fault(error: sqlite3.Error) -> bool:
    """Whether the database failed, rather than a statement of ours."""
    return (getattr(error, "sqlite_errorcode", 0) & _PRIMARY) in _ADVICE


def unavailable(error: sqlite3.Error, path: Path) -> StoreUnavailable:
    """The error that a caller gets; what happened and what to do goes to the log."""
    what, cure = advice(error, path)
    log.error("database unavailable", file=str(path), what=what, do=cure, error=str(error))
    return StoreUnavailable(reason=f"{path}: {what} — {cure}")


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands at ``path``; None: no file.

    :raises OSError: nobody can look.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def moved(path: Path) -> StoreUnavailable:
    """The error where the file was removed, moved or replaced under the running server."""
    what, cure = "the file is not the one that was opened", "put it back, or stop the server before it is replaced"
    log.error("database unavailable", file=str(path), what=what, do=cure)
    return StoreUnavailable(reason=f"{path}: {what} — {cure}")
