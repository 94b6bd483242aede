"""The loop: turns, delegations, answers of a given form, retries, history."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest, ModelResponse, SystemPromptPart, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters

from musterd import Agent, Team, ToolContext, tool
from musterd.core import clock
from musterd.core.errors import LimitReached, RunFailed
from musterd.core.events import EventKind
from musterd.core.records import StepState
from musterd.core.states import RunState
from musterd.loop.conversation import Conversation, earlier_messages, message_text
from musterd.models.plain_messages import plain_messages
from tests.support.loop import SALT, Call, LoopHarness, TurnModel, failure

DELEGATE = "delegate_task_to_member"


def delegate(member: str, task: str = "a task") -> Call:
    return Call(DELEGATE, {"member_id": member, "task": task})


def last_text(messages: list[Any]) -> str:
    part = messages[-1].parts[-1]
    return str(part.content)


# Turns


async def test_an_answer_at_once() -> None:
    harness = LoopHarness(Agent(id="solo", model=TurnModel(["An ", "answer"])))
    output = await harness.drive()
    assert (output.content, output.content_type, output.error) == ("An answer", "str", None)
    assert harness.kinds() == [
        EventKind.RUN_STARTED,
        EventKind.MODEL_REQUEST_STARTED,
        EventKind.MODEL_REQUEST_COMPLETED,
        EventKind.CONTENT_COMPLETED,
    ]
    assert [event.data["text"] for event in harness.events if event.kind is EventKind.CONTENT] == ["An ", "answer"]
    assert harness.steps.log == [("prepare", "p"), ("model", "t0/m")]
    assert len(harness.steps.first_tokens) == 1
    assert output.usage.output_tokens > 0


async def test_the_limit_of_turns() -> None:
    model = TurnModel(ask=lambda messages: Call("nothing"))
    with pytest.raises(LimitReached, match="3 model calls") as caught:
        await LoopHarness(Agent(id="solo", model=model, max_turns=3)).drive()
    assert caught.value.code == "max_turns"
    assert len(model.seen) == 3
    with pytest.raises(LimitReached, match="2 model calls"):
        await LoopHarness(Agent(id="solo", model=model), settings={"max_turns": 2}).drive()


async def test_the_users_message_is_the_last_and_verbatim() -> None:
    model = TurnModel("ok")
    await LoopHarness(Agent(id="solo", model=model, instructions="Be brief"), "  <b>hi</b> {name}\n").drive()
    request: Any = model.seen[0][0]
    assert [type(part) for part in request.parts] == [SystemPromptPart, UserPromptPart]
    assert request.parts[1].content == "  <b>hi</b> {name}\n"


# Delegation


async def test_members_run_beside_each_other_and_answer_in_order() -> None:
    leader = TurnModel([delegate("b", "for b"), delegate("a", "for a"), delegate("b", "again")], "together")
    helper = TurnModel(ask=lambda messages: f"did {last_text(messages)}")
    team = Team(id="team", model=leader, members=[Agent(id="a", model=helper), Agent(id="b", model=helper)])
    harness = LoopHarness(team)
    output = await harness.drive()
    assert output.content == "together"
    assert leader.tool_results() == ["did for b", "did for a", "did again"]
    started = {start.path: start for start in harness.steps.started}
    assert [(start.component_id, start.task) for start in started.values()] == [
        ("b", "for b"),
        ("a", "for a"),
        ("b", "again"),
    ]
    assert {path: start.run_id for path, start in started.items()} == {
        f"t0/c{number}": clock.derived_id(SALT, f"t0/c{number}") for number in range(3)
    }
    assert harness.loop.progress.members == [start.run_id for start in started.values()]
    assert [call.child_run_id for call in output.tools] == harness.loop.progress.members
    assert {end.state for end in harness.steps.ended} == {RunState.COMPLETED}
    for start in started.values():
        assert (start.parent_id, harness.kinds(start.run_id)[-1]) == ("root", EventKind.RUN_COMPLETED)
        (completed,) = [
            event for event in harness.events if event.run_id == start.run_id and event.kind is EventKind.RUN_STARTED
        ]
        assert completed.data["parent_id"] == "root"


@pytest.mark.parametrize(
    "call, said",
    [
        (delegate("nobody"), "There is no member 'nobody'. Members:"),
        (delegate("a", " "), "delegate_task_to_member takes member_id and task"),
        (Call(DELEGATE, {"member_id": "a"}), "delegate_task_to_member takes member_id and task"),
        (Call(DELEGATE, {"member_id": ["a"], "task": "x"}), "delegate_task_to_member takes member_id and task"),
        (Call("other"), "There is no tool 'other'. Tools: delegate_task_to_member."),
    ],
    ids=str,
)
async def test_a_delegation_that_cannot_be(call: Call, said: str) -> None:
    leader = TurnModel(call, "ok")
    harness = LoopHarness(Team(id="team", model=leader, members=[Agent(id="a", role="Knows")]))
    await harness.drive()
    assert leader.tool_results()[0].startswith(said)
    assert (harness.steps.started, harness.loop.progress.members) == ([], [])


async def test_a_members_failure_is_the_leaders_to_read() -> None:
    helper = TurnModel(["some text", failure(400)])
    leader = TurnModel(delegate("a"), "ok")
    harness = LoopHarness(Team(id="team", model=leader, members=[Agent(id="a", name="Ada", model=helper)]))
    assert (await harness.drive()).content == "ok"
    assert leader.tool_results()[0].startswith("Ada failed: ")
    (end,) = harness.steps.ended
    assert end.state is RunState.ERROR
    assert end.output.error is not None
    assert (harness.steps.results["t0/c0"].state, harness.kinds(end.run_id)[-1]) == (
        StepState.FAILED,
        EventKind.RUN_ERROR,
    )


async def test_teams_in_teams_go_as_deep_as_allowed() -> None:
    said: list[str] = []

    def ask(messages: list[Any]) -> Any:
        if len(messages) == 1:
            return delegate("inner" if "deep" in last_text(messages) else "leaf", "deep" if len(said) < 1 else "x")
        said.append(last_text(messages))
        return said[-1]

    model = TurnModel(ask=ask)
    leaf = Agent(id="leaf", model=TurnModel(ask=lambda messages: "from the leaf"))
    innermost = Team(id="inner", members=[leaf])
    team = Team(id="outer", model=model, members=[Team(id="inner", members=[innermost, leaf])])
    harness = LoopHarness(team, "deep", settings={"max_depth": 1})
    assert (await harness.drive()).content == "Delegation is limited to 1 levels. Do it yourself."
    assert [start.path for start in harness.steps.started] == ["t0/c0"]


async def test_members_share_the_state_as_it_is_at_the_join() -> None:
    @tool
    def put(key: str, context: ToolContext) -> str:
        """Keep something."""
        context.session_state[key] = len(context.session_state)
        return "ok"

    helper = TurnModel(ask=lambda said: Call("put", {"key": last_text(said)}) if len(said) == 1 else "done")
    leader = TurnModel([delegate("a", "x"), delegate("a", "y")], [delegate("a", "z")], "ok")
    harness = LoopHarness(
        Team(id="team", model=leader, members=[Agent(id="a", model=helper, tools=[put])]), state={"s": 0}
    )
    await harness.drive()
    assert harness.run.state == {"s": 0, "x": 1, "y": 1, "z": 3}


# The form of an answer


class Person(BaseModel):
    name: str
    age: int


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "title": "Number"}
GOOD, BAD = {"name": "Ada", "age": 36}, {"name": "Ada", "age": "old"}


def final(value: Any) -> Call:
    return Call("final_result", value)


@pytest.mark.parametrize(
    "schema, turns, content, name",
    [
        (Person, [final(GOOD)], GOOD, "Person"),
        (Person, ['```json\n{"name": "Ada", "age": 36}\n```'], GOOD, "Person"),
        (Person, [final(BAD), final(GOOD)], GOOD, "Person"),
        (Person, ["no JSON", final(BAD), final(GOOD)], GOOD, "Person"),
        (SCHEMA, [final({"n": 1})], {"n": 1}, "Number"),
        (SCHEMA, [final({"n": "x"}), final({"n": 1})], {"n": 1}, "Number"),
        (
            {"type": "json_schema", "json_schema": {"name": "N", "schema": SCHEMA}},
            [final({"n": 1})],
            {"n": 1},
            "N",
        ),
    ],
)
async def test_an_answer_of_the_form_asked_for(schema: Any, turns: list[Any], content: Any, name: str) -> None:
    model = TurnModel(*turns)
    output = await LoopHarness(Agent(id="solo", model=model, output_schema=schema)).drive()
    assert (output.content, output.content_type) == (content, name)
    assert len(model.seen) == len(turns)


async def test_a_form_that_is_never_met() -> None:
    model = TurnModel(ask=lambda messages: final(BAD))
    with pytest.raises(RunFailed, match="age") as caught:
        await LoopHarness(Agent(id="solo", model=model, output_schema=Person)).drive()
    assert caught.value.code == "output_invalid"
    assert len(model.seen) == 3
    assert "Correct the answer" in model.tool_results()[0]


async def test_the_requests_form_stands_above_the_declared_one() -> None:
    output = await LoopHarness(
        Agent(id="solo", model=TurnModel(final({"n": 1})), output_schema=Person), output_schema=SCHEMA
    ).drive()
    assert output.content == {"n": 1}


# Tries of a model call


async def test_a_broken_try_is_void_and_told() -> None:
    model = TurnModel(["half an ", failure(503)], "answer")
    harness = LoopHarness(Agent(id="solo", model=model))
    assert (await harness.drive()).content == "answer"
    kinds = harness.kinds()
    assert kinds[2:5] == [
        EventKind.MODEL_REQUEST_RETRIED,
        EventKind.RUN_CONTINUED,
        EventKind.MODEL_REQUEST_STARTED,
    ]
    (void,) = [event for event in harness.events if event.kind is EventKind.RUN_CONTINUED]
    assert void.data == {"reason": "model_retry", "superseded": [{"run_id": "root", "path": ""}]}
    assert harness.loop.progress.partial_text == "answer"
    assert harness.steps.log == [("prepare", "p"), ("model", "t0/m")], "one step, however many tries"


async def test_a_try_that_said_nothing_voids_nothing() -> None:
    harness = LoopHarness(Agent(id="solo", model=TurnModel([failure(503)], "answer")))
    await harness.drive()
    assert EventKind.RUN_CONTINUED not in harness.kinds()
    assert EventKind.MODEL_REQUEST_RETRIED in harness.kinds()


# History


def stored(conversation: Conversation | None) -> str:
    assert conversation is not None
    return "[" + ",".join(conversation.texts) + "]"


def said(conversation_text: str) -> list[tuple[str, Any]]:
    messages = plain_messages(earlier_messages(conversation_text), ModelRequestParameters())
    return [(message["role"], message["content"]) for message in messages]


async def test_history_stands_before_the_message_and_is_not_history_again() -> None:
    first = LoopHarness(Agent(id="solo", model=TurnModel("one"), instructions="Rule 1"), "first")
    await first.drive()
    model = TurnModel("two")
    second = LoopHarness(
        Agent(id="solo", model=model, instructions="Rule 2"),
        "second",
        history=earlier_messages(stored(first.loop.progress.conversation)),
    )
    await second.drive()
    contents: list[Any] = [
        part.content for message in model.seen[0] for part in message.parts if hasattr(part, "content")
    ]
    assert contents[1:] == ["first", "one", "second"]
    assert ("Rule 2" in contents[0], "Rule 1" in str(contents)) == (True, False)
    assert said(stored(second.loop.progress.conversation)) == [("user", "second"), ("assistant", "two")]


async def test_an_answer_by_tool_is_text_in_the_history_and_corrections_stay() -> None:
    harness = LoopHarness(Agent(id="solo", model=TurnModel(final(BAD), final(GOOD)), output_schema=Person), "who")
    await harness.drive()
    spoken = said(stored(harness.loop.progress.conversation))
    assert spoken[0] == ("user", "who")
    assert spoken[-1][0] == "assistant"
    assert json.loads(spoken[-1][1]) == GOOD
    assert len(spoken) == 4


def conversation(*responses: ModelResponse) -> str:
    stored_conversation = Conversation("system", [], "question", 0.0)
    for response in responses:
        stored_conversation.add_answer(response, message_text(response))
    return stored(stored_conversation)


async def test_what_was_never_answered_is_left_out() -> None:
    dangling = ModelResponse(parts=[TextPart("let me see"), ToolCallPart("t", "{}", "c1")])
    assert said(conversation()) == []
    assert said(conversation(dangling)) == []
    assert earlier_messages(None) == []
    assert said(conversation(ModelResponse(parts=[TextPart("ok")]))) == [("user", "question"), ("assistant", "ok")]


async def test_a_broken_off_answer_is_kept_once() -> None:
    stored_conversation = Conversation("", [], "question", 0.0)
    stored_conversation.add_interrupted_answer("")
    assert len(stored_conversation.messages) == 1
    for _ in range(2):
        stored_conversation.add_interrupted_answer("half")
    assert said(stored(stored_conversation)) == [("user", "question"), ("assistant", "half")]
    assert isinstance(stored_conversation.messages[0], ModelRequest)
