"""Readiness, check by check: each says by its name what is the matter, and mends when it does."""

import asyncio
from typing import Any

import pytest

from musterd.core.errors import StoreUnavailable
from musterd.http import readiness
from musterd.store.upgrade import HEAD
from tests.support.app import Serve
from tests.support.http import House, problem
from tests.support.store import Records

CHECKS = ["accepting", "worker", "beats", "event_loop", "database", "schema", "served"]


async def failing(house: House) -> dict[str, str]:
    """The checks that fail, with what they say; all of it stands in the answer's words too."""
    answer = await house.http.get("/-/ready")
    if answer.status_code == 200:
        return {}
    detail, checks = problem(answer, 503, "UNAVAILABLE"), answer.json()["checks"]
    assert list(checks) == CHECKS
    assert int(answer.headers["retry-after"]) > 0
    found = {name: said for name, said in checks.items() if said != "ok"}
    assert all(said in detail for said in found.values())
    return found


async def test_all_is_well(house: House) -> None:
    found = await house.get("/-/ready")
    assert found["checks"] == dict.fromkeys(CHECKS, "ok")


async def test_a_database_that_can_only_be_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(house.server.database, "write", refuse)
        assert await failing(house) == {"database": "The database cannot be used now."}
    assert await failing(house) == {}


async def test_a_database_that_does_not_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(readiness, "LONGEST_SECONDS", 0.01)
    monkeypatch.setattr(house.server.database, "write", lambda work: never)
    assert set(await failing(house)) == {"database"}


async def test_it_is_written_once_a_second_at_most(house: House) -> None:
    async def beat() -> int:
        rows = await Records(house.server.database).select("SELECT beat FROM workers")
        return int(rows[0]["beat"])

    before = await beat()
    for _ in range(5):
        assert await failing(house) == {}
    assert await beat() == before + 1


async def test_a_newer_program_has_changed_the_schema(house: House) -> None:
    records = Records(house.server.database)
    await records.execute("UPDATE alembic_version SET version_num = '9999'")
    assert await failing(house) == {}, "it says that this one may go on"
    await records.execute("UPDATE instance SET oldest_writer = '9999'")
    assert "newer musterd" in (await failing(house))["schema"]
    await records.execute("UPDATE alembic_version SET version_num = :head", head=HEAD)
    assert await failing(house) == {}


async def test_an_older_file_was_put_in_its_place(house: House) -> None:
    await Records(house.server.database).execute("UPDATE alembic_version SET version_num = '0001'")
    assert "older schema" in (await failing(house))["schema"]


async def test_a_process_that_does_not_show_that_it_lives(house: House) -> None:
    beats = house.server.engine._beats
    assert beats is not None
    beats.stop()
    beats.join()
    beats.shown_at -= 60
    assert "60 s" in (await failing(house))["beats"]


async def test_a_loop_that_is_held_up(house: House) -> None:
    house.server.lag.last_seconds = 7.5
    assert "7.5 s late" in (await failing(house))["event_loop"]


async def test_a_process_that_claims_no_more(house: House) -> None:
    claimer = house.server.engine._claimer
    assert claimer is not None
    claimer.cancel()
    await asyncio.wait([claimer])
    assert set(await failing(house)) == {"worker"}


async def test_a_process_that_stops(serve: Serve) -> None:
    async with serve() as house:
        house.server.begin_stop()
        assert "accepting" in await failing(house)
