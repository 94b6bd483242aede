"""The schema: made from nothing, brought up once, refused in words where it cannot be, and then left alone."""

import ast
import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.core.errors import SchemaTooNew, StartError
from musterd.core.trace_ids import stored_trace_id
from musterd.store import upgrade
from musterd.store.rows import RUN_FIELDS
from musterd.store.sqlite import SqliteDatabase
from musterd.store.upgrade import HEAD, MIGRATIONS, OLDEST_WRITER, upgrade_sqlite
from tests.support.schemas import made_at

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


# What is made


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
        "import sys, pathlib; from musterd.store.upgrade import upgrade_sqlite;"
        f"upgrade_sqlite(pathlib.Path({str(sqlite_file)!r}));"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert content(sqlite_file) == before


def test_the_head_is_the_last_migration() -> None:
    revisions: dict[str, str | None] = {}
    for file in sorted((MIGRATIONS / "versions").glob("[0-9]*.py")):
        found: dict[str, str | None] = {}
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                found[ast.unparse(node.targets[0])] = node.value.value  # type: ignore[assignment]
        assert file.name.startswith(f"{found['revision']}_"), "files stand in the order of their revisions"
        revisions[str(found["revision"])] = found["down_revision"]
    assert list(revisions)[-1] == HEAD
    assert list(revisions.values()) == [None, *list(revisions)[:-1]], "one line, without a fork"
    assert OLDEST_WRITER in revisions


def test_a_record_of_a_run_is_its_columns(sqlite_file: Path) -> None:
    columns = {row[1] for row in query(sqlite_file, "PRAGMA table_info(runs)")}
    assert set(RUN_FIELDS) <= columns


# Killed in the middle, started twice


@pytest.mark.parametrize("make", ["_create", "_migrate"])
def test_a_start_that_was_killed_in_the_middle_leaves_no_half_schema(
    tmp_path: Path, sqlite_file: Path, make: str
) -> None:
    path = tmp_path / "new.db"
    probe = f"""
import os, pathlib, sqlite3
from musterd.store import upgrade
class Killed(sqlite3.Connection):
    def __init__(self, *args, **given):
        super().__init__(*args, **given)
        self.set_trace_callback(lambda text: "CREATE TABLE journal" in text and os._exit(9))
made = sqlite3.connect
sqlite3.connect = sqlite3.dbapi2.connect = lambda *args, **given: made(*args, **{{**given, "factory": Killed}})
upgrade.{make}(pathlib.Path({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    assert schema(path) == []
    upgrade_sqlite(path)
    assert schema(path) == schema(sqlite_file)


def test_the_short_way_and_the_long_way_end_at_the_same_schema(tmp_path: Path) -> None:
    upgrade._create(tmp_path / "short.db")
    upgrade._migrate(tmp_path / "long.db")
    short, long = (
        [(kind, name, normal(sql)) for kind, name, sql in schema(tmp_path / f"{way}.db")] for way in ("short", "long")
    )
    assert short == long
    assert query(tmp_path / "short.db", "SELECT * FROM alembic_version") == [(HEAD,)]


def normal(sql: object) -> str:
    return re.sub(r"\s+", "", str(sql))


def test_processes_that_start_together_upgrade_once(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    probe = (
        "import sys, pathlib; from musterd.store import upgrade; made = upgrade._create;"
        "upgrade._create = lambda path: (print('made', flush=True), made(path));"
        "print('here', flush=True); sys.stdin.readline();"
        f"upgrade.upgrade_sqlite(pathlib.Path({str(path)!r}))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    said = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        said.append(process.communicate(timeout=60)[0])
        assert process.returncode == 0
    assert "".join(said) == "made\n"
    assert query(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]


# Refused, in words


def test_a_newer_schema_is_refused_and_left_alone(sqlite_file: Path) -> None:
    query(sqlite_file, "SELECT 1")
    with contextlib.closing(sqlite3.connect(sqlite_file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    before = content(sqlite_file)
    with pytest.raises(SchemaTooNew) as caught:
        upgrade_sqlite(sqlite_file)
    assert "0999" in caught.value.message
    assert HEAD in caught.value.message
    assert WORDS.match(caught.value.message)
    assert content(sqlite_file) == before


@pytest.mark.parametrize("oldest_writer, is_let_in", [("0001", True), ("0998", False)])
def test_a_newer_schema_says_who_may_still_write(sqlite_file: Path, oldest_writer: str, is_let_in: bool) -> None:
    with contextlib.closing(sqlite3.connect(sqlite_file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
        connection.execute("INSERT INTO instance VALUES ('one', 1.0, ?)", (oldest_writer,))
    before = content(sqlite_file)
    with contextlib.nullcontext() if is_let_in else pytest.raises(SchemaTooNew):
        upgrade_sqlite(sqlite_file)
    assert content(sqlite_file) == before


def test_bringing_a_schema_up_to_date_says_who_may_still_write(sqlite_file: Path) -> None:
    with contextlib.closing(sqlite3.connect(sqlite_file)) as connection, connection:
        connection.execute("INSERT INTO instance VALUES ('one', 1.0, '0000')")
    upgrade._migrate(sqlite_file)
    assert query(sqlite_file, "SELECT id, oldest_writer FROM instance") == [("one", OLDEST_WRITER)]


@pytest.mark.parametrize("tables", [["users"], ["alembic_version"], ["runs"], ["a", "b", "c", "d"]], ids=str)
def test_a_database_of_another_program_is_left_alone(tmp_path: Path, tables: list[str]) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (x)")
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
    monkeypatch.setattr(upgrade, "file_system", lambda folder: "nfs4")
    assert "network file system (nfs4)" in refusal(tmp_path / "musterd.db")
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_of_a_folder_is_known() -> None:
    assert upgrade.file_system(Path("/proc/self")) == "proc"


def test_approvals_of_the_first_schema_keep_what_became_of_them(tmp_path: Path) -> None:
    path = tmp_path / "musterd.db"
    with made_at(path, "0001") as connection:
        for number, (state, verdict) in enumerate(
            [("pending", None), ("decided", "run"), ("consumed", "refused"), ("closed", None), ("closed", "happened")]
        ):
            decision = None if verdict is None else f'{{"note":"refused","result":null,"verdict":"{verdict}"}}'
            connection.exec_driver_sql(
                """INSERT INTO approvals (id, root_id, run_id, path, kind, state, request, decision, created_at)
                   VALUES (?, 'r', 'r', ?, 'unknown_outcome', ?, '{}', ?, 1)""",
                (str(number), f"t0/c{number}", state, decision),
            )
    upgrade_sqlite(path)
    found = [status for (status,) in query(path, "SELECT status FROM approvals ORDER BY id")]
    assert found == ["pending", "approved", "rejected", "cancelled", "approved"]


@pytest.mark.parametrize("beside", [False, True], ids=["before", "beside"])
def test_runs_of_the_fourth_schema_are_found_by_their_traces(tmp_path: Path, beside: bool) -> None:
    """Also those that its programs accepted beside newer ones."""
    path, given = tmp_path / "musterd.db", "0b0c3a52-0d0e-4b4e-9f0e-5f1f6f6f0a11"
    columns = "path, session_id, component_kind, component_id, component_name, model, model_provider, definition_hash"
    with made_at(path, "0009" if beside else "0004") as connection:
        for run_id, parent_id in (("mine", None), (given, None), ("member", "mine")):
            connection.exec_driver_sql(
                f"""INSERT INTO runs (run_id, root_id, parent_id, state, created_at, {columns})
                    VALUES (?, ?, ?, 'completed', 1, '', 's', 'agent', 'a', 'a', 'm', 'm', 'h')""",  # noqa: S608
                (run_id, parent_id or run_id, parent_id),
            )
    upgrade_sqlite(path)
    found = set(query(path, "SELECT run_id, trace_id FROM runs"))
    assert found == {("mine", stored_trace_id("mine")), (given, None), ("member", None)}


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """As shells set it: files of a program are readable by everybody, unless it says otherwise."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {found.name.removeprefix("musterd.db"): found.stat().st_mode & 0o777 for found in folder.iterdir()}


