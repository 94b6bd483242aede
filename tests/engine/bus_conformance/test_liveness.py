"""Dead processes are found, living ones and those that leave are not taken for dead, and one that was returns."""

import asyncio
from typing import Any

from musterd.core.states import RunState
from musterd.engine.bus_local import LocalBus
from musterd.store import workers
from tests.engine.bus_conformance.conftest import API, WORKER, Processes
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel

QUICK: dict[str, Any] = {"dead_seconds": 0.3, "beat_seconds": 0.02}


async def dead(harness: EngineHarness) -> list[str]:
    """The workers that a process holds for dead now."""
    announced = await harness.database.scan(workers.heartbeats)
    return harness.server.bus.dead(announced)


async def die(harness: EngineHarness) -> None:
    """Stop a process as a kill does: nothing more is stored, and nothing is released."""
    bus = harness.server.bus
    assert isinstance(bus, LocalBus)
    harness.engine.is_ready = False
    bus.begin_stop()
    assert bus._heartbeat is not None
    bus._heartbeat.stop()
    await asyncio.to_thread(bus._heartbeat.join)
    bus._locks.release(bus.worker_id)  # the operating system does it
    await harness.kill()


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
        beaten = first.server.bus.silent_seconds
        async with asyncio.timeout(10):
            for _ in range(20):  # looks that are beats apart
                assert await dead(second) == []
                assert second.engine.worker_id not in await dead(first)
                while first.server.bus.silent_seconds >= beaten:
                    beaten = first.server.bus.silent_seconds
                    await first.written()
                beaten = first.server.bus.silent_seconds
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


async def test_each_process_that_is_left_gets_turns(processes: Processes) -> None:
    async with processes(WORKER, WORKER, **QUICK) as (first, second):
        await first.server.bus.turn(0.001)
        await die(first)
        async with asyncio.timeout(10):
            await second.server.bus.turn(0.001)
