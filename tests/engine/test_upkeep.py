"""What nobody else sees to: runs of the dead, of those who kill their worker, and what waits too long."""

import asyncio
from typing import Any

import pytest

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.events import Event, EventKind
from musterd.core.records import StepState
from musterd.core.states import RunState
from musterd.engine.upkeep import Duty, Upkeep
from musterd.store import delays, probes, sessions, workers
from musterd.store.cancels import StopResult
from musterd.store.crashes import CRASHES_IN_ALL, SUSPECT_FROM, Crashes
from musterd.store.database import Tx
from musterd.store.workers import Released
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness, read_all
from tests.support.held_model import HeldModel
from tests.support.store import HERE, step

PATIENT: dict[str, Any] = {"upkeep_seconds": 3600, "dead_seconds": 0}
"""Nothing happens by itself, and whoever else is there is taken for dead at the first look."""


async def crashed_run(harness: EngineHarness, run_id: str, session: str = "s1", *, crashes: int = 0) -> None:
    """A run that a dead worker has, and that took that many with it before."""
    harness.records.worker = "gone"
    await harness.records.started(run_id, session)
    await harness.records.execute(
        "UPDATE runs SET crashes = :n, crashes_in_all = :n WHERE run_id = :run_id", n=crashes, run_id=run_id
    )


