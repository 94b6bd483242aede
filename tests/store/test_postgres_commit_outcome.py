"""What became of a commit whose connection was lost, where the server was killed in it."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from musterd.store.postgres_commit import COMMITTED, LOST, outcome_of
from tests.support.own_postgres import OwnPostgres, own_postgres

BEGUN = "SELECT pg_current_xact_id()::text AS xid, clock_timestamp() AS begun_at"


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as found:
        yield found


async def connected(server: OwnPostgres) -> psycopg.AsyncConnection[DictRow]:
    return await psycopg.AsyncConnection.connect(server.url, autocommit=True, row_factory=dict_row)


async def test_a_number_that_a_killed_server_gave_out_again_says_nothing(server: OwnPostgres) -> None:
    before = await connected(server)
    kept = await (await before.execute(BEGUN)).fetchone()
    await before.execute("CREATE TABLE written_down (one int)")
    await before.execute("CHECKPOINT")
    await before.execute("BEGIN")
    lost = await (await before.execute(BEGUN)).fetchone()
    await before.execute("INSERT INTO written_down VALUES (1)")
    assert kept is not None
    assert lost is not None
    server.stop()
    server.start()
    async with await connected(server) as after:
        row: DictRow = {"xid": "0"}
        while int(row["xid"]) < int(lost["xid"]):  # each is a transaction of its own, and is committed
            found = await (await after.execute(BEGUN)).fetchone()
            assert found is not None
            row = found
        state = await (await after.execute("SELECT pg_xact_status(%s::xid8) AS found", [lost["xid"]])).fetchone()
        assert state == {"found": "committed"}, "the server takes it for the other's"
        assert await outcome_of(after, **lost) == LOST
        assert await outcome_of(after, **kept) == COMMITTED
        assert await outcome_of(after, **row) == COMMITTED
        await after.execute("CHECKPOINT")
        assert await outcome_of(after, **row) == COMMITTED, "a checkpoint is no crash"
        state = await (await after.execute("SELECT count(*) AS found FROM written_down")).fetchone()
        assert state == {"found": 0}
