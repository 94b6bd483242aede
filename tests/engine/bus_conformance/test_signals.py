"""Cancels and messages reach the process that drives a run, and its readers and waiters hear of it on every process."""

import asyncio
from typing import Any

import pytest

from musterd import Agent, Team
from musterd.core.errors import NotFound, StoreUnavailable
from musterd.core.events import EventKind
from musterd.core.records import RunRow, StepState
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from musterd.service.steering import SentMessage
from tests.engine.bus_conformance.conftest import API, WORKER, Processes
from tests.support.engine import NOBODY, EngineHarness, read_all
from tests.support.held_model import HeldModel


def ref(harness: EngineHarness, run_id: str) -> RunRef:
    return RunRef(harness.component(), run_id, None, NOBODY)


async def test_a_cancel_reaches_a_run_elsewhere(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, _):
        await api.start("wait", "r1")
        await hold.reached.wait()
        await api.ask_to_cancel("r1")
        await hold.stopped.wait()
        assert (await api.end_of("r1")).row.state is RunState.CANCELLED


async def test_a_cancel_of_a_run_that_waits_lets_the_next_one_begin(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, concurrency=1) as (api, _):
        await api.start("wait", "r1", "s1")
        await hold.reached.wait()
        await api.start("hi", "r2", "s2")
        await api.start("hi", "r3", "s2")
        assert (await api.cancel("r2")).state is RunState.CANCELLED
        hold.release()
        assert (await api.end_of("r3")).row.state is RunState.COMPLETED


async def test_a_cancel_that_was_lost_on_the_way_wins_at_the_end(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, worker):
        await api.start("wait", "r1")
        await hold.reached.wait()
        worker.server.bus.begin_stop()  # it hears nothing more
        await api.ask_to_cancel("r1")
        hold.release()
        await worker.idle()
        assert (await api.end_of("r1")).row.state is RunState.CANCELLED


