"""Messages to runs at work, and members that are stopped alone: each counts once, on whichever attempt or process."""

import asyncio
from typing import Any

import pytest

from musterd import Agent, Team, ToolContext, tool
from musterd.core import clock
from musterd.core.errors import Conflict, NotFound
from musterd.core.events import EventKind
from musterd.core.records import RunView, SteeringMessage, StepState
from musterd.core.states import RunState
from musterd.service.run_ref import RunRef
from musterd.service.steering import SentMessage
from musterd.store import steering
from tests.engine.conftest import Engines
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.store import of_run

SLOW = "[[WORDS 3]] slow"


async def send(
    harness: EngineHarness, run_id: str, text: str, member: str | None = None, key: str | None = None
) -> SteeringMessage:
    said = SentMessage(text=text, member_run_id=member)
    _, sent, _ = await harness.runs.steering.send(RunRef(harness.component(), run_id, None, NOBODY), said, key)
    return sent


async def sent_to(harness: EngineHarness, run_id: str) -> list[SteeringMessage]:
    return await harness.runs.steering.messages(RunRef(harness.component(), run_id, "s1", NOBODY))


async def member_of(harness: EngineHarness, run_id: str) -> RunView:
    (member,) = await harness.members(run_id)
    return member


def users_words(conversation: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in conversation if message["role"] == "user"]


def team(model: HeldModel, **options: Any) -> Team:
    return Team(id="team", model=model, members=[Agent(id="one", **options)])


async def test_a_leader_reads_a_message_at_its_next_turn(engines: Engines, model: HeldModel) -> None:
    async with engines(teams=[team(model)]) as harness:
        hold = model.hold("[[WORDS 3]]")
        await harness.start("[[DELEGATE one: <WORDS 3>]]", "r1")
        await hold.reached.wait()
        sent = await send(harness, "r1", "Be brief")
        again = await send(harness, "r1", "Be brief", key="k")
        same = await send(harness, "r1", "Be brief", key="k")
        hold.release()
        view = await harness.end_of("r1")
        messages = await sent_to(harness, "r1")
        received = [
            event.data["text"] for _, event in await harness.stored("r1") if event.kind is EventKind.MESSAGE_RECEIVED
        ]
    assert view.row.state is RunState.COMPLETED
    assert users_words(model.conversation())[1:] == ["Be brief", "Be brief"], "the key's message came once"
    assert received == ["Be brief", "Be brief"]
    assert [(one.id, one.taken_path, one.next_run_id) for one in messages] == [
        (sent.id, "t1/m", None),
        (again.id, "t1/m", None),
    ]
    assert same.id == again.id


async def test_a_member_reads_what_is_said_to_it_alone(engines: Engines, model: HeldModel) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await go_on.wait()
        return "waited"

    async with engines(teams=[team(model, tools=[wait])]) as harness:
        await harness.start("[[DELEGATE one: <TOOL wait>]]", "r1")
        await began.wait()
        member = await member_of(harness, "r1")
        await send(harness, "r1", "Only you", member.row.run_id)
        go_on.set()
        await harness.end_of("r1")
        messages = await sent_to(harness, "r1")
    assert [(one.run_id, one.taken_path) for one in messages] == [(member.row.run_id, "t0/c0/t1/m")]
    assert users_words(model.conversation(-2))[-1] == "Only you"
    assert "Only you" not in users_words(model.conversation(-1))


async def test_what_comes_too_late_begins_the_sessions_next_run(engines: Engines, model: HeldModel) -> None:
    async with engines(agents=[Agent(id="solo", model=model)]) as harness:
        hold = model.hold("slow")
        await harness.start("slow", "r1")
        await hold.reached.wait()
        await harness.start("queued before", "r2")
        await send(harness, "r1", "One more thing")
        await send(harness, "r1", "and another")
        hold.release()
        await harness.end_of("r1")
        messages = await sent_to(harness, "r1")
        (next_id,) = {one.next_run_id for one in messages}
        assert next_id is not None
        view = await harness.end_of(next_id)
        second = await harness.end_of("r2")
        with pytest.raises(Conflict):
            await send(harness, "r1", "Too late")
    assert (view.row.state, view.input.message) == (RunState.COMPLETED, "One more thing\n\nand another")
    assert (view.row.seq or 0) > (second.row.seq or 0), "behind what was accepted before"
    assert (view.row.started_at or 0) >= (second.row.ended_at or 0)


