"""What a run knows of its session: the tools that read and change it, summaries, what members are shown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from musterd import Agent, RunContext, SessionSummaryManager, Team
from musterd.core import clock
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.loop.conversation import message_text
from musterd.loop.history import ComponentKey, EarlierSession, MemberHistory, Unsummarised
from tests.support.loop import Call, LoopHarness, TurnModel, failure


def chat(question: str, answer: str) -> str:
    """A stored conversation."""
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(question)]),
        ModelResponse(parts=[TextPart(answer)]),
    ]
    return "[" + ",".join(message_text(message) for message in messages) + "]"


@dataclass
class FixedHistory:
    """A session's history that a test chooses."""

    chats: Sequence[str] = ()
    others: Sequence[EarlierSession] | None = ()
    summary: JsonObject | None = None
    queries: list[Any] = field(default_factory=list)

    async def conversations(self, member: ComponentKey | None, limit: int) -> Sequence[str]:
        self.queries.append((member, limit))
        return self.chats[-limit:]

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        self.queries.append(limit)
        return self.others

    async def inputs_and_outputs(self, limit: int) -> Sequence[tuple[str, str]]:
        return ()

    async def unsummarised(self) -> Unsummarised:
        return Unsummarised(summary=self.summary, conversations=self.chats)


def harness_with(
    spec: Agent | Team, history: FixedHistory | None = None, member_history: MemberHistory | None = None, **options: Any
) -> LoopHarness:
    """One run with a history."""
    harness = LoopHarness(spec, **options)
    tree = replace(harness.tree, history=history or FixedHistory(), member_history=member_history or MemberHistory())
    harness.tree = harness.loop.tree = harness.loop._toolbox._tree = tree
    return harness


def system_of(messages: list[ModelMessage]) -> str:
    part = messages[0].parts[0]
    assert not isinstance(part, UserPromptPart), "there is a system message"
    return str(getattr(part, "content", ""))


# State


async def test_a_model_changes_the_state() -> None:
    updates = {"session_state_updates": {"list": ["milk"], "count": 2}}
    model = TurnModel([Call("update_session_state", updates)], "done")
    harness = harness_with(Agent(id="solo", model=model, enable_agentic_state=True), state={"count": 1, "name": "Ada"})
    await harness.drive()
    assert harness.run.state == {"count": 2, "name": "Ada", "list": ["milk"]}
    assert model.tool_results() == ['Updated session state: {"count":2,"name":"Ada","list":["milk"]}']
    assert harness.steps.results["t0/c0"].state_delta == {"set": {"count": 2, "list": ["milk"]}, "removed": []}


async def test_dates_and_ids_that_functions_leave_in_the_state_are_stored_as_text() -> None:
    day, moment, order = date(2026, 8, 1), datetime(2026, 8, 1, 12, tzinfo=UTC), UUID(int=7)
    texts = ["2026-08-01", "2026-08-01T12:00:00+00:00", str(order)]

    def values() -> list[Any]:
        return [day, moment, {"order": (order,)}]

    def note(run_context: RunContext) -> str:
        """Note."""
        run_context.session_state["tool"] = values()
        return "noted"

    def instructions(session_state: dict[str, Any]) -> str:
        session_state["function"] = values()
        return "Help."

    def before(session_state: dict[str, Any]) -> None:
        session_state["hook"] = values()

    model = TurnModel([Call("note")], "done")
    agent = Agent(id="solo", model=model, tools=[note], instructions=instructions, pre_hooks=[before])
    harness = harness_with(agent)
    await harness.drive()
    assert harness.run.state == {name: [*texts[:2], {"order": [texts[2]]}] for name in ("hook", "function", "tool")}


async def test_the_task_list_is_not_changed_as_state() -> None:
    updates: JsonObject = {"session_state_updates": {"_team_tasks": {}}}
    model = TurnModel([Call("update_session_state", updates)], "done")
    await harness_with(Agent(id="solo", model=model, enable_agentic_state=True)).drive()
    assert "is the task list" in model.tool_results()[0]


