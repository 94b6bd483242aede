"""The schema of a SQLite file: created, migrated once, or refused with a reason and left unchanged."""

import ast
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from musterd.core.errors import SchemaTooNew, StartError
from musterd.store import sqlite_upgrade
from musterd.store.rows import RUN_FIELDS
from musterd.store.schema import HEAD, MIGRATIONS, OLDEST_WRITER
from musterd.store.sqlite import SqliteDatabase
from musterd.store.sqlite_upgrade import upgrade_sqlite
from tests.support.schemas import DEVELOPMENT, NEXT, become_next_release, execute, set_revision

WORDS = re.compile(r"^.+: .+ — .+$")


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def content(path: Path) -> bytes:
    """The file's bytes, whatever lay in its log brought home."""
    query(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def schema(path: Path) -> list[tuple[object, ...]]:
    return query(path, "SELECT type, name, sql FROM sqlite_master ORDER BY name")


def refusal(path: Path) -> str:
    with pytest.raises(StartError) as caught:
        upgrade_sqlite(path)
    assert WORDS.match(caught.value.message), "place: what is wrong — what to do"
    assert caught.value.message.startswith(f"{path}: ")
    return caught.value.message


# Creation


def test_a_fresh_file_is_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    upgrade_sqlite(path)
    assert query(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


def test_an_empty_file_is_a_fresh_one(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    path.touch()
    upgrade_sqlite(path)
    assert query(path, "SELECT count(*) FROM runs") == [(0,)]


def test_again_changes_nothing_and_imports_nothing(sqlite_file: Path) -> None:
    before = content(sqlite_file)
    probe = (
        "import sys, pathlib; from musterd.store.sqlite_upgrade import upgrade_sqlite;"
        f"upgrade_sqlite(pathlib.Path({str(sqlite_file)!r}));"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert content(sqlite_file) == before


def test_the_head_is_the_last_migration() -> None:
    revisions: dict[str, str | None] = {}
    for file in sorted((MIGRATIONS / "versions").glob("v*.py")):
        constants: dict[str, str | None] = {}
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                constants[ast.unparse(node.targets[0])] = node.value.value  # type: ignore[assignment]
        assert file.name.startswith(f"{constants['revision']}_"), "files stand in the order of their revisions"
        revisions[str(constants["revision"])] = constants["down_revision"]
    assert list(revisions)[-1] == HEAD
    assert list(revisions.values()) == [None, *list(revisions)[:-1]], "one line, without a fork"
    assert OLDEST_WRITER in revisions
    assert all(re.fullmatch(r"v\d{4}", revision) for revision in revisions), "revisions are compared as text"


def test_a_record_of_a_run_is_its_columns(sqlite_file: Path) -> None:
    columns = {row[1] for row in query(sqlite_file, "PRAGMA table_info(runs)")}
    assert set(RUN_FIELDS) <= columns


# Crashes and simultaneous starts


@pytest.mark.parametrize("call", ["_create(path)", "_migrate(path, None)"])
def test_a_start_that_was_killed_in_the_middle_leaves_no_half_schema(
    tmp_path: Path, sqlite_file: Path, call: str
) -> None:
    path = tmp_path / "new.db"
    probe = f"""
import os, pathlib, sqlite3
from musterd.store import sqlite_upgrade
class Killed(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_trace_callback(lambda text: "CREATE TABLE journal" in text and os._exit(9))
connect = sqlite3.connect
sqlite3.connect = sqlite3.dbapi2.connect = lambda *args, **kwargs: connect(*args, **{{**kwargs, "factory": Killed}})
path = pathlib.Path({str(path)!r})
sqlite_upgrade.{call}
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    assert schema(path) == []
    upgrade_sqlite(path)
    assert schema(path) == schema(sqlite_file)


def test_processes_that_start_together_create_the_schema_once(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    probe = (
        "import sys, pathlib; from musterd.store import sqlite_upgrade; create = sqlite_upgrade._create;"
        "sqlite_upgrade._create = lambda path: (print('created', flush=True), create(path));"
        "print('here', flush=True); sys.stdin.readline();"
        f"sqlite_upgrade.upgrade_sqlite(pathlib.Path({str(path)!r}))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    output = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        output.append(process.communicate(timeout=60)[0])
        assert process.returncode == 0
    assert "".join(output) == "created\n"
    assert query(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]


# Refusals


def test_a_newer_schema_is_refused_and_left_alone(sqlite_file: Path) -> None:
    set_revision(sqlite_file, "v0999")
    before = content(sqlite_file)
    with pytest.raises(SchemaTooNew) as caught:
        upgrade_sqlite(sqlite_file)
    assert "v0999" in caught.value.message
    assert HEAD in caught.value.message
    assert WORDS.match(caught.value.message)
    assert content(sqlite_file) == before


@pytest.mark.parametrize("oldest_writer, is_accepted", [(HEAD, True), ("v0998", False)])
def test_a_newer_schema_says_which_programs_may_write(sqlite_file: Path, oldest_writer: str, is_accepted: bool) -> None:
    set_revision(sqlite_file, "v0999")
    execute(sqlite_file, "INSERT INTO instance VALUES ('one', 1.0, ?)", oldest_writer)
    before = content(sqlite_file)
    with contextlib.nullcontext() if is_accepted else pytest.raises(SchemaTooNew):
        upgrade_sqlite(sqlite_file)
    assert content(sqlite_file) == before


@pytest.mark.parametrize("revision", [*DEVELOPMENT, "0004b", "9999"])
@pytest.mark.parametrize(
    "edit",
    [
        "SELECT 1",
        "ALTER TABLE runs ADD COLUMN edited TEXT",
        "ALTER TABLE runs DROP COLUMN webhooks",
        "DROP TABLE journal",
    ],
    ids=["as made", "column added", "column missing", "table missing"],
)
def test_a_development_version_s_database_is_refused_and_left_alone(
    sqlite_file: Path, revision: str, edit: str
) -> None:
    set_revision(sqlite_file, revision)
    execute(sqlite_file, edit)
    before = content(sqlite_file)
    message = refusal(sqlite_file)
    assert f"made by a development version of musterd (schema {revision})" in message
    assert "name another database" in message
    assert content(sqlite_file) == before


def test_a_database_without_a_revision_is_refused(sqlite_file: Path) -> None:
    execute(sqlite_file, "DELETE FROM alembic_version")
    assert "(schema none)" in refusal(sqlite_file)


@pytest.mark.parametrize("tables", [["users"], ["alembic_version"], ["runs"], ["a", "b", "c", "d"]], ids=str)
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, tables: list[str]) -> None:
    path = tmp_path / "other.db"
    for table in tables:
        execute(path, f"CREATE TABLE {table} (x)")
    before = path.read_bytes()
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 1000)
    assert "not a SQLite database" in refusal(path)
    assert path.read_text() == "Dear diary, " * 1000


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    path.mkdir()
    assert "cannot be opened" in refusal(path)


def test_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "not" / "here" / "musterd.db"
    assert f"create {path.parent}" in refusal(path)
    assert not (tmp_path / "not").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "make its folder writable" in refusal(tmp_path / "musterd.db")
    finally:
        tmp_path.chmod(0o700)


def test_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_upgrade, "file_system", lambda folder: "nfs4")
    assert "network file system (nfs4)" in refusal(tmp_path / "musterd.db")
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_of_a_folder_is_known() -> None:
    assert sqlite_upgrade.file_system(Path("/proc/self")) == "proc"


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """As shells set it: files of a program are readable by everybody, unless it says otherwise."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {file.name.removeprefix("musterd.db"): file.stat().st_mode & 0o777 for file in folder.iterdir()}


@pytest.mark.usefixtures("usual_umask")
async def test_the_files_of_a_database_are_for_its_owner_alone(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "musterd.db")
    await database.open()
    locks = database.locks()
    locks.hold("w1")
    try:
        mode_of = modes(tmp_path)
        assert set(mode_of) == {"", "-wal", "-shm", ".upgrade-lock", ".worker-w1"}
        assert set(mode_of.values()) == {0o600}
    finally:
        locks.release("w1")
        await database.close()


@pytest.mark.usefixtures("usual_umask")
async def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    path.touch(mode=0o640)
    upgrade_sqlite(path)
    upgrade_sqlite(path)
    assert modes(tmp_path)[""] == 0o640


# Tables that are not those of their revision

CHANGES = pytest.mark.parametrize(
    "change, words",
    [
        ("ALTER TABLE blob_uses RENAME COLUMN root_id TO session_id", "root_id is missing, blob_uses.session_id"),
        ("ALTER TABLE runs ADD COLUMN later TEXT", "runs.later is unknown"),
        ("DROP TABLE journal", "journal."),
    ],
    ids=["renamed", "more", "fewer"],
)


@CHANGES
def test_tables_that_their_revision_does_not_create_are_left_alone(sqlite_file: Path, change: str, words: str) -> None:
    execute(sqlite_file, change)
    before = content(sqlite_file)
    message = refusal(sqlite_file)
    assert words in message
    assert f"schema {HEAD}" in message
    assert content(sqlite_file) == before


def test_additional_tables_are_ignored(sqlite_file: Path) -> None:
    execute(sqlite_file, "CREATE TABLE notes (text)")
    upgrade_sqlite(sqlite_file)


# A next release


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of the next release in this process."""
    folder = tmp_path / "next"
    folder.mkdir()
    become_next_release(folder, monkeypatch.setattr, oldest_writer="v0002")


@pytest.mark.usefixtures("next_release")
def test_a_next_release_migrates_the_schema(sqlite_file: Path) -> None:
    execute(sqlite_file, "INSERT INTO instance VALUES ('one', 1.0, ?)", HEAD)
    upgrade_sqlite(sqlite_file)
    assert query(sqlite_file, "SELECT version_num FROM alembic_version") == [(NEXT,)]
    assert query(sqlite_file, "SELECT id, oldest_writer FROM instance") == [("one", "v0002")]
    assert query(sqlite_file, "SELECT added FROM sessions") == []
    before = content(sqlite_file)
    upgrade_sqlite(sqlite_file)
    assert content(sqlite_file) == before


@pytest.mark.usefixtures("next_release")
@CHANGES
def test_a_migration_that_ends_at_other_tables_is_rolled_back(sqlite_file: Path, change: str, words: str) -> None:
    execute(sqlite_file, change)
    before = content(sqlite_file)
    message = refusal(sqlite_file)
    assert words in message
    assert f"schema {HEAD}" in message
    assert content(sqlite_file) == before


@pytest.mark.usefixtures("next_release")
@pytest.mark.parametrize("revision", DEVELOPMENT)
def test_a_next_release_refuses_a_development_version_s_database_too(sqlite_file: Path, revision: str) -> None:
    set_revision(sqlite_file, revision)
    before = content(sqlite_file)
    assert "made by a development version" in refusal(sqlite_file)
    assert content(sqlite_file) == before


@pytest.mark.usefixtures("next_release")
def test_threads_that_migrate_different_files_do_not_disturb_each_other(sqlite_file: Path, tmp_path: Path) -> None:
    """Alembic keeps the migration in progress in globals."""
    files = [Path(shutil.copy(sqlite_file, tmp_path / f"{number}.db")) for number in range(6)]
    with ThreadPoolExecutor(len(files)) as threads:
        list(threads.map(upgrade_sqlite, files))
    assert [query(file, "SELECT version_num FROM alembic_version") for file in files] == [[(NEXT,)]] * len(files)
