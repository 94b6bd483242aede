"""Code that swallows every cancel: its run ends all the same, in time, and takes nothing from it afterwards."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import Agent, Budget, Team, ToolContext, tool
from musterd.core.callers import Caller
from musterd.core.queueing import QueueingOptions
from musterd.core.states import RunState
from musterd.engine import attempt_execution
from musterd.loop import task_abandonment
from musterd.models.scripted import ScriptedModel
from tests.engine.conftest import Engines
from tests.support.engine import EngineHarness
from tests.support.held_model import HeldModel
from tests.support.time_limits import RunTimes

LEFT_RUNNING = "No result after 0.05 s; its outcome is unknown. It did not stop and was left running."


class Stubborn:
    """Goes on when it is cancelled, until the test lets it end; then it tries to have a say in its run."""

    def __init__(self) -> None:
        self.began, self.may_end, self.has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.began.set()
        while not self.may_end.is_set():
            with contextlib.suppress(BaseException):
                await self.may_end.wait()
        self.has_ended.set()

    async def stay(self, context: ToolContext) -> str:
        """Stay."""
        await self()
        context.session_state["late"] = True
        context.progress("late")
        return "late"

    def tool(self, **declared: Any) -> Any:
        return tool(name="stay", **declared)(self.stay)


@pytest.fixture
async def stubborn(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stubborn]:
    monkeypatch.setattr(task_abandonment, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(attempt_execution, "LOOP_STOP_SECONDS", 30.0)  # not before what is in the loop was left
    stubborn_part = Stubborn()
    yield stubborn_part
    stubborn_part.may_end.set()


async def ends_late(harness: EngineHarness, stubborn: Stubborn) -> None:
    """Let it end, and see that nothing of it is stored."""
    before = await harness.records.everything()
    stubborn.may_end.set()
    await stubborn.has_ended.wait()
    while task_abandonment._abandoned:
        await asyncio.wait(task_abandonment._abandoned)
    await harness.run("after", "after", "another")
    tables = {table: [row for row in rows if "r1" in row.values()] for table, rows in before.items()}
    after = await harness.records.everything()
    assert {table: [row for row in rows if "r1" in row.values()] for table, rows in after.items()} == tables


async def test_a_tool_that_does_not_stop_is_left_behind_by_a_cancel(
    engines: Engines, model: HeldModel, stubborn: Stubborn
) -> None:
    solo = Agent(id="solo", model=model, tools=[stubborn.tool()])
    with capture_logs() as lines:
        async with engines(agents=[solo], concurrency=1) as harness:
            await harness.start("[[TOOL stay {}]]", "r1")
            await harness.start("[[SAY next]]", "r2")
            await stubborn.began.wait()
            assert (await harness.cancel("r1")).state is RunState.CANCELLED
            assert (await harness.end_of("r2")).row.state is RunState.COMPLETED, "slot and line are free"
            view = await harness.end_of("r1")
            assert view.output is not None
            assert view.output.cut_off == [{"path": "t0/c0", "kind": "tool", "name": "stay", "outcome": "abandoned"}]
            (step,) = await harness.records.select("SELECT state FROM journal WHERE root_id = 'r1' AND kind = 'tool'")
            assert step["state"] == "unknown"
            await ends_late(harness, stubborn)
    said = [(line["event"].split(";")[0], line["run_id"], line["tool"]) for line in lines if "tool" in line]
    assert said == [
        ("code ignored its cancellation and was abandoned", "r1", "stay"),
        ("abandoned code has stopped", "r1", "stay"),
    ]


async def test_deleting_its_session_removes_its_rows(engines: Engines, model: HeldModel, stubborn: Stubborn) -> None:
    async with engines(agents=[Agent(id="solo", model=model, tools=[stubborn.tool()])]) as harness:
        await harness.start("[[TOOL stay {}]]", "r1")
        await stubborn.began.wait()
        await harness.sessions.delete("s1", Caller())
        await harness.idle()
        assert await harness.records.counts() == {"workers": 1, "daily_metrics": 1}


async def test_its_time_ends_the_call(engines: Engines, model: HeldModel, stubborn: Stubborn) -> None:
    stay = stubborn.tool(timeout_seconds=0.05)
    async with engines(agents=[Agent(id="solo", model=model, tools=[stay], on_unknown_effect="fail")]) as harness:
        view = await harness.run("[[TOOL stay {}]]", "r1")
        assert view.row.state is RunState.COMPLETED
        assert view.output is not None
        assert view.output.tools[0].result == LEFT_RUNNING
        await ends_late(harness, stubborn)


async def test_each_try_may_be_left_behind_after_its_time(
    engines: Engines, model: HeldModel, stubborn: Stubborn
) -> None:
    stay = stubborn.tool(timeout_seconds=0.05, retry_safe=True, retries=1)
    with capture_logs() as lines:
        async with engines(agents=[Agent(id="solo", model=model, tools=[stay])]) as harness:
            view = await harness.run("[[TOOL stay {}]]", "r1")
            assert view.row.state is RunState.COMPLETED
            assert view.output is not None
            assert view.output.tools[0].result == LEFT_RUNNING
            await ends_late(harness, stubborn)
    said_of_tool = [line["event"].split(";")[0] for line in lines if line.get("tool") == "stay"]
    assert said_of_tool.count("code ignored its cancellation and was abandoned") == 2
    assert said_of_tool.count("abandoned code has stopped") == 2
    assert [event for event in said_of_tool if event.startswith("tool failed")] == ["tool failed", "tool failed"]


@pytest.mark.parametrize("declared", [{}, {"retry_safe": True, "retries": 1}])
async def test_a_cancel_leaves_a_try_behind_in_its_time(
    engines: Engines, model: HeldModel, stubborn: Stubborn, declared: dict[str, Any]
) -> None:
    solo = Agent(id="solo", model=model, tools=[stubborn.tool(timeout_seconds=600, **declared)])
    with capture_logs() as lines:
        async with engines(agents=[solo]) as harness:
            await harness.start("[[TOOL stay {}]]", "r1")
            await stubborn.began.wait()
            await harness.cancel("r1")
            view = await harness.end_of("r1")
            assert view.output is not None
            assert [step["outcome"] for step in view.output.cut_off] == ["abandoned"]
            await ends_late(harness, stubborn)
    assert [line["event"].split(";")[0] for line in lines if line.get("tool") == "stay"] == [
        "code ignored its cancellation and was abandoned",
        "abandoned code has stopped",
    ]


async def test_a_cancel_while_it_is_given_time_to_stop_says_that_it_was_left_running(
    engines: Engines, model: HeldModel, stubborn: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_abandonment, "STOP_SECONDS", 30.0)
    is_told = asyncio.Event()

    @tool(timeout_seconds=0.05)
    async def stay() -> None:
        """Stay."""
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            is_told.set()
            await stubborn()

    async with engines(agents=[Agent(id="solo", model=model, tools=[stay])]) as harness:
        await harness.start("[[TOOL stay {}]]", "r1")
        await is_told.wait()
        await harness.cancel("r1")
        view = await harness.end_of("r1")
        assert view.output is not None
        assert [step["outcome"] for step in view.output.cut_off] == ["abandoned"]
        await ends_late(harness, stubborn)


ENDS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "the run's deadline": ({}, {"queueing": QueueingOptions(timeout_seconds=60)}, {}, "deadline"),
    "MUSTERD_RUN_SECONDS": ({}, {}, {"run_seconds": 60}, "time_limit"),
    "the budget's time": ({"budget": Budget(seconds=60)}, {}, {}, "budget_seconds"),
}


@pytest.mark.parametrize("limit", ENDS)
async def test_the_runs_own_limits_hold(
    engines: Engines, model: HeldModel, stubborn: Stubborn, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    declared, options, settings, code = ENDS[limit]
    times = RunTimes(monkeypatch)
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[stubborn.tool()])], **declared)
    async with engines(teams=[team], **settings) as harness:
        await harness.start("[[DELEGATE one: <TOOL stay {}>]]", "r1", **options)
        await stubborn.began.wait()
        times.end()  # a minute later
        view = await harness.end_of("r1")
        assert (view.row.state, view.row.error_code) == (RunState.ERROR, code)
        states = await harness.records.select("SELECT state FROM runs WHERE parent_id = 'r1'")
        assert [row["state"] for row in states] == ["cancelled"]
        await ends_late(harness, stubborn)


async def test_a_member_is_stopped_alone(engines: Engines, model: HeldModel, stubborn: Stubborn) -> None:
    members = [Agent(id="one", name="Ann", tools=[stubborn.tool()]), Agent(id="two")]
    async with engines(teams=[Team(id="team", model=model, members=members)]) as harness:
        await harness.start("[[DELEGATE one: <TOOL stay {}> || DELEGATE two: <SAY here>]]", "r1")
        await stubborn.began.wait()
        ann = next(view for view in await harness.members("r1") if view.row.component_id == "one")
        await harness.cancel(ann.row.run_id)
        view = await harness.end_of("r1")
        assert view.row.state is RunState.COMPLETED
        assert "Ann was cancelled by a person." in view.output.content  # type: ignore[union-attr]
        ann = next(view for view in await harness.members("r1") if view.row.component_id == "one")
        assert ann.row.state is RunState.CANCELLED
        assert ann.output is not None
        assert [step["outcome"] for step in ann.output.cut_off] == ["abandoned"]
        await ends_late(harness, stubborn)


async def test_a_member_whose_tool_only_swallows_the_cancel_takes_no_further_turn(
    engines: Engines, model: HeldModel
) -> None:
    began = asyncio.Event()

    @tool
    async def shrug() -> str:
        """Return when cancelled."""
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "shrugged"
        return "never"

    async with engines(teams=[Team(id="team", model=model, members=[Agent(id="one", tools=[shrug])])]) as harness:
        await harness.start("[[DELEGATE one: <TOOL shrug {}>]]", "r1")
        await began.wait()
        (member,) = await harness.members("r1")
        await harness.cancel(member.row.run_id)
        await harness.end_of("r1")
        (member,) = await harness.members("r1")
        assert member.row.state is RunState.CANCELLED
        assert member.output is not None
        assert [step["outcome"] for step in member.output.cut_off] == ["finished"]


class StubbornModel(ScriptedModel):
    """A model whose answer comes when the test lets it, whatever happens to its run."""

    def __init__(self, stubborn: Stubborn) -> None:
        super().__init__()
        self._stubborn = stubborn

    @asynccontextmanager
    async def request_stream(self, messages: Any, *args: Any, **named: Any) -> AsyncGenerator[Any]:
        if "stay" in str(messages[-1]):
            await self._stubborn()
        async with super().request_stream(messages, *args, **named) as stream:
            yield stream


async def test_a_model_that_does_not_stop_writes_nothing_into_its_run(
    engines: Engines, stubborn: Stubborn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_execution, "LOOP_STOP_SECONDS", 0.2)
    async with engines(agents=[Agent(id="solo", model=StubbornModel(stubborn))]) as harness:
        await harness.start("stay", "r1")
        await stubborn.began.wait()
        assert (await harness.cancel("r1")).state is RunState.CANCELLED
        await ends_late(harness, stubborn)


def _instructions(stubborn: Stubborn) -> dict[str, Any]:
    async def instructions() -> str:
        await stubborn()
        return "late"

    return {"instructions": instructions}


def _hook(stubborn: Stubborn) -> dict[str, Any]:
    async def hook() -> None:
        await stubborn()

    return {"pre_hooks": [hook]}


def _tool_hook(stubborn: Stubborn) -> dict[str, Any]:
    @tool
    async def quick() -> str:
        """Be quick."""
        return "quick"

    async def hook(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        await stubborn()
        return await function(**arguments)

    return {"tools": [quick], "tool_hooks": [hook]}


def _behind_a_thread(stubborn: Stubborn) -> dict[str, Any]:
    def hook(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        return function(**arguments)

    return {"tools": [tool(name="quick")(stubborn.stay)], "tool_hooks": [hook]}


@pytest.mark.parametrize("declared", [_instructions, _hook, _tool_hook, _behind_a_thread])
async def test_so_are_hooks_and_functions_of_a_declaration(
    engines: Engines, model: HeldModel, stubborn: Stubborn, declared: Callable[[Stubborn], dict[str, Any]]
) -> None:
    async with engines(agents=[Agent(id="solo", model=model, **declared(stubborn))]) as harness:
        await harness.start("[[TOOL quick {}]]", "r1")
        await stubborn.began.wait()
        assert (await harness.cancel("r1")).state is RunState.CANCELLED
        assert task_abandonment._abandoned
        await ends_late(harness, stubborn)


class LateHooks:
    """Hooks that call the tool when the test lets them, whatever happens to the run."""

    def __init__(self) -> None:
        self.began, self.may_call, self.has_called = threading.Event(), threading.Event(), threading.Event()

    def in_thread(self, function: Callable[..., Any]) -> Any:
        self.began.set()
        assert self.may_call.wait(30)
        try:
            return function()
        finally:
            self.has_called.set()

    async def in_own_task(self, function: Callable[..., Any]) -> Any:
        self.began.set()
        while not self.may_call.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.to_thread(self.may_call.wait, 30)
        try:
            return await asyncio.create_task(function())
        finally:
            self.has_called.set()


@pytest.mark.parametrize("name", ["in_thread", "in_own_task"])
async def test_no_tool_is_called_for_a_run_that_has_ended(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(task_abandonment, "STOP_SECONDS", 0.05)
    calls, hooks = [], LateHooks()

    @tool
    def pay() -> str:
        """Pay."""
        calls.append("paid")
        return "paid"

    solo = Agent(id="solo", model=model, tools=[pay], tool_hooks=[getattr(hooks, name)])
    async with engines(agents=[solo]) as harness:
        await harness.start("[[TOOL pay {}]]", "r1")
        try:
            await asyncio.to_thread(hooks.began.wait, 30)
            assert (await harness.cancel("r1")).state is RunState.CANCELLED
        finally:
            hooks.may_call.set()
        await asyncio.to_thread(hooks.has_called.wait, 30)
    assert calls == []
