"""A stop lets steps under way finish, and hands runs over behind them."""

import asyncio
from typing import Any

import pytest

from musterd import Agent, StepInput, Team, Workflow, tool
from musterd.core.events import EventKind
from musterd.core.states import RunState
from musterd.engine import worker
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.support.crashes import check_each_event_once
from tests.support.engine import NOBODY, PATIENCE_SECONDS, EngineHarness
from tests.support.held_model import HeldModel

DRAIN: dict[str, Any] = {"drain_seconds": 30, "upkeep_seconds": 3600}


class Gate:
    """A tool that waits for the test, and says what was called."""

    def __init__(self) -> None:
        self.reached, self.open, self.calls = asyncio.Event(), asyncio.Event(), list[str]()

        @tool
        async def go(name: str) -> str:
            """Go."""
            self.calls.append(name)
            if name == "slow":
                self.reached.set()
                await self.open.wait()
            return f"gone {name}"

        self.tool = go

    async def open_in_the_stop(self, harness: EngineHarness) -> None:
        """Begin the stop, and open the gate."""
        harness.server.begin_stop()
        self.open.set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def steps(harness: EngineHarness) -> dict[str, tuple[int, str]]:
    rows = await harness.records.select("SELECT path, attempt, state FROM journal")
    return {row["path"]: (row["attempt"], row["state"]) for row in rows}


async def test_the_calls_of_a_turn_finish_and_no_turn_follows(engines: Engines, model: HeldModel, gate: Gate) -> None:
    agents = [Agent(id="solo", model=model, tools=[gate.tool])]
    message = '[[TOOL go {"name": "slow"}]] [[TOOL go {"name": "quick"}]]'
    async with engines(agents=agents, **DRAIN) as first:
        await first.start(message, "r1")
        await gate.reached.wait()
        await gate.open_in_the_stop(first)
    assert len(model.calls) == 1
    async with engines(agents=agents, **DRAIN) as second:
        view = await second.end_of("r1")
        assert (view.row.state, view.row.attempt, view.row.crashes) == (RunState.COMPLETED, 2, 0)
        assert (len(model.calls), sorted(gate.calls)) == (2, ["quick", "slow"])
        assert {path: attempt for path, (attempt, _) in (await steps(second)).items()} == {
            "p": 1, "t0/m": 1, "t0/c0": 1, "t0/c1": 1, "t1/m": 2,
        }  # fmt: skip
        check_each_event_once(await second.stored("r1"))


async def test_calls_that_the_model_asked_for_meanwhile_are_not_begun(
    engines: Engines, model: HeldModel, gate: Gate
) -> None:
    agents = [Agent(id="solo", model=model, tools=[gate.tool])]
    hold = model.hold("[[TOOL")
    async with engines(agents=agents, **DRAIN) as first:
        await first.start('[[TOOL go {"name": "quick"}]]', "r1")
        await hold.reached.wait()
        first.server.begin_stop()
        hold.release()
    assert gate.calls == []
    async with engines(agents=agents, **DRAIN) as second:
        assert (await second.end_of("r1")).row.state is RunState.COMPLETED
        assert (len(model.calls), gate.calls) == (2, ["quick"])
        check_each_event_once(await second.stored("r1"))


async def test_a_wait_that_begins_in_the_stop_ends_when_the_run_is_handed_over(
    engines: Engines, model: HeldModel, gate: Gate
) -> None:
    async with engines(agents=[Agent(id="solo", model=model, tools=[gate.tool])], **DRAIN) as harness:
        await harness.start('[[TOOL go {"name": "slow"}]]', "r1")
        await gate.reached.wait()
        harness.server.begin_stop()
        ref = RunRef(harness.component(), "r1", None, NOBODY)
        wait = asyncio.ensure_future(harness.runs.settled_view(ref, 3600))
        while "r1" not in harness.broadcaster.awaited_runs():
            await harness.written()
        gate.open.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await wait).row.state is RunState.READY


