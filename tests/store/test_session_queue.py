"""A busy session: what a new run does about the run at work, and who comes next."""

import pytest

from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound, TooManyRequests
from musterd.core.events import EventKind
from musterd.core.queueing import OnBusy
from musterd.core.records import Output
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.store import cancels, claims, decisions, pauses
from musterd.store.acceptance import Accepted
from musterd.store.attempt_writes import Batch
from musterd.store.pauses import Pause
from tests.support.store import Records, lease_of, of_run, promoted_id

ALICE, BOB = Caller(user_id="alice", label="alice"), Caller(user_id="bob", label="bob")


async def ask(records: Records, run_id: str, on_busy: OnBusy, slot: str | None = None, **row: object) -> Accepted:
    return await records.accept(run_id, slot=slot, row={"on_busy": on_busy, **row})


async def pause(records: Records, run_id: str) -> None:
    """Pause a run that is at work."""
    run = await records.row(run_id)
    how = Pause(at=records.now, expires_at=9e9, output=Output(), messages=[])
    await records.database.write(lambda tx: pauses.pause(tx, lease_of(run), Batch(), how))


# Reject


async def test_a_run_that_does_not_want_to_wait_is_refused_and_leaves_nothing(records: Records) -> None:
    await records.started("r1")
    before = await records.everything()
    with pytest.raises(Conflict, match="busy with run r1"):
        await ask(records, "r2", OnBusy.REJECT)
    assert await records.everything() == before


@pytest.mark.parametrize("on_busy", list(OnBusy))
async def test_a_free_line_is_taken_whatever_it_says(records: Records, on_busy: OnBusy) -> None:
    run = (await ask(records, "r1", on_busy, slot="w1")).run
    holder = None if on_busy is OnBusy.PARALLEL else "s1"
    assert (run.state, run.holder, run.attempt) == (RunState.RUNNING, holder, 1)
    assert await records.row("r1") == run


async def test_only_the_holder_makes_a_session_busy(records: Records) -> None:
    await ask(records, "beside", OnBusy.PARALLEL, slot="w1")
    await records.started("paused")
    await pause(records, "paused")
    assert (await ask(records, "r1", OnBusy.REJECT)).run.state is RunState.READY


async def test_a_ready_run_is_at_work_too(records: Records) -> None:
    await records.accept("r1")
    with pytest.raises(Conflict, match="busy with run r1"):
        await ask(records, "r2", OnBusy.REJECT)


async def test_nobody_learns_of_anothers_run(records: Records) -> None:
    await records.accept("r1", caller=ALICE, row={"owner": "alice"})
    with pytest.raises(NotFound, match="Session with ID s1 not found"):
        await records.accept("r2", caller=BOB, row={"on_busy": OnBusy.REJECT})


# Parallel


async def test_parallel_runs_overlap_and_hold_nothing(records: Records) -> None:
    await records.started("r1")
    beside = (await ask(records, "r2", OnBusy.PARALLEL, slot="w1")).run
    waiting = (await ask(records, "r3", OnBusy.PARALLEL)).run
    assert (beside.state, beside.holder, waiting.state, waiting.holder) == (
        RunState.RUNNING, None, RunState.READY, None,
    )  # fmt: skip
    assert [run.run_id for run in await records.claim()] == ["r3"]


async def test_the_end_of_a_parallel_run_moves_nobody(records: Records) -> None:
    holder = await records.started("r1")
    beside = (await ask(records, "r2", OnBusy.PARALLEL, slot="w1")).run
    await records.accept("r3")
    assert (await records.settle(beside)).promoted is None
    assert await records.states() == {"r1": "running", "r2": "completed", "r3": "queued"}
    assert promoted_id(await records.settle(holder)) == "r3"


# Interrupt


async def test_the_run_at_work_is_flagged_and_the_interrupter_comes_before_those_that_wait(records: Records) -> None:
    holder = await records.started("r1")
    await records.accept("r2")
    done = await ask(records, "r3", OnBusy.INTERRUPT, slot="w1")
    assert (done.run.state, done.run.holder) == (RunState.QUEUED, None)
    assert done.interrupted is not None
    assert (done.interrupted.run.run_id, done.interrupted.run.state) == ("r1", RunState.RUNNING)
    row = await records.row("r1")
    assert (row.cancel_requested_at, row.cancel_by, row.state) == (
        records.now,
        cancels.INTERRUPTED,
        RunState.RUNNING,
    )
    assert promoted_id(await records.settle(holder, RunState.CANCELLED)) == "r3"
    assert await records.states() == {"r1": "cancelled", "r2": "queued", "r3": "ready"}


async def test_interrupters_come_one_after_the_other(records: Records) -> None:
    holder = await records.started("r1")
    await records.accept("r2")
    first = await ask(records, "r3", OnBusy.INTERRUPT)
    second = await ask(records, "r4", OnBusy.INTERRUPT)
    assert (first.interrupted is not None, second.interrupted) == (True, None), "it is told once"
    order = []
    while (promoted := promoted_id(await records.settle(holder, RunState.CANCELLED))) is not None:
        order.append(promoted)
        (holder,) = await records.claim()
    assert order == ["r3", "r4", "r2"]


async def test_a_run_that_was_not_begun_ends_at_once_and_the_interrupter_is_ready(records: Records) -> None:
    await records.accept("r1")
    await records.accept("r2")
    done = await ask(records, "r3", OnBusy.INTERRUPT, slot="w1")
    assert done.interrupted is not None
    assert (promoted_id(done.interrupted), done.run.state, done.run.holder) == ("r3", RunState.READY, "s1")
    assert await records.row("r3") == done.run
    assert await records.states() == {"r1": "cancelled", "r2": "queued", "r3": "ready"}
    assert [event.kind for _, event in await records.events("r1")] == [EventKind.RUN_CANCELLED]


