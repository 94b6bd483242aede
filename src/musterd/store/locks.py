"""Who is alive on this host: each worker holds an OS lock beside the database; a free lock is a dead worker, at once.

The lock goes with the process, however it ends. No time is stored, none compared.
"""

import fcntl
from pathlib import Path
from typing import TextIO

from musterd.core.child_processes import close_in_children
from musterd.store.owner_files import open_owner_only


class NoLocks:
    """Where workers may be on other machines no lock tells who is alive: their beats do."""

    def hold(self, worker: str) -> None:
        """Nothing to hold."""

    def is_free(self, worker: str) -> bool:
        """Never: a lock that nobody can see says nothing."""
        return False

    def release(self, worker: str) -> None:
        """Nothing to let go of."""


class WorkerLocks:
    """The workers' locks beside one SQLite file.

    :param path: the database's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, TextIO] = {}

    def hold(self, worker: str) -> None:
        """Hold the lock of a worker of this process until :meth:`release` or the process's end.

        Once more: where others took the worker for dead, and cleared its file away.
        """
        if (earlier := self._held.pop(worker, None)) is not None:
            earlier.close()
        file = open_owner_only(self._file(worker))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        close_in_children(file)  # a fork shares the lock: it would be held as long as the child lives
        self._held[worker] = file

    def is_free(self, worker: str) -> bool:
        """Whether no living process holds the worker's lock."""
        if worker in self._held:
            return False
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
        """Let go of a worker's lock, or clear away that of a dead one."""
        if (file := self._held.pop(worker, None)) is not None:
            file.close()
        self._file(worker).unlink(missing_ok=True)

    def _file(self, worker: str) -> Path:
        return self._path.with_name(f"{self._path.name}.worker-{worker}")
