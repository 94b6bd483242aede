"""The schema on Postgres: created once, migrated once, or refused with a reason and left unchanged."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from musterd.core.callers import Caller
from musterd.core.errors import SchemaTooNew, StartError
from musterd.store import sessions, workers
from musterd.store.open_database import open_database
from musterd.store.postgres import PostgresDatabase
from musterd.store.postgres_upgrade import upgrade_postgres
from musterd.store.schema import HEAD, SCHEMA
from tests.support.postgres import EMPTY, PostgresServer
from tests.support.schemas import DEVELOPMENT, NEXT, become_next_release

ROLE = "musterd_rows"


def query(url: str, text: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def refusal(url: str, kind: type[StartError] = StartError) -> str:
    with pytest.raises(kind) as caught:
        upgrade_postgres(url)
    assert re.match(r"^postgresql://.+: .+ — .+$", caught.value.message), "place: what is wrong — what to do"
    return caught.value.message


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database without tables."""
    with postgres_server.database(EMPTY) as url:
        yield url


@pytest.fixture
def as_role(postgres_server: PostgresServer) -> Any:
    """The URL of a database for a role that owns nothing."""
    exists = postgres_server.admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone()
    if not exists:
        with contextlib.suppress(psycopg.errors.UniqueViolation):  # another process of this run was first
            postgres_server.admin.execute(f"CREATE ROLE {ROLE} LOGIN".encode())
    return lambda url: url.replace("postgres@", f"{ROLE}@")