async def test_a_step_of_a_function_finishes_beside_one_that_is_handed_over(engines: Engines) -> None:
    is_stopping, is_left, calls = asyncio.Event(), asyncio.Event(), list[str]()

    async def slow(step_input: StepInput) -> str:
        calls.append("slow")
        await is_left.wait()
        return "slow"

    async def quick(step_input: StepInput) -> str:
        calls.append("quick")
        await is_stopping.wait()
        return "quick"

    async def whole(workflow: Any, execution_input: Any) -> str:
        async def chain() -> None:
            await workflow.step("first", quick)
            await workflow.step("second", quick)

        try:
            await asyncio.gather(workflow.step("slow", slow), chain())
        finally:
            is_left.set()
        return "done"

    workflows = [Workflow(id="flow", steps=whole)]
    async with engines(workflows=workflows, **DRAIN) as first:
        await first.start("go", "r1")
        while len(calls) < 2:
            await first.written()
        first.server.begin_stop()
        is_stopping.set()
    async with engines(workflows=workflows, **DRAIN) as second:
        view = await second.end_of("r1")
    assert (view.row.state, view.row.crashes) == (RunState.COMPLETED, 0)
    assert calls == ["slow", "quick", "quick"]


async def test_members_stop_at_their_own_steps(engines: Engines, model: HeldModel, gate: Gate) -> None:
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[gate.tool]), Agent(id="two")])
    hold = model.hold("[[SAY two]]")
    message = '[[DELEGATE one: <TOOL go {"name": "slow"}> || DELEGATE two: <SAY two>]]'
    async with engines(teams=[team], **DRAIN) as first:
        await first.start(message, "r1")
        await gate.reached.wait()
        await hold.reached.wait()
        hold.release()
        await gate.open_in_the_stop(first)
    before = len(model.calls)
    async with engines(teams=[team], **DRAIN) as second:
        view = await second.end_of("r1")
        assert view.row.state is RunState.COMPLETED
        assert len(model.calls) == before + 2, "the first member's second turn and the leader's"
        assert gate.calls == ["slow"]
        members = await second.members("r1")
        assert {member.row.state for member in members} == {RunState.COMPLETED}
        check_each_event_once(await second.stored("r1"))


async def test_a_run_whose_last_step_finishes_ends(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("[[SAY last]]")
    async with engines(**DRAIN) as first:
        await first.start("[[SAY last]]", "r1")
        await first.start("next", "r2")
        await hold.reached.wait()
        first.server.begin_stop()
        hold.release()
    async with engines(**DRAIN) as second:
        assert (await second.end_of("r1")).row.attempt == 1
        assert (await second.end_of("r2")).row.attempt == 1
        assert [event.kind for _, event in await second.stored("r1")].count(EventKind.RUN_COMPLETED) == 1


async def test_a_cancel_that_is_stored_meanwhile_is_obeyed(engines: Engines, model: HeldModel, gate: Gate) -> None:
    agents = [Agent(id="solo", model=model, tools=[gate.tool])]
    async with engines(agents=agents, **DRAIN) as first:
        await first.start('[[TOOL go {"name": "slow"}]]', "r1")
        await gate.reached.wait()
        first.server.begin_stop()
        await first.records.cancel("r1")
        gate.open.set()
    async with engines(agents=agents, **DRAIN) as second:
        assert (await second.end_of("r1")).row.state is RunState.CANCELLED


async def test_a_run_that_is_launched_in_the_stop_is_handed_over(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engines(**DRAIN) as first:
        await first.run("warm", "r0", "s0")
        assert first.engine.reserve() is not None
        row = (await first.records.accept("r1", slot=first.engine.worker_id)).run
        first.server.begin_stop()
        monkeypatch.setattr(worker, "execute", None)
        first.engine.launch(row)
    monkeypatch.undo()
    async with engines(**DRAIN) as second:
        view = await second.end_of("r1")
        assert (view.row.state, view.row.attempt, view.row.crashes) == (RunState.COMPLETED, 2, 0)


async def test_a_second_word_cuts_off_at_once(engines: Engines, model: HeldModel) -> None:
    hold = model.hold("held")
    async with engines(**DRAIN) as first:
        await first.start("held", "r1")
        await hold.reached.wait()
        first.server.begin_stop()
        first.server.leave_now()
    assert hold.stopped.is_set()
    hold.release()
    async with engines(**DRAIN) as second:
        view = await second.end_of("r1")
        assert (view.row.state, view.row.attempt, view.row.crashes) == (RunState.COMPLETED, 2, 0)