async def test_queued_paused_and_parallel_runs_are_left_alone(records: Records) -> None:
    await records.started("paused")
    await pause(records, "paused")
    await records.started("holder")
    await records.accept("queued")
    await ask(records, "beside", OnBusy.PARALLEL, slot="w1")
    before = {name: await records.row(name) for name in ("paused", "queued", "beside")}
    await ask(records, "new", OnBusy.INTERRUPT)
    assert {name: await records.row(name) for name in before} == before


async def test_a_full_queue_interrupts_nobody(records: Records) -> None:
    await records.started("r1")
    records.queue_depth = 0
    before = await records.everything()
    with pytest.raises(TooManyRequests):
        await ask(records, "r2", OnBusy.INTERRUPT)
    assert await records.everything() == before


# Paused runs


async def test_a_paused_run_leaves_the_line_and_comes_back_by_its_old_place(records: Records) -> None:
    await records.started("r1")
    await records.accept("r2")
    await records.accept("r3")
    await pause(records, "r1")
    assert await records.states() == {"r1": "paused", "r2": "ready", "r3": "queued"}
    await go_on(records, "r1")
    assert (await records.row("r1")).state is RunState.QUEUED
    assert [await records.position(name) for name in ("r1", "r3")] == [1, 2]
    (second,) = await records.claim()
    assert promoted_id(await records.settle(second)) == "r1"


async def test_a_paused_run_may_hold_the_line(records: Records) -> None:
    await records.started("r1", row={"hold_paused": True})
    await records.accept("r2")
    await pause(records, "r1")
    assert await records.states() == {"r1": "paused", "r2": "queued"}
    with pytest.raises(Conflict):
        await ask(records, "r3", OnBusy.REJECT)
    assert (await ask(records, "r4", OnBusy.INTERRUPT)).interrupted is None, "a person may be at work on it"
    await go_on(records, "r1")
    row = await records.row("r1")
    assert (row.state, row.holder) == (RunState.READY, "s1")


async def test_a_paused_run_that_holds_the_line_frees_it_when_cancelled(records: Records) -> None:
    await records.started("r1", row={"hold_paused": True})
    await records.accept("r2")
    await pause(records, "r1")
    done = await records.cancel("r1")
    assert done is not None
    assert promoted_id(done) == "r2"


async def test_a_parallel_run_that_paused_goes_on_beside_the_line(records: Records) -> None:
    await records.started("r1")
    await ask(records, "r2", OnBusy.PARALLEL, slot="w1")
    await pause(records, "r2")
    await go_on(records, "r2")
    row = await records.row("r2")
    assert (row.state, row.holder) == (RunState.READY, None)


async def go_on(records: Records, run_id: str) -> None:
    """Decide about a paused run, whatever it waits for."""
    await records.execute(
        """INSERT INTO approvals (id, shard, root_id, run_id, path, kind, state, request, created_at)
           SELECT 'a', shard, run_id, run_id, 't0/c0', 'unknown_outcome', 'pending', :request, 1.0
           FROM runs WHERE run_id = :run""",
        run=run_id,
        request=REQUEST,
    )
    decision = Decision(key="a", verdict=Verdict.RUN)
    how = decisions.DecisionSource(by="client", now=records.now)
    await records.database.write(of_run(decisions.decide, run_id, [decision], how))


REQUEST = (
    '{"id": "a", "kind": "unknown_outcome", "path": "t0/c0", "run_id": "r", "component_kind": "agent", '
    '"component_id": "solo", "component_name": "Solo", "created_at": 1.0, "started_at": null, '
    '"tool": {"id": "c", "name": "n", "args": {}, "created_at": 1.0}}'
)


# Places


async def test_places_tell_who_comes_before(records: Records) -> None:
    await records.started("r1")
    for name, on_busy in [
        ("q1", OnBusy.ENQUEUE),
        ("i1", OnBusy.INTERRUPT),
        ("q2", OnBusy.ENQUEUE),
        ("i2", OnBusy.INTERRUPT),
        ("p1", OnBusy.PARALLEL),
    ]:
        await ask(records, name, on_busy)
    places = {name: await records.position(name) for name in ("r1", "i1", "i2", "q1", "q2", "p1")}
    assert places == {"r1": None, "i1": 1, "i2": 2, "q1": 3, "q2": 4, "p1": 0}


async def test_priority_orders_lanes_and_never_runs_within_one(records: Records) -> None:
    await records.accept("a1", "a")
    await records.accept("a2", "a", row={"priority": 9})
    await records.accept("b1", "b", row={"priority": 5})
    await records.accept("c1", "c", row={"priority": -1})
    assert [run.run_id for run in await records.claim(limit=2)] == ["b1", "a1"]
    assert [run.run_id for run in await records.claim()] == ["c1"]
    assert (await records.row("a2")).state is RunState.QUEUED


@pytest.mark.parametrize("max_per_owner", [0, 1])
async def test_the_next_run_began_at_its_predecessors_end_whatever_time_the_claim_was_made(
    records: Records, max_per_owner: int
) -> None:
    """Whoever claims may have looked at the clock first, and waited for the end to be stored."""
    first = await records.started("r1")
    await records.accept("r2")
    await records.settle(first)
    await records.database.write(
        lambda tx: claims.claim(tx, "w1", records.components, 1, 0.5, max_per_owner=max_per_owner)
    )
    row = await records.row("r2")
    assert row.state is RunState.RUNNING
    assert row.started_at == (await records.row("r1")).ended_at
