"""The disk is full for a while: new runs are refused, the one at work waits for room, and nothing is done twice."""

import sqlite3
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd.store.sqlite import SqliteDatabase
from musterd.store.sqlite_tx import SqliteTx
from tests.support.app import Serve
from tests.support.http import problem

BIG = "x" * 200_000


class Disk:
    """Has room for so many pages of a database, or for all."""

    def __init__(self) -> None:
        self.pages = 0

    def limit(self, connection: sqlite3.Connection) -> None:
        if self.pages:
            connection.execute(f"PRAGMA max_page_count = {self.pages}")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of every database that is opened."""
    full_disk, connect = Disk(), SqliteDatabase._connect

    def limited(self: SqliteDatabase, **options: Any) -> sqlite3.Connection:
        connection = connect(self, **options)
        full_disk.limit(connection)
        return connection

    monkeypatch.setattr(SqliteDatabase, "_connect", limited)
    return full_disk


async def test_a_run_waits_for_room(serve: Serve, disk: Disk) -> None:
    async with serve() as client:
        hold = client.model.hold("wait")
        message = f'wait [[TOOL get_weather {{"city": "{BIG}"}}]]'
        run = await client.begin(message, run_id="r1", session_id="s1")
        after = await client.begin("hello", run_id="r2", session_id="s1")
        await hold.reached.wait()

        async def fill(tx: Any) -> None:
            assert isinstance(tx, SqliteTx)
            disk.limit(tx.connection)

        disk.pages = 1  # SQLite takes none away: it grows no more
        await client.server.database.write(fill)
        hold.release()
        with capture_logs() as logs:
            while not any(line["event"] == "waiting for the database" for line in logs):
                answer = await client.post(BIG, run_id="refused", session_id="s1", background="true", stream="false")
                problem(answer, 503, "UNAVAILABLE")
                assert int(answer.headers["retry-after"]) > 0
        assert (await client.poll(run))["status"] == "RUNNING", "reading goes on"
        disk.pages = 0
        ended = await client.ended(run)
        assert (ended["status"], ended["content"]) == ("COMPLETED", f"Done: Sunny in {BIG}")
        assert (await client.ended(after))["status"] == "COMPLETED"
        assert len(client.model.calls) == 3, "two of the first run, one of the next"
        assert {row["run_id"] for row in await client.get("/sessions/s1/runs")} == {"r1", "r2"}
