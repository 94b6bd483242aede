"""Cancelling: at once where no attempt drives the run, else stored for its attempt to obey."""

import pytest

from musterd.core.events import EventKind
from musterd.core.records import StepKind, StepState
from musterd.core.states import RunState
from musterd.store import run_outputs, steering, workers
from tests.store.test_pauses import asks, pause
from tests.support.store import HERE, Records, member_of, of_run, promoted_id, step


async def test_no_such_run(records: Records) -> None:
    assert await records.cancel("r1") is None


async def test_a_queued_run_ends_at_once_and_holds_up_nobody(records: Records) -> None:
    holder = await records.started("r1")
    for name in ("r2", "r3"):
        await records.accept(name)
    done = await records.cancel("r2")
    assert done is not None
    assert (done.run.state, done.promoted) == (RunState.CANCELLED, None)
    assert await records.states() == {"r1": "running", "r2": "cancelled", "r3": "queued"}
    assert promoted_id(await records.settle(holder)) == "r3"


async def test_a_ready_run_frees_the_line(records: Records) -> None:
    for name in ("r1", "r2", "r3"):
        await records.accept(name)
    done = await records.cancel("r1", by="alice")
    assert done is not None
    assert promoted_id(done) == "r2"
    row = await records.row("r1")
    assert (row.state, row.holder, row.ended_at, row.cancel_by) == (RunState.CANCELLED, None, records.now, "alice")
    assert await records.states() == {"r1": "cancelled", "r2": "ready", "r3": "queued"}
    assert (await records.row("r2")).holder == "s1"


async def test_a_paused_run_ends_at_once_with_its_members(records: Records) -> None:
    root = await records.started("r1")
    await records.append(root, started=[member_of(root, "m1")])
    await records.execute("UPDATE runs SET state = 'paused', worker = NULL, holder = NULL WHERE run_id = 'r1'")
    done = await records.cancel("r1")
    assert done is not None
    assert await records.states() == {"r1": "cancelled", "m1": "cancelled"}


async def test_the_end_is_an_event_behind_all_others(records: Records) -> None:
    await records.accept("r1")
    await records.execute("UPDATE runs SET next_event = 7 WHERE run_id = 'r1'")
    done = await records.cancel("r1")
    assert done is not None
    assert done.end_event is not None
    assert await records.events("r1") == [done.end_event]
    index, event = done.end_event
    assert (index, event.kind, (await records.row("r1")).next_event) == (7, EventKind.RUN_CANCELLED, 8)
    assert done.run.next_event == 8


async def test_a_running_run_is_flagged_and_goes_on(records: Records) -> None:
    run = await records.started("r1")
    await records.accept("r2")
    done = await records.cancel("r1", by="alice")
    assert done is not None
    assert (done.run.state, done.promoted, done.end_event) == (RunState.RUNNING, None, None)
    row = await records.row("r1")
    assert (row.state, row.cancel_requested_at, row.cancel_by) == (RunState.RUNNING, records.now, "alice")
    assert (row.version, row.holder, row.attempt) == (run.version + 1, "s1", run.attempt)


async def test_the_first_cancel_stands(records: Records) -> None:
    await records.started("r1")
    await records.cancel("r1", by="alice")
    first = await records.row("r1")
    await records.cancel("r1", by="bob")
    assert await records.row("r1") == first


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.ERROR, RunState.CANCELLED])
async def test_a_run_that_has_ended_stays_as_it_is(records: Records, state: RunState) -> None:
    await records.settle(await records.started("r1"), state)
    before = await records.everything()
    done = await records.cancel("r1")
    assert done is not None
    assert (done.run.state, done.promoted, done.end_event) == (state, None, None)
    assert await records.everything() == before


# Something was begun


async def test_what_a_dead_worker_had_begun_is_told(records: Records) -> None:
    """Also where the run was taken over, and nobody has gone on with it yet."""
    run = await records.started("r1")
    await records.append(run, steps=[step(run, "t0/c0", StepState.STARTED)])
    await records.database.write(lambda tx: workers.release_runs(tx, "w1", 300.0, crashed=True))
    assert await records.states() == {"r1": "ready"}
    await records.cancel("r1")
    assert await records.select("SELECT path, state FROM journal") == [{"path": "t0/c0", "state": "unknown"}]
    output = await records.database.read(of_run(run_outputs.get, "r1"))
    assert output.cut_off == [{"path": "t0/c0", "kind": "tool", "name": None, "outcome": "unknown"}]


async def test_no_step_is_left_open(records: Records) -> None:
    """Of a delegation whose member waits, the member is cancelled, and then the run before it has gone on."""
    run = await records.started("r1")
    delegation = step(run, "t0/c0", StepState.STARTED, kind=StepKind.DELEGATE)
    question = step(run, "t0/c0/t0/c0", StepState.WAITING)
    await records.append(run, started=[member_of(run, "m1")])
    await pause(records, run, opened=[asks(run, question.path)], steps=[delegation, question])
    await records.database.write(of_run(steering.cancel_member, "r1", "m1", "me", 9.0))
    await records.cancel("r1")
    assert {row["state"] for row in await records.select("SELECT state FROM journal")} == {"failed"}


# The worker is gone


async def test_a_gone_workers_runs_are_ready_or_cancelled(records: Records) -> None:
    for number in (1, 2, 3):
        await records.started(f"r{number}", f"s{number}")
    mine = await records.claim(worker="w2")
    await records.accept("r4", "s2")
    await records.cancel("r2")
    await records.database.write(lambda tx: workers.add(tx, "w1", [], HERE))
    released = await records.database.write(lambda tx: workers.release_runs(tx, "w1", 300.0, crashed=True))
    assert (mine, [run.run_id for run in released.ready]) == ([], ["r1", "r3"])
    assert [(done.run.run_id, promoted_id(done)) for done in released.ended] == [("r2", "r4")]
    assert await records.states() == {"r1": "ready", "r2": "cancelled", "r3": "ready", "r4": "ready"}
    row = await records.row("r1")
    assert (row.worker, row.holder, row.attempt, row.crashes) == (None, "s1", 1, 1)
    assert [event.kind for _, event in await records.events("r2")] == [EventKind.RUN_CANCELLED]
    assert await records.database.scan(workers.heartbeats) == {}


async def test_a_handover_is_no_crash_and_takes_only_the_workers_own(records: Records) -> None:
    await records.started("r1", "s1")
    records.worker = "w2"
    await records.started("r2", "s2")
    await records.database.write(lambda tx: workers.release_runs(tx, "w2", 300.0, crashed=False))
    assert await records.states() == {"r1": "running", "r2": "ready"}
    assert (await records.row("r2")).crashes == 0


async def test_whoever_holds_a_run_is_known(records: Records) -> None:
    """Also when it never announced itself, or has left before a late acceptance of its was stored."""
    await records.started("r1")
    await records.database.write(lambda tx: workers.add(tx, "w2", ["agent:solo"], HERE))
    assert sorted(await records.database.scan(workers.heartbeats)) == ["w1", "w2"]


async def test_the_instance_gets_its_id_once(records: Records) -> None:
    first = await records.database.write(lambda tx: workers.instance(tx, "a", "1", 1.0))
    again = await records.database.write(lambda tx: workers.instance(tx, "b", "1", 2.0))
    assert (first, again) == ("a", "a")
