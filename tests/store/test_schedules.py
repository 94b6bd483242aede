"""What the store of schedules promises, on each database: an instant is stored once, and nothing is left behind."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict
from musterd.features.schedules import store
from musterd.features.schedules.due_shares import Due
from musterd.features.schedules.records import (
    OPERATOR,
    Definition,
    Firing,
    FiringStatus,
    Schedule,
    ScheduleFilter,
    Trigger,
)
from musterd.features.schedules.store import AlreadyFired, Look, Lost
from musterd.store.database import Database, Statement, Tx
from tests.support.store import Records

EVERYBODY = Caller()
ADA = Caller(user_id="ada", label="ada")
NOW = 1_800_000_000.0
SERVED = {"agent:solo"}


def schedule(schedule_id: str = "s1", **changes: Any) -> Schedule:
    definition = Definition(endpoint="/agents/solo/runs", cron_expr="* * * * *", payload={"message": "m"})
    values: dict[str, Any] = {"owner": None, "name": schedule_id, "definition": definition, "maker": OPERATOR}
    return Schedule(
        id=schedule_id, **{**values, "enabled": True, "created_at": NOW, "next_run_at": NOW + 60, **changes}
    )


def firing(number: int = 1, **changes: Any) -> Firing:
    values: dict[str, Any] = {"schedule_id": "s1", "created_at": NOW + number, "trigger": Trigger.CRON}
    return Firing(id=f"f{number}", **{**values, **changes})


def every(_workers: Mapping[str, Collection[str]], due: Sequence[Due]) -> list[str]:
    """Choose all."""
    return [one.id for one in due]


async def look(database: Database, now: float, served: set[str] | None = None, *, leaves_others: bool = False) -> Look:
    names = SERVED if served is None else served
    return await database.scan(lambda tx: store.look(tx, names, now, 100, every, leaves_others=leaves_others))


async def count(database: Database, table: str) -> int:
    async def work(tx: Tx) -> int:
        row = await tx.one(Statement(f"count {table}", f"SELECT count(*) AS n FROM {table}"), {})  # noqa: S608
        assert row is not None
        return int(row["n"])

    return await database.read(work)


async def test_a_schedule_is_read_as_it_was_stored(database: Database) -> None:
    stored = schedule(owner="ada", declared="h", updated_at=NOW + 1, version=3)
    await database.write(lambda tx: store.add(tx, stored))
    assert await database.read(lambda tx: store.get(tx, "s1", EVERYBODY)) == stored
    assert await database.read(lambda tx: store.get(tx, "s1", ADA)) == stored
    assert await database.read(lambda tx: store.get(tx, "s1", Caller(user_id="bob"))) is None
    changed = replace(stored, name="new", enabled=False, next_run_at=None, declared=None)
    await database.write(lambda tx: store.change(tx, changed))
    assert await database.read(lambda tx: store.get(tx, "s1", EVERYBODY)) == changed


async def test_a_name_is_unique_for_each_owner(database: Database) -> None:
    for number, owner in enumerate((None, "ada", "bob")):
        one = schedule(f"s{number}", owner=owner, name="same")
        await database.write(lambda tx, one=one: store.add(tx, one))  # type: ignore[misc]
    for owner in (None, "ada"):
        with pytest.raises(Conflict, match="Schedule with name 'same' already exists"):
            await database.write(lambda tx, owner=owner: store.add(tx, schedule("x", owner=owner, name="same")))  # type: ignore[misc]
    await database.write(lambda tx: store.add(tx, schedule("other", owner="ada")))
    with pytest.raises(Conflict):
        await database.write(lambda tx: store.rename(tx, schedule("other", owner="ada", name="same")))


async def test_an_instant_is_left_once_however_many_try(database: Database) -> None:
    await database.write(lambda tx: store.add(tx, schedule()))

    async def fire(number: int) -> bool:
        async def work(tx: Tx) -> None:
            await store.advance(tx, schedule(), NOW + 120)
            await store.add_firing(tx, firing(number, scheduled_for=NOW + 60))

        try:
            await database.write(work)
        except Lost:
            return False
        return True

    assert sum(await asyncio.gather(*map(fire, range(8)))) == 1
    assert await count(database, "firings") == 1


async def test_an_instant_that_was_stored_is_not_stored_again(database: Database) -> None:
    await database.write(lambda tx: store.add_firing(tx, firing(1, scheduled_for=NOW)))
    with pytest.raises(AlreadyFired):
        await database.write(lambda tx: store.add_firing(tx, firing(2, scheduled_for=NOW)))
    retry = firing(3, scheduled_for=NOW, attempt=2)
    await database.write(lambda tx: store.add_firing(tx, retry))
    await database.write(lambda tx: store.add_firings(tx, [firing(4, scheduled_for=NOW), firing(5)]))
    assert await count(database, "firings") == 3


async def test_a_change_by_a_person_wins_over_a_firing_that_did_not_see_it(database: Database) -> None:
    await database.write(lambda tx: store.add(tx, schedule()))
    await database.write(lambda tx: store.change(tx, schedule(version=1)))
    with pytest.raises(Lost):
        await database.write(lambda tx: store.advance(tx, schedule(), NOW + 120))
    await database.write(lambda tx: store.advance(tx, schedule(version=1), None))
    after = await database.read(lambda tx: store.get(tx, "s1", EVERYBODY))
    assert after is not None
    assert (after.enabled, after.next_run_at) == (False, None)


async def test_a_look_finds_what_is_due_here_and_when_to_look_again(database: Database) -> None:
    other = Definition(endpoint="/teams/far/runs", cron_expr="* * * * *", payload={"message": "m"})
    for one in (schedule("s1"), schedule("s2", next_run_at=NOW + 90), schedule("s3", definition=other)):
        await database.write(lambda tx, one=one: store.add(tx, one))  # type: ignore[misc]
    await database.write(lambda tx: store.add(tx, schedule("off", enabled=False, next_run_at=None)))
    seen = await look(database, NOW)
    assert (seen.due, seen.next_due_at) == ([], NOW + 60)
    seen = await look(database, NOW + 60)
    assert ([one.id for one in seen.due], seen.next_due_at) == (["s1"], NOW + 90)
    seen = await look(database, NOW + 130)
    assert {one.id for one in seen.due} == {"s1", "s2", "s3"}, "what no process serves is not waited for"


async def test_a_firing_is_looked_at_once_its_run_has_ended(database: Database, records: Records) -> None:
    await database.write(lambda tx: store.add(tx, schedule()))
    run = await records.started("r1")
    watched = firing(1, scheduled_for=NOW, run_id="r1", session_id="s1", look_at=NOW)
    await database.write(lambda tx: store.add_firing(tx, watched))
    assert (await look(database, NOW)).firings == []
    await records.settle(run)
    assert (await look(database, NOW)).firings == [watched]
    viewed = await database.read(lambda tx: store.firing(tx, "s1", "f1"))
    assert viewed is not None
    assert (viewed.status, viewed.attempt, viewed.run_id) == (FiringStatus.SUCCESS, 1, "r1")
    await database.write(lambda tx: store.close_firing(tx, watched))
    with pytest.raises(Lost):
        await database.write(lambda tx: store.close_firing(tx, watched))
    assert (await look(database, NOW)).firings == []


async def test_a_retry_waits_for_a_process_that_serves_its_component(database: Database, records: Records) -> None:
    records.now = NOW
    await database.write(lambda tx: store.add(tx, schedule()))
    await records.settle(await records.started("r1"))
    retried = firing(1, scheduled_for=NOW, run_id="r1", session_id="s1", look_at=NOW)
    await database.write(lambda tx: store.add_firing(tx, retried))
    refused = firing(2, outcome=FiringStatus.FAILED, look_at=NOW)
    await database.write(lambda tx: store.add_firing(tx, refused))
    await database.write(lambda tx: store.add_firing(tx, firing(3, look_at=NOW)))
    unserved = (await look(database, NOW + 3600, {"agent:other"})).firings
    assert [one.id for one in unserved] == ["f3"], "only what has never been tried"
    assert {one.id for one in (await look(database, NOW + 3600)).firings} == {"f1", "f2", "f3"}
    days_later = NOW + 3 * 86_400
    assert (await look(database, days_later, {"agent:other"}, leaves_others=True)).firings == []


async def test_firings_go_with_their_schedule_or_in_time(database: Database) -> None:
    for one in (schedule("s1"), schedule("s2")):
        await database.write(lambda tx, one=one: store.add(tx, one))  # type: ignore[misc]
    for left in (firing(1), firing(2, schedule_id="s2", run_id="r1"), firing(3, schedule_id="s2"), firing(4)):
        await database.write(lambda tx, left=left: store.add_firing(tx, left))  # type: ignore[misc]
    await database.write(lambda tx: store.remove(tx, "s1"))
    assert await count(database, "firings") == 2
    assert await database.write(lambda tx: store.remove_old(tx, NOW, 100)) == 0
    assert await database.write(lambda tx: store.remove_old(tx, NOW + 10, 100)) == 1


async def test_a_firing_keeps_the_status_of_a_run_that_is_removed(database: Database, records: Records) -> None:
    await database.write(lambda tx: store.add(tx, schedule()))
    await records.settle(await records.started("r1"))
    fired = firing(1, scheduled_for=NOW, run_id="r1", session_id="s1", look_at=NOW)
    await database.write(lambda tx: store.add_firing(tx, fired))
    await database.write(lambda tx: store.keep_of_runs(tx, ["r1"], NOW))
    kept = await database.read(lambda tx: store.firing(tx, "s1", "f1"))
    assert kept == replace(fired, run_id=None, session_id=None, look_at=None, outcome=FiringStatus.SUCCESS)
    assert not await database.write(lambda tx: store.make_up(tx, firing(2, scheduled_for=NOW, look_at=NOW)))
    assert await database.write(lambda tx: store.remove_old(tx, NOW + 10, 100)) == 1


async def test_lists_are_pages_newest_first(database: Database) -> None:
    for number in range(5):
        one = schedule(f"s{number}", created_at=NOW + number, enabled=number != 2, owner="ada" if number else None)
        await database.write(lambda tx, one=one: store.add(tx, one))  # type: ignore[misc]
        await database.write(lambda tx, number=number: store.add_firing(tx, firing(number)))  # type: ignore[misc]

    async def ids(caller: Caller = EVERYBODY, **query: Any) -> tuple[list[str], int]:
        page, total = await database.scan(lambda tx: store.search(tx, ScheduleFilter(**query), caller))
        return [one.id for one in page], total

    assert await ids(limit=2, page=2) == (["s2", "s1"], 5)
    assert await ids(enabled=False) == (["s2"], 1)
    assert await ids(ADA, enabled=True) == (["s4", "s3", "s1"], 3)
    page, total = await database.scan(lambda tx: store.firings(tx, "s1", limit=2, page=1))
    assert ([one.id for one in page], total) == (["f4", "f3"], 5)


async def test_what_a_newer_version_stores_is_read(database: Database) -> None:
    text = jsontext.dumps({**schedule().definition.as_json(), "later": 1})
    assert Definition.from_json(jsontext.loads(text)) == schedule().definition


async def test_a_skipped_instant_can_be_made_up_for_once(database: Database) -> None:
    skipped = firing(1, scheduled_for=NOW, outcome=FiringStatus.SKIPPED, error="missed")
    await database.write(lambda tx: store.add_firing(tx, skipped))
    again = firing(2, scheduled_for=NOW, look_at=NOW)
    assert await database.write(lambda tx: store.make_up(tx, again))
    fresh = firing(3, scheduled_for=NOW + 60, look_at=NOW)
    assert await database.write(lambda tx: store.make_up(tx, fresh))
    assert not await database.write(lambda tx: store.make_up(tx, replace(fresh, id="f4")))
    assert await count(database, "firings") == 2