# Reading


async def test_a_model_reads_what_was_said_before() -> None:
    model = TurnModel([Call("get_chat_history"), Call("get_chat_history", {"num_chats": 1})], "done")
    history = FixedHistory(chats=[chat("one", "1"), chat("two", "2")])
    await harness_with(Agent(id="solo", model=model, read_chat_history=True), history).drive()
    every, last = model.tool_results()
    assert [message["content"] for message in json.loads(every)] == ["one", "1", "two", "2"]
    assert json.loads(last) == [{"role": "user", "content": "two"}, {"role": "assistant", "content": "2"}]
    assert history.queries == [(None, 1000), (None, 1)]


async def test_a_member_reads_its_own_conversations() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "leader's answer")
    member = TurnModel([Call("get_chat_history")], "member's answer")
    history = FixedHistory()
    team = Team(id="t", model=model, members=[Agent(id="a", model=member, read_chat_history=True)])
    await harness_with(team, history).drive()
    assert history.queries == [(("agent", "a"), 1000)]
    assert member.tool_results() == ["There are no earlier messages in this session."]


async def test_a_model_reads_the_users_other_sessions() -> None:
    model = TurnModel([Call("get_previous_session_messages")], "done")
    other = EarlierSession(session_id="s0", name="Weather", updated_at=0.0, conversations=[chat("one", "1")])
    history = FixedHistory(others=[other])
    spec = Agent(id="solo", model=model, search_session_history=True, num_history_sessions=4)
    await harness_with(spec, history).drive()
    (read,) = json.loads(model.tool_results()[0])
    assert (read["session"], read["last_used"], history.queries) == ("Weather", "1970-01-01T00:00:00Z", [4])
    assert [message["content"] for message in read["messages"]] == ["one", "1"]


async def test_without_a_user_there_are_no_other_sessions() -> None:
    model = TurnModel([Call("get_previous_session_messages")], "done")
    history = FixedHistory(others=None)
    await harness_with(Agent(id="solo", model=model, search_session_history=True), history).drive()
    assert "The user is unknown" in model.tool_results()[0]


def test_tools_that_are_not_asked_for_are_not_offered() -> None:
    harness = harness_with(Agent(id="solo", model=TurnModel()))
    assert [tool.name for tool in harness.run.component.tools] == []


# Summaries


SUMMARY = '{"summary": "They talked.", "topics": ["talk"]}'


async def test_a_session_is_summed_up_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 50.0)
    model = TurnModel("the answer", SUMMARY)
    history = FixedHistory(
        chats=[chat("one", "1")], summary={"summary": "Before.", "topics": [], "as_of": 1.0, "run_id": "r0"}
    )
    harness = harness_with(Agent(id="solo", model=model, enable_session_summaries=True), history, prompt="two")
    output = await harness.drive()
    assert output.content == "the answer"
    assert harness.loop.progress.summary == {
        "summary": "They talked.",
        "topics": ["talk"],
        "as_of": 50.0,
        "run_id": "root",
    }
    system = system_of(model.seen[1])
    assert "<earlier_summary>\nBefore.\n</earlier_summary>" in system
    assert "<conversation>\nUser: one\nAssistant: 1\nUser: two\nAssistant: the answer\n</conversation>" in system
    assert harness.kinds()[-3:] == [
        EventKind.CONTENT_COMPLETED,
        EventKind.SESSION_SUMMARY_STARTED,
        EventKind.SESSION_SUMMARY_COMPLETED,
    ]
    assert [event.data["text"] for event in harness.events if event.kind is EventKind.CONTENT] == ["the answer"]
    assert harness.steps.log[-1] == ("model", "summary/m")
    assert len(harness.loop.progress.messages) == 2, "it is no part of the conversation"


