"""The folder for the databases of tests."""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
MIN_FREE_BYTES = 4 * 1024**3


def fast_folder() -> Path:
    """A file system in memory if there is one with enough room, else the folder for temporary files.

    Databases are created and removed by the thousand. ext4 does not use the inode of a file again for five seconds
    after its removal, and searches for another one: a fifth of all processor time of the tests on Postgres.
    """
    try:
        volume = os.statvfs(MEMORY)
    except OSError:
        return Path(tempfile.gettempdir())
    has_room = volume.f_bavail * volume.f_frsize >= MIN_FREE_BYTES
    return MEMORY if has_room and os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