def test_it_holds_the_tables_and_indexes_of_the_other_database(empty_url: str) -> None:
    upgrade_postgres(empty_url)
    expected = set(re.findall(r"^CREATE (?:TABLE|(?:UNIQUE )?INDEX) (\w+)", SCHEMA.read_text(), re.MULTILINE))
    expected |= {"chunk_words", "chunk_words_text"}  # a virtual table in the other one
    expected -= {"sessions_names"}  # long names do not fit into it, and what is long lies apart anyway
    rows = query(
        empty_url,
        """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
           AND relname NOT LIKE '%\\_pkey' AND relname NOT LIKE '%\\_pkc'""",
    )
    assert {row[0] for row in rows} == expected
    unique = query(empty_url, "SELECT indexdef FROM pg_indexes WHERE indexname IN ('runs_holder', 'runs_ready')")
    assert sorted(row[0].partition(" ON ")[0] for row in unique) == [
        "CREATE INDEX runs_ready",
        "CREATE UNIQUE INDEX runs_holder",
    ]
    assert query(empty_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def revision(url: str) -> str:
    ((name,),) = query(url, "SELECT version_num FROM alembic_version")
    return str(name)


@pytest.fixture
def next_release(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of the next release in this process, on a database of this one."""
    assert revision(postgres_url) == HEAD
    become_next_release(tmp_path, monkeypatch.setattr, oldest_writer=NEXT)


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    probe = (
        "import sys; from musterd.store import postgres_upgrade; migrate = postgres_upgrade.migrate_to_head;"
        "postgres_upgrade.migrate_to_head = lambda bound: (print('migrated', flush=True), migrate(bound));"
        "print('here', flush=True); sys.stdin.readline();"
        f"postgres_upgrade.upgrade_postgres({empty_url!r})"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    output = []
    for process in started:
        output.append(process.communicate(timeout=60)[0])
        assert process.returncode == 0
    assert "".join(output) == "migrated\n"
    assert revision(empty_url) == HEAD


def test_threads_that_start_together_migrate_once(empty_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(upgrade_postgres, [empty_url] * 6))
    assert revision(empty_url) == HEAD


@pytest.mark.usefixtures("next_release")
def test_threads_that_start_together_on_an_older_schema_migrate_once(postgres_url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(upgrade_postgres, [postgres_url] * 6))
    assert revision(postgres_url) == NEXT


def test_threads_that_migrate_different_databases_do_not_disturb_each_other(postgres_server: PostgresServer) -> None:
    """Alembic keeps the migration in progress in globals."""
    with contextlib.ExitStack() as databases, ThreadPoolExecutor(4) as threads:
        urls = [databases.enter_context(postgres_server.database(EMPTY)) for _ in range(4)]
        list(threads.map(upgrade_postgres, urls))
        assert [revision(url) for url in urls] == [HEAD] * 4


def upgrade_beside(url: str, first: LiteralString, waiting: LiteralString, then: LiteralString) -> None:
    """Upgrade beside a transaction of an older program: it does ``first``, and ``then`` once the upgrade waits.

    :param waiting: the query that finds who waits.
    """
    with psycopg.connect(url) as older, ThreadPoolExecutor(1) as threads:
        # A session looks for a ring once, so long after it began to wait: the upgrade after both wait, the other later.
        older.execute("SET deadlock_timeout = '5min'")
        query(url, f"ALTER DATABASE {older.info.dbname} SET deadlock_timeout = '12s'")
        older.execute(first)
        upgrade = threads.submit(upgrade_postgres, url)
        while not query(url, waiting) and not upgrade.done():
            pass
        older.execute(then)
        older.commit()
        upgrade.result()


@pytest.mark.usefixtures("next_release")
def test_who_writes_with_an_older_program_meanwhile_goes_on_before_it_or_after_it(postgres_url: str) -> None:
    """One that holds a session, and comes for a run of it when the schema is about to be changed."""
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation IN ('runs'::regclass, 'sessions'::regclass)"
    upgrade_beside(postgres_url, "SELECT * FROM sessions FOR UPDATE", waiting, "UPDATE runs SET version = version + 1")
    assert revision(postgres_url) == NEXT


@pytest.mark.usefixtures("next_release")
def test_a_ring_with_a_reader_of_an_older_program_is_waited_out(postgres_url: str) -> None:
    """One that has read runs, and comes for sessions: of the two, the upgrade is the one that is told to try again."""
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass"
    upgrade_beside(postgres_url, "SELECT * FROM runs", waiting, "SELECT * FROM sessions")
    assert revision(postgres_url) == NEXT


@pytest.mark.usefixtures("next_release")
def test_older_programs_keep_no_statement_that_was_planned_for_the_tables_of_before(postgres_url: str) -> None:
    with (
        psycopg.connect(postgres_url, application_name="musterd", autocommit=True) as older,
        psycopg.connect(postgres_url, application_name="another", autocommit=True) as another,
    ):
        for _ in range(10):  # it is prepared
            older.execute("SELECT * FROM sessions")
        upgrade_postgres(postgres_url)
        with pytest.raises(psycopg.errors.AdminShutdown):  # which it takes for what it is: a lost connection
            older.execute("SELECT * FROM sessions")
        assert another.execute("SELECT 1").fetchone() == (1,), "others' connections stay"


async def test_a_statement_that_was_planned_for_the_tables_of_before_is_planned_anew(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url, connections=1)
    await database.open()
    try:
        for add in ("x", "y"):
            for _ in range(10):
                assert await database.read(lambda tx: sessions.get(tx, "s1", Caller())) is None
                assert await database.write(lambda tx: sessions.lock(tx, "s1")) is None
            query(postgres_url, f"ALTER TABLE sessions ADD COLUMN {add} text")
            assert await database.write(lambda tx: sessions.lock(tx, "s1")) is None
            assert await database.read(lambda tx: sessions.get(tx, "s1", Caller())) is None
    finally:
        await database.close()


def test_an_up_to_date_schema_needs_nothing_that_migrates(postgres_url: str) -> None:
    probe = (
        "import sys; from musterd.store.postgres_upgrade import upgrade_postgres;"
        f"upgrade_postgres({postgres_url!r});"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_newer_schema_is_refused_and_left_alone(postgres_url: str) -> None:
    query(postgres_url, "UPDATE alembic_version SET version_num = 'v9999'")
    assert "newer musterd (schema v9999" in refusal(postgres_url, SchemaTooNew)
    assert revision(postgres_url) == "v9999"


def test_a_newer_schema_says_which_programs_may_write(postgres_url: str) -> None:
    query(postgres_url, "UPDATE alembic_version SET version_num = 'v9999'")
    query(postgres_url, "INSERT INTO instance VALUES ('one', 1.0, 'v9998')")
    assert "newer musterd (schema v9999" in refusal(postgres_url, SchemaTooNew)
    query(postgres_url, "UPDATE instance SET oldest_writer = %s", HEAD)
    upgrade_postgres(postgres_url)
    assert revision(postgres_url) == "v9999"


@pytest.mark.usefixtures("next_release")
def test_a_next_release_migrates_the_schema(postgres_url: str) -> None:
    query(postgres_url, "INSERT INTO instance VALUES ('one', 1.0, %s)", HEAD)
    upgrade_postgres(postgres_url)
    assert revision(postgres_url) == NEXT
    assert query(postgres_url, "SELECT id, oldest_writer FROM instance") == [("one", NEXT)]
    assert query(postgres_url, "SELECT added FROM sessions") == []


@pytest.mark.parametrize("name", DEVELOPMENT)
@pytest.mark.parametrize("edit", ["SELECT 1", "ALTER TABLE runs DROP COLUMN webhooks", "DROP TABLE journal"])
def test_a_development_version_s_database_is_refused_and_left_alone(postgres_url: str, name: str, edit: str) -> None:
    query(postgres_url, "UPDATE alembic_version SET version_num = %s", name)
    query(postgres_url, edit)
    before = columns(postgres_url)
    assert f"made by a development version of musterd (schema {name})" in refusal(postgres_url)
    assert (revision(postgres_url), columns(postgres_url)) == (name, before)


def test_tables_that_their_revision_does_not_create_are_left_alone(postgres_url: str) -> None:
    query(postgres_url, "ALTER TABLE blob_uses RENAME COLUMN root_id TO session_id")
    message = refusal(postgres_url)
    assert f"schema {HEAD} (blob_uses.root_id is missing, blob_uses.session_id is unknown)" in message
    assert revision(postgres_url) == HEAD


@pytest.mark.usefixtures("next_release")
def test_a_migration_that_ends_at_other_tables_is_rolled_back(postgres_url: str) -> None:
    query(postgres_url, "ALTER TABLE blob_uses RENAME COLUMN root_id TO session_id")
    before = columns(postgres_url)
    message = refusal(postgres_url)
    assert f"schema {HEAD} (blob_uses.root_id is missing, blob_uses.session_id is unknown)" in message
    assert (revision(postgres_url), columns(postgres_url)) == (HEAD, before)


def columns(url: str) -> list[tuple[Any, ...]]:
    return query(
        url,
        """SELECT table_name, column_name, data_type FROM information_schema.columns
           WHERE table_schema = 'public' ORDER BY table_name, ordinal_position""",
    )


def test_another_programs_database_is_refused_and_left_alone(empty_url: str) -> None:
    query(empty_url, "CREATE TABLE alembic_version (version_num text); CREATE TABLE runs (n int)")
    assert "another program (alembic_version, runs" in refusal(empty_url)
    assert len(query(empty_url, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname = 'sessions'")) == 0
    query(empty_url, "CREATE SCHEMA apart")
    upgrade_postgres(empty_url + "&options=-csearch_path%3Dapart")
    assert query(empty_url, "SELECT version_num FROM apart.alembic_version") == [(HEAD,)]


def test_a_schema_that_does_not_exist(empty_url: str) -> None:
    assert "search_path" in refusal(empty_url + "&options=-csearch_path%3Dnowhere")


async def test_a_role_without_ownership_needs_its_rows_alone(postgres_url: str, as_role: Any) -> None:
    url = as_role(postgres_url)
    assert f"role {ROLE} may not use table approvals" in refusal(url) or "lacks a privilege" in refusal(url)
    query(postgres_url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
    database = PostgresDatabase(url)
    await database.open()
    assert await database.write(lambda tx: workers.instance(tx, "a", "1", 1.0)) == "a"
    await database.close()


def test_a_role_that_may_only_read_is_refused(postgres_url: str, as_role: Any) -> None:
    query(postgres_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
    assert f"role {ROLE} may not use table approvals — grant it" in refusal(as_role(postgres_url))


def test_a_role_that_may_not_create_tables_says_who_has_to(empty_url: str, as_role: Any) -> None:
    assert f"role {ROLE} may not create tables — start once with a role that may" in refusal(as_role(empty_url))


@pytest.mark.parametrize(
    "url, words",
    [
        ("postgresql:///db?host=/nowhere", "no server is listening on that socket"),
        ("postgresql://me:secret@127.0.0.1:1/db", "no server is listening there"),
        ("postgresql://me:secret@127.0.0.1:99999/db", "the URL is not valid"),
        ("postgresql://me:secret@127.0.0.1/db?what=secret", "the URL is not valid"),
    ],
)
def test_a_server_that_is_not_there(url: str, words: str) -> None:
    message = refusal(url)
    assert words in message
    assert "secret" not in message


def test_a_database_or_role_that_is_not_there(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    assert "the database does not exist — create it" in refusal(postgres_server.url("nowhere"))
    assert "the role does not exist" in refusal(postgres_server.url("postgres", user="nobody"))


async def test_opening_refuses_in_the_same_words(postgres_server: PostgresServer) -> None:
    postgres_server.start()
    with pytest.raises(StartError, match="the database does not exist"):
        await open_database(postgres_server.url("nowhere")).open()