async def test_another_model_and_prompt_sum_up() -> None:
    model, other = TurnModel("the answer"), TurnModel("In short: a talk.")
    manager = SessionSummaryManager(model=other, session_summary_prompt="Be brief.", summary_request_message="Now.")
    harness = harness_with(Agent(id="solo", model=model, session_summary_manager=manager))
    output = await harness.drive()
    assert [aside["role"] for aside in output.asides] == ["session_summary_model"]
    assert harness.loop.progress.summary is not None
    assert harness.loop.progress.summary["summary"] == "In short: a talk."
    assert system_of(other.seen[0]).startswith("Be brief.\n\n<conversation>")
    assert other.seen[0][-1].parts[-1].content == "Now."  # type: ignore[union-attr]


@pytest.mark.parametrize("turn", [failure(400), '{"summary": 3}', '{"summary": "", "topics": []}'])
async def test_a_summary_that_fails_fails_nothing(turn: Any) -> None:
    model = TurnModel("the answer", turn)
    harness = harness_with(Agent(id="solo", model=model, enable_session_summaries=True))
    output = await harness.drive()
    assert (output.content, output.error, harness.loop.progress.summary) == ("the answer", None, None)
    (completed,) = [event for event in harness.events if event.kind is EventKind.SESSION_SUMMARY_COMPLETED]
    assert completed.data == {"session_summary": None}


async def test_members_sum_nothing_up() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "member's", "leader's")
    team = Team(id="t", model=model, members=[Agent(id="a", enable_session_summaries=True)])
    await harness_with(team).drive()
    assert len(model.seen) == 3


@pytest.mark.parametrize(
    "options, is_shown",
    [
        ({"enable_session_summaries": True}, True),
        ({"add_session_summary_to_context": True}, True),
        ({"enable_session_summaries": True, "add_session_summary_to_context": False}, False),
        ({}, False),
    ],
)
async def test_where_the_summary_is_shown(options: dict[str, Any], is_shown: bool) -> None:
    model = TurnModel("the answer", SUMMARY)
    harness = harness_with(Agent(id="solo", model=model, instructions="x", **options), session_summary="They talked.")
    await harness.drive()
    assert ("<session_summary>\nThey talked.\n</session_summary>" in system_of(model.seen[0])) is is_shown


# Members


def said(messages: list[ModelMessage]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    return [str(part.content) for part in parts if isinstance(part, UserPromptPart | TextPart)]


async def test_members_are_shown_their_own_earlier_runs() -> None:
    def task(member: str, text: str) -> Call:
        return Call("delegate_task_to_member", {"member_id": member, "task": text})

    leader = TurnModel([task("a", "first")], [task("b", "second")], [task("a", "third")], "done")
    one, two = TurnModel("1", "3"), TurnModel("2")
    members = [Agent(id="a", model=one, add_history_to_context=True), Agent(id="b", model=two)]
    before: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("zero")]), ModelResponse(parts=[TextPart("0")])]
    member_history = MemberHistory(
        of_members={("agent", "a"): before}, run_ids={"members": {"agent:a": ["r0"]}, "team": []}
    )
    harness = harness_with(Team(id="t", model=leader, members=members), member_history=member_history)
    await harness.drive()
    assert [said(messages) for messages in one.seen] == [["zero", "0", "first"], ["zero", "0", "first", "1", "third"]]
    assert said(two.seen[0]) == ["second"]
    assert harness.steps.taken["p"]["member_history"] == member_history.run_ids
    assert "member_history" not in harness.steps.taken["t0/c0/p"]


async def test_members_are_told_of_the_teams_earlier_runs() -> None:
    leader = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "done")
    member = TurnModel("1")
    member_history = MemberHistory(of_team=[("old", "older"), ("what", "that"), ("who", "them")])
    team = Team(
        id="t",
        model=leader,
        members=[Agent(id="a", model=member)],
        add_team_history_to_members=True,
        num_team_history_runs=2,
    )
    await harness_with(team, member_history=member_history).drive()
    assert system_of(member.seen[0]) == (
        "<team_history>\n"
        "<run>\n<input>\nwhat\n</input>\n<response>\nthat\n</response>\n</run>\n"
        "<run>\n<input>\nwho\n</input>\n<response>\nthem\n</response>\n</run>\n"
        "</team_history>"
    )
