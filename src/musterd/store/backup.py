"""Backing up a SQLite database that is in use: a checked copy of its state at one moment."""

import contextlib
import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path

from musterd.core import clock
from musterd.core.errors import StartError
from musterd.store.sqlite_errors import advice
from musterd.store.sqlite_upgrade import BUSY_SECONDS, revision_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """The result of a backup.

    :param size: the size of the copy in bytes.
    :param runs: the number of root runs in it.
    :param seconds: how long copying and checking took.
    """

    path: Path
    size: int
    runs: int
    seconds: float


def back_up(path: Path, to: Path, *, replaces: bool = False) -> Backup:
    """Copy the database at ``path`` to the file ``to``, which appears only when it is complete and checked.

    Writers are not blocked meanwhile; the copy has the state of its start.

    :param replaces: whether an existing file may be replaced.
    :raises StartError: the backup failed; the message says why. No partial file is left, and an existing file stays.
    """
    began = clock.monotonic()
    if not path.exists():
        raise StartError(f"{path}: does not exist — specify the database with --db")
    # Raises if the file is not a database of musterd, before anything is written.
    revision_of(path)
    _require_free(path, to, replaces=replaces)
    # In the folder of the target, because a rename is atomic only within a file system.
    part = to.with_name(f".{to.name}.{clock.new_id()}.part")
    try:
        # With this mode before SQLite opens it, so that others cannot read the conversations in it at any time.
        part.touch(mode=0o600, exist_ok=False)
        runs = _copy(path, part)
        # Content before name: after a power failure there is the old file or the whole new one under the name, and
        # never a name with missing content. The sync of the folder makes the rename itself durable.
        _sync(part)
        _require_free(path, to, replaces=replaces)  # again: copying may have taken long
        part.replace(to)
        _sync(to.parent)
    except sqlite3.Error as error:
        problem, cure = advice(error, to)
        raise StartError(f"{to}: could not be created: {problem} — {cure}") from error
    except OSError as error:
        raise StartError(f"{to}: could not be created: {error.strerror} — choose another place") from error
    finally:
        for leftover in (part, *_companions(part)):
            leftover.unlink(missing_ok=True)
    return Backup(path=to, size=to.stat().st_size, runs=runs, seconds=clock.monotonic() - began)


def _require_free(path: Path, to: Path, *, replaces: bool) -> None:
    if not to.parent.is_dir():
        raise StartError(f"{to}: its folder does not exist — create {to.parent}, or choose another place")
    try:
        existing = to.lstat()  # not following a link: the link itself would be replaced, not its target
    except FileNotFoundError:
        existing = None
    if existing is not None and not stat.S_ISREG(existing.st_mode):
        raise StartError(f"{to}: is not a regular file and is never replaced — choose another file")
    if existing is not None and to.samefile(path):
        raise StartError(f"{to}: is the database itself — choose another file")
    if to.name in {file.name for file in _companions(path)} and to.parent.samefile(path.parent):
        raise StartError(f"{to}: is a part of the database — choose another file")
    if existing is not None and not replaces:
        raise StartError(f"{to}: already exists — choose another file, or use --force to replace it")
    if in_use := [file.name for file in _companions(to) if file.exists()]:
        raise StartError(
            f"{to}: is a database in use, or one that was not closed cleanly ({in_use[0]}) — choose another file"
        )


def _companions(path: Path) -> list[Path]:
    """The files that SQLite keeps next to a database."""
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _copy(path: Path, part: Path) -> int:
    """Copy the database in one step, and check the copy; return the number of root runs.

    A copy in several steps would start again whenever another process writes.
    """
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as source:
            source.execute("PRAGMA query_only = ON")
            source.backup(copy)
        problems = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise StartError(
                f"{path}: the copy failed its integrity check ({problems[0]}) — "
                "the database is damaged; stop the server and restore an earlier backup"
            )
        (runs,) = copy.execute("SELECT count(*) FROM runs WHERE parent_id IS NULL").fetchone()
    return int(runs)


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
