"""Ready runs reach a process that drives them, whichever process made them ready, and each is claimed once."""

import asyncio
import itertools
from typing import Any

import pytest

from musterd import Agent
from musterd.core.errors import StoreUnavailable
from musterd.core.queueing import QueueingOptions
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.store import runs
from musterd.store.database import Tx
from tests.engine.bus_conformance.conftest import API, WORKER, Processes
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel
from tests.support.store import of_run


def without_hints(harness: EngineHarness) -> None:
    """Have a process die between its commits and its hints."""
    harness.server.bus.send_ready = lambda run: None  # type: ignore[method-assign]


async def test_a_run_is_driven_by_another_process(processes: Processes) -> None:
    async with processes(API, WORKER) as (api, worker):
        view = await api.run("hi", "r1")
        assert (view.row.state, view.row.worker) == (RunState.COMPLETED, worker.engine.worker_id)


async def test_a_process_that_is_alone_drives_the_runs_that_it_makes_ready(processes: Processes) -> None:
    async with processes(WORKER) as (worker,):
        for number in range(3):
            await worker.start("hi", f"r{number}", "s1")
        states = [(await worker.end_of(f"r{number}")).row.state for number in range(3)]
        assert states == [RunState.COMPLETED] * 3


async def test_the_runs_of_a_session_follow_each_other(processes: Processes) -> None:
    async with processes(API, WORKER, WORKER) as (api, *_):
        for number in range(4):
            await api.start("hi", f"r{number}", "s1")
        rows = [(await api.end_of(f"r{number}")).row for number in range(4)]
    assert [row.state for row in rows] == [RunState.COMPLETED] * 4
    for before, after in itertools.pairwise(rows):
        assert before.ended_at is not None
        assert after.started_at is not None
        assert before.ended_at <= after.started_at


async def test_a_hint_follows_the_commit_of_its_run(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with processes(API, WORKER) as (api, worker):
        connection = api.database.thread_connection()
        seen: list[str | None] = []

        def checked_ready(harness: EngineHarness) -> Any:
            ready = harness.server.bus.send_ready

            def check(run: RunRow) -> None:
                seen.append(connection.do(lambda tx: _state(tx, run.run_id)))
                ready(run)

            return check

        for harness in (api, worker):
            monkeypatch.setattr(harness.server.bus, "send_ready", checked_ready(harness))
        for number in range(3):
            await api.start("hi", f"r{number}", "s1")
        for number in range(3):
            await api.end_of(f"r{number}")
        connection.close()
    assert len(seen) >= 3
    assert set(seen) <= {"ready", "running"}


async def _state(tx: Tx, run_id: str) -> str | None:
    state = await of_run(runs.state_of, run_id)(tx)
    return None if state is None else state.value


async def test_an_acceptance_that_fails_gives_no_hint(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with processes(API, WORKER) as (api, _):
        hints: list[RunRow] = []
        monkeypatch.setattr(api.server.bus, "send_ready", hints.append)

        async def refuse(_work: Any) -> Any:
            raise StoreUnavailable

        with monkeypatch.context() as patch:
            patch.setattr(api.database, "write", refuse)
            with pytest.raises(StoreUnavailable):
                await api.start("hi", "r1")
        assert hints == []


async def test_a_lost_hint_is_made_up_for_by_upkeep(processes: Processes) -> None:
    async with processes(API, WORKER) as (api, worker):
        without_hints(api)
        await api.start("hi", "r1")
        await worker.engine.upkeep.once()
        assert (await api.end_of("r1")).row.state is RunState.COMPLETED


async def test_hints_that_come_twice_or_late_begin_nothing(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, WORKER) as (api, *_):
        run = (await api.start("wait", "r1")).run
        api.server.bus.send_ready(run)
        await hold.reached.wait()
        api.server.bus.send_ready(run)
        await api.run("hi", "r2", "s2")
        hold.release()
        assert (await api.end_of("r1")).row.attempt == 1
        api.server.bus.send_ready(run)
        await api.run("hi", "r3", "s3")
        assert (await api.records.row("r1")).attempt == 1
    assert len(model.calls) == 3


async def test_a_run_waits_for_a_process_that_drives_its_component(processes: Processes, model: HeldModel) -> None:
    async with processes(API, WORKER) as (api, _):
        accepted = await api.records.accept("r1", row={"component_id": "late"})
        api.server.bus.send_ready(accepted.run)
        await api.run("hi", "r2", "s2")
        assert (await api.records.row("r1")).state is RunState.READY
        async with processes(WORKER, agents=[Agent(id="late", model=model)]) as (late,):
            await late.end_of("r1")
            assert (await api.records.row("r1")).worker == late.engine.worker_id


async def test_a_process_without_a_free_slot_leaves_runs_to_others(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, WORKER, concurrency=2) as (api, *workers):
        for number in range(4):
            await api.start("wait", f"r{number}", f"s{number}")
        while len(model.calls) < 4:
            await api.written()
        drivers = sorted([(await api.records.row(f"r{number}")).worker or "" for number in range(4)])
        ids = sorted(worker.engine.worker_id for worker in workers)
        assert drivers == [ids[0], ids[0], ids[1], ids[1]]
        await api.start("hi", "r4", "s4")
        hold.release()
        assert (await api.end_of("r4")).row.state is RunState.COMPLETED


async def test_a_higher_priority_is_claimed_first(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, concurrency=1) as (api, _):
        await api.start("wait", "r0", "s0")
        await hold.reached.wait()
        for number, priority in enumerate((0, 5, -5), 1):
            queueing = QueueingOptions(priority=priority)
            await api.start("hi", f"r{number}", f"s{number}", queueing=queueing)
        hold.release()
        rows = [(await api.end_of(f"r{number}")).row for number in (1, 2, 3)]
    begun = {row.run_id: row.started_at or 0.0 for row in rows}
    assert sorted(begun, key=begun.__getitem__) == ["r2", "r1", "r3"]


async def test_a_stop_hands_runs_over(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, first):
        await api.start("[[TOOL nothing {}]] wait", "r1")
        await api.start("wait", "r2", "s2")
        await hold.reached.wait()
        async with processes(WORKER) as (second,):
            await second.engine.upkeep.once()
            stopping = asyncio.create_task(first.engine.stop())
            hold.release()
            await stopping
            row = (await api.end_of("r2")).row
            assert row.state is RunState.COMPLETED
            assert row.worker in (first.engine.worker_id, second.engine.worker_id)
            assert (await api.end_of("r1")).row.state is RunState.COMPLETED
