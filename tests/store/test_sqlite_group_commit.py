"""SQLite's writer: transactions that wait together share a commit and nothing else."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd.core.errors import Conflict, StoreUnavailable
from musterd.store.database import Statement, Tx
from musterd.store.sqlite import GROUP_LIMIT, SqliteDatabase
from musterd.store.sqlite_tx import SqliteTx

PUT = Statement("test put", "INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, 0, x'', 0)")
BREAK = Statement("test break", "INSERT INTO blobs (hash) VALUES (:hash)")
NONSENSE = Statement("test nonsense", "SELECT nothing FROM nowhere")
HASHES = Statement("test hashes", "SELECT hash FROM blobs ORDER BY hash")


class Gate:
    """Holds the writer inside a transaction of its own, so that what is handed in meanwhile is one group."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self.said: list[str] = []
        self._is_held, self._is_open = threading.Event(), threading.Event()

    async def close(self) -> None:
        self._held = asyncio.ensure_future(self._database.write(self._wait))
        await asyncio.to_thread(self._is_held.wait)

    async def _wait(self, tx: Tx) -> None:
        assert isinstance(tx, SqliteTx)
        tx.connection.set_trace_callback(self.said.append)
        self._is_held.set()
        self._is_open.wait()

    async def open(self) -> None:
        self._is_open.set()
        await self._held


@pytest.fixture
async def database(sqlite_file: Path) -> AsyncIterator[SqliteDatabase]:
    db = SqliteDatabase(sqlite_file)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
async def gate(database: SqliteDatabase) -> Gate:
    commit_gate = Gate(database)
    await commit_gate.close()
    return commit_gate


async def hashes(database: SqliteDatabase) -> list[str]:
    async def work(tx: Tx) -> list[str]:
        return [row["hash"] for row in await tx.all(HASHES, {})]

    return await database.scan(work)


def put(database: SqliteDatabase, name: str) -> "asyncio.Future[int]":
    return asyncio.ensure_future(database.write(lambda tx: tx.run(PUT, {"hash": name})))


async def test_a_group_is_one_commit(database: SqliteDatabase, gate: Gate) -> None:
    waiting = [put(database, f"{number:03}") for number in range(50)]
    await gate.open()
    assert await asyncio.gather(*waiting) == [1] * 50
    assert gate.said.count("COMMIT") == 2, "the gate's own, and one for all"
    assert await hashes(database) == [f"{number:03}" for number in range(50)]


async def test_a_failure_in_a_group_is_its_own(database: SqliteDatabase, gate: Gate) -> None:
    async def refuse(tx: Tx) -> None:
        await tx.run(PUT, {"hash": "refused"})
        raise Conflict

    async def break_a_rule(tx: Tx) -> None:
        await tx.run(PUT, {"hash": "broken"})
        await tx.run(BREAK, {"hash": "x"})

    async def wait_for_the_world(tx: Tx) -> None:
        await tx.run(PUT, {"hash": "waiting"})
        await asyncio.get_running_loop().create_future()

    async def exit_(tx: Tx) -> None:
        await tx.run(PUT, {"hash": "exit"})
        raise SystemExit(3)

    works: list[Any] = [refuse, break_a_rule, lambda tx: tx.one(NONSENSE, {}), wait_for_the_world, exit_]
    good = [put(database, "a")]
    failing = [asyncio.ensure_future(_outcome(database, work)) for work in works]
    good.append(put(database, "b"))
    await gate.open()
    assert await asyncio.gather(*good) == [1, 1]
    results = await asyncio.gather(*failing)
    assert results == [Conflict, sqlite3.IntegrityError, sqlite3.OperationalError, RuntimeError, SystemExit]
    assert await hashes(database) == ["a", "b"]


async def test_after_a_failure_the_next_groups_are_executed_once(database: SqliteDatabase) -> None:
    executions = []

    async def refuse(tx: Tx) -> None:
        raise Conflict

    for number in range(3):

        async def count(tx: Tx, number: int = number) -> None:
            executions.append(number)

        gate = Gate(database)
        await gate.close()
        waiting = [database.write(work) for work in (count, refuse)]  # handed in before the gate is opened
        await gate.open()
        first, second = await asyncio.gather(*waiting, return_exceptions=True)
        assert (first, type(second)) == (None, Conflict)
    assert executions == [0, 0, 1, 2]


async def _outcome(database: SqliteDatabase, work: Any) -> type[BaseException] | None:
    try:
        await database.write(work)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the test asks which
        return type(error)
    return None


async def test_a_failure_alone_leaves_nothing(database: SqliteDatabase) -> None:
    async def refuse(tx: Tx) -> None:
        await tx.run(PUT, {"hash": "refused"})
        raise Conflict

    with pytest.raises(Conflict):
        await database.write(refuse)
    assert await hashes(database) == []


