"""Creating files that only the user of the process may read: the database, and its lock files."""

import os
from pathlib import Path
from typing import TextIO

OWNER_ONLY = 0o600


def make_owner_only(path: Path) -> None:
    """Create an empty file with mode 0600; an existing file stays as it is.

    SQLite gives the ``-wal`` and ``-shm`` files the mode of the database.
    """
    os.close(_open(str(path), os.O_RDWR | os.O_CREAT))


def open_owner_only(path: Path) -> TextIO:
    """Open a file for writing, and create it with mode 0600; the mode of an existing file stays as it is."""
    return open(path, "w", encoding="utf-8", opener=_open)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)
