"""Worker locks: each worker on this host holds an OS lock on a file next to the database; a free lock means it is dead.

The operating system releases the lock when the process ends, however it ends, so a dead worker is noticed at once and
without comparing any times.
"""

import fcntl
from pathlib import Path
from typing import TextIO

from musterd.core.child_processes import close_in_children
from musterd.store.owner_files import open_owner_only


class NoLocks:
    """No locks, for databases whose workers may be on other machines; there only heartbeats show who is alive."""

    def hold(self, worker: str) -> None:
        """Does nothing."""

    def is_free(self, worker: str) -> bool:
        """Always false: without a lock a worker is never known to be dead."""
        return False

    def release(self, worker: str) -> None:
        """Does nothing."""


class WorkerLocks:
    """The workers' locks next to one SQLite file.

    :param path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, TextIO] = {}

    def hold(self, worker: str) -> None:
        """Hold the lock of a worker of this process until :meth:`release` or the end of the process.

        It is called again after other processes took the worker for dead and removed its file. Then the old lock is
        on a file that no longer has a name, and the worker needs a new one.
        """
        if (old_file := self._held.pop(worker, None)) is not None:
            old_file.close()
        file = open_owner_only(self._file(worker))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        close_in_children(file)  # a forked child shares the lock, and would hold it after this process has died
        self._held[worker] = file

    def is_free(self, worker: str) -> bool:
        """Whether no process holds the worker's lock."""
        if worker in self._held:
            return False
        # A try of the lock, which the end of the `with` releases. While it lasts, another observer may see the lock as
        # held; it will look again.
        try:
            file = self._file(worker).open("r+")
        except FileNotFoundError:
            return True
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def release(self, worker: str) -> None:
        """Release a worker's lock, or remove the file of a dead worker."""
        # The lock before its file. A crash in between leaves a file without a lock, which means the same as no file.
        if (file := self._held.pop(worker, None)) is not None:
            file.close()
        self._file(worker).unlink(missing_ok=True)

    def _file(self, worker: str) -> Path:
        return self._path.with_name(f"{self._path.name}.worker-{worker}")