@pytest.mark.usefixtures("usual_umask")
async def test_the_files_of_a_database_are_for_its_owner_alone(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "musterd.db")
    await database.open()
    locks = database.locks()
    locks.hold("w1")
    try:
        found = modes(tmp_path)
        assert set(found) == {"", "-wal", "-shm", ".upgrade-lock", ".worker-w1"}
        assert set(found.values()) == {0o600}
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


@pytest.mark.parametrize("revision", ["0004", "0009", HEAD])
@pytest.mark.parametrize(
    "change, words",
    [
        (
            "ALTER TABLE blob_uses RENAME COLUMN root_id TO session_id",
            "root_id is missing, blob_uses.session_id",
        ),
        ("ALTER TABLE runs ADD COLUMN later TEXT", "runs.later is unknown"),
        ("DROP TABLE journal", "journal."),
    ],
    ids=["renamed", "more", "fewer"],
)
def test_tables_that_their_revision_does_not_make_are_left_alone(
    tmp_path: Path, revision: str, change: str, words: str
) -> None:
    """A program that was never released made them: to bring them up to date would leave half a schema."""
    path = tmp_path / "musterd.db"
    with made_at(path, revision) as connection:
        connection.exec_driver_sql(change)
    before = content(path)
    said = refusal(path)
    assert words in said
    assert f"schema {revision}" in said
    assert content(path) == before


def test_a_revision_that_no_version_has_is_left_alone(sqlite_file: Path) -> None:
    with contextlib.closing(sqlite3.connect(sqlite_file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0004b'")
    assert "no version has this revision" in refusal(sqlite_file)


def test_tables_beside_ours_are_no_matter(sqlite_file: Path) -> None:
    with contextlib.closing(sqlite3.connect(sqlite_file)) as connection, connection:
        connection.execute("CREATE TABLE notes (text)")
    upgrade_sqlite(sqlite_file)


def test_every_released_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    for file in sorted((MIGRATIONS / "versions").glob("[0-9]*.py")):
        path = tmp_path / file.name
        with made_at(path, file.name.partition("_")[0]):
            pass
        upgrade_sqlite(path)
        assert query(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]
