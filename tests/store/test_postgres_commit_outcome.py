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
    with own_postgres() as postgres:
        yield postgres


async def connected(server: OwnPostgres) -> psycopg.AsyncConnection[DictRow]:
    return await psycopg.AsyncConnection.connect(server.url, autocommit=True, row_factory=dict_row)


async def test_a_number_that_a_killed_server_gave_out_again_says_nothing(server: OwnPostgres) -> None:
    before = await connected(server)
    earlier = await (await before.execute(BEGUN)).fetchone()
    await before.execute("CREATE TABLE written_down (one int)")
    await before.execute("CHECKPOINT")
    await before.execute("BEGIN")
    lost = await (await before.execute(BEGUN)).fetchone()
    await before.execute("INSERT INTO written_down VALUES (1)")
    assert earlier is not None
    assert lost is not None
    server.stop()
    server.start()
    async with await connected(server) as after:
        later: DictRow = {"xid": "0"}
        while int(later["xid"]) < int(lost["xid"]):  # each is a transaction of its own, and is committed
            begun = await (await after.execute(BEGUN)).fetchone()
            assert begun is not None
            later = begun
        state = await (await after.execute("SELECT pg_xact_status(%s::xid8) AS found", [lost["xid"]])).fetchone()
        assert state == {"found": "committed"}, "the server takes it for the other's"
        assert await outcome_of(after, **lost) == LOST
        assert await outcome_of(after, **earlier) == COMMITTED
        assert await outcome_of(after, **later) == COMMITTED
        await after.execute("CHECKPOINT")
        assert await outcome_of(after, **later) == COMMITTED, "a checkpoint is no crash"
        state = await (await after.execute("SELECT count(*) AS found FROM written_down")).fetchone()
        assert state == {"found": 0}
