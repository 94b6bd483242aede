"""A team's ``tool_hooks`` around a delegation, across crashes and pauses."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core.requirements import Decision, Verdict
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from tests.engine.conftest import Engines
from tests.engine.test_modes import Place, told_once
from tests.engine.test_replay import killed_in_second_turn, tool_results
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel


class Log:
    """Hooks that note their calls; the delegation goes to another member each time that they are called."""

    def __init__(self, *members: str) -> None:
        self.seen: list[str] = []
        self.answers: list[Any] = []
        self._members = list(members)

    async def hook(self, function_call: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
        self.seen.append(arguments["member_id"])
        member = self._members.pop(0) if self._members else arguments["member_id"]
        self.answers.append(await function_call(**{**arguments, "member_id": member}))
        return self.answers[-1]


async def members(harness: EngineHarness) -> list[tuple[str, str]]:
    rows = await harness.records.select("SELECT component_id, state FROM runs WHERE parent_id IS NOT NULL")
    return sorted((row["component_id"], row["state"]) for row in rows)


async def test_hooks_are_called_again_after_a_crash_and_the_first_arguments_count(
    engines: Engines, model: HeldModel
) -> None:
    log, place = Log("two", "one"), Place("two")
    agents = [Agent(id=name, tools=[place.tool()]) for name in ("one", "two")]
    team = Team(id="team", model=model, members=agents, tool_hooks=[log.hook])
    async with engines(teams=[team]) as first:
        await first.start("[[DELEGATE one: <TOOL look>]]", "r1")
        await place.began.wait()
        assert await members(first) == [("two", "running")]
        await first.kill()
    place.waiting.clear()
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        await told_once(second, "r1")
        assert await members(second) == [("two", "completed")]
    assert view.row.state is RunState.COMPLETED
    assert tool_results(view) == [("Done: seen by two", False)]
    assert log.seen == ["one", "one"]
    assert log.answers == ["Done: seen by two"]


async def test_a_member_that_the_hooks_skip_after_a_crash_is_cancelled(engines: Engines, model: HeldModel) -> None:
    place, skips = Place("one"), False

    async def maybe(function_call: Callable[..., Awaitable[Any]]) -> Any:
        return "not any more" if skips else await function_call()

    team = Team(id="team", model=model, members=[Agent(id="one", tools=[place.tool()])], tool_hooks=[maybe])
    async with engines(teams=[team]) as first:
        await first.start("[[DELEGATE one: <TOOL look>]]", "r1")
        await place.began.wait()
        await first.kill()
    skips = True
    hold = model.hold("[[DELEGATE")
    async with engines(teams=[team]) as second:
        await hold.reached.wait()
        assert await members(second) == [("one", "cancelled")], "before the run ends"
        hold.release()
        view = await second.end_of("r1")
    assert (view.row.state, tool_results(view)) == (RunState.COMPLETED, [("not any more", False)])


async def answer(arguments: dict[str, Any]) -> str:
    return "not today"


async def shout(function_call: Callable[..., Awaitable[Any]]) -> Any:
    return (await function_call(member_id="two", task="hello")).upper()


@pytest.mark.parametrize("hook, result, started", [(answer, "not today", []), (shout, "ECHO: HELLO", ["two"])])
async def test_hooks_are_not_called_again_for_a_delegation_that_is_stored(
    engines: Engines, model: HeldModel, hook: Any, result: str, started: list[str]
) -> None:
    calls = 0

    async def count(function_call: Callable[..., Awaitable[Any]]) -> Any:
        nonlocal calls
        calls += 1
        return await function_call()

    agents = [Agent(id=name) for name in ("one", "two")]
    team = Team(id="team", model=model, members=agents, tool_hooks=[count, hook])
    async with engines(teams=[team]) as first:
        await killed_in_second_turn(first, model, "[[DELEGATE one: hello]]")
    async with engines(teams=[team]) as second:
        view = await second.end_of("r1")
        await told_once(second, "r1")
        assert await members(second) == [(name, "completed") for name in started]
        children = await second.members("r1")
    assert tool_results(view) == [(result, False)]
    assert view.output is not None
    child_ids: list[str | None] = [*(child.row.run_id for child in children)] or [None]
    assert [call.child_run_id for call in view.output.tools] == child_ids
    assert calls == 1


async def test_hooks_are_called_again_when_a_member_goes_on_after_a_pause(engines: Engines, model: HeldModel) -> None:
    paid = 0

    @tool(requires_confirmation=True)
    async def pay() -> str:
        """Pay."""
        nonlocal paid
        paid += 1
        return "paid"

    log = Log()
    team = Team(id="team", model=model, members=[Agent(id="one", tools=[pay])], tool_hooks=[log.hook])
    async with engines(teams=[team]) as first:
        view = await first.run("[[DELEGATE one: <TOOL pay>]]", "r1")
        assert (view.row.state, log.seen, log.answers) == (RunState.PAUSED, ["one"], [])
        assert view.output is not None
        (requirement,) = view.output.requirements
    async with engines(teams=[team]) as second:
        decision = Decision(key=requirement["id"], verdict=Verdict.RUN)
        await second.runs.decide(RunRef(second.component(), "r1", "s1", NOBODY), [decision])
        view = await second.end_of("r1")
        await told_once(second, "r1")
    assert (view.row.state, tool_results(view)) == (RunState.COMPLETED, [("Done: paid", False)])
    assert (paid, log.seen, log.answers) == (1, ["one", "one"], ["Done: paid"])


async def test_a_cancel_reaches_the_members_of_hooks_that_swallow_it(engines: Engines, model: HeldModel) -> None:
    place = Place("one")

    async def swallow(function_call: Callable[..., Awaitable[Any]]) -> Any:
        try:
            return await function_call()
        except asyncio.CancelledError:
            return "swallowed"

    team = Team(id="team", model=model, members=[Agent(id="one", tools=[place.tool()])], tool_hooks=[swallow])
    async with engines(teams=[team]) as harness:
        await harness.start("[[DELEGATE one: <TOOL look>]]", "r1")
        await place.began.wait()
        await harness.cancel("r1")
        view = await harness.end_of("r1")
        assert await members(harness) == [("one", "cancelled")]
    assert view.output is not None
    cut_off = [(step["path"], step["outcome"]) for step in view.output.cut_off]
    assert cut_off == [("t0/c0/t0/c0", "stopped"), ("t0/c0", "stopped")]


async def test_hooks_may_ask_with_text_that_cannot_be_stored(engines: Engines, model: HeldModel) -> None:
    async def cut(function_call: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
        return await function_call(**{**arguments, "task": "half a \ud83d smile"})

    team = Team(id="team", model=model, members=[Agent(id="one")], tool_hooks=[cut])
    async with engines(teams=[team]) as harness:
        view = await harness.run("[[DELEGATE one: hello]]", "r1")
    assert (view.row.state, tool_results(view)) == (RunState.COMPLETED, [("Echo: half a ? smile", False)])


@pytest.mark.parametrize("value", [object(), float("nan"), threading.Lock()])
async def test_hooks_that_leave_no_json_in_the_state_fail_the_delegation(
    engines: Engines, model: HeldModel, value: Any
) -> None:
    async def leave(function_call: Callable[..., Awaitable[Any]], context: ToolContext) -> Any:
        context.session_state["value"] = value
        return await function_call()

    team = Team(id="team", model=model, members=[Agent(id="one")], tool_hooks=[leave])
    async with engines(teams=[team]) as harness:
        view = await harness.run("[[DELEGATE one: hello]]", "r1")
        assert await members(harness) == []
    assert view.row.state is RunState.COMPLETED
    assert [is_error for _, is_error in tool_results(view)] == [True]
