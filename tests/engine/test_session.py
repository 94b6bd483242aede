"""What runs know of their session, and leave in it: state, history, summaries, other sessions."""

import asyncio
import json
from typing import Any

import pytest

from musterd import Agent, SessionSummaryManager, Team, ToolContext, tool
from musterd.core.callers import Caller
from musterd.core.events import EventKind
from musterd.core.queueing import OnBusy, QueueingOptions
from musterd.core.records import RunView, SessionRow
from musterd.core.states import RunState
from musterd.store import run_removal
from tests.engine.conftest import Engines
from tests.engine.test_replay import killed_in_second_turn
from tests.support.engine import NOBODY, EngineHarness
from tests.support.held_model import HeldModel
from tests.support.time_limits import RunTimes

MANAGER = SessionSummaryManager(summary_request_message="[[SAY They talked.]]")


async def session_of(harness: EngineHarness, session_id: str = "s1") -> SessionRow:
    session = await harness.sessions.view(session_id, NOBODY)
    assert session is not None
    return session.session


def content_of(view: RunView) -> Any:
    assert view.output is not None
    return view.output.content


def result_of(view: RunView) -> str:
    """What the run's one tool call gave."""
    assert view.output is not None
    (call,) = view.output.tools
    return call.result or ""


async def test_the_id_of_a_session_that_was_deleted_can_be_used_at_once(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many transactions it takes until the old one is gone."""
    monkeypatch.setattr(run_removal, "AT_ONCE", 1)
    async with engines() as harness:
        for number in range(3):
            await harness.run("old", f"r{number}")
        await harness.sessions.delete("s1", NOBODY)
        await harness.run("new", "r3")
        assert await harness.records.states() == {"r3": "completed"}


# State


async def test_states_of_runs_that_overlap_meet_key_by_key(engines: Engines, model: HeldModel) -> None:
    @tool(retry_safe=True)
    async def keep(name: str, context: ToolContext) -> str:
        """Keep a name."""
        context.session_state[name] = True
        return name

    agents = [Agent(id="solo", model=model, tools=[keep], session_state={"kept": 0})]
    async with engines(agents=agents) as harness:
        await harness.run('[[TOOL keep {"name": "zero"}]]', "r0")
        hold = model.hold('[[TOOL keep {"name": "one"}]]', after=1)
        await harness.start('[[TOOL keep {"name": "one"}]]', "r1", queueing=QueueingOptions(on_busy=OnBusy.PARALLEL))
        await hold.reached.wait()
        await harness.run('[[TOOL keep {"name": "two"}]]', "r2", queueing=QueueingOptions(on_busy=OnBusy.PARALLEL))
        assert (await session_of(harness)).state == {"kept": 0, "zero": True, "two": True}
        hold.release()
        view = await harness.end_of("r1")
        assert (view.output and view.output.session_state) == {"kept": 0, "zero": True, "one": True}
        assert (await session_of(harness)).state == {"kept": 0, "zero": True, "one": True, "two": True}


async def test_the_declared_state_can_stand_above_the_stored_one(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, session_state={"a": 1}, overwrite_db_session_state=True)]
    async with engines(agents=agents) as harness:
        await harness.run("one", "r1", options={"session_state": {"a": 2, "b": 2}})
        assert (await session_of(harness)).state == {"a": 2, "b": 2}
        view = await harness.run("two", "r2")
        assert (view.output and view.output.session_state) == {"a": 1}
        assert (await session_of(harness)).state == {"a": 1}


# Reading


async def test_a_model_reads_what_was_said_in_the_session(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, read_chat_history=True), Agent(id="other", model=model)]
    async with engines(agents=agents) as harness:
        await harness.run("one", of="solo")
        await harness.run("not of this agent", of="other")
        await harness.run("not of this session", session="s2", of="solo")
        await harness.run("[[ERROR 400]]", of="solo")
        view = await harness.run("[[TOOL get_chat_history {}]]", of="solo")
    assert json.loads(result_of(view)) == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "Echo: one"},
    ]


async def test_what_a_model_read_is_not_read_again(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, read_chat_history=True)]
    async with engines(agents=agents) as first:
        await first.run("one", "r0")
        await killed_in_second_turn(first, model, "[[TOOL get_chat_history {}]]")
        await first.database.write(lambda tx: _forget(tx))
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
    assert "Echo: one" in result_of(view)


async def _forget(tx: Any) -> None:
    from musterd.store.database import Statement

    await tx.run(Statement("test_forget", "UPDATE run_io SET messages = NULL WHERE run_id = 'r0'"), {})


async def test_other_sessions_are_the_same_users(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, search_session_history=True), Agent(id="other", model=model)]
    read = "[[TOOL get_previous_session_messages {}]]"
    async with engines(agents=agents) as harness:

        async def say(text: str, session: str, user: str | None, of: str = "solo") -> RunView:
            return await harness.run(text, session=session, user_id=user, of=of)

        await say("oldest", "a1", "ada")
        await say("older", "a2", "ada")
        await say("newer", "a3", "ada")
        await say("another user", "b1", "bob")
        await say("nobody", "n1", None)
        await say("another agent", "a4", "ada", of="other")
        proved = await harness.runs.start(harness.component("solo"), _request("proved", "p1"), Caller(user_id="ada"))
        await harness.end_of(proved.run.run_id, of="solo")
        sessions = json.loads(result_of(await say(read, "a5", "ada")))
        nothing = result_of(await say(read, "n2", None))
        alone = result_of(await say(read, "c1", "carl"))
        await harness.sessions.delete("a3", NOBODY)
        left = json.loads(result_of(await say(read, "a6", "ada")))
    assert [session["session"] for session in sessions] == ["newer", "older"]
    assert [message["content"] for message in sessions[0]["messages"]] == ["newer", "Echo: newer"]
    assert nothing == "The user is unknown, so there are no other sessions to read."
    assert alone == "The user has no other sessions."
    assert [session["session"] for session in left] == [read, "older"]


def _request(message: str, session: str) -> Any:
    from musterd.core.records import Input
    from musterd.service.runs import RunRequest

    return RunRequest(input=Input(message=message), run_id="proved", has_chosen_id=True, session_id=session)


# History


@pytest.mark.parametrize(
    "declared, requested, expected",
    [
        ({"num_history_messages": 1}, {}, ["Echo: two", "three"]),
        ({"num_history_messages": 3}, {"num_history_runs": 1}, ["two", "Echo: two", "three"]),
        ({}, {"num_history_messages": 3}, ["Echo: one", "two", "Echo: two", "three"]),
        ({"num_history_runs": 1}, {"num_history_runs": 2}, ["one", "Echo: one", "two", "Echo: two", "three"]),
        ({}, {"num_history_runs": 0}, ["three"]),
    ],
)
async def test_how_much_history_is_shown(
    engines: Engines, model: HeldModel, declared: dict[str, Any], requested: dict[str, Any], expected: list[str]
) -> None:
    agents = [Agent(id="solo", model=model, add_history_to_context=True, **declared)]
    async with engines(agents=agents) as harness:
        for message in ("one", "two"):
            await harness.run(message)
        await harness.run("three", options=requested)
    assert [message["content"] for message in model.conversation() if message["role"] != "system"] == expected


async def test_members_look_back_and_a_later_attempt_shows_them_the_same(engines: Engines, model: HeldModel) -> None:
    def team(runs: int) -> list[Team]:
        helper = Agent(id="helper", add_history_to_context=True, num_history_runs=runs)
        options: dict[str, Any] = {"add_team_history_to_members": True, "num_team_history_runs": runs}
        return [Team(id="team", model=model, members=[helper], **options)]

    def conversation_texts() -> list[str]:
        return [message["content"] for message in model.conversation() if message["role"] != "system"]

    async with engines(teams=team(2)) as first:
        for number in range(3):
            await first.run(f"[[DELEGATE helper: task {number}]]", f"r{number}")
        hold = model.hold("task 3")
        await first.start("[[DELEGATE helper: task 3]]", "r3")
        await hold.reached.wait()
        before = conversation_texts()
        system = model.conversation()[0]["content"]
        await first.kill()
        hold.release()
    async with engines(teams=team(3)) as second:
        calls = len(model.calls)
        view = await second.end_of("r3")
    assert view.row.state is RunState.COMPLETED
    assert before == ["task 1", "Echo: task 1", "task 2", "Echo: task 2", "task 3"]
    assert "<input>\n[[DELEGATE helper: task 1]]\n</input>\n<response>\nDone: Echo: task 1\n</response>" in system
    assert "task 0" not in system
    again = model.conversation(calls)
    assert [message["content"] for message in again[1:]] == before
    assert again[0]["content"] == system, "which runs are shown is as the first attempt found it"


# Summaries


async def test_a_summary_is_stored_and_shown_to_the_next_run(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, session_summary_manager=MANAGER)]
    async with engines(agents=agents) as harness:
        await harness.run("one", "r1")
        stored = (await session_of(harness)).summary
        await harness.run("two", "r2")
        kinds = [event.kind for _, event in await harness.stored("r1")]
    assert stored is not None
    assert (stored["summary"], stored["topics"]) == ("They talked.", [])
    assert kinds[-4:] == [
        EventKind.CONTENT_COMPLETED,
        EventKind.SESSION_SUMMARY_STARTED,
        EventKind.SESSION_SUMMARY_COMPLETED,
        EventKind.RUN_COMPLETED,
    ]
    conversations = [model.conversation(call) for call in range(4)]
    assert "User: one\nAssistant: Echo: one" in conversations[1][0]["content"]
    assert "<session_summary>\nThey talked.\n</session_summary>" in conversations[2][0]["content"]
    assert "<earlier_summary>\nThey talked.\n</earlier_summary>" in conversations[3][0]["content"]
    assert "User: one" not in conversations[3][0]["content"], "the summary has it already"


async def test_a_run_that_is_killed_while_it_sums_up_keeps_its_answer(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, session_summary_manager=MANAGER)]
    hold = model.hold("[[SAY They talked.]]")
    async with engines(agents=agents, delta_seconds=0) as first:
        await first.start("one", "r1")
        await hold.reached.wait()
        await first.wait_for_event("r1", lambda event: event.kind is EventKind.SESSION_SUMMARY_STARTED)
        await first.kill()
    hold.release()
    async with engines(agents=agents) as second:
        view = await second.end_of("r1")
        summary = (await session_of(second)).summary
    assert (view.row.state, content_of(view), len(model.calls)) == (RunState.COMPLETED, "Echo: one", 3)
    assert (summary or {})["summary"] == "They talked."


async def test_what_ended_meanwhile_is_in_the_next_summary(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, session_summary_manager=MANAGER)]
    parallel = QueueingOptions(on_busy=OnBusy.PARALLEL)
    async with engines(agents=agents) as harness:
        hold = model.hold("[[SAY They talked.]]")
        await harness.start("one", "r1", queueing=parallel)
        await hold.reached.wait()
        await harness.start("two", "r2", queueing=parallel)
        while len(model.calls) < 4:
            await asyncio.wait([asyncio.ensure_future(harness.stored_so_far())])
        hold.release()
        await harness.end_of("r1")
        await harness.end_of("r2")
        stored = (await session_of(harness)).summary
        await harness.run("three", "r3")
    assert stored is not None
    last = model.conversation()[0]["content"]
    for run_id, text in (("r1", "one"), ("r2", "two")):  # the summary that was stored last knows one of them
        assert (f"User: {text}\nAssistant: Echo: {text}" in last) is (stored["run_id"] != run_id)
    assert "User: three\nAssistant: Echo: three" in last


async def test_an_answer_that_stands_does_not_fail_for_a_slow_summary(
    engines: Engines, model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = RunTimes(monkeypatch)
    agents = [Agent(id="solo", model=model, session_summary_manager=MANAGER)]
    hold = model.hold("[[SAY They talked.]]")
    async with engines(agents=agents) as harness:
        await harness.start("one", "r1")
        await hold.reached.wait()
        times.end()
        view = await harness.end_of("r1")
        assert (view.row.state, content_of(view)) == (RunState.COMPLETED, "Echo: one")
        assert (await session_of(harness)).summary is None


async def test_a_summary_that_fails_leaves_the_last_one(engines: Engines, model: HeldModel) -> None:
    good = [Agent(id="solo", model=model, session_summary_manager=MANAGER)]
    bad = [
        Agent(
            id="solo",
            model=model,
            session_summary_manager=SessionSummaryManager(summary_request_message="[[ERROR 400]]"),
        )
    ]
    async with engines(agents=good) as harness:
        await harness.run("one", "r1")
    async with engines(agents=bad) as harness:
        view = await harness.run("two", "r2")
        assert view.row.state is RunState.COMPLETED
        assert ((await session_of(harness)).summary or {})["summary"] == "They talked."
    async with engines(agents=good) as harness:
        await harness.run("three", "r3")
    assert "User: two" in model.conversation()[0]["content"], "the next one makes up for it"


# The first message


async def test_a_session_begins_with_the_introduction(engines: Engines, model: HeldModel) -> None:
    agents = [Agent(id="solo", model=model, introduction="Good morning.", add_history_to_context=True)]
    async with engines(agents=agents) as harness:
        first = await harness.run("one", "r1")
        second = await harness.run("two", "r2")
    assert first.messages is not None
    assert second.messages is not None
    assert first.messages[0]["parts"][0]["content"] == "Good morning."
    assert [message["content"] for message in model.conversation()[1:]] == ["one", "Echo: one", "two"]