async def test_one_that_nobody_awaits_any_more_is_done_all_the_same(database: SqliteDatabase, gate: Gate) -> None:
    gone = put(database, "gone")
    stays = put(database, "stays")
    gone.cancel()
    await gate.open()
    assert await stays == 1
    assert gone.cancelled()
    assert await hashes(database) == ["gone", "stays"]
    assert await put(database, "later") == 1


async def test_more_than_a_group_holds_goes_in_order(database: SqliteDatabase, gate: Gate) -> None:
    names = [f"{number:04}" for number in range(GROUP_LIMIT * 2 + 3)]
    done: list[str] = []
    for name in names:
        put(database, name).add_done_callback(lambda _, name=name: done.append(name))  # type: ignore[misc]
    await gate.open()
    await put(database, "last")
    assert done == names


async def test_closing_finishes_what_was_handed_in(database: SqliteDatabase, gate: Gate, sqlite_file: Path) -> None:
    waiting = [put(database, f"{number:04}") for number in range(GROUP_LIMIT + 5)]
    closing = asyncio.ensure_future(database.close())
    await asyncio.wait([closing], timeout=0)
    with pytest.raises(StoreUnavailable):
        await database.write(lambda tx: tx.run(PUT, {"hash": "late"}))
    await gate.open()
    await closing
    assert await asyncio.gather(*waiting) == [1] * len(waiting)
    assert not sqlite_file.with_name(sqlite_file.name + "-wal").exists(), "nothing holds the file"


@pytest.mark.parametrize("way", ["write", "read", "scan"])
async def test_a_closed_database_says_so(database: SqliteDatabase, way: str) -> None:
    await database.close()
    with pytest.raises(StoreUnavailable):
        await getattr(database, way)(lambda tx: tx.all(HASHES, {}))
    await database.close()


def test_a_loop_that_ended_early_does_not_stop_the_writer(sqlite_file: Path) -> None:
    """Each use has a loop of its own, and the first leaves without waiting for its write."""
    database = SqliteDatabase(sqlite_file)

    loop = asyncio.new_event_loop()
    first = Gate(database)

    async def begin() -> None:
        await database.open()
        await first.close()
        left.append(put(database, "left behind"))

    left: list[asyncio.Future[int]] = []
    loop.run_until_complete(begin())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(_turn())
    loop.close()
    first._is_open.set()

    async def end() -> list[str]:
        await put(database, "later")
        stored_hashes = await hashes(database)
        await database.close()
        return stored_hashes

    assert asyncio.run(end()) == ["later", "left behind"]


async def _turn() -> None:
    """Let the loop go around once."""


async def test_reads_see_one_snapshot_and_write_nothing(database: SqliteDatabase) -> None:
    await put(database, "a")

    async def look_twice(tx: Tx) -> tuple[int, int]:
        first = len(await tx.all(HASHES, {}))
        with sqlite3.connect(database.path, isolation_level=None) as other:
            other.execute("INSERT INTO blobs (hash, size, content, created_at) VALUES ('b', 0, x'', 0)")
        other.close()
        return first, len(await tx.all(HASHES, {}))

    assert await database.read(look_twice) == (1, 1)
    assert await hashes(database) == ["a", "b"]
    for way in (database.read, database.scan):
        with pytest.raises(StoreUnavailable):
            await way(lambda tx: tx.run(PUT, {"hash": "c"}))
    assert await hashes(database) == ["a", "b"]


async def test_a_long_read_holds_up_no_other(database: SqliteDatabase) -> None:
    is_under_way, is_enough = threading.Event(), threading.Event()

    async def take_long(tx: Tx) -> None:
        is_under_way.set()
        is_enough.wait()

    long = asyncio.ensure_future(database.scan(take_long))
    await asyncio.to_thread(is_under_way.wait)
    try:
        await put(database, "a")
        assert await hashes(database) == ["a"]
    finally:
        is_enough.set()
    await long


async def test_long_reads_take_turns_on_one_connection(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one costs ten times as much as a short list."""
    await hashes(database)
    monkeypatch.setattr(database, "_connect", None)
    assert await hashes(database) == []


async def test_a_read_that_fails_leaves_the_reader_usable(database: SqliteDatabase) -> None:
    async def fail(tx: Tx) -> None:
        await tx.all(HASHES, {})
        raise KeyError("mine")

    for way in (database.read, database.scan):
        with pytest.raises(KeyError):
            await way(fail)
    assert await database.read(lambda tx: tx.all(HASHES, {})) == []
    await put(database, "a")
    assert len(await database.read(lambda tx: tx.all(HASHES, {}))) == 1, "no old snapshot is held"


@pytest.fixture(autouse=True)
def no_writer_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "musterd-writer"] == []
