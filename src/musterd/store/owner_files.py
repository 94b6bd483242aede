"""Files that only the owner of the process may read: the database, and the locks beside it."""

import os
from pathlib import Path
from typing import TextIO

OWNER_ONLY = 0o600


def make_owner_only(path: Path) -> None:
    """Make an empty file for the owner alone; one that is there already stays as it is.

    SQLite gives the files beside a database (``-wal``, ``-shm``) the mode of the database.
    """
    os.close(_opened(str(path), os.O_RDWR | os.O_CREAT))


def open_owner_only(path: Path) -> TextIO:
    """Open a file for writing, making it for the owner alone; the mode of one that is there already stays."""
    return open(path, "w", encoding="utf-8", opener=_opened)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, OWNER_ONLY)
