"""Delayed runs join their line when due, and pending runs end at their deadline."""

from typing import Any

import pytest

from musterd.core.events import EventKind
from musterd.core.queueing import OnBusy
from musterd.core.states import RunState
from musterd.store import delays
from musterd.store.delays import Moved
from tests.support.store import Records, promoted_id


async def delayed(records: Records, run_id: str, at: float, session_id: str = "s1", **row: Any) -> None:
    accepted = await records.accept(run_id, session_id, slot="w1", row={"not_before": at, **row})
    assert accepted.run.state is RunState.SCHEDULED


async def due(records: Records, now: float, limit: int = 100) -> Moved:
    return await records.database.write(lambda tx: delays.join_due(tx, now, limit))


async def expire(records: Records, now: float, limit: int = 100) -> Moved:
    return await records.database.write(lambda tx: delays.expire_pending(tx, now, limit))


async def is_any_due(records: Records, now: float) -> bool:
    return await records.database.read(lambda tx: delays.is_any_due(tx, now))


async def test_a_delayed_run_holds_nothing_and_waits_for_its_time(records: Records) -> None:
    await delayed(records, "r1", 500.0)
    row = await records.row("r1")
    assert (row.holder, row.attempt, row.queued_at, row.not_before) == (None, 0, None, 500.0)
    assert not await is_any_due(records, 499.0)
    assert await due(records, 499.0) == Moved()
    assert (await records.accept("r2", slot="w1")).run.state is RunState.RUNNING


async def test_it_joins_at_the_end_of_its_line_when_due(records: Records) -> None:
    await delayed(records, "r1", 500.0)
    holder = await records.started("r2")
    await records.accept("r3")
    assert await records.position("r1") == 2
    assert await is_any_due(records, 500.0)
    moved = await due(records, 500.0)
    assert ([run.run_id for run in moved.joined], moved.stopped, moved.ready) == (["r1"], [], [])
    row = await records.row("r1")
    assert (row, row.state, row.queued_at) == (moved.joined[0], RunState.QUEUED, 500.0)
    assert await records.position("r1") == 2
    assert promoted_id(await records.settle(holder)) == "r3"


async def test_it_is_ready_where_the_line_is_free(records: Records) -> None:
    await delayed(records, "r1", 500.0)
    moved = await due(records, 501.0)
    assert moved.ready
    row = await records.row("r1")
    assert (row.state, row.holder) == (RunState.READY, "s1")
    records.now = 600.0
    assert [run.run_id for run in await records.claim()] == ["r1"]


async def test_those_that_are_due_join_in_the_order_of_their_times(records: Records) -> None:
    for name, at in (("late", 300.0), ("first", 200.0), ("second", 200.0)):
        await delayed(records, name, at)
    await delayed(records, "elsewhere", 250.0, "a session")
    assert [run.run_id for run in (await due(records, 400.0, limit=2)).joined] == ["first", "second"]
    assert [run.run_id for run in (await due(records, 400.0)).joined] == ["elsewhere", "late"]
    assert await records.states() == {"first": "ready", "second": "queued", "late": "queued", "elsewhere": "ready"}
    assert await records.position("late") == 2


async def test_what_it_does_about_a_busy_session_is_done_when_due(records: Records) -> None:
    await delayed(records, "r1", 500.0, on_busy=OnBusy.INTERRUPT)
    await delayed(records, "r2", 500.0, on_busy=OnBusy.PARALLEL)
    await delayed(records, "r3", 500.0, on_busy=OnBusy.REJECT)
    await records.started("holder")
    await records.accept("queued")
    assert (await records.row("holder")).cancel_requested_at is None
    moved = await due(records, 500.0)
    assert [run.run_id for run in moved.joined] == ["r1", "r2"]
    assert [(done.run.run_id, done.run.state.value) for done in moved.stopped] == [
        ("holder", "running"),
        ("r3", "error"),
    ]
    states = await records.states()
    assert states == {"r1": "queued", "r2": "ready", "r3": "error", "holder": "running", "queued": "queued"}
    assert (await records.row("holder")).cancel_by == "interrupt"
    assert (await records.position("r1"), await records.position("queued")) == (1, 2)
    failed = await records.row("r3")
    assert (failed.error_code, failed.ended_at) == (delays.BUSY, 500.0)
    ((_, event),) = await records.events("r3")
    assert "busy with run holder" in event.data["content"]


async def test_a_delayed_run_can_be_cancelled(records: Records) -> None:
    await delayed(records, "r1", 500.0)
    done = await records.cancel("r1")
    assert done is not None
    assert done.run.state is RunState.CANCELLED
    assert await due(records, 500.0) == Moved()


async def test_delayed_runs_count_as_waiting(records: Records) -> None:
    await delayed(records, "r1", 500.0)
    records.queue_depth = 1
    with pytest.raises(Exception, match="1 runs are already waiting"):
        await records.accept("r2", "s2")


# Deadlines


async def test_pending_runs_end_at_their_deadline(records: Records) -> None:
    row = {"deadline_at": 300.0}
    await records.accept("ready", row=row)
    await records.accept("queued", row=row)
    await records.accept("next")
    await delayed(records, "delayed", 299.0, deadline_at=300.0)
    assert not await is_any_due(records, 298.0)
    assert await expire(records, 299.0) == Moved()
    assert await is_any_due(records, 300.0)
    moved = await expire(records, 300.0)
    assert sorted(done.run.run_id for done in moved.stopped) == ["delayed", "queued", "ready"]
    assert "next" in [promoted_id(done) for done in moved.stopped]
    states = await records.states()
    assert states == {"ready": "error", "queued": "error", "delayed": "error", "next": "ready"}
    for done in moved.stopped:
        run = await records.row(done.run.run_id)
        assert (run.error_code, run.holder, run.ended_at, run.next_event) == ("deadline", None, 300.0, 1)
        assert done.run.next_event == run.next_event
        ((index, event),) = await records.events(run.run_id)
        assert (done.end_event, event.kind) == ((index, event), EventKind.RUN_ERROR)
        assert event.data["error"] == {"code": "deadline", "message": event.data["content"], "retryable": False}
    ((output,),) = [row.values() for row in await records.select("SELECT output FROM run_io WHERE run_id = 'ready'")]
    assert '"code": "deadline"' in output.replace('":"', '": "')


async def test_running_paused_and_ended_runs_are_left_alone(records: Records) -> None:
    row = {"deadline_at": 300.0}
    await records.started("running", "a", row=row)
    await records.settle(await records.started("ended", "b", row=row))
    await records.started("paused", "c", row=row)
    await records.execute("UPDATE runs SET state = 'paused', worker = NULL, holder = NULL WHERE run_id = 'paused'")
    before = await records.everything()
    assert await expire(records, 900.0) == Moved()
    assert not await is_any_due(records, 900.0)
    assert await records.everything() == before


async def test_a_limit_bounds_one_go(records: Records) -> None:
    for number in range(3):
        await records.accept(f"r{number}", f"s{number}", row={"deadline_at": 300.0 + number})
    moved = await expire(records, 400.0, limit=2)
    assert [done.run.run_id for done in moved.stopped] == ["r0", "r1"]
    assert [done.run.run_id for done in (await expire(records, 400.0)).stopped] == ["r2"]
