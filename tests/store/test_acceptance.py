"""Acceptance: one transaction gives a run its place, or leaves nothing."""

from typing import Any

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import Conflict, MusterdError, NotFound, TooManyRequests
from musterd.core.states import RunState
from musterd.store import acceptance, session_deletion, sessions
from musterd.store.database import Tx
from tests.support.store import Records, member_of, new_run

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def test_a_run_with_a_slot_is_running(records: Records) -> None:
    run = (await records.accept("r1", slot="w1")).run
    assert await records.row("r1") == run
    assert (run.state, run.lane, run.holder, run.seq) == (RunState.RUNNING, "s1", "s1", 0)
    assert (run.attempt, run.worker, run.started_at) == (1, "w1", run.created_at)
    assert run.queued_at == run.created_at


async def test_a_run_without_a_slot_is_ready_and_has_no_attempt(records: Records) -> None:
    run = (await records.accept("r1")).run
    assert (run.state, run.holder, run.attempt, run.worker, run.started_at) == (RunState.READY, "s1", 0, None, None)


@pytest.mark.parametrize("slot", ["w1", None])
async def test_a_run_behind_another_is_queued_even_with_a_slot(records: Records, slot: str | None) -> None:
    await records.accept("r1", slot="w1")
    run = (await records.accept("r2", slot=slot)).run
    assert (run.state, run.holder, run.seq) == (RunState.QUEUED, None, 1)
    assert (run.attempt, run.worker, run.started_at) == (0, None, None)
    assert await records.row("r2") == run


async def test_a_run_that_waited_for_the_end_before_it_begins_after_it(records: Records) -> None:
    first = await records.started("r1")
    await records.settle(first)
    ended_at = (await records.row("r1")).ended_at
    run = (await records.accept("r2", slot="w1", row={"created_at": 0.5})).run
    assert (run.created_at, run.queued_at, run.started_at) == (0.5, ended_at, ended_at)
    assert await records.select("SELECT updated_at FROM sessions") == [{"updated_at": ended_at}]


async def test_sessions_do_not_wait_for_each_other(records: Records) -> None:
    await records.accept("r1", "one", slot="w1")
    assert (await records.accept("r2", "two", slot="w1")).run.state is RunState.RUNNING


async def test_seq_goes_up_by_one_in_each_session(records: Records) -> None:
    sequence = [(await records.accept(f"r{n}", session)).run.seq for n, session in enumerate("aabab")]
    assert sequence == [0, 1, 0, 2, 1]
    assert await records.select("SELECT session_id, next_seq FROM sessions ORDER BY session_id") == [
        {"session_id": "a", "next_seq": 3},
        {"session_id": "b", "next_seq": 2},
    ]


async def test_a_line_has_one_holder(records: Records) -> None:
    await records.accept("r1")
    await records.accept("r2")
    with pytest.raises(Exception, match=r"(?i)unique"):
        await records.execute("UPDATE runs SET holder = lane WHERE run_id = 'r2'")


async def test_the_candidate_can_be_tried_again(records: Records) -> None:
    """A group that fails is tried one by one: what the first try decided must not stand."""
    asking = records.candidate(new_run("r1"), slot="w1")

    async def accept_and_fail(tx: Tx) -> None:
        await acceptance.accept(tx, asking)
        raise RuntimeError("the commit fails")

    with pytest.raises(RuntimeError):
        await records.database.write(accept_and_fail)
    await records.accept("r0")
    run = (await records.database.write(lambda tx: acceptance.accept(tx, asking))).run
    assert (run.state, run.holder, run.attempt, run.worker) == (RunState.QUEUED, None, 0, None)


# The same request again


async def test_a_chosen_id_makes_the_same_request_the_same_run(records: Records) -> None:
    first = await records.accept("r1", slot="w1", has_chosen_id=True)
    again = await records.accept("r1", slot="w1", has_chosen_id=True)
    assert (again.is_repeated, again.run) == (True, first.run)
    assert (await records.counts())["runs"] == 1
    assert (await records.select("SELECT next_seq FROM sessions"))[0]["next_seq"] == 1


async def test_a_replay_is_answered_when_the_queue_is_full(records: Records) -> None:
    records.queue_depth = 1
    await records.accept("r1", has_chosen_id=True)
    assert (await records.accept("r1", has_chosen_id=True)).is_repeated


async def test_a_replay_shows_the_run_as_it_is_now(records: Records) -> None:
    run = await records.started("r1", has_chosen_id=True)
    await records.settle(run)
    assert (await records.accept("r1", has_chosen_id=True)).run.state is RunState.COMPLETED


@pytest.mark.parametrize(
    "first, second",
    [
        ({}, {"fingerprint": "other"}),
        ({"caller": ALICE}, {"caller": BOB}),
        ({"caller": ALICE}, {}),
        ({"has_chosen_id": False}, {}),
    ],
    ids=["another request", "another user", "nobody in particular", "an id that the server chose"],
)
async def test_a_taken_id_is_a_conflict_that_reveals_nothing(
    records: Records, first: dict[str, Any], second: dict[str, Any]
) -> None:
    await records.accept("r1", "secret-session", **{"has_chosen_id": True, **first})
    before = await records.everything()
    with pytest.raises(Conflict) as caught:
        await records.accept("r1", "s2", **{"has_chosen_id": True, **second})
    assert caught.value.message == "This run_id is taken; choose another one."
    assert await records.everything() == before


async def test_a_members_id_is_taken_too(records: Records) -> None:
    root = await records.started("r1")
    await records.append(root, started=[member_of(root, "m1")])
    with pytest.raises(Conflict):
        await records.accept("m1", has_chosen_id=True)


# Refused: nothing is left


async def test_a_full_queue_refuses_and_leaves_nothing(records: Records) -> None:
    records.queue_depth = 2
    await records.accept("r1", "a")
    await records.accept("r2", "a")
    before = await records.everything()
    for session in ("a", "b"):
        with pytest.raises(TooManyRequests) as caught:
            await records.accept("r3", session, has_chosen_id=True)
        assert caught.value.retry_after_seconds
    assert await records.everything() == before, "next_seq, the session and the request are rolled back"


async def test_a_full_queue_does_not_refuse_what_runs_at_once(records: Records) -> None:
    records.queue_depth = 1
    await records.accept("r1", "a")
    assert (await records.accept("r2", "b", slot="w1")).run.state is RunState.RUNNING


async def test_a_session_belongs_to_its_first_owner(records: Records) -> None:
    await records.accept("r1", caller=ALICE, row={"owner": "alice", "user_id": "alice"})
    before = await records.everything()
    with pytest.raises(NotFound) as caught:
        await records.accept("r2", caller=BOB)
    assert "alice" not in caught.value.message
    assert await records.everything() == before


async def test_a_session_that_is_being_deleted_takes_no_run(records: Records) -> None:
    run = await records.started("r1")
    await records.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 200.0))
    before = await records.everything()
    with pytest.raises(Conflict, match="being deleted"):
        await records.accept("r2")
    assert await records.everything() == before
    await records.settle(run)
    assert await records.database.write(lambda tx: session_deletion.remove_some_of(tx, "s1"))
    assert (await records.accept("r2")).run.seq == 0


async def test_a_failure_in_the_middle_leaves_nothing(records: Records) -> None:
    asking = records.candidate(new_run("r1"))

    async def fail_late(tx: Tx) -> None:
        await acceptance.accept(tx, asking)
        raise MusterdError("too late")

    with pytest.raises(MusterdError):
        await records.database.write(fail_late)
    assert await records.counts() == {}
