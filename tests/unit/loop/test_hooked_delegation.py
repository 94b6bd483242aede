"""A team's ``tool_hooks`` around its delegations."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core.events import EventKind
from musterd.core.states import RunState
from musterd.loop.pausing import Waits
from tests.support.loop import Call, LoopHarness, TurnModel, failure

Function = Callable[..., Any]


def delegate(task: str = "look", member_id: str = "a") -> Call:
    return Call("delegate_task_to_member", {"member_id": member_id, "task": task})


def harness_with_hooks(
    *hooks: Function, answer: Any = "found", calls: Any = None, **team: Any
) -> tuple[LoopHarness, TurnModel]:
    """A team with the members ``a`` and ``b``, whose leader makes ``calls`` and answers "done"."""
    leader = TurnModel(calls or delegate(), "done")
    members = [Agent(id=name, name=name.upper(), model=TurnModel(answer)) for name in ("a", "b")]
    return LoopHarness(Team(id="team", model=leader, members=members, tool_hooks=hooks, **team)), leader


def team_text(harness: LoopHarness) -> str:
    deltas = [event for event in harness.events if event.kind is EventKind.CONTENT and event.run_id == "root"]
    return "".join(event.data.get("text", "") for event in deltas)


async def test_hooks_see_a_delegation_and_its_answer() -> None:
    seen: list[Any] = []

    async def outer(function_name: str, function_call: Function, arguments: dict[str, Any], team: Team) -> Any:
        seen.append((function_name, arguments, team.id))
        return await function_call(**arguments)

    def inner(function_call: Function, run_context: ToolContext) -> Any:
        assert run_context.session_state is not None
        run_context.session_state["delegations"] = 1
        seen.append(function_call())
        return seen[-1]

    harness, leader = harness_with_hooks(outer, inner)
    output = await harness.drive()
    assert seen == [("delegate_task_to_member", {"member_id": "a", "task": "look"}, "team"), "found"]
    assert leader.tool_results() == ["found"]
    assert harness.run.state == {"delegations": 1}
    (call,) = output.tools
    assert call.child_run_id == harness.steps.started[0].run_id


def raise_it(arguments: dict[str, Any]) -> str:
    raise ValueError(f"no {arguments['task']} today")


async def answer_it(name: str) -> str:
    return "no looking today"


@pytest.mark.parametrize("hook", [raise_it, answer_it])
async def test_a_hook_may_refuse_a_delegation(hook: Function) -> None:
    harness, leader = harness_with_hooks(hook)
    output = await harness.drive()
    assert leader.tool_results()[0].endswith("today")
    assert (harness.steps.started, harness.steps.ended, harness.loop.progress.members) == ([], [], [])
    assert output.tools[0].child_run_id is None


async def test_a_hook_may_change_the_arguments() -> None:
    async def redirect(function_call: Function, arguments: dict[str, Any]) -> Any:
        arguments["task"] += " twice"
        return await function_call(**{**arguments, "member_id": "b"})

    harness, _ = harness_with_hooks(redirect, share_member_interactions=True)
    output = await harness.drive()
    (start,) = harness.steps.started
    assert (start.component_id, start.task) == ("b", "look twice")
    assert output.tools[0].args == {"member_id": "a", "task": "look"}, "what the model sent"


async def test_arguments_that_no_delegation_takes_are_a_failed_call() -> None:
    async def redirect(function_call: Function) -> Any:
        return await function_call(member_id="c", task="look")

    harness, leader = harness_with_hooks(redirect)
    await harness.drive()
    assert leader.tool_results()[0].startswith("There is no member 'c'")
    assert harness.steps.started == []


async def test_a_member_that_fails_raises_in_the_hook() -> None:
    async def excuse(function_call: Function) -> str:
        try:
            await function_call()
        except Exception as error:  # noqa: BLE001 - as hooks do
            return f"sorry: {error}"
        return "not reached"

    harness, leader = harness_with_hooks(excuse, answer=failure(400))
    output = await harness.drive()
    assert leader.tool_results()[0].startswith("sorry: A failed")
    assert [end.state for end in harness.steps.ended] == [RunState.ERROR]
    assert not output.tools[0].is_error


@pytest.mark.parametrize("is_raised_by", ["member", "hook"])
async def test_what_a_failed_call_changed_in_the_state_is_kept_if_the_member_ran(is_raised_by: str) -> None:
    def note(context: ToolContext) -> str:
        """Note."""
        context.session_state["noted"] = True
        return "noted"

    async def watch(function_call: Function, run_context: ToolContext) -> Any:
        run_context.session_state["watched"] = True
        await function_call()
        raise ValueError("not good enough")

    member = Agent(
        id="a", model=TurnModel(Call("note"), failure(400) if is_raised_by == "member" else "found"), tools=[note]
    )
    harness = LoopHarness(Team(id="team", model=TurnModel(delegate(), "done"), members=[member], tool_hooks=[watch]))
    output = await harness.drive()
    assert output.tools[0].is_error
    assert harness.run.state == {"watched": True, "noted": True}


async def test_a_refused_call_changes_nothing_in_the_state() -> None:
    async def refuse(run_context: ToolContext) -> Any:
        run_context.session_state["watched"] = True
        raise ValueError("no")

    harness, _ = harness_with_hooks(refuse)
    await harness.drive()
    assert harness.run.state == {}


async def test_a_delegation_happens_once_however_often_a_hook_calls_it() -> None:
    async def twice(function_call: Function) -> str:
        return " and ".join(await asyncio.gather(function_call(), function_call()))

    harness, leader = harness_with_hooks(twice)
    await harness.drive()
    assert leader.tool_results() == ["found and found"]
    assert len(harness.steps.ended) == 1


async def test_a_broadcast_is_one_call_for_the_hooks() -> None:
    names = []

    def note(name: str, func: Function) -> Any:
        names.append(name)
        return func()

    calls = Call("delegate_task_to_members", {"task": "look"})
    harness, leader = harness_with_hooks(note, mode="broadcast", calls=calls)
    await harness.drive()
    assert names == ["delegate_task_to_members"]
    assert leader.tool_results() == ["Agent A: found\n\nAgent B: found"]


# Routing


async def keep(function_call: Callable[..., Awaitable[Any]]) -> Any:
    return await function_call()


async def shout(function_call: Callable[..., Awaitable[Any]]) -> Any:
    return (await function_call()).upper()


async def replace(name: str) -> str:
    return "MINE"


@pytest.mark.parametrize(
    "hook, result, answer, reasons",
    [
        (keep, "found", "found", []),
        (shout, "foundFOUND", "FOUND", ["hook_changed"]),
        (replace, "MINE", "MINE", []),
    ],
)
async def test_a_routed_answer_is_what_the_hooks_make_of_it(
    hook: Function, result: str, answer: str, reasons: list[str]
) -> None:
    harness, _ = harness_with_hooks(hook, mode="route")
    output = await harness.drive()
    assert (output.content, team_text(harness)) == (answer, result)
    voids = [event.data for event in harness.events if event.kind is EventKind.RUN_CONTINUED]
    assert [void["reason"] for void in voids] == reasons


# Interruptions


def caught_in_thread(function_call: Function) -> Any:
    try:
        return function_call()
    except Exception:  # noqa: BLE001 - as hooks do
        return "caught"


async def caught(function_call: Callable[..., Awaitable[Any]]) -> Any:
    try:
        return await function_call()
    except Exception:  # noqa: BLE001 - as hooks do
        return "caught"


async def swallowed(function_call: Callable[..., Awaitable[Any]]) -> Any:
    try:
        return await function_call()
    except BaseException:  # noqa: BLE001 - what a hook should not do
        return "swallowed"


@pytest.mark.parametrize("hook", [caught_in_thread, caught, swallowed])
async def test_no_hook_hides_that_a_member_waits_for_a_person(hook: Function) -> None:
    @tool(requires_confirmation=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    member = Agent(id="a", name="A", model=TurnModel(Call("pay")), tools=[pay])
    harness = LoopHarness(Team(id="team", model=TurnModel(delegate()), members=[member], tool_hooks=[hook]))
    with pytest.raises(Waits) as waits:
        await harness.drive()
    assert [requirement.component_id for requirement in waits.value.requirements] == ["a"]
    assert harness.steps.results == {}
    for thread in [thread for thread in threading.enumerate() if thread.name == "musterd-hook"]:
        thread.join(timeout=60)
        assert not thread.is_alive(), "the hook's thread ends"


class Waiting:
    """A member's tool that waits for ever, and says when it has begun."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def wait(self) -> str:
        """Wait."""
        self.begun.set()
        await asyncio.Event().wait()
        return "never"

    def team(self, hook: Function) -> Team:
        member = Agent(id="a", name="A", model=TurnModel(Call("wait"), "found"), tools=[self.wait])
        return Team(id="team", model=TurnModel(delegate(), "done"), members=[member], tool_hooks=[hook])


async def test_a_hook_that_gives_up_stops_the_member() -> None:
    waiting = Waiting()

    async def give_up(function_call: Callable[..., Awaitable[Any]]) -> str:
        call = asyncio.ensure_future(function_call())
        await waiting.begun.wait()
        call.cancel()
        return "it took too long"

    harness = LoopHarness(waiting.team(give_up))
    output = await harness.drive()
    assert (output.content, output.tools[0].result) == ("done", "it took too long")
    assert [end.state for end in harness.steps.ended] == [RunState.CANCELLED]


@pytest.mark.parametrize("hook", [caught_in_thread, caught])
async def test_a_cancel_reaches_the_member_before_the_run_ends(hook: Function) -> None:
    waiting = Waiting()
    harness = LoopHarness(waiting.team(hook))
    drive = asyncio.ensure_future(harness.drive())
    await waiting.begun.wait()
    drive.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drive
    assert [end.state for end in harness.steps.ended] == [RunState.CANCELLED]
