"""Postgres goes and comes back: nothing is done twice, nothing that stands is called failed, and the log says why."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from musterd.core.errors import StoreUnavailable
from musterd.store import workers
from musterd.store.database import Statement, Tx, Work
from musterd.store.postgres import PostgresDatabase
from musterd.store.postgres_errors import Complaints, advice, is_database_fault, place
from tests.support.postgres import PostgresServer
from tests.support.store import Records

ADD = Statement(
    "test_add", "INSERT INTO workers (id, components, host, started_at, beaten_at) VALUES (:id, '', '', 1, 1)"
)

CLEAR = Statement("test_clear", "DELETE FROM workers")


@pytest.fixture
async def database(postgres_url: str, anyio_backend: Any) -> AsyncIterator[PostgresDatabase]:
    """An open database without records, with few connections."""
    db = PostgresDatabase(postgres_url, connections=3, silent_seconds=100)
    await db.open()
    yield db
    await db.close()


def name_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@pytest.fixture
def server(postgres_server: PostgresServer, postgres_url: str) -> "Outage":
    """The server, as an operator of the test's database."""
    return Outage(postgres_server.admin, name_of(postgres_url))


class Outage:
    """What befalls one database of a server that others use as well."""

    def __init__(self, admin: "psycopg.Connection[Any]", name: str) -> None:
        self._admin, self._name = admin, name

    def drop_connections(self) -> None:
        """As a restart does."""
        text = b"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s"
        self._admin.execute(text, (self._name,))

    def go(self) -> None:
        self._admin.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false".encode())
        self.drop_connections()

    def come_back(self) -> None:
        self._admin.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true".encode())

    def turn_read_only(self) -> None:
        self._admin.execute(f"ALTER DATABASE {self._name} SET default_transaction_read_only = on".encode())
        self.drop_connections()


async def add(database: PostgresDatabase, name: str) -> int:
    return await database.write(lambda tx: tx.run(ADD, {"id": name}))


async def until_back(database: PostgresDatabase) -> list[str]:
    while True:
        try:
            return sorted(await database.read(workers.heartbeats))
        except StoreUnavailable:
            continue


async def test_connections_that_went_while_idle_are_not_noticed(database: PostgresDatabase, server: Outage) -> None:
    await asyncio.gather(*(add(database, f"a{number}") for number in range(6)))
    server.drop_connections()
    await asyncio.gather(*(add(database, f"b{number}") for number in range(6)))
    server.drop_connections()
    assert len(await database.read(workers.heartbeats)) == 12
    server.drop_connections()
    assert len(await database.scan(workers.heartbeats)) == 12


async def test_a_transaction_that_loses_its_connection_begins_again(database: PostgresDatabase, server: Outage) -> None:
    tries = 0

    async def work(tx: Tx) -> int:
        nonlocal tries
        tries += 1
        count = await tx.run(ADD, {"id": f"try {tries}"})
        if tries == 1:
            server.drop_connections()
        await tx.one(workers.GET_INSTANCE, {})
        return count

    assert await database.write(work) == 1
    assert (tries, list(await database.read(workers.heartbeats))) == (2, ["try 2"])


