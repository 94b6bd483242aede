"""Transactions on Postgres that are written together share a commit and nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

import psycopg
import pytest

from musterd.core import clock
from musterd.core.errors import Conflict, StoreUnavailable
from musterd.core.long_json import LONG_BYTES
from musterd.store.database import Params, Statement, Tx, Work
from musterd.store.postgres import PostgresDatabase
from musterd.store.postgres_groups import GROUP_LIMIT, GROUPS
from musterd.store.postgres_tx import PostgresTx

PUT = Statement("test put", "INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, 0, '', 0)")
BREAK = Statement("test break", "INSERT INTO blobs (hash) VALUES (:hash)")
HASHES = Statement("test hashes", "SELECT hash FROM blobs ORDER BY hash")
NONE = Statement("test none", "SELECT hash FROM blobs WHERE false")
REMOVE = Statement("test remove", "DELETE FROM blobs WHERE hash = :hash")
TURN = Statement("test turn", "SELECT TURN('test') AS one")
XID = Statement("test xid", "SELECT pg_current_xact_id()::text AS xid")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not split the groups of these tests."""
    monkeypatch.setattr("musterd.store.postgres_groups.GROUP_SECONDS", 60.0)


def putting(name: str, error: Exception | None = None) -> Work[str]:
    """Put a row, and return the id of the transaction."""

    async def work(tx: Tx) -> str:
        await tx.run(PUT, {"hash": name})
        if error is not None:
            raise error
        row = await tx.one(XID, {})
        assert row is not None
        return str(row["xid"])

    return work


async def together(database: PostgresDatabase, *works: Work[str]) -> Sequence[str | BaseException]:
    return await asyncio.gather(*map(database.write_together, works), return_exceptions=True)


async def hashes(database: PostgresDatabase) -> list[str]:
    async def work(tx: Tx) -> list[str]:
        return [row["hash"] for row in await tx.all(HASHES, {})]

    return await database.scan(work)


async def test_those_that_wait_share_a_transaction_up_to_a_limit(database: PostgresDatabase) -> None:
    names = [f"{number:03}" for number in range(GROUP_LIMIT * GROUPS + 10)]
    ids = await together(database, *map(putting, names))
    sizes = sorted(ids.count(xid) for xid in set(ids))
    assert sizes == [10, *[GROUP_LIMIT] * GROUPS]
    assert await hashes(database) == names


async def test_the_statements_of_a_group_are_sent_together(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = list[tuple[str, int]]()
    each = PostgresTx.each

    async def counted(tx: PostgresTx, statement: Statement, params: Sequence[Params]) -> Any:
        sent.append((statement.name, len(params)))
        return await each(tx, statement, params)

    monkeypatch.setattr(PostgresTx, "each", counted)

    async def differing(tx: Tx) -> str:
        assert await tx.one(NONE, {}) is None
        await tx.many(PUT, [{"hash": "y"}, {"hash": "z"}])
        assert [row["hash"] for row in await tx.all(HASHES, {})] == ["a", "b", "x", "y", "z"]
        return ""

    async def twice(tx: Tx) -> str:
        assert await tx.run(PUT, {"hash": "x"}) == 1
        assert await tx.run(REMOVE, {"hash": "nothing"}) == 0
        return await putting("b")(tx)

    await together(database, putting("a"), differing, twice)
    assert sent == [
        ("test put", 2),
        ("test none", 1),
        ("test xid", 1),
        ("test put", 1),
        ("test remove", 1),
        ("test put", 2),
        ("test hashes", 1),
        ("test xid", 1),
    ]
    assert await hashes(database) == ["a", "b", "x", "y", "z"]


async def test_one_that_takes_an_advisory_lock_is_not_mixed_with_others(database: PostgresDatabase) -> None:
    async def counted(tx: Tx) -> str:
        await tx.one(TURN, {})
        count = str(len(await tx.all(HASHES, {})))
        await tx.run(PUT, {"hash": count})
        return count

    assert await together(database, counted, counted, counted) == ["0", "1", "2"]


async def test_one_that_fails_stores_nothing_and_spoils_no_other(database: PostgresDatabase) -> None:
    first, refused, last = await together(database, putting("a"), putting("b", Conflict("busy")), putting("c"))
    assert isinstance(refused, Conflict)
    assert first == last
    assert await hashes(database) == ["a", "c"]


async def test_if_a_statement_fails_each_is_written_alone(database: PostgresDatabase) -> None:
    async def broken(tx: Tx) -> str:
        await tx.run(BREAK, {"hash": "b"})
        return ""

    first, failed, last = await together(database, putting("a"), broken, putting("c"))
    assert isinstance(failed, psycopg.Error)
    assert first != last
    assert await hashes(database) == ["a", "c"]


async def test_a_slow_group_is_committed_early(database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musterd.store.postgres_groups.GROUP_SECONDS", 0.0)
    first, refused, last = await together(database, putting("a"), putting("b", Conflict("busy")), putting("c"))
    assert isinstance(refused, Conflict)
    assert first != last
    assert await hashes(database) == ["a", "c"]


async def test_a_group_survives_a_lost_connection(database: PostgresDatabase) -> None:
    tries = 0

    async def cut_off_once(tx: Tx) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            await tx.one(Statement("test cut", "SELECT pg_terminate_backend(pg_backend_pid())"), {})
        return await putting("b")(tx)

    ids = await together(database, putting("a"), cut_off_once)
    assert ids[0] == ids[1]
    assert await hashes(database) == ["a", "b"]


async def test_a_caller_that_leaves_does_not_stop_its_write_and_a_close_waits_for_it(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url)
    await database.open()
    leaving = asyncio.ensure_future(database.write_together(putting("a")))
    staying = asyncio.ensure_future(database.write_together(putting("b")))
    leaving.cancel()
    await database.close()
    assert await staying
    with pytest.raises(StoreUnavailable):
        await database.write_together(putting("c"))
    await database.open()
    assert await hashes(database) == ["a", "b"]
    await database.close()


async def test_those_that_write_long_texts_are_done_one_after_the_other(database: PostgresDatabase) -> None:
    text = "x" * (LONG_BYTES + 1)

    async def work(tx: Tx) -> str:
        await tx.run(PUT, {"hash": clock.new_id()})
        return await tx.written([text], len(text))

    assert await together(database, work, putting("short"), work) == [f'["{text}"]', ANY, f'["{text}"]']
    assert len(await hashes(database)) == 3
