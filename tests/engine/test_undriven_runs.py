"""A run that is stored as running in a process that does not drive it goes on in a new attempt."""

from typing import Any

from musterd.core.states import RunState
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel

QUIET: dict[str, Any] = {"upkeep_seconds": 3600}


async def undriven_run(harness: EngineHarness, run_id: str) -> None:
    """A run that is stored as running in this process, without an attempt."""
    harness.records.worker = harness.engine.worker_id
    await harness.records.started(run_id, f"s-{run_id}")


async def test_a_run_that_two_looks_find_undriven_goes_on(engines: Engines) -> None:
    async with engines(**QUIET) as harness:
        await undriven_run(harness, "r1")
        await harness.engine.undriven_runs.look()
        assert (await harness.records.row("r1")).state is RunState.RUNNING
        await harness.engine.undriven_runs.look()
        await harness.engine.upkeep.once()
        row = (await harness.end_of("r1")).row
        assert (row.state, row.attempt) == (RunState.COMPLETED, 2)


async def test_driven_runs_and_those_about_to_begin_are_left_alone(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with engines(**QUIET) as harness:
        await harness.start("wait", "r1")
        await hold.reached.wait()
        assert harness.engine.reserve()
        await undriven_run(harness, "r2")  # accepted, and its attempt does not exist yet
        for _ in range(3):
            await harness.engine.undriven_runs.look()
        assert (await harness.records.row("r2")).state is RunState.RUNNING
        harness.engine.unreserve()
        for _ in range(2):
            await harness.engine.undriven_runs.look()
        await harness.engine.upkeep.once()
        assert (await harness.end_of("r2")).row.attempt == 2
        hold.release()
        assert (await harness.end_of("r1")).row.attempt == 1
