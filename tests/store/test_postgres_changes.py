"""What a process sees of the writes of others on Postgres: each of them, and no heartbeats."""

import asyncio
from typing import Any

import psycopg
import pytest

from musterd.core import clock
from musterd.store import workers
from musterd.store.database import Statement, Tx
from musterd.store.postgres import PostgresDatabase
from musterd.store.postgres_changes import ChangeCounter, Snapshot

PATIENCE_SECONDS = 30.0
ADD = Statement(
    "test_add", "INSERT INTO workers (id, components, host, started_at, beaten_at) VALUES (:id, '', '', 1, 1)"
)
LOCK = Statement("test_lock", "SELECT 1 AS one FROM workers WHERE id = 'w0' LOCK_ROW")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


async def add(database: PostgresDatabase, *names: str) -> None:
    async def work(tx: Tx) -> None:
        await tx.many(ADD, [{"id": name} for name in names])

    await database.write(work)


async def beat(tx: Tx) -> None:
    for name in ("w0", "w1"):
        await workers.beat_always(tx, name, clock.now())


async def lock(tx: Tx) -> None:
    await tx.one(LOCK, {})


async def test_each_commit_of_any_process_changes_the_number(database: PostgresDatabase, postgres_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
        for number in range(20):
            before = await database.change_count()
            # The insert is no heartbeat: it has no row of `workers`.
            await other.execute("CREATE TABLE IF NOT EXISTS of_test (number int)")
            await other.execute("INSERT INTO of_test VALUES (%s)", [number])
            assert await database.change_count() != before


async def test_a_commit_changes_the_number_also_if_younger_transactions_have_ended(
    database: PostgresDatabase, postgres_url: str
) -> None:
    await add(database, "w0", "w1")
    connect = psycopg.AsyncConnection.connect
    async with await connect(postgres_url) as older, await connect(postgres_url) as younger:
        await older.execute("DELETE FROM workers WHERE id = 'w0'")
        await younger.execute("DELETE FROM workers WHERE id = 'w1'")
        await younger.commit()
        before = await database.change_count()
        await older.commit()
        assert await database.change_count() != before


async def test_many_lookers_at_once_miss_nothing(database: PostgresDatabase) -> None:
    await add(database, "w0")
    for _ in range(20):
        before = await database.change_count()
        early = [asyncio.ensure_future(database.change_count()) for _ in range(5)]
        await database.write(lock)
        assert await database.change_count() != before
        await asyncio.gather(*early)


async def test_heartbeats_change_nothing(database: PostgresDatabase) -> None:
    await add(database, "w0", "w1")
    connection = database.thread_connection()
    async with asyncio.timeout(PATIENCE_SECONDS):
        # Tests that use other databases of the server are changes, too.
        while True:
            before = await database.change_count()
            await asyncio.to_thread(connection.do, beat)
            if await database.change_count() == before:
                break
    connection.close()


async def test_a_lock_that_stores_nothing_in_workers_hides_no_change(database: PostgresDatabase) -> None:
    await add(database, "w0")
    before = await database.change_count()
    await database.write(lock)
    assert await database.change_count() != before


@pytest.mark.parametrize(
    ("before", "after", "beats", "is_change"),
    [
        ("10:10:", "10:10:", [], False),
        ("10:10:", "11:11:", [], True),
        ("10:10:", "11:11:", [10], False),
        ("10:10:", "12:12:", [10, 11], False),
        ("10:10:", "12:12:", [10, 9], True),
        ("10:12:10", "12:12:", [11], True),
        ("10:12:10", "12:12:", [10], False),
        ("10:12:10", "10:13:10", [12], False),
        ("10:12:10,11", "11:13:11", [10, 12], False),
        ("10:12:10,11", "10:13:10", [10, 12], True),
        ("10:10:", "10:12:10", [11], False),
        ("10:10:", "9000:9000:", [9, 10, 11], True),
        (f"{2**32}:{2**32}:", f"{2**32 + 1}:{2**32 + 1}:", [0], False),
        (f"{2**40 + 7}:{2**40 + 7}:", f"{2**40 + 9}:{2**40 + 9}:", [7, 8], False),
    ],
)
def test_only_what_is_no_heartbeat_is_a_change(before: str, after: str, beats: list[int], is_change: bool) -> None:
    def row(snapshot: str) -> Any:
        return {"snapshot": snapshot, "beats": beats}

    counter = ChangeCounter()
    assert (counter.count(row(before)) != counter.count(row(after))) is is_change
    assert Snapshot.of(after).has_ended_only(beats, Snapshot.of(before)) is not is_change
