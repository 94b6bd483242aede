"""The stop and what comes after: runs are handed over, and another engine on the same file finishes them."""

import asyncio
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import Agent, Team, tool
from musterd.core.events import EventKind
from musterd.core.records import Input
from musterd.core.states import RunState
from musterd.engine.broadcaster import EndWaiter
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from musterd.store import workers
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, PATIENCE_SECONDS, EngineHarness, read_all
from tests.support.held_model import HeldModel
from tests.support.store import HERE


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_running_run_is_handed_over_and_finished_by_another(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[WORDS 6]]", after=3)
    async with engines() as first:
        await first.start("[[WORDS 6]]", "r1")
        await first.start("[[SAY second]]", "r2")
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.CONTENT)
    assert hold.stopped.is_set()
    hold.release()
    async with engines() as second:
        view = await second.end_of("r1")
        assert (await second.end_of("r2")).row.attempt == 1
        assert (view.row.state, view.row.attempt, view.row.crashes) == (RunState.COMPLETED, 2, 0)
        events = [event for _, event in await second.stored("r1")]
    (continued,) = [event for event in events if event.kind is EventKind.RUN_CONTINUED]
    assert continued.data == {
        "attempt": 2,
        "reason": "recovered",
        "superseded": [{"run_id": "r1", "path": "", "from_event_index": 1}],
    }
    after = events[events.index(continued) + 1 :]
    assert [event.kind for event in events].count(EventKind.RUN_STARTED) == 1, "what readers have is not told again"
    assert "".join(event.data.get("text", "") for event in after) == "word0 word1 word2 word3 word4 word5"
    assert view.output is not None
    assert view.output.content == "word0 word1 word2 word3 word4 word5"


