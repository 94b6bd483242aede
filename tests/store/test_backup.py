"""A copy of a database that is in use: whole, of one moment, and never in the place of something else."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from musterd.app import create_app
from musterd.core.errors import StartError
from musterd.engine.process_role import ProcessRole
from musterd.store import backup
from musterd.store.backup import back_up
from tests.support.app import app_on, in_process, sample, settings_for
from tests.support.held_model import HeldModel


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def names(folder: Path, *beginnings: str) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(beginnings)]


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_a_server_at_work_is_copied_whole(sqlite_file: Path, tmp_path: Path) -> None:
    copy, model = tmp_path / "copy.db", HeldModel()
    async with in_process(app_on(sqlite_file, model=model), model) as client:
        hold = model.hold("wait")
        live = await client.begin("wait", session_id="live")
        await hold.reached.wait()
        running = asyncio.gather(*(client.run("[[DELEGATE writer-agent: hi]]", session_id=f"s{n}") for n in range(20)))
        copied = await asyncio.to_thread(back_up, sqlite_file, copy)
        await running
        hold.release()
        await client.ended(live)
    assert names(tmp_path, ".", "copy.db") == ["copy.db"], "one file alone"
    assert copied.size == size_of(copy)
    torn = """SELECT r.run_id FROM runs r WHERE parent_id IS NULL AND next_event !=
              (SELECT COALESCE(sum(count), 0) FROM run_events e WHERE e.root_id = r.run_id)"""
    assert query(copy, torn) == [], "a run's row and its events are of one moment"
    assert query(copy, f"SELECT state FROM runs WHERE run_id = '{live.run_id}'") == [("running",)]  # noqa: S608

    still = create_app(
        teams=sample(model).teams,
        settings=settings_for(copy),
        process_role=ProcessRole(drives_runs=True, does_upkeep=False),
    )
    async with in_process(still, model) as client:
        run = await client.get(f"/teams/demo-team/runs/{live.run_id}", session_id="live")
        assert run["status"] == "RUNNING", "what lived in the copy is looked at, and not run a second time"
        assert run["attempts"] == 1


def test_nothing_is_replaced_unasked(sqlite_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("something else")
    with pytest.raises(StartError, match="--force"):
        back_up(sqlite_file, copy)
    assert copy.read_text() == "something else"
    back_up(sqlite_file, copy, replaces=True)
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]


def special_file(kind: str, place: Path) -> None:
    """Something at ``place`` that is not a regular file."""
    other = place.with_name("other")
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        if kind == "link":
            other.write_text("kept")
        place.symlink_to(other)


@pytest.mark.parametrize("replaces", [False, True], ids=["asked", "forced"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "dangling"])
def test_what_is_no_regular_file_is_never_replaced(
    sqlite_file: Path, tmp_path: Path, kind: str, replaces: bool
) -> None:
    copy = tmp_path / "copy.db"
    special_file(kind, copy)
    before = copy.lstat()
    with pytest.raises(StartError, match="not a regular file"):
        back_up(sqlite_file, copy, replaces=replaces)
    assert copy.lstat() == before
    assert not (tmp_path / "other").exists() or (tmp_path / "other").read_text() == "kept"


def test_a_device_is_never_replaced(sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root can make one, so a file is said to be one here."""
    copy = tmp_path / "copy.db"
    copy.write_text("kept")
    lstat = Path.lstat

    def of_device(path: Path) -> os.stat_result:
        status = lstat(path)
        return os.stat_result((stat.S_IFCHR | 0o666, *status[1:])) if path == copy else status

    monkeypatch.setattr(Path, "lstat", of_device)
    with pytest.raises(StartError, match="not a regular file"):
        back_up(sqlite_file, copy, replaces=True)
    assert copy.read_text() == "kept"


def test_a_copy_is_for_its_owner_alone(sqlite_file: Path, tmp_path: Path) -> None:
    assert back_up(sqlite_file, tmp_path / "copy.db").path.stat().st_mode & 0o077 == 0


def test_places_that_cannot_be(sqlite_file: Path, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is the database itself"):
        back_up(sqlite_file, sqlite_file, replaces=True)
    with pytest.raises(StartError, match="folder does not exist"):
        back_up(sqlite_file, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(StartError, match="does not exist"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_the_files_beside_the_database_are_never_replaced(sqlite_file: Path, ending: str) -> None:
    """SQLite keeps the newest records in them."""
    beside = sqlite_file.with_name(sqlite_file.name + ending)
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as connection:
        connection.execute("UPDATE instance SET created_at = 1")
        content = beside.read_bytes() if beside.exists() else None
        with pytest.raises(StartError, match="part of the database"):
            back_up(sqlite_file, beside, replaces=True)
        assert (beside.read_bytes() if beside.exists() else None) == content


@pytest.fixture
def open_copy(sqlite_file: Path, tmp_path: Path) -> Iterator[Path]:
    """A database in use, in the place of the copy."""
    copy = back_up(sqlite_file, tmp_path / "copy.db").path
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("UPDATE instance SET created_at = 1")
        yield copy


def test_a_database_in_use_is_not_replaced(sqlite_file: Path, open_copy: Path) -> None:
    with pytest.raises(StartError, match="in use"):
        back_up(sqlite_file, open_copy, replaces=True)


def test_a_damaged_database_is_not_called_backed_up(sqlite_file: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(sqlite_file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'runs_ready'")
    with pytest.raises(StartError, match=r"not sound|damaged"):
        back_up(sqlite_file, tmp_path / "copy.db")
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]


def test_a_disk_that_fails_leaves_nothing(sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = back_up(sqlite_file, tmp_path / "copy.db").path
    before = copy.read_bytes()

    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_sync", fail)
    with pytest.raises(StartError, match="No space left"):
        back_up(sqlite_file, copy, replaces=True)
    assert copy.read_bytes() == before
    assert names(tmp_path, ".") == []
