"""SQLite's errors in plain words, with advice for the operator."""

import os
import sqlite3
from pathlib import Path

import structlog

from musterd.core.errors import StoreUnavailable

log = structlog.get_logger("musterd.store")

CHECK_FILE = "check the file and its volume"
"""The advice for an error that is not known."""
_ADVICE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free space on its volume"),
    sqlite3.SQLITE_READONLY: (
        "the file or its folder is read-only",
        "make both writable for the server's user",
    ),
    sqlite3.SQLITE_BUSY: (
        "another program has locked the database",
        "close that program, or move the database",
    ),
    sqlite3.SQLITE_LOCKED: ("another program has locked the database", "close that program"),
    sqlite3.SQLITE_PROTOCOL: ("another program has locked the database", "close that program"),
    sqlite3.SQLITE_PERM: ("the file is not accessible", "make it and its folder writable for the server's user"),
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
MIN_FREE_BYTES = 64 * 1024
"""A volume with less free space than this counts as full: SQLite extends the WAL index by half as much at a time."""


def advice(error: sqlite3.Error, path: Path) -> tuple[str, str]:
    """What happened to the file at ``path``, and what to do. Suitable at the start and for a running server."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_IOERR and _is_full(path):  # SQLite reports this if it cannot extend the WAL index
        code = sqlite3.SQLITE_FULL
    return _ADVICE.get(code, (str(error), CHECK_FILE))


def _is_full(path: Path) -> bool:
    try:
        volume = os.statvfs(path.parent)
    except OSError:
        return False
    return volume.f_bavail * volume.f_frsize < MIN_FREE_BYTES


def is_database_fault(error: sqlite3.Error) -> bool:
    """Whether the database failed, and not a statement of musterd."""
    return (getattr(error, "sqlite_errorcode", 0) & _PRIMARY) in _ADVICE


def unavailable(error: sqlite3.Error, path: Path) -> StoreUnavailable:
    """The error for callers; the problem and the advice also go to the log."""
    problem, cure = advice(error, path)
    log.error("database unavailable", file=str(path), what=problem, do=cure, error=str(error))
    return StoreUnavailable(reason=f"{path}: {problem} — {cure}")


def file_at(path: Path) -> tuple[int, int] | None:
    """The device and inode of the file at ``path``; None: no file.

    :raises OSError: the path cannot be read.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def moved(path: Path) -> StoreUnavailable:
    """The error if the file was removed, moved or replaced while the server runs."""
    problem, cure = "the file was replaced", "restore it; stop the server before you replace it"
    log.error("database unavailable", file=str(path), what=problem, do=cure)
    return StoreUnavailable(reason=f"{path}: {problem} — {cure}")
