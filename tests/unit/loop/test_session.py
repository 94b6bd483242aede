"""What a run knows of its session: the tools that read and change it, summaries, what members are shown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from musterd import Agent, SessionSummaryManager, Team
from musterd.core import clock
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.loop.conversation import message_text
from musterd.loop.history import ComponentKey, EarlierSession, MemberHistory, Unsummarised
from tests.support.loop import Call, Stage, TurnModel, failure


def chat(asked: str, answered: str) -> str:
    """A stored conversation."""
    said: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(asked)]), ModelResponse(parts=[TextPart(answered)])]
    return "[" + ",".join(message_text(message) for message in said) + "]"


@dataclass
class GivenPast:
    """What was said before, as a test gives it."""

    chats: Sequence[str] = ()
    others: Sequence[EarlierSession] | None = ()
    summary: JsonObject | None = None
    asked: list[Any] = field(default_factory=list)

    async def conversations(self, member: ComponentKey | None, limit: int) -> Sequence[str]:
        self.asked.append((member, limit))
        return self.chats[-limit:]

    async def other_sessions(self, limit: int) -> Sequence[EarlierSession] | None:
        self.asked.append(limit)
        return self.others

    async def unsummarised(self) -> Unsummarised:
        return Unsummarised(summary=self.summary, conversations=self.chats)


def stage(
    spec: Agent | Team, history: GivenPast | None = None, shown: MemberHistory | None = None, **given: Any
) -> Stage:
    """One run with a history."""
    found = Stage(spec, **given)
    tree = replace(found.tree, history=history or GivenPast(), member_history=shown or MemberHistory())
    found.tree = found.loop.tree = found.loop._toolbox._tree = tree
    return found


def system_of(messages: list[ModelMessage]) -> str:
    part = messages[0].parts[0]
    assert not isinstance(part, UserPromptPart), "there is a system message"
    return str(getattr(part, "content", ""))


# State


async def test_a_model_changes_the_state() -> None:
    updates = {"session_state_updates": {"list": ["milk"], "count": 2}}
    model = TurnModel([Call("update_session_state", updates)], "done")
    found = stage(Agent(id="solo", model=model, enable_agentic_state=True), state={"count": 1, "name": "Ada"})
    await found.drive()
    assert found.run.state == {"count": 2, "name": "Ada", "list": ["milk"]}
    assert model.told() == ['Updated session state: {"count":2,"name":"Ada","list":["milk"]}']
    assert found.steps.results["t0/c0"].state_delta == {"set": {"count": 2, "list": ["milk"]}, "removed": []}


async def test_the_task_list_is_not_changed_as_state() -> None:
    updates: JsonObject = {"session_state_updates": {"_team_tasks": {}}}
    model = TurnModel([Call("update_session_state", updates)], "done")
    await stage(Agent(id="solo", model=model, enable_agentic_state=True)).drive()
    assert "is the task list" in model.told()[0]


# Reading


async def test_a_model_reads_what_was_said_before() -> None:
    model = TurnModel([Call("get_chat_history"), Call("get_chat_history", {"num_chats": 1})], "done")
    history = GivenPast(chats=[chat("one", "1"), chat("two", "2")])
    await stage(Agent(id="solo", model=model, read_chat_history=True), history).drive()
    every, last = model.told()
    assert [message["content"] for message in json.loads(every)] == ["one", "1", "two", "2"]
    assert json.loads(last) == [{"role": "user", "content": "two"}, {"role": "assistant", "content": "2"}]
    assert history.asked == [(None, 1000), (None, 1)]


async def test_a_member_reads_its_own_conversations() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "leader's answer")
    member = TurnModel([Call("get_chat_history")], "member's answer")
    history = GivenPast()
    team = Team(id="t", model=model, members=[Agent(id="a", model=member, read_chat_history=True)])
    await stage(team, history).drive()
    assert history.asked == [(("agent", "a"), 1000)]
    assert member.told() == ["There are no earlier messages in this session."]


async def test_a_model_reads_the_users_other_sessions() -> None:
    model = TurnModel([Call("get_previous_session_messages")], "done")
    other = EarlierSession(session_id="s0", name="Weather", updated_at=0.0, conversations=[chat("one", "1")])
    history = GivenPast(others=[other])
    spec = Agent(id="solo", model=model, search_session_history=True, num_history_sessions=4)
    await stage(spec, history).drive()
    (read,) = json.loads(model.told()[0])
    assert (read["session"], read["last_used"], history.asked) == ("Weather", "1970-01-01T00:00:00Z", [4])
    assert [message["content"] for message in read["messages"]] == ["one", "1"]


async def test_without_a_user_there_are_no_other_sessions() -> None:
    model = TurnModel([Call("get_previous_session_messages")], "done")
    history = GivenPast(others=None)
    await stage(Agent(id="solo", model=model, search_session_history=True), history).drive()
    assert "The user is unknown" in model.told()[0]


def test_tools_that_are_not_asked_for_are_not_offered() -> None:
    found = stage(Agent(id="solo", model=TurnModel()))
    assert found.loop._toolbox.planner.began_with == {}
    assert [tool.name for tool in found.run.component.tools] == []


# Summaries


SUMMARY = '{"summary": "They talked.", "topics": ["talk"]}'


async def test_a_session_is_summed_up_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 50.0)
    model = TurnModel("the answer", SUMMARY)
    history = GivenPast(
        chats=[chat("one", "1")], summary={"summary": "Before.", "topics": [], "as_of": 1.0, "run_id": "r0"}
    )
    found = stage(Agent(id="solo", model=model, enable_session_summaries=True), history, prompt="two")
    output = await found.drive()
    assert output.content == "the answer"
    assert found.loop.progress.summary == {
        "summary": "They talked.",
        "topics": ["talk"],
        "as_of": 50.0,
        "run_id": "root",
    }
    asked = system_of(model.seen[1])
    assert "<earlier_summary>\nBefore.\n</earlier_summary>" in asked
    assert "<conversation>\nUser: one\nAssistant: 1\nUser: two\nAssistant: the answer\n</conversation>" in asked
    assert found.kinds()[-3:] == [
        EventKind.CONTENT_COMPLETED,
        EventKind.SESSION_SUMMARY_STARTED,
        EventKind.SESSION_SUMMARY_COMPLETED,
    ]
    assert [event.data["text"] for event in found.events if event.kind is EventKind.CONTENT] == ["the answer"]
    assert found.steps.log[-1] == ("model", "summary/m")
    assert len(found.loop.progress.messages) == 2, "it is no part of the conversation"


async def test_another_model_and_prompt_sum_up() -> None:
    model, other = TurnModel("the answer"), TurnModel("In short: a talk.")
    manager = SessionSummaryManager(model=other, session_summary_prompt="Be brief.", summary_request_message="Now.")
    found = stage(Agent(id="solo", model=model, session_summary_manager=manager))
    output = await found.drive()
    assert [aside["role"] for aside in output.asides] == ["session_summary_model"]
    assert found.loop.progress.summary is not None
    assert found.loop.progress.summary["summary"] == "In short: a talk."
    assert system_of(other.seen[0]).startswith("Be brief.\n\n<conversation>")
    assert other.seen[0][-1].parts[-1].content == "Now."  # type: ignore[union-attr]


@pytest.mark.parametrize("turn", [failure(400), '{"summary": 3}', '{"summary": "", "topics": []}'])
async def test_a_summary_that_fails_fails_nothing(turn: Any) -> None:
    model = TurnModel("the answer", turn)
    found = stage(Agent(id="solo", model=model, enable_session_summaries=True))
    output = await found.drive()
    assert (output.content, output.error, found.loop.progress.summary) == ("the answer", None, None)
    (told,) = [event for event in found.events if event.kind is EventKind.SESSION_SUMMARY_COMPLETED]
    assert told.data == {"session_summary": None}


async def test_members_sum_nothing_up() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "member's", "leader's")
    team = Team(id="t", model=model, members=[Agent(id="a", enable_session_summaries=True)])
    await stage(team).drive()
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
    found = stage(Agent(id="solo", model=model, instructions="x", **options), session_summary="They talked.")
    await found.drive()
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
    shown = MemberHistory(of_members={("agent", "a"): before}, run_ids={"members": {"agent:a": ["r0"]}, "team": []})
    found = stage(Team(id="t", model=leader, members=members), shown=shown)
    await found.drive()
    assert [said(messages) for messages in one.seen] == [["zero", "0", "first"], ["zero", "0", "first", "1", "third"]]
    assert said(two.seen[0]) == ["second"]
    assert found.steps.taken["p"]["member_history"] == shown.run_ids
    assert "member_history" not in found.steps.taken["t0/c0/p"]


async def test_members_are_told_of_the_teams_earlier_runs() -> None:
    leader = TurnModel([Call("delegate_task_to_member", {"member_id": "a", "task": "x"})], "done")
    member = TurnModel("1")
    shown = MemberHistory(of_team=[("old", "older"), ("what", "that"), ("who", "them")])
    team = Team(
        id="t",
        model=leader,
        members=[Agent(id="a", model=member)],
        add_team_history_to_members=True,
        num_team_history_runs=2,
    )
    await stage(team, shown=shown).drive()
    assert system_of(member.seen[0]) == (
        "<team_history>\n"
        "<run>\n<input>\nwhat\n</input>\n<response>\nthat\n</response>\n</run>\n"
        "<run>\n<input>\nwho\n</input>\n<response>\nthem\n</response>\n</run>\n"
        "</team_history>"
    )
