"""Session streams and readers of all runs learn of changes by other processes, without polling."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from musterd import Agent, tool
from musterd.core.approvals import Resolution
from musterd.core.queueing import QueueingOptions
from musterd.core.run_changes import Change
from musterd.core.session_cursors import Cursor
from musterd.core.states import RunState
from musterd.service import run_feed
from musterd.service.run_feed import FeedReader
from musterd.service.session_subscription import SessionSubscription
from tests.engine.bus_conformance.conftest import API, WORKER, Processes
from tests.support.engine import NOBODY, PATIENCE_SECONDS, EngineHarness
from tests.support.held_model import HeldModel


@pytest.fixture(autouse=True)
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off all looks that do not follow a hint."""
    pytest.importorskip("nats")
    monkeypatch.setattr("musterd.engine.row_watch.SWEEP_SECONDS", 3600.0)
    monkeypatch.setattr(run_feed, "LONGEST_SECONDS", float("inf"))
    monkeypatch.setattr(run_feed, "LOOK_SECONDS", 0.02)


async def ends_in(reading: SessionSubscription) -> AsyncIterator[str]:
    """The ids of finished runs, in the order in which the reader of their session gets their ends."""
    while not reading.is_closed:
        async for run, flush in reading.available():
            for index, event in enumerate(flush.events, flush.first_index):
                run.note(event, index)
            if run.has_ended:
                yield run.root.run_id
        await reading.wait(PATIENCE_SECONDS)


async def quiet(*harnesses: EngineHarness) -> None:
    """Wait until each process has made the look that follows its subscriptions."""
    for harness in harnesses:
        for _ in range(3):
            await harness.engine.read_changed_rows()
            await harness.written()


async def test_runs_that_another_process_accepts_are_found(processes: Processes) -> None:
    async with processes(API, WORKER, API) as (api, _, other):
        await api.run("hi", "r0", "s1")
        reading = other.sessions.subscribe("s1", NOBODY)
        await reading.begin(None)
        ends = ends_in(reading)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in range(1, 4):
                await api.start("hi", f"r{number}", "s1")
                assert await anext(ends) == f"r{number}"
        reading.close()


async def test_a_stream_ends_if_its_session_is_deleted_elsewhere(processes: Processes) -> None:
    async with processes(API, WORKER, API) as (api, _, other):
        await api.run("hi", "r0", "s1")
        reading = other.sessions.subscribe("s1", NOBODY)
        await reading.begin(Cursor())
        await quiet(other)
        await api.sessions.delete("s1", NOBODY)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert "r0" not in [run_id async for run_id in ends_in(reading)]


async def test_a_delayed_run_is_found_when_it_is_due(processes: Processes) -> None:
    async with processes(API, WORKER, API) as (api, worker, other):
        await api.run("hi", "r0", "s1")
        reading = other.sessions.subscribe("s1", NOBODY)
        await reading.begin(None)
        await api.start("hi", "r1", "s1", queueing=QueueingOptions(delay_seconds=0.001))
        end = asyncio.ensure_future(anext(ends_in(reading)))
        while not end.done():
            await worker.engine.upkeep.once()
            await asyncio.wait([end], timeout=0.01)
        assert end.result() == "r1"
        reading.close()


async def changes_until(reader: FeedReader, state: RunState) -> list[Change]:
    """The changes until a run has this state."""
    changes: list[Change] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(change.run is not None and change.run.state is state for change in changes):
            await reader.wait(PATIENCE_SECONDS)
            changes += reader.take()
    return changes


async def test_readers_of_all_runs_see_what_other_processes_do(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait", after=1)
    async with processes(API, WORKER, API) as (api, _, other):
        reader = await other.server.feed.read(NOBODY, None)
        await quiet(other)
        await api.start("wait", "r1", "s1")
        await changes_until(reader, RunState.RUNNING)
        hold.release()
        await changes_until(reader, RunState.COMPLETED)
        reader.close()


async def test_readers_see_a_decision_that_leaves_its_run_paused(processes: Processes, model: HeldModel) -> None:
    @tool(requires_confirmation=True)
    def pay(n: int) -> str:
        """Pay."""
        return f"paid {n}"

    async with processes(API, WORKER, API, agents=[Agent(id="solo", model=model, tools=[pay])]) as (api, _, other):
        reader = await other.server.feed.read(NOBODY, None)
        await api.start('[[TOOL pay {"n": 1}]] [[TOOL pay {"n": 2}]]', "r1", "s1")
        changes = await changes_until(reader, RunState.PAUSED)
        approvals = [change.approval for change in changes if change.approval is not None]
        assert len(approvals) == 2
        await quiet(other)
        await api.server.approvals.resolve(approvals[0].id, Resolution(is_approved=True), NOBODY)
        decided: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "approved" not in decided:
                await reader.wait(PATIENCE_SECONDS)
                decided += [change.approval.status for change in reader.take() if change.approval is not None]
        reader.close()