@pytest.mark.parametrize("stands", [True, False], ids=["it stands", "it does not"])
async def test_a_commit_that_loses_its_connection_is_asked_for(
    database: PostgresDatabase, server: Outage, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    execute = psycopg.AsyncCursor.execute
    commits = 0

    async def lose_the_first_commit(self: Any, query: Any, *args: Any, **named: Any) -> Any:
        nonlocal commits
        if query == b"COMMIT":
            commits += 1
            if commits == 1:
                if stands:
                    await execute(self, query)
                server.go()
                asyncio.get_running_loop().call_later(0.1, server.come_back)
                return await execute(self, b"SELECT 1")
        return await execute(self, query, *args, **named)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", lose_the_first_commit)
    if stands:
        assert await add(database, "a") == 1
    else:
        with pytest.raises(StoreUnavailable):
            await add(database, "a")
    assert await until_back(database) == (["a"] if stands else [])
    assert commits == 1, "and it is not done again"


async def test_while_the_server_is_away_nothing_is_done_and_then_all_goes_on(
    database: PostgresDatabase, server: Outage
) -> None:
    await add(database, "before")
    server.go()
    with capture_logs() as logs:
        for use in (add(database, "a"), database.read(workers.heartbeats), database.scan(workers.heartbeats)):
            with pytest.raises(StoreUnavailable):
                await use
    (line,) = [line for line in logs if line["event"] == "database unavailable"]
    assert (line["what"], line["do"]) == ("the database does not accept connections", "allow connections again")
    server.come_back()
    with capture_logs() as logs:
        assert await until_back(database) == ["before"]
    assert [line["event"] for line in logs if line["event"] == "database available"] == ["database available"]
    assert await add(database, "after") == 1


async def test_a_standby_is_named_as_such(database: PostgresDatabase, server: Outage) -> None:
    server.turn_read_only()
    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        await add(database, "a")
    assert logs[-1]["what"] == "the server is a read-only standby"
    assert await database.read(workers.heartbeats) == {}, "reads go on"


async def test_a_cancelled_caller_does_not_stop_the_write(database: PostgresDatabase) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def work(tx: Tx) -> None:
        begun.set()
        await go.wait()
        await tx.run(ADD, {"id": "a"})

    task = asyncio.ensure_future(database.write(work))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    go.set()
    await database.close()
    await database.open()
    assert list(await database.read(workers.heartbeats)) == ["a"]


async def test_a_closed_database_says_so(postgres_url: str) -> None:
    db = PostgresDatabase(postgres_url)
    for is_used in (False, True):
        if is_used:
            await db.open()
            await db.close()
        for use in (db.write, db.read, db.scan):
            with pytest.raises(StoreUnavailable, match="closed"):
                await use(workers.heartbeats)


async def test_a_failed_statement_is_the_callers_own(records: Records) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await records.execute("DELETE FROM nothing")
    with pytest.raises(psycopg.errors.UndefinedTable):
        await records.select("SELECT * FROM nothing")
    await records.accept("r1")


async def test_a_store_function_that_hides_a_failure_commits_nothing(database: PostgresDatabase) -> None:
    async def work(tx: Tx) -> None:
        await tx.run(ADD, {"id": "a"})
        with pytest.raises(psycopg.errors.UndefinedTable):
            await tx.run(Statement("test_wrong", "DELETE FROM nothing"), {})

    with pytest.raises(RuntimeError, match="went on after"):
        await database.write(work)
    assert await database.read(workers.heartbeats) == {}


async def test_every_connection_busy_is_said(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    db = PostgresDatabase(postgres_url, connections=1, silent_seconds=100)
    await db.open()
    monkeypatch.setattr("musterd.store.postgres.WAIT_SECONDS", 0.0)
    begun, go = asyncio.Event(), asyncio.Event()

    async def hold(tx: Tx) -> None:
        begun.set()
        await go.wait()

    holding = asyncio.ensure_future(db.write(hold))
    await begun.wait()
    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        await db.read(workers.heartbeats)
    assert logs[-1]["what"] == "all connections are busy"
    go.set()
    await holding
    await db.close()


async def test_reads_do_not_wait_for_writes_that_wait_for_a_lock(postgres_url: str) -> None:
    db = PostgresDatabase(postgres_url, connections=4, silent_seconds=100)
    await db.open()
    begun: asyncio.Queue[None] = asyncio.Queue()
    go, lock = asyncio.Event(), Statement("test_lock", "SELECT TURN('test') AS held")

    async def hold(tx: Tx) -> None:
        begun.put_nowait(None)
        await tx.one(lock, {})
        await go.wait()

    writes = [asyncio.ensure_future(db.write(hold)) for _ in range(8)]
    for _ in range(3):
        await begun.get()
    assert await db.read(workers.heartbeats) == {}
    assert begun.empty(), "the fourth connection is for reads"
    go.set()
    await asyncio.gather(*writes)
    await db.close()


async def test_a_cancel_that_comes_with_the_connection_is_obeyed(postgres_url: str) -> None:
    database, loop = PostgresDatabase(postgres_url, connections=1), asyncio.get_running_loop()
    await database.open()
    pool = database._pool
    assert pool is not None

    def cancel_after(steps: int, reader: "asyncio.Task[Any]", ended: "asyncio.Future[bool]") -> None:
        if steps:
            loop.call_soon(cancel_after, steps - 1, reader, ended)
        else:
            ended.set_result(reader.done())
            reader.cancel()

    for steps in range(30):  # after one of them the connection has come, and the reader has not gone on yet
        held = await pool.getconn()
        reader = asyncio.create_task(database.read(workers.heartbeats))
        returned = asyncio.create_task(pool.putconn(held))
        cancel_after(steps, reader, had_ended := loop.create_future())
        await asyncio.wait([reader, returned])
        assert reader.cancelled() or await had_ended, f"the cancel after {steps} steps of the event loop is lost"
    await database.read(workers.heartbeats)  # no connection is lost
    await database.close()


def test_a_database_is_opened_again_in_another_event_loop(postgres_url: str) -> None:
    db = PostgresDatabase(postgres_url, connections=2)

    def add(worker: str) -> Work[int]:
        return lambda tx: tx.run(ADD, {"id": worker})

    async def use() -> None:
        await db.open()
        writes = [db.write(add(f"w{number}")) for number in range(8)]
        assert await asyncio.gather(*writes) == [1] * 8
        await db.write(lambda tx: tx.run(CLEAR, {}))
        await db.close()

    asyncio.run(use())
    asyncio.run(use())


async def test_no_statement_is_prepared_behind_a_pooler(postgres_url: str) -> None:
    count = Statement("test_prepared", "SELECT count(*) AS n FROM pg_prepared_statements")
    for prepares in (True, False):
        db = PostgresDatabase(postgres_url, connections=1, prepares=prepares)
        await db.open()
        for _ in range(8):
            await db.read(workers.heartbeats)
        row = await db.read(lambda tx: tx.one(count, {}))
        assert row is not None
        assert bool(row["n"]) is prepares
        await db.close()


# Words


def test_every_state_has_words() -> None:
    kinds = [
        kind for kind in vars(psycopg.errors).values() if isinstance(kind, type) and issubclass(kind, psycopg.Error)
    ]
    states = {str(kind.sqlstate): kind("text") for kind in kinds if kind.sqlstate}
    assert len(states) > 200
    for state, error in states.items():
        assert all(advice(error))
        if state[:2] in ("08", "53", "57", "58"):
            assert is_database_fault(error)
        if state[:2] in ("22", "23"):
            assert not is_database_fault(error), "a statement of ours"


async def test_a_pooler_that_mixes_up_prepared_statements(database: PostgresDatabase) -> None:
    async def work(tx: Tx) -> None:
        await tx.run(Statement("test_mixed_up", "EXECUTE somebody_elses"), {})

    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        await database.write(work)
    assert "set MUSTERD_DB_PREPARES=false" in logs[0]["do"]


def test_an_outage_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("musterd.core.clock.monotonic", lambda: now)
    complaints = Complaints("here")
    with capture_logs() as logs:
        for _ in range(3):
            assert isinstance(complaints.unavailable(psycopg.errors.AdminShutdown()), StoreUnavailable)
        complaints.unavailable(psycopg.errors.DiskFull())
        now += 60
        complaints.unavailable(psycopg.errors.DiskFull())
        complaints.recovered()
        complaints.recovered()
    assert [line["event"].rpartition(" ")[2] for line in logs] == ["unavailable"] * 3 + ["available"]


@pytest.mark.parametrize(
    "url, expected",
    [
        ("postgresql://me:secret@host:5433/db", "postgresql://host:5433/db"),
        ("postgresql:///db?host=/run/postgresql&password=secret", "postgresql:///run/postgresql/db"),
        ("postgresql://me:secret@a,b/db", "postgresql://a,b/db"),
        ("postgresql://me:secret@host/db?what=secret", "postgresql://…"),
    ],
)
def test_a_place_is_shown_without_the_password(url: str, expected: str) -> None:
    assert place(url) == expected