async def test_a_dead_ones_runs_are_taken_over_while_this_one_runs(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await crashed_run(harness, "r1")
        await harness.engine.upkeep.once()
        view = await harness.end_of("r1")
        assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
        # In all: a step that is stored before the end sets the other count to 0 again.
        assert await harness.records.select("SELECT crashes_in_all FROM runs") == [{"crashes_in_all": 1}]


async def test_a_run_that_is_to_be_cancelled_ends_unclaimed(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await crashed_run(harness, "r1", crashes=10)
        await harness.records.accept("r2")
        await harness.records.cancel("r1")
        reading, waiting = harness.runs.subscribe("r1"), asyncio.ensure_future(harness.end_of("r1"))
        await asyncio.wait([waiting], timeout=0)
        await harness.engine.upkeep.once()
        assert (await waiting).row.state is RunState.CANCELLED
        assert [event.kind for _, event in await read_all(reading)] == [EventKind.RUN_CANCELLED]
        assert (await harness.end_of("r2")).row.state is RunState.COMPLETED
        assert len(harness.model.calls) == 1


def test_it_waits_longer_each_time_and_is_given_up_in_the_end() -> None:
    assert [Crashes(count, count).wait_seconds for count in range(1, 10)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [Crashes(count, count).is_given_up for count in range(1, 6)] == [False, False, False, False, True]
    assert not Crashes(1, 49).is_given_up
    assert Crashes(1, 50).is_given_up


def test_crashes_before_a_step_wait_longer_each_time_and_give_it_up_at_the_last_limit_alone() -> None:
    crashes, waits = Crashes(0, 0), list[float]()
    while not crashes.is_given_up:
        crashes = crashes.one_more(has_begun=False)
        waits.append(crashes.wait_seconds)
    assert (crashes.without_step, crashes.in_all) == (SUSPECT_FROM, CRASHES_IN_ALL)
    assert waits[:9] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    begun = Crashes(SUSPECT_FROM, 7).one_more(has_begun=True)
    assert (begun.without_step, begun.wait_seconds) == (SUSPECT_FROM + 1, 2), "it was on probation, and this one counts"


async def test_it_is_given_up_with_the_step_that_it_began_last(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await crashed_run(harness, "r1", crashes=4)
        await harness.records.accept("r2")
        row = await harness.records.row("r1")
        tool = {"tool": {"name": "explode", "id": "c1"}}
        events = [
            Event(EventKind.MODEL_REQUEST_STARTED, "r1", 1.0, {"model": "m"}, "t0/m"),
            Event(EventKind.MODEL_REQUEST_COMPLETED, "r1", 1.0, {"model": "m"}, "t0/m"),
            Event(EventKind.TOOL_CALL_STARTED, "r1", 1.0, tool, "t0/c0"),
        ]
        await harness.records.append(row, events=events, steps=[step(row, "t0/c0", StepState.STARTED)])
        await harness.engine.upkeep.once()
        view = await harness.end_of("r1")
        assert (view.row.state, view.row.error_code, view.row.crashes) == (RunState.ERROR, "crashed", 5)
        assert view.output is not None
        assert view.output.error is not None
        assert view.output.error["message"] == (
            "The run crashed its worker 5 times without a new step, the last time while no other run was started. "
            "The last step that it started: t0/c0 (tool explode)."
        )
        assert (await harness.stored("r1"))[-1][1].kind is EventKind.RUN_ERROR
        states = await harness.records.select("SELECT state FROM journal WHERE root_id = 'r1'")
        assert states == [{"state": "unknown"}]
        assert (await harness.end_of("r2")).row.state is RunState.COMPLETED


@pytest.mark.parametrize("hours", [-1, 5])
async def test_it_is_not_claimed_before_its_time(engines: Engines, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Its time has come also where it lies further ahead than anybody waits: then a clock was put back."""
    now = clock.now()
    async with engines(**PATIENT) as harness:
        monkeypatch.setattr(clock, "now", lambda: now)
        await crashed_run(harness, "r1", crashes=1)
        await harness.engine.upkeep.once()
        row = await harness.records.row("r1")
        assert (row.state, row.crashes) == (RunState.READY, 2)
        assert row.not_before is not None
        await harness.engine.upkeep.once()
        assert (await harness.records.row("r1")).state is RunState.READY
        await harness.records.execute("UPDATE runs SET not_before = :at", at=clock.now() + hours * 3600)
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_a_paused_run_that_nobody_decides_about_ends(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await harness.records.started("r1")
        await harness.records.execute("UPDATE runs SET state = 'paused', worker = NULL, expires_at = 1")
        await harness.records.execute(
            """INSERT INTO approvals (id, shard, root_id, run_id, path, kind, state, request, created_at)
               SELECT 'a', shard, run_id, run_id, 't0/c0', 'confirmation', 'pending', '{}', 1
               FROM runs WHERE run_id = 'r1'"""
        )
        await harness.records.accept("r2")
        await harness.engine.upkeep.once()
        view = await harness.end_of("r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "expired")
        assert await harness.records.select("SELECT state FROM approvals") == [{"state": "closed"}]
        assert (await harness.end_of("r2")).row.state is RunState.COMPLETED


async def test_a_delayed_run_that_is_due_is_driven(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await harness.records.accept("r1", row={"not_before": 2.0})
        assert (await harness.records.row("r1")).state is RunState.SCHEDULED
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_a_pending_run_past_its_deadline_ends(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines(**PATIENT) as harness:
        await harness.start("held", "r1")
        await harness.records.accept("r2", row={"deadline_at": 2.0})
        await harness.engine.upkeep.once()
        view = await harness.end_of("r2")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, "deadline")
        hold.release()


async def test_a_deleted_session_goes_though_nobody_was_told(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await harness.run("hi", "r1")
        await harness.records.execute("UPDATE sessions SET deleted_at = 1")
        await harness.engine.upkeep.once()
        await harness.engine.upkeep.deletions.once()
        assert await harness.records.counts() == {"workers": 1, "daily_metrics": 1}


async def test_a_ready_run_that_nobody_was_told_of_is_claimed(engines: Engines) -> None:
    async with engines(**PATIENT) as harness:
        await harness.run("warm", "r0", "s0")
        await harness.records.accept("r1")
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


@pytest.mark.parametrize("failure", [StoreUnavailable(), KeyError("ours")])
async def test_it_goes_on_whatever_happens(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    failures, done = [failure], asyncio.Event()

    class Nobody:
        def wake(self) -> None:
            done.set()

        def suspects_ready(self, *, is_any: bool) -> None: ...

        def run_stopped(self, result: StopResult) -> None: ...

    due = probes.due

    async def fail_first(*args: object) -> object:
        if failures:
            raise failures.pop()
        return await due(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(probes, "due", fail_first)
    await harness.records.accept("r1", row={"component_id": "other"})
    upkeep = Upkeep(harness.engine._resources, ["agent:other"], Nobody())
    repeating = asyncio.create_task(upkeep.repeat(0))
    await done.wait()
    repeating.cancel()


async def test_what_no_process_drives_is_known(harness: EngineHarness) -> None:
    await harness.records.accept("r1", row={"component_id": "removed"})
    assert await harness.engine.unserved() == ["agent:removed"]
    await harness.database.write(lambda tx: workers.add(tx, "x", ["agent:removed"], HERE))
    assert await harness.engine.unserved() == []


async def test_a_deletion_that_a_crash_broke_off_is_brought_to_its_end(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines(**PATIENT) as harness:
        await harness.start("held", "r1")
        await harness.start("never", "r2")
        await harness.start("never", "r3")
        await hold.reached.wait()
        await harness.database.write(lambda tx: sessions.mark_deleted(tx, "s1", 1.0))  # and here its process died
        await harness.engine.upkeep.once()
        await hold.stopped.wait()
        await harness.idle()
        await harness.engine.upkeep.once()
        assert len(model.calls) == 1, "what waited never began"
        assert await harness.records.select("SELECT run_id FROM runs") == []


async def accept_delayed(harness: EngineHarness, count: int) -> None:
    """Accept runs that are due now, each in a session of its own."""
    for number in range(count):
        await harness.records.accept(f"r{number}", f"s{number}", row={"not_before": 2.0})


async def test_all_delayed_runs_that_are_due_begin_in_one_turn(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delays, "LIMIT", 2)
    async with engines(**PATIENT) as harness:
        await accept_delayed(harness, 5)
        await harness.engine.upkeep.once()
        for number in range(5):
            assert (await harness.end_of(f"r{number}")).row.state is RunState.COMPLETED


async def test_a_turn_without_time_leaves_full_batches_to_the_next_one(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delays, "LIMIT", 2)
    async with engines(**PATIENT) as harness:
        await accept_delayed(harness, 3)
        monkeypatch.setattr(harness.engine.upkeep, "_period_seconds", 0)
        await harness.engine.upkeep.once()
        scheduled = "SELECT count(*) AS n FROM runs WHERE state = 'scheduled'"
        assert await harness.records.select(scheduled) == [{"n": 1}]
        await harness.engine.upkeep.once()
        assert await harness.records.select(scheduled) == [{"n": 0}]


async def test_a_worker_whose_runs_cannot_be_released_delays_nothing_else(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = workers.release_silent

    async def refuse_one(tx: Tx, worker: str, heartbeat: int | None, now: float) -> Released | None:
        if worker == "broken":
            raise KeyError("a column that this version does not know")
        return await release(tx, worker, heartbeat, now)

    async with engines(**PATIENT) as harness:
        done_at = harness.engine.upkeep.last_done_at
        await crashed_run(harness, "r1")
        await crashed_run(harness, "r2", "s2")
        await harness.records.execute("UPDATE runs SET worker = 'broken' WHERE run_id = 'r1'")
        await harness.records.accept("r3", "s3", row={"not_before": 2.0})
        await harness.records.accept("r4", "s4")
        monkeypatch.setattr(workers, "release_silent", refuse_one)
        await harness.engine.upkeep.once()
        for run_id in ("r2", "r3", "r4"):
            assert (await harness.end_of(run_id)).row.state is RunState.COMPLETED
        assert (await harness.records.row("r1")).state is RunState.RUNNING
        assert harness.engine.upkeep.last_done_at == done_at, "a turn with a failure is not complete"
        monkeypatch.undo()
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_a_worker_that_beats_before_its_runs_are_released_keeps_them(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engines(**PATIENT) as harness:
        await crashed_run(harness, "r1")
        await harness.database.write(lambda tx: workers.add(tx, "gone", [], HERE))
        bus = harness.server.bus
        find_dead = bus.find_dead

        async def beat_late(beats: Any) -> list[str]:
            dead = await find_dead(beats)
            await harness.database.write(lambda tx: workers.beat_always(tx, "gone", 5.0))
            return dead

        with monkeypatch.context() as patches:
            patches.setattr(bus, "find_dead", beat_late)
            await harness.engine.upkeep.once()
        row = await harness.records.row("r1")
        assert (row.state, row.worker) == (RunState.RUNNING, "gone")
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_a_duty_that_cannot_be_looked_for_delays_nothing_else(engines: Engines) -> None:
    async def work() -> None: ...

    async def fail(tx: Tx, until: float) -> bool:
        raise KeyError("ours")

    async def is_due(tx: Tx, until: float) -> bool:
        return True

    async with engines(**PATIENT) as harness:
        broken, other = Duty("broken", work, fail), Duty("other", work, is_due)
        upkeep = Upkeep(harness.engine._resources, harness.engine.components, harness.engine)
        upkeep.duties = [broken, other]
        await crashed_run(harness, "r1")
        await upkeep.once()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED
        assert (broken.due.is_set(), other.due.is_set()) == (False, True)
