"""A look at changed rows whose answer comes late does no harm, and one after a long stall stops what is over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.states import RunState
from musterd.engine import attempt_execution
from musterd.store import cancels, workers
from tests.engine.bus_conformance.conftest import WORKER, Processes
from tests.support.engine import EngineHarness, read_all
from tests.support.held_model import HeldModel
from tests.support.store import of_run


@contextlib.asynccontextmanager
async def a_late_look(harness: EngineHarness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A look at all rows has read them before this context, and acts on them after it."""
    read, has_read, goes_on = harness.database.read, asyncio.Event(), asyncio.Event()

    class Held:
        async def read(self, work: Any) -> Any:
            result = await read(work)
            has_read.set()
            await goes_on.wait()
            return result

    changed_rows = harness.engine._changed_rows
    with monkeypatch.context() as patches:
        patches.setattr(changed_rows, "_database", Held())
        look = asyncio.ensure_future(changed_rows.read())
        await has_read.wait()
    yield
    goes_on.set()
    await look


async def test_a_late_look_leaves_a_newer_attempt_alone(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = model.hold("wait")
    async with processes(WORKER) as (worker,):
        engine = worker.engine
        await worker.start("wait", "r1")
        await hold.reached.wait()
        release = workers.release_runs
        await worker.database.write(lambda tx: release(tx, engine.worker_id, clock.now(), crashed=False))
        async with a_late_look(worker, monkeypatch):
            engine.wake()
            while (live := engine.live_attempts().get("r1")) is None or live.number == 1:
                await worker.written()
        hold.release()
        row = (await worker.end_of("r1")).row
        assert (row.state, row.attempt) == (RunState.COMPLETED, 2)


async def test_a_late_look_leaves_the_stream_of_a_new_run_open(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = model.hold("wait", after=1)
    async with processes(WORKER) as (worker,):
        reading = worker.runs.subscribe("r1")
        async with a_late_look(worker, monkeypatch):
            await worker.start("wait", "r1")
            await hold.reached.wait()
            await reading.wait(60)
        assert not reading.is_closed
        hold.release()
        assert await read_all(reading) == await worker.stored("r1")


async def test_an_attempt_whose_run_was_ended_elsewhere_stops(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(WORKER) as (worker,):
        reading = worker.runs.subscribe("r1")
        await worker.start("wait", "r1")
        await hold.reached.wait()
        outbox = worker.engine.live_attempts()["r1"].outbox
        while outbox._pending is not None or outbox._commits:  # a later commit would notice it, too
            await worker.written()
        await worker.database.write(of_run(cancels.request, "r1", "client", clock.now()))
        release, worker_id = workers.release_runs, worker.engine.worker_id
        released = await worker.database.write(lambda tx: release(tx, worker_id, clock.now(), crashed=True))
        assert [result.run.state for result in released.ended] == [RunState.CANCELLED]
        await worker.engine.read_changed_rows()
        await hold.stopped.wait()
        assert await read_all(reading) == await worker.stored("r1")
        assert "r1" not in worker.engine.live_attempts()


async def test_a_run_that_cannot_be_released_at_first_is_released_later(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.engine.worker.RETRY_SECONDS", 0.01)
    failures: list[Exception] = [RuntimeError("refused"), RuntimeError("refused"), StoreUnavailable(), OSError("odd")]
    release, settle = workers.hand_over, attempt_execution.settle_or_cancel

    async def failing_settle(*args: Any) -> Any:
        if len(failures) > 2:
            raise failures.pop(0)
        return await settle(*args)

    async def failing_release(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return await release(*args, **options)

    monkeypatch.setattr(attempt_execution, "settle_or_cancel", failing_settle)
    monkeypatch.setattr(workers, "hand_over", failing_release)
    async with processes(WORKER) as (worker,):
        await worker.start("hi", "r1")
        while (await worker.records.row("r1")).state is not RunState.READY and failures:
            await worker.written()
        while (await worker.records.row("r1")).state is not RunState.COMPLETED:
            await worker.engine.upkeep.once()  # one that crashed waits a little, and then has no hint
        assert (await worker.end_of("r1")).row.attempt == 2
