"""Files that only their owner can read."""

import os
from pathlib import Path

from musterd.core import clock


def write_private(path: Path, content: bytes) -> None:
    """Write a file, or replace it as a whole: a crash or a full disk leaves the old file or the new one.

    :raises OSError: it cannot be written.
    """
    # In the folder of the file, because a rename is atomic only within a file system.
    new = path.parent / f".{clock.new_id()}.new"
    try:
        with open(new, "xb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # content before name, also after a power failure
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