async def test_a_cancel_reaches_a_run_whose_attempt_does_not_exist_yet(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.hold("wait")
    async with processes(API, WORKER) as (api, worker):
        await worker.idle()  # the claims with which it starts are over; one of them would find the run
        write, is_claimed, goes_on = worker.database.write, asyncio.Event(), asyncio.Event()

        async def write_and_wait(work: Any) -> Any:
            result = await write(work)
            if isinstance(result, list) and result and isinstance(result[0], RunRow):
                is_claimed.set()
                await goes_on.wait()
            return result

        monkeypatch.setattr(worker.database, "write", write_and_wait)
        await api.start("wait", "r1")
        await is_claimed.wait()
        look, has_looked = worker.engine.read_changed_rows, asyncio.Event()

        async def noted_look(run_ids: Any = None) -> None:
            await look(run_ids)
            has_looked.set()

        monkeypatch.setattr(worker.engine, "read_changed_rows", noted_look)
        await api.ask_to_cancel("r1")
        await has_looked.wait()
        goes_on.set()
        assert (await api.end_of("r1")).row.state is RunState.CANCELLED


async def test_lost_hints_delay_a_cancel_and_a_wait_but_lose_neither(
    processes: Processes, model: HeldModel, bus_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bus_kind == "nats":
        monkeypatch.setattr("musterd.engine.row_watch.SWEEP_SECONDS", 0.1)
    hold = model.hold("wait")
    async with processes(API, WORKER) as (api, worker):
        for harness in (api, worker):
            monkeypatch.setattr(harness.server.bus, "send_signal", lambda run: None)
            monkeypatch.setattr(harness.server.bus, "send_events", lambda root_id, flush: None)
        await api.start("wait", "r1")
        await hold.reached.wait()
        await api.ask_to_cancel("r1")
        assert (await api.end_of("r1")).row.state is RunState.CANCELLED


@pytest.mark.parametrize("bus_kind", ["sqlite", "postgres"], indirect=True)
async def test_a_look_that_failed_is_made_again(
    processes: Processes, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, beat_seconds=3600) as (api, worker):  # a heartbeat would lead to another look
        await api.start("wait", "r1")
        await hold.reached.wait()
        look, failures = worker.engine.read_changed_rows, 0

        async def failing_look(run_ids: Any = None) -> None:
            nonlocal failures
            if not (await worker.records.row("r1")).cancel_requested_at:
                return
            if failures < 2:
                failures += 1
                raise StoreUnavailable
            await look(run_ids)

        monkeypatch.setattr(worker.engine, "read_changed_rows", failing_look)
        await api.ask_to_cancel("r1")
        await hold.stopped.wait()
        assert (await api.end_of("r1")).row.state is RunState.CANCELLED
        assert failures == 2


async def test_a_message_reaches_a_run_elsewhere(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("[[WORDS 3]]", after=1)
    team = Team(id="team", model=model, members=[Agent(id="one", model=model)])
    async with processes(API, WORKER, teams=[team]) as (api, worker):
        await api.start("[[DELEGATE one: <WORDS 3>]]", "r1")
        await hold.reached.wait()
        await api.runs.steering.send(ref(api, "r1"), SentMessage(text="Be brief"))
        attempt = worker.engine.live_attempts()["r1"]
        while attempt.run.signals < 1:  # until the process that drives it knows
            await worker.written()
            await asyncio.wait([asyncio.ensure_future(_no_work())])
        hold.release()
        await api.end_of("r1")
        (message,) = await api.runs.steering.messages(ref(api, "r1"))
        assert message.taken_path == "t1/m"


async def _no_work() -> None:
    pass


async def test_a_cancel_of_a_member_reaches_a_run_elsewhere(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("[[WORDS 3]]")
    team = Team(id="team", model=model, members=[Agent(id="one", model=model)])
    async with processes(API, WORKER, teams=[team]) as (api, _):
        await api.start("[[DELEGATE one: <WORDS 3>]]", "r1")
        await hold.reached.wait()
        (member,) = await api.members("r1")
        await api.runs.cancel(ref(api, member.row.run_id))
        await hold.stopped.wait()
        assert (await api.end_of("r1")).row.state is RunState.COMPLETED
        steps = {step.step.path: step.step.state for step in await api.runs.steps(ref(api, "r1"))}
        assert steps["t0/c0"] is StepState.FAILED


async def test_readers_elsewhere_get_every_event_once(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait", after=1)
    async with processes(API, WORKER, API) as (api, worker, other):
        early = asyncio.ensure_future(read_all(api.runs.subscribe("r1")))
        await api.start("wait", "r1", "s1")
        await hold.reached.wait()
        await worker.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT)
        _, reading = await other.runs.following.open(RunRef(other.component(), "r1", "s1", NOBODY), -1)
        late = asyncio.ensure_future(read_all(reading))
        hold.release()
        assert await early == await late == await api.stored("r1")


async def test_waits_elsewhere_end(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, API) as (api, _, other):
        await api.start("wait", "r1")
        waits = [asyncio.ensure_future(harness.end_of("r1")) for harness in (api, other)]
        await hold.reached.wait()
        hold.release()
        assert [(await wait).row.state for wait in waits] == [RunState.COMPLETED] * 2


async def test_waits_for_a_run_that_is_deleted_elsewhere_end(processes: Processes, model: HeldModel) -> None:
    hold = model.hold("wait")
    async with processes(API, WORKER, API) as (api, _, other):
        await api.start("wait", "r1", "s1")
        await hold.reached.wait()
        wait = asyncio.ensure_future(other.end_of("r1"))
        await asyncio.wait([wait], timeout=0.01)
        await api.sessions.delete("s1", NOBODY)
        (end,) = await asyncio.gather(wait, return_exceptions=True)
        assert isinstance(end, NotFound) or (not isinstance(end, BaseException) and end.row.state is RunState.CANCELLED)
