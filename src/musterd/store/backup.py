"""A copy of a SQLite database that is in use: all of it as it stood at one moment, and sound."""

import contextlib
import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path

from musterd.core import clock
from musterd.core.errors import StartError
from musterd.store.sqlite_errors import advice
from musterd.store.upgrade import BUSY_SECONDS, revision_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy that was made.

    :param size: its bytes.
    :param runs: how many root runs are in it.
    :param seconds: how long copying and checking took.
    """

    path: Path
    size: int
    runs: int
    seconds: float


def back_up(path: Path, to: Path, *, replaces: bool = False) -> Backup:
    """Copy the records at ``path`` into the file ``to``, which appears once it is whole and was found sound.

    Who writes meanwhile is not held up: what is copied is what stood when it began.

    :param replaces: whether an earlier file there may be replaced.
    :raises StartError: it cannot be done, in words; nothing is left behind, an earlier file stands.
    """
    began = clock.monotonic()
    if not path.exists():
        raise StartError(f"{path}: does not exist — name the database with --db")
    revision_of(path)
    _require_free(path, to, replaces=replaces)
    part = to.with_name(f".{to.name}.{clock.new_id()}.part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        runs = _copied(path, part)
        _stored(part)
        _require_free(path, to, replaces=replaces)
        part.replace(to)
        _stored(to.parent)
    except sqlite3.Error as error:
        what, cure = advice(error, to)
        raise StartError(f"{to}: could not be made: {what} — {cure}") from error
    except OSError as error:
        raise StartError(f"{to}: could not be made: {error.strerror} — name another place") from error
    finally:
        for left in (part, *_beside(part)):
            left.unlink(missing_ok=True)
    return Backup(path=to, size=to.stat().st_size, runs=runs, seconds=clock.monotonic() - began)


def _require_free(path: Path, to: Path, *, replaces: bool) -> None:
    if not to.parent.is_dir():
        raise StartError(f"{to}: its folder does not exist — create {to.parent}, or name another place")
    try:
        there = to.lstat()  # of a link itself: what it leads to is not what would be replaced
    except FileNotFoundError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise StartError(f"{to}: is not a regular file and is never replaced — name another file")
    if there is not None and to.samefile(path):
        raise StartError(f"{to}: is the database itself — name another file")
    if to.name in {beside.name for beside in _beside(path)} and to.parent.samefile(path.parent):
        raise StartError(f"{to}: is a part of the database — name another file")
    if there is not None and not replaces:
        raise StartError(f"{to}: is there already — name another file, or say --force to replace it")
    if in_use := [beside.name for beside in _beside(to) if beside.exists()]:
        raise StartError(f"{to}: is a database in use, or one that was not closed ({in_use[0]}) — name another file")


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _copied(path: Path, part: Path) -> int:
    """Copy in one step: one that is done in pieces begins anew whenever somebody writes."""
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as source:
            source.execute("PRAGMA query_only = ON")
            source.backup(copy)
        problems = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise StartError(
                f"{path}: the copy is not sound ({problems[0]}) — the database is damaged: stop the server and restore "
                "an earlier backup"
            )
        (runs,) = copy.execute("SELECT count(*) FROM runs WHERE parent_id IS NULL").fetchone()
    return int(runs)


def _stored(path: Path) -> None:
    """Have the disk keep it."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
