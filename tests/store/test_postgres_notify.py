"""Wake-ups: heard by other processes, few of them, and again after the connection was lost."""

import asyncio
from typing import Any

import psycopg
import pytest

from musterd.core.errors import StoreUnavailable
from musterd.store.postgres import PostgresDatabase
from musterd.store.postgres_notify import Notifications
from tests.support.postgres import PostgresServer


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


async def test_what_is_said_is_heard_on_its_channel(database: PostgresDatabase) -> None:
    run_wakeups, other = database.listen("runs"), database.listen("other")
    assert [await anext(run_wakeups), await anext(other)] == [None, None]
    database.notify("runs", "r1")
    database.notify("other", "x")
    database.notify("runs", "r2")
    assert [await anext(run_wakeups), await anext(run_wakeups), await anext(other)] == ["r1", "r2", "x"]


async def nobody() -> Any:
    raise AssertionError("nobody listens")


async def test_equal_words_go_out_once() -> None:
    sent: list[dict[str, list[str]]] = []

    async def send(statement: bytes, params: Any) -> None:
        sent.append(dict(params))

    notifications = Notifications(nobody, send)
    for number in range(100):
        notifications.notify("runs", f"r{number % 2}")
    await notifications.close()
    assert sent == [{"channels": ["runs", "runs"], "payloads": ["r0", "r1"]}]


@pytest.mark.parametrize("error", [StoreUnavailable(), psycopg.errors.InvalidParameterValue("too long")])
async def test_a_wake_up_that_cannot_be_sent_hurts_nobody(error: Exception) -> None:
    sent: list[str] = []

    async def send(statement: bytes, params: Any) -> None:
        sent.extend(params["payloads"])
        if sent == ["r1"]:
            notifications.notify("runs", "r2")
            raise error

    notifications = Notifications(nobody, send)
    notifications.notify("runs", "r1")
    await notifications.close()
    assert sent == ["r1", "r2"]


async def test_a_server_that_cannot_be_listened_to_yet_is_asked_again(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a standby after a fail-over: whoever gives up here would hear nothing until the next start."""
    monkeypatch.setattr("musterd.store.postgres_notify.RECONNECT_SECONDS", (0.0,))
    refusals = [psycopg.errors.ReadOnlySqlTransaction("cannot execute LISTEN during recovery")]

    async def connect() -> Any:
        if refusals:
            raise refusals.pop()
        return await database._connect()

    wakeups = Notifications(connect, database._send).listen("runs")
    assert await anext(wakeups) is None
    database.notify("runs", "r1")
    assert await anext(wakeups) == "r1"
    await wakeups.aclose()  # type: ignore[attr-defined]


async def test_after_a_gap_the_listener_is_told(
    database: PostgresDatabase, postgres_server: PostgresServer, postgres_url: str
) -> None:
    wakeups = database.listen("runs")
    await anext(wakeups)
    again = asyncio.ensure_future(anext(wakeups))
    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    text = b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    postgres_server.admin.execute(text, (name,))
    assert await again is None
    database.notify("runs", "r1")
    assert await anext(wakeups) == "r1"