async def test_the_next_run_has_the_limits_of_the_first_one(engines: Engines, model: HeldModel) -> None:
    options = {
        "budget": {"calls": 9},
        "dependencies": {"a": 1},
        "metadata": {"b": 2},
        "knowledge_filters": {"tenant": "a"},
        "output_schema": {"type": "object"},
    }
    async with engines(agents=[Agent(id="solo", model=model)]) as harness:
        first, second = '[[SAY {"n": 1}]]', '[[SAY {"n": 2}]]'
        hold = model.hold(first)
        await harness.start(first, "r1", options={**options, "session_state": {"c": 3}})
        await hold.reached.wait()
        await send(harness, "r1", second)
        hold.release()
        await harness.end_of("r1")
        (message,) = await sent_to(harness, "r1")
        view = await harness.end_of(message.next_run_id or "")
    assert view.row.state is RunState.COMPLETED
    assert view.input.options == options, "the state of the session is what the first run left"


async def test_a_message_is_read_again_by_the_attempt_that_goes_on_and_taken_once(
    engines: Engines, model: HeldModel
) -> None:
    async with engines(teams=[team(model)]) as first:
        hold = model.hold("[[WORDS 3]]")
        await first.start("[[DELEGATE one: <WORDS 3>]]", "r1")
        await hold.reached.wait()
        await send(first, "r1", "Be brief")
        held = model.hold("Be brief")
        hold.release()
        await held.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.MESSAGE_RECEIVED)
        await first.kill()
        held.release()
    async with engines(teams=[team(model)]) as second:
        view = await second.end_of("r1")
        messages = await sent_to(second, "r1")
        received = [event for _, event in await second.stored("r1") if event.kind is EventKind.MESSAGE_RECEIVED]
    assert view.row.state is RunState.COMPLETED
    assert [one.taken_path for one in messages] == ["t1/m"]
    assert users_words(model.conversation())[1:] == ["Be brief"]
    assert len(received) == 1, "its event was stored before the crash, and is not void"


async def test_a_message_that_a_stored_call_saw_stands_where_it_was(engines: Engines, model: HeldModel) -> None:
    began = asyncio.Event()

    @tool(retry_safe=True)
    async def wait(context: ToolContext) -> str:
        """Wait."""
        if not began.is_set():
            began.set()
            await asyncio.Event().wait()
        return "waited"

    agents = [Agent(id="solo", model=model, tools=[wait])]
    async with engines(agents=agents) as first:
        hold = model.hold("first")
        await first.start("first", "r0")
        await hold.reached.wait()
        await first.start("[[SAY never]]", "r1")
        await send(first, "r1", "[[TOOL wait]]")  # before its first turn
        hold.release()
        await began.wait()
        await first.kill()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert (view.output and view.output.content) == "Done: waited"
    assert users_words(model.conversation()) == ["[[SAY never]]", "[[TOOL wait]]"]


async def test_a_member_is_stopped_alone_and_the_leader_goes_on(engines: Engines, model: HeldModel) -> None:
    members = [Agent(id="one", name="Ann"), Agent(id="two", name="Bob")]
    async with engines(teams=[Team(id="team", model=model, members=members)]) as harness:
        hold = model.hold("slow", after=1)
        await harness.start("[[DELEGATE one: slow || DELEGATE two: quick]]", "r1")
        await hold.reached.wait()
        ann = next(view for view in await harness.members("r1") if view.row.component_id == "one")
        row = await harness.cancel(ann.row.run_id)
        view = await harness.end_of("r1")
        rows = {one.row.component_id: one for one in await harness.members("r1")}
        steps = await harness.runs.steps(RunRef(harness.component(), "r1", "s1", NOBODY))
    assert hold.stopped.is_set(), "its model call was ended"
    assert row.state is RunState.CANCELLED
    assert view.row.state is RunState.COMPLETED
    assert (view.output and view.output.content) == 'Done: {"error":"Ann was cancelled by a person."} | Echo: quick'
    assert {name: view.row.state for name, view in rows.items()} == {
        "one": RunState.CANCELLED,
        "two": RunState.COMPLETED,
    }
    assert not [view for view in steps if view.step.state is StepState.STARTED], "no step is left open"