async def test_what_waits_is_not_touched_by_a_stop(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines(concurrency=1) as first:
        await first.start("held", "r1", "s1")
        await first.start("queued", "r2", "s1")
        await first.start("ready", "r3", "s2")
        await hold.reached.wait()
    hold.release()
    async with engines() as second:
        views = [await second.end_of(name) for name in ("r1", "r2", "r3")]
        assert [view.row.attempt for view in views] == [2, 1, 1]
        assert {view.row.state for view in views} == {RunState.COMPLETED}
        assert await second.records.select("SELECT id FROM workers") == [{"id": second.engine.worker_id}]


async def test_a_team_goes_on_with_the_same_members_runs(engines: Engines, model: HeldModel) -> None:
    team = Team(id="team", model=model, members=[Agent(id="helper")])
    hold = model.hold("[[SAY done]]")
    async with engines(teams=[team]) as first:
        await first.start("[[DELEGATE helper: <SAY done>]]", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.place == "t0/c0/t0/m")
        before = [view.row.run_id for view in await first.members("r1")]
    hold.release()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        members = await second.members("r1")
        assert view.row.state is RunState.COMPLETED
        assert [member.row.run_id for member in members] == before
        assert [member.row.state for member in members] == [RunState.COMPLETED]
        steps = await second.records.select("SELECT path, attempt, state FROM journal ORDER BY path")
        assert {step["state"] for step in steps} == {"completed"}
        assert {"p", "t0/m"} <= {step["path"] for step in steps if step["attempt"] == 1}


async def test_a_cancel_that_nobody_obeyed_yet_is_obeyed_at_the_stop(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines() as first:
        await first.start("held", "r1")
        await first.start("next", "r2")
        await hold.reached.wait()
        await first.records.cancel("r1")  # stored by another process: this one is not told
    async with engines() as second:
        assert (await second.end_of("r2")).row.state is RunState.COMPLETED
        assert (await second.end_of("r1")).row.state is RunState.CANCELLED


async def test_readers_hear_of_a_cancel_that_is_obeyed_at_the_stop(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines() as harness:
        reading = asyncio.ensure_future(read_all(harness.runs.subscribe("r1")))
        await harness.start("held", "r1")
        await hold.reached.wait()
        await harness.records.cancel("r1")  # stored by another process: this one is not told
        await harness.engine.stop()
        assert (await reading)[-1][1].kind is EventKind.RUN_CANCELLED


async def left_by_the_dead(harness: EngineHarness) -> None:
    """A run of a worker that is gone, and one of a worker that was never announced."""
    await harness.database.write(lambda tx: workers.add(tx, "gone", [], HERE))
    harness.records.worker = "gone"
    await harness.records.started("r1")
    harness.records.worker = "never announced"
    await harness.records.started("r2", "s2")


async def check_taken_over(harness: EngineHarness) -> None:
    for name in ("r1", "r2"):
        view = await harness.end_of(name)
        assert (view.row.state, view.row.attempt) == (RunState.COMPLETED, 2)
        assert view.row.crashes <= 1, "a step that is stored before the end sets it back to 0"
    assert await harness.records.select("SELECT id FROM workers") == [{"id": harness.engine.worker_id}]


async def test_a_dead_workers_runs_are_taken_over(engines: Engines) -> None:
    async with engines() as dead:
        await left_by_the_dead(dead)
    async with engines(upkeep_seconds=0.01, dead_seconds=0.05) as harness:
        await check_taken_over(harness)


async def test_a_free_lock_has_them_taken_over_at_the_start(file_engines: Engines, sqlite_file: Path) -> None:
    async with file_engines() as dead:
        await left_by_the_dead(dead)
    sqlite_file.with_name(sqlite_file.name + ".worker-gone").touch()
    async with file_engines(upkeep_seconds=3600) as harness:
        await check_taken_over(harness)
    assert [path.name for path in sqlite_file.parent.iterdir() if ".worker-" in path.name] == []


async def test_two_engines_leave_each_others_live_runs_alone(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines() as first:
        await first.start("held", "r1")
        await hold.reached.wait()
        async with engines() as second:
            assert (await second.run("[[SAY mine]]", "r2", "s2")).row.worker == second.engine.worker_id
            await second.start("behind", "r3", "s1")
            assert (await second.records.row("r1")).worker == first.engine.worker_id
        assert (await first.records.row("r1")).attempt == 1
        hold.release()
        for name in ("r1", "r3"):
            assert (await first.end_of(name)).row.state is RunState.COMPLETED


async def test_a_run_accepted_in_the_middle_of_the_stop_is_not_lost(engines: Engines, model: HeldModel) -> None:
    async with engines() as first:
        await first.run("warm", "r0")
        accepting = [asyncio.ensure_future(first.start("hi", f"r{n}", f"s{n}")) for n in range(1, 9)]
        await asyncio.wait(accepting, timeout=0)
    accepted = [acceptance.run.run_id for acceptance in await asyncio.gather(*accepting, return_exceptions=False)]
    async with engines() as second:
        for name in accepted:
            view = await second.end_of(name)
            assert view.row.state is RunState.COMPLETED
        running = await second.records.select("SELECT run_id FROM runs WHERE state = 'running'")
        assert running == []


async def test_a_stuck_tool_holds_up_neither_others_nor_the_stop(
    engines: Engines, model: HeldModel, let_go: threading.Event
) -> None:
    began = threading.Event()

    @tool
    def stay() -> str:
        """Stay."""
        began.set()
        let_go.wait()
        return "at last"

    @tool
    def go() -> str:
        """Go."""
        return "gone"

    agents = [Agent(id="solo", model=model, tools=[stay, go])]
    async with engines(agents=agents, concurrency=2) as first:
        await first.start("[[TOOL stay {}]]", "r1", "s1")
        await asyncio.to_thread(began.wait)
        assert (await first.run("[[TOOL go {}]]", "r2", "s2")).row.state is RunState.COMPLETED
    async with engines(agents=agents) as second:
        let_go.set()
        view = await second.end_of("r1")
        assert (view.row.state, view.row.attempt) == (RunState.PAUSED, 2), "nobody can say what came of the call"


async def test_an_async_tool_that_will_not_stop_does_not_hold_up_the_stop_for_ever(
    engines: Engines, model: HeldModel
) -> None:
    began, released = asyncio.Event(), asyncio.Event()

    @tool
    async def stubborn() -> str:
        """Ignore whoever says stop."""
        while not released.is_set():
            try:
                began.set()
                await released.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    with capture_logs() as logs:
        async with engines(agents=[Agent(id="solo", model=model, tools=[stubborn])], drain_seconds=0.05) as harness:
            await harness.start("[[TOOL stubborn {}]]", "r1")
            await began.wait()
            tasks = [live.task for live in harness.engine._live.values()]
    assert warnings_in(logs) == ["some tools did not stop; their runs are released anyway"]
    released.set()
    await asyncio.wait(tasks)


async def test_upkeep_that_waits_for_the_database_is_not_called_a_tool_in_the_stop(engines: Engines) -> None:
    began, answered = asyncio.Event(), asyncio.Event()

    async def statement_on_a_slow_server() -> None:
        while not answered.is_set():
            try:
                began.set()
                await answered.wait()
            except asyncio.CancelledError:
                continue

    with capture_logs() as logs:
        async with engines() as harness:
            upkeep = asyncio.create_task(statement_on_a_slow_server())
            harness.engine._periodic.append(upkeep)
            await began.wait()
        answered.set()
        await asyncio.wait([upkeep])
    assert warnings_in(logs) == []


def warnings_in(logs: Sequence[MutableMapping[str, Any]]) -> list[str]:
    return [line["event"] for line in logs if line["log_level"] in ("warning", "error")]


async def test_readers_are_told_that_the_server_stops(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, waits = model.hold("held"), asyncio.Event()
    wait = EndWaiter.wait

    async def signalled_wait(self: EndWaiter, seconds: float) -> None:
        waits.set()
        await wait(self, seconds)

    monkeypatch.setattr(EndWaiter, "wait", signalled_wait)
    async with engines() as harness:
        reading = harness.runs.subscribe("r1")
        await harness.start("held", "r1")
        waiting = asyncio.ensure_future(harness.runs.settled_view(RunRef(harness.component(), "r1", None, NOBODY), 30))
        await hold.reached.wait()
        await waits.wait()
    assert (await waiting).row.state in (RunState.RUNNING, RunState.READY), "not ended; the stop may have released it"
    assert reading.is_closed
    assert EventKind.RUN_COMPLETED not in [event.kind for _, event in await read_all(reading)]


async def test_a_run_whose_reader_was_sent_away_goes_on_and_is_forgotten(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines(disconnect_seconds=0) as harness:
        presence = harness.runs.connected_clients
        request = RunRequest(input=Input(message="held"), run_id="r1", cancel_on_disconnect=True)
        await harness.runs.start(harness.component(), request, NOBODY)
        presence.enter("r1")
        presence.leave("r1", is_closed_by_server=True)
        assert not presence.tracks("r1")
        hold.release()
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED


async def test_an_abandoned_run_is_cancelled_and_one_with_company_is_not(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines(disconnect_seconds=0.01) as harness:
        for number in (1, 2):
            request = RunRequest(input=Input(message="held"), run_id=f"r{number}", cancel_on_disconnect=True)
            await harness.runs.start(harness.component(), request, NOBODY)
            harness.runs.connected_clients.enter(f"r{number}")
        harness.runs.connected_clients.enter("r2")
        await hold.reached.wait()
        harness.runs.connected_clients.leave("r1")
        harness.runs.connected_clients.leave("r2")
        end = EndWaiter(harness.broadcaster, "r1", "r1")  # a poll would count as a subscriber
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not end.is_over:
                await end.wait(PATIENCE_SECONDS)
        row = await harness.records.row("r1")
        assert (row.state, row.cancel_by) == (RunState.CANCELLED, "disconnect")
        assert (await harness.records.row("r2")).cancel_requested_at is None
        hold.release()
        assert (await harness.end_of("r2")).row.state is RunState.COMPLETED
        harness.runs.connected_clients.leave("r2", is_over=True)
        assert harness.runs.connected_clients._timers == {}
