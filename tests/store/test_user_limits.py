"""Shares of one user: what may wait, and what may be at work, whoever claims."""

import asyncio

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import TooManyRequests
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.store import claims, probes, user_limits
from musterd.store.user_limits import UserLimits
from tests.support.store import Records

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")
TWO_AT_WORK = UserLimits(concurrency=2)


async def accepted(
    records: Records, *names: str, caller: Caller = ALICE, user_limits: UserLimits = TWO_AT_WORK
) -> None:
    """Runs of a user, each in a session of its own."""
    for name in names:
        await records.accept(name, f"session of {name}", caller=caller, user_limits=user_limits, slot="w1")


async def claimed(
    records: Records, limit: int = 10, most: int = 2, *, crashes: tuple[int, int] = claims.NO_SUSPECTS
) -> list[str]:
    now = records.now + 1
    rows: list[RunRow] = await records.database.write(
        lambda tx: claims.claim(tx, "w1", records.components, limit, now, crashes=crashes, max_per_owner=most)
    )
    return [row.run_id for row in rows]


async def test_so_many_of_one_user_are_claimed_and_others_go_on(records: Records) -> None:
    await accepted(records, "a1", "a2", "a3", "a4")
    await accepted(records, "b1", caller=BOB)
    await accepted(records, "n1", "n2", "n3", caller=Caller(), user_limits=UserLimits())
    assert await claimed(records) == ["a1", "a2", "b1"]  # nobody's have begun at once
    assert await claimed(records) == []
    await records.settle(await records.row("a1"))
    assert await claimed(records) == ["a3"]


async def test_runs_without_an_owner_are_claimed_however_many_of_them_run(records: Records) -> None:
    await accepted(records, "n1", "n2", "n3", caller=Caller(), user_limits=UserLimits())
    for name in ("n4", "n5"):
        await records.accept(name, f"session of {name}", caller=Caller())
    await accepted(records, "a1")
    assert await claimed(records) == ["n4", "n5", "a1"]


async def test_the_limit_of_a_claim_is_filled_by_others(records: Records) -> None:
    await accepted(records, *(f"a{n}" for n in range(6)))
    await accepted(records, "b1", "b2", caller=BOB)
    assert await claimed(records, limit=3) == ["a0", "a1", "b1"]


async def test_a_claim_finds_the_runs_behind_many_of_users_without_room(records: Records) -> None:
    for user in ("carol", "dave"):
        caller = Caller(user_id=user, label=user)
        await accepted(records, *(f"{user}{n}" for n in range(user_limits.CANDIDATES_AT_ONCE)), caller=caller)
    await accepted(records, "a1", "a2", "a3")
    assert await claimed(records, limit=5) == ["carol0", "carol1", "dave0", "dave1", "a1"]
    assert await claimed(records, limit=5) == ["a2"]


async def test_a_run_of_a_user_waits_to_be_claimed_even_with_a_slot(records: Records) -> None:
    await accepted(records, "a1")
    assert (await records.row("a1")).state is RunState.READY
    await accepted(records, "a2", user_limits=UserLimits())
    assert (await records.row("a2")).state is RunState.RUNNING


async def test_priority_counts_within_a_share(records: Records) -> None:
    await accepted(records, "a1", "a2")
    await records.accept("a3", "other", caller=ALICE, user_limits=TWO_AT_WORK, row={"priority": 5})
    assert await claimed(records) == ["a3", "a1"]


async def test_two_that_claim_at_once_keep_to_it_together(records: Records) -> None:
    await accepted(records, *(f"a{n}" for n in range(8)))
    results = await asyncio.gather(*(claimed(records, limit=3) for _ in range(6)))
    assert len([name for names in results for name in names]) == 2


async def test_so_many_of_one_user_may_wait(records: Records) -> None:
    user_limits = UserLimits(queue_depth=2)
    for name in ("a1", "a2", "a3"):  # the first runs, the others wait behind it
        await records.accept(name, "s1", caller=ALICE, user_limits=user_limits, slot="w1")
    with pytest.raises(TooManyRequests, match="2 runs of this user"):
        await records.accept("a4", "s1", caller=ALICE, user_limits=user_limits, slot="w1")
    await records.accept("b1", "s2", caller=BOB, user_limits=user_limits)
    await records.accept("n1", "s3", user_limits=user_limits)
    await records.accept("a5", "s4", caller=ALICE, user_limits=user_limits, slot="w1")  # it does not wait


async def test_no_more_may_wait_where_many_are_accepted_at_once(records: Records) -> None:
    accepting = (accepted(records, f"a{n}", user_limits=UserLimits(queue_depth=2, concurrency=1)) for n in range(12))
    results = await asyncio.gather(*accepting, return_exceptions=True)
    assert [type(one) for one in results if one is not None] == [TooManyRequests] * 9


async def test_what_is_claimed_at_once_does_not_count_as_waiting(records: Records) -> None:
    user_limits = UserLimits(queue_depth=1, concurrency=2)
    await accepted(records, "a1", "a2", "a3", user_limits=user_limits)
    with pytest.raises(TooManyRequests):
        await accepted(records, "a4", user_limits=user_limits)
    assert await claimed(records) == ["a1", "a2"]
    with pytest.raises(TooManyRequests):
        await accepted(records, "a5", user_limits=user_limits)


async def test_a_run_belongs_to_whom_its_session_belongs(records: Records) -> None:
    await accepted(records, "a1")
    root = Caller(user_id="root", label="root", is_admin=True)
    run = (await records.accept("r1", "session of a1", caller=root)).run
    assert run.owner == "alice"


async def test_nobody_makes_room_for_a_run_whose_users_share_others_drive(records: Records) -> None:
    await accepted(records, "a1", "a2")
    await records.execute("UPDATE runs SET crashes = 2 WHERE run_id = 'a2'")

    async def has_suspect(worker: str, most: int) -> bool:
        components, now = records.components, records.now
        return await records.database.scan(lambda tx: probes.is_suspect_ready(tx, components, now, worker, most))

    assert await claimed(records, most=2) == ["a1"]  # by w1
    assert [await has_suspect("w2", most) for most in (0, 1, 2)] == [True, False, True]
    assert await has_suspect("w1", 1), "once what runs here has ended, there is room"
    await records.settle(await records.row("a1"))
    assert await has_suspect("w2", 1)


async def test_a_suspect_is_not_passed_by_its_users_other_runs(records: Records) -> None:
    await accepted(records, "a1", "a2", "a3")
    await records.execute("UPDATE runs SET crashes = 2 WHERE run_id = 'a3'")
    assert await claimed(records, most=1) == []
    assert await claimed(records, most=1, crashes=(2, 2)) == ["a3"]
    await records.settle(await records.row("a3"))
    assert await claimed(records, most=1) == ["a1"]
