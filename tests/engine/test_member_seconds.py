"""The seconds of a member's own budget interrupt the member, and nothing else."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from musterd import Agent, Budget, Team, tool
from musterd.core.events import Event, EventKind
from musterd.core.records import RunView
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.loop import task_abandonment
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.time_limits import MemberTimes

SPENT = "One failed: The budget of 60 seconds of work is spent."


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> MemberTimes:
    return MemberTimes(monkeypatch)


class Waiting:
    """A tool that waits until it is cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    def tool(self) -> Any:
        @tool
        async def stay() -> str:
            """Stay."""
            self.began.set()
            await asyncio.Event().wait()
            return "never"

        return stay


def team_of(model: HeldModel, *tools: Any, others: Sequence[Agent] = ()) -> Team:
    one = Agent(id="one", name="One", tools=tools, budget=Budget(seconds=60))
    return Team(id="team", model=model, members=[one, *others])


def _end_of_root(event: Event) -> bool:
    return event.kind is EventKind.RUN_COMPLETED and event.run_id == "r1"


async def only_member(harness: EngineHarness) -> RunView:
    (member,) = await harness.members("r1")
    return member


async def fails_alone(harness: EngineHarness) -> RunView:
    """See that the member has failed, that its leader has read why, and that the run went on."""
    view, member = await harness.end_of("r1"), await only_member(harness)
    assert (view.row.state, member.row.state) == (RunState.COMPLETED, RunState.ERROR)
    assert view.output is not None
    assert SPENT in str(view.output.content)
    assert member.output is not None
    assert member.output.error is not None
    assert member.output.error["code"] == "budget_seconds"
    return member


async def test_they_interrupt_a_tool(engines: Engines, model: HeldModel, times: MemberTimes) -> None:
    waiting = Waiting()
    async with engines(teams=[team_of(model, waiting.tool())]) as harness:
        await harness.start("[[DELEGATE one: <TOOL stay {}>]]", "r1")
        await waiting.began.wait()
        times.end()
        await fails_alone(harness)
        (step,) = await harness.records.select("SELECT state FROM journal WHERE kind = 'tool'")
    assert step["state"] == "unknown"


async def test_they_interrupt_the_models_only_call(engines: Engines, model: HeldModel, times: MemberTimes) -> None:
    hold = model.hold("[[WORDS", after=2)
    async with engines(teams=[team_of(model)]) as harness:
        await harness.start("[[DELEGATE one: <WORDS 6>]]", "r1")
        await hold.reached.wait()
        times.end()
        member = await fails_alone(harness)
    assert hold.stopped.is_set()
    assert member.output is not None
    assert member.output.error is not None
    assert member.output.error["partial"].startswith("word0")


@pytest.mark.parametrize("is_stubborn", [False, True])
async def test_a_tool_that_swallows_the_cancel_holds_nothing_up(
    engines: Engines, model: HeldModel, times: MemberTimes, monkeypatch: pytest.MonkeyPatch, is_stubborn: bool
) -> None:
    monkeypatch.setattr(task_abandonment, "STOP_SECONDS", 0.05 if is_stubborn else 30.0)
    began, may_end = asyncio.Event(), asyncio.Event()

    @tool
    async def shrug() -> str:
        """Go on when cancelled."""
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if is_stubborn:
            await may_end.wait()
        return "shrugged"

    async with engines(teams=[team_of(model, shrug)]) as harness:
        await harness.start("[[DELEGATE one: <TOOL shrug {}>]]", "r1")
        await began.wait()
        times.end()
        await fails_alone(harness)
        may_end.set()
        while task_abandonment._abandoned:
            await asyncio.wait(task_abandonment._abandoned)
    assert len(model.calls) == 3, "two of the leader, and one of the member"


async def test_a_cancel_of_the_run_or_of_the_member_stays_a_cancel(
    engines: Engines, model: HeldModel, times: MemberTimes
) -> None:
    for of_member, state in ((False, RunState.CANCELLED), (True, RunState.COMPLETED)):
        waiting = Waiting()
        async with engines(teams=[team_of(model, waiting.tool())]) as harness:
            run_id = f"r{of_member:d}"
            await harness.start("[[DELEGATE one: <TOOL stay {}>]]", run_id)
            await waiting.began.wait()
            (member,) = await harness.members(run_id)
            await harness.cancel(member.row.run_id if of_member else run_id)
            view = await harness.end_of(run_id)
            (member,) = await harness.members(run_id)
        assert (view.row.state, member.row.state) == (state, RunState.CANCELLED)


async def test_a_cancel_of_the_run_lists_no_call_that_they_interrupted(
    engines: Engines, model: HeldModel, times: MemberTimes
) -> None:
    waiting, beside = Waiting(), Waiting()
    team = team_of(model, waiting.tool(), others=[Agent(id="two", tools=[beside.tool()])])
    async with engines(teams=[team]) as harness:
        await harness.start("[[DELEGATE one: <TOOL stay {}> || DELEGATE two: <TOOL stay {}>]]", "r1")
        await waiting.began.wait()
        await beside.began.wait()
        times.end()
        await harness.wait_for_event("r1", lambda event: event.kind is EventKind.RUN_ERROR)
        await harness.cancel("r1")
        view = await harness.end_of("r1")
    assert view.output is not None
    assert [step["path"] for step in view.output.cut_off] == ["t0/c1/t0/c0", "t0/c1"]


async def test_a_member_that_waits_for_a_person_pauses_and_goes_on(
    engines: Engines, model: HeldModel, times: MemberTimes
) -> None:
    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    async with engines(teams=[team_of(model, pay)]) as harness:
        paused = await harness.run("[[DELEGATE one: <TOOL pay {}>]]", "r1")
        assert paused.row.state is RunState.PAUSED
        assert paused.output is not None
        decision = Decision(key=paused.output.requirements[0]["id"], verdict=Verdict.RUN)
        await harness.runs.decide(RunRef(harness.component(), "r1", "s1", NOBODY), [decision])
        await harness.wait_for_event("r1", _end_of_root)
        view, member = await harness.end_of("r1"), await only_member(harness)
    assert (view.row.state, member.row.state) == (RunState.COMPLETED, RunState.COMPLETED)