async def test_a_tool_of_a_member_that_is_stopped_is_not_left_open(engines: Engines, model: HeldModel) -> None:
    began = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await asyncio.Event().wait()
        return "never"

    async with engines(teams=[team(model, tools=[wait])]) as harness:
        await harness.start("[[DELEGATE one: <TOOL wait>]]", "r1")
        await began.wait()
        await harness.cancel((await member_of(harness, "r1")).row.run_id)
        assert (await harness.end_of("r1")).row.state is RunState.COMPLETED
        views = await harness.runs.steps(RunRef(harness.component(), "r1", "s1", NOBODY))
        steps = {view.step.path: view.step.state for view in views}
    assert steps["t0/c0/t0/c0"] is StepState.UNKNOWN
    assert steps["t0/c0"] is StepState.FAILED


async def test_a_member_that_was_to_stop_when_the_process_died_does_not_go_on(
    engines: Engines, model: HeldModel
) -> None:
    async with engines(teams=[team(model)]) as first:
        hold = model.hold("slow")
        await first.start("[[DELEGATE one: slow]]", "r1")
        await hold.reached.wait()
        member = (await member_of(first, "r1")).row
        await first.database.write(of_run(steering.cancel_member, "r1", member.run_id, "client", clock.now()))
        await first.kill()
    calls = len(model.calls)
    async with engines(teams=[team(model)]) as second:
        view = await second.end_of("r1")
        after = (await member_of(second, "r1")).row
    assert view.row.state is RunState.COMPLETED
    assert after.state is RunState.CANCELLED
    assert len(model.calls) == calls + 1, "the leader is asked, the member is not"


async def test_one_that_waits_for_a_person_lets_its_leader_go_on(engines: Engines, model: HeldModel) -> None:
    began = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        began.set()
        await asyncio.Event().wait()
        return "never"

    async with engines(teams=[team(model, tools=[wait])]) as first:
        await first.start("[[DELEGATE one: <TOOL wait>]]", "r1")
        await began.wait()
        await first.kill()
    async with engines(teams=[team(model, tools=[wait])]) as second:
        assert (await second.end_of("r1")).row.state is RunState.PAUSED
        await second.cancel((await member_of(second, "r1")).row.run_id)
        while (view := await second.end_of("r1")).row.state is RunState.PAUSED:
            pass
    assert view.row.state is RunState.COMPLETED
    assert (view.output and view.output.content) == 'Done: {"error":"one was cancelled by a person."}'


async def test_another_process_is_told(engines: Engines, model: HeldModel) -> None:
    async with engines(teams=[team(model)]) as driving, engines(teams=[team(model)]) as relaying:
        hold = model.hold("slow", after=1)
        await driving.start("[[DELEGATE one: slow]]", "r1")
        await hold.reached.wait()
        member = (await member_of(relaying, "r1")).row
        assert (await relaying.cancel(member.run_id)).state is RunState.CANCELLED
        assert (await driving.end_of("r1")).row.state is RunState.COMPLETED


async def test_who_has_ended_is_told_nothing(engines: Engines, model: HeldModel) -> None:
    async with engines(teams=[team(model)]) as harness:
        hold = model.hold("[[DELEGATE", after=5)
        hold.release()
        await harness.run("[[DELEGATE one: quick]]", "r1")
        member = (await member_of(harness, "r1")).row.run_id
        with pytest.raises(Conflict):
            await send(harness, "r1", "Too late", member)
        with pytest.raises(NotFound):
            await send(harness, "r1", "Nobody", "nobody")
        with pytest.raises(NotFound):
            await send(harness, member, "Not the run")
