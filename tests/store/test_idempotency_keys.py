"""Idempotency keys: the same request under a key is the same run, another one is refused, a refused one keeps none."""

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import Conflict, TooManyRequests
from musterd.core.queueing import OnBusy
from musterd.core.states import RunState
from musterd.store import idempotency, session_deletion, sessions
from musterd.store.idempotency import Request
from tests.support.store import Records

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def test_the_same_request_under_a_key_is_the_same_run(records: Records) -> None:
    first = await records.accept("r1", slot="w1", key="k")
    again = await records.accept("r2", slot="w1", key="k")
    assert (first.is_repeated, again.is_repeated, again.run) == (False, True, first.run)
    assert (await records.counts())["runs"] == 1
    assert (await records.select("SELECT next_seq FROM sessions"))[0]["next_seq"] == 1


async def test_it_shows_the_run_as_it_is_now(records: Records) -> None:
    await records.settle(await records.started("r1", key="k"))
    assert (await records.accept("r2", key="k")).run.state is RunState.COMPLETED


async def test_another_request_under_a_key_is_a_conflict_that_changes_nothing(records: Records) -> None:
    await records.accept("r1", key="k")
    before = await records.everything()
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await records.accept("r2", key="k", fingerprint="other")
    assert await records.everything() == before


async def test_keys_are_scoped_to_the_caller(records: Records) -> None:
    await records.accept("r1", "a", key="k", caller=ALICE, row={"owner": "alice"})
    other = await records.accept("r2", "b", key="k", caller=BOB, fingerprint="other", row={"owner": "bob"})
    assert not other.is_repeated


async def test_keys_are_scoped_to_the_operation(records: Records) -> None:
    await records.accept("r1", key="k")
    cancel = Request(caller="", kind="cancel", key="k", fingerprint="other")
    assert await records.database.read(lambda tx: idempotency.same(tx, cancel)) is None


async def test_a_refused_request_keeps_no_key(records: Records) -> None:
    await records.accept("r1")
    records.queue_depth = 1
    with pytest.raises(TooManyRequests):
        await records.accept("r2", key="k")
    with pytest.raises(Conflict):
        await records.accept("r2", key="k", row={"on_busy": OnBusy.REJECT})
    records.queue_depth = 10
    assert not (await records.accept("r2", key="k", fingerprint="other")).is_repeated


async def test_a_replay_interrupts_nobody(records: Records) -> None:
    row = {"on_busy": OnBusy.INTERRUPT}
    run = await records.started("r1", key="k", row=row)
    again = await records.accept("r2", key="k", row=row)
    assert (again.is_repeated, again.interrupted, again.run) == (True, None, run)
    assert (await records.row("r1")).cancel_requested_at is None


async def test_a_key_and_a_chosen_id_name_the_same_run(records: Records) -> None:
    await records.accept("r1", has_chosen_id=True)
    by_id = await records.accept("r1", has_chosen_id=True, key="k")
    by_key = await records.accept("r2", key="k")
    by_both = await records.accept("r3", has_chosen_id=True, key="k")
    assert [acceptance.is_repeated for acceptance in (by_id, by_key, by_both)] == [True] * 3
    assert {acceptance.run.run_id for acceptance in (by_id, by_key, by_both)} == {"r1"}


async def test_a_key_lasts_as_long_as_its_run(records: Records) -> None:
    await records.settle(await records.started("r1", key="k"))

    async def gone() -> bool:
        await records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 200.0))
        return await records.database.write(lambda tx: session_deletion.remove_some_of(tx, "s1"))

    assert await gone()
    assert not (await records.accept("r2", key="k", fingerprint="other")).is_repeated


async def test_an_answer_is_kept(records: Records) -> None:
    request = Request(caller="", kind="continue", key="k", fingerprint="f")
    await records.database.write(lambda tx: idempotency.keep(tx, request, "r1", 1.0, answer="7"))
    stored = await records.database.read(lambda tx: idempotency.same(tx, request))
    assert stored is not None
    assert (stored["run_id"], stored["answer"]) == ("r1", "7")
