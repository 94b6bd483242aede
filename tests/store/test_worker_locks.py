"""Who is alive: an OS lock beside the database, which goes with its process."""

import subprocess
import sys
from pathlib import Path

from musterd.store.worker_locks import WorkerLocks


def test_a_lock_that_is_held_is_not_free_for_anybody(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    mine, others = WorkerLocks(path), WorkerLocks(path)
    mine.hold("w1")
    assert not mine.is_free("w1")
    assert not others.is_free("w1")
    assert not others.is_free("w1"), "looking takes nothing away"
    mine.release("w1")
    assert others.is_free("w1")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_worker_without_a_file_is_gone(tmp_path: Path) -> None:
    locks = WorkerLocks(tmp_path / "musterd.db")
    assert locks.is_free("never")
    locks.release("never")


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    probe = (
        "import sys, pathlib; from musterd.store.worker_locks import WorkerLocks;"
        f"locks = WorkerLocks(pathlib.Path({str(path)!r})); locks.hold('w1');"
        "print('held', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", probe]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        locks = WorkerLocks(path)
        assert not locks.is_free("w1")
        process.kill()
        process.wait()
        assert locks.is_free("w1")
    locks.release("w1")
    assert list(tmp_path.iterdir()) == []
