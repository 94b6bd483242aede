"""Dead processes are found, living ones and those that leave are not taken for dead, and one that was returns.

A process that may be taken for dead begins no run.
"""

import asyncio

import pytest

from musterd.core.states import RunState
from musterd.store import workers
from tests.engine.bus_conformance.conftest import (
    API,
    QUICK,
    WORKER,
    Processes,
    die,
    reassign_runs_of,
    resume_beats,
    stop_beats,
)
from tests.support.engine import PATIENCE_SECONDS, EngineHarness
from tests.support.held_model import HeldModel

pytestmark = pytest.mark.usefixtures("several_looks")


async def dead(harness: EngineHarness) -> list[str]:
    """The workers that a process holds for dead now."""
    announced = await harness.database.scan(workers.heartbeats)
    return await harness.server.bus.find_dead(announced)


async def both_beat(harness: EngineHarness) -> None:
    """Wait until each worker has stored a beat since now."""
    before = await harness.database.scan(workers.heartbeats)
    assert len(before) == 2
    while not before.items().isdisjoint((await harness.database.scan(workers.heartbeats)).items()):
        await harness.written()


async def test_the_runs_of_a_dead_process_are_driven_by_another(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, WORKER, **QUICK) as (api, *both):
        await api.start("wait", "r1")
        await hold.reached.wait()
        row = await api.records.row("r1")
        first, second = sorted(both, key=lambda harness: harness.engine.worker_id != row.worker)
        await die(first)
        hold.release()
        while (await api.records.row("r1")).worker != second.engine.worker_id:
            await second.engine.upkeep.once()
        view = await api.end_of("r1")
        assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)


async def test_a_process_that_lives_or_has_left_is_not_dead(processes: Processes) -> None:
    async with processes(WORKER, WORKER, **QUICK) as (first, second):
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(20):
                await both_beat(first)
                assert await dead(second) == []
                assert await dead(first) == []
        await first.engine.stop()
        assert await dead(second) == []
        assert await second.records.select("SELECT id FROM workers") == [{"id": second.engine.worker_id}]


async def test_it_is_alive_until_its_runs_are_released(processes: Processes) -> None:
    async with processes(WORKER, WORKER) as (first, second):
        held: list[list[str]] = []

        async def release() -> None:
            held.append(await dead(second))
            await first.database.write(lambda tx: workers.release_runs(tx, first.engine.worker_id, 1.0, crashed=False))

        await first.server.bus.leave(release)
        assert held == [[]]


async def test_one_that_was_taken_for_dead_returns_and_stops_its_attempts(
    processes: Processes, model: HeldModel
) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, **QUICK) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        worker_id = worker.engine.worker_id
        await api.database.write(lambda tx: workers.release_runs(tx, worker_id, 1.0, crashed=True))
        await hold.stopped.wait()
        hold.release()
        assert (await api.end_of("r1")).row.attempt == 2
        assert {"id": worker_id} in await api.records.select("SELECT id FROM workers")


async def test_one_whose_heartbeats_hang_begins_no_run_until_they_go_on(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event loop can use the database, so it could claim its runs again each time that they are reassigned."""
    monkeypatch.setattr("musterd.engine.bus_nats.CUT_OFF_PERIODS", 0)
    monkeypatch.setattr("musterd.engine.row_watch.SWEEP_SECONDS", 0.1)
    hold = model.hold("wait")
    async with processes(API, WORKER, **QUICK) as (api, silent):
        await api.start("wait", "r1")
        await hold.reached.wait()
        await stop_beats(silent)
        await reassign_runs_of(silent, api)
        await hold.stopped.wait()
        hold.release()
        await silent.engine.upkeep.once()
        assert silent.engine.reserve() is None
        async with processes(WORKER) as (other,):
            row = (await api.end_of("r1")).row
            assert (row.state, row.attempt, row.worker) == (RunState.COMPLETED, 2, other.engine.worker_id)
        await resume_beats(silent)
        while {"id": silent.engine.worker_id} not in await api.records.select("SELECT id FROM workers"):
            await silent.written()
        row = (await silent.run("hi", "r2", "s2")).row
        assert (row.state, row.attempt, row.worker) == (RunState.COMPLETED, 1, silent.engine.worker_id)


async def test_each_process_that_is_left_gets_turns(processes: Processes) -> None:
    async with processes(WORKER, WORKER, **QUICK) as (first, second):
        await first.server.bus.upkeep_turn(0.001)
        await die(first)
        async with asyncio.timeout(30):
            await second.server.bus.upkeep_turn(0.001)
