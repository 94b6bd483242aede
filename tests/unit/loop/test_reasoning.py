"""Thinking before the answer, and on the way to it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ThinkingPart, UserPromptPart
from pydantic_ai.models.function import DeltaThinkingPart, FunctionModel
from pydantic_ai.profiles import ModelProfile

from musterd import Agent, ReasoningTools, Team
from musterd.core.errors import RunFailed
from musterd.core.events import EventKind
from tests.support.loop import Call, LoopHarness, TurnModel, failure

STEP = {"title": "Look", "reasoning": "It depends.", "next_action": "continue"}
LAST = {"title": "Done", "reasoning": "So it is.", "result": "4", "next_action": "final_answer", "confidence": 0.9}
NONE = dict.fromkeys(("title", "action", "result", "reasoning", "next_action", "confidence"))
REASONS = [EventKind.REASONING_STARTED, EventKind.REASONING_STEP, EventKind.REASONING_COMPLETED]


def steps(*items: dict[str, Any]) -> Call:
    return Call("final_result", {"reasoning_steps": list(items)})


def reasons_told(harness: LoopHarness) -> list[EventKind]:
    return [kind for kind in harness.kinds() if kind.value.startswith("reasoning")]


def text(model: TurnModel, turn: int = -1) -> str:
    return "\n".join(str(getattr(part, "content", "")) for message in model.seen[turn] for part in message.parts)


async def test_a_request_is_thought_through_first() -> None:
    own, other = TurnModel("It is 4."), TurnModel(steps(STEP), steps(LAST))
    harness = LoopHarness(Agent(id="solo", model=own, instructions="Be exact.", reasoning_model=other), "2+2?")
    output = await harness.drive()
    assert output.content == "It is 4."
    assert [path for what, path in harness.steps.log if what == "model"] == ["reason/0/m", "reason/1/m", "t0/m"]
    assert output.reasoning_steps == [{**NONE, **STEP}, {**NONE, **LAST}]
    assert output.reasoning == "## Look\nIt depends.\n\n## Done\nSo it is.\nResult: 4"
    assert reasons_told(harness) == [REASONS[0], REASONS[1], REASONS[1], REASONS[2]]
    assert [aside["role"] for aside in output.asides] == ["reasoning_model"]
    assert "<who_answers>\n<instructions>\nBe exact." in text(other, 0)
    assert "2+2?" in text(other, 0)
    assert "<reasoning>\n## Look" in text(own)


async def test_its_own_model_thinks_where_no_other_is_named() -> None:
    own = TurnModel(steps(LAST), "It is 4.")
    output = await LoopHarness(Agent(id="solo", model=own, reasoning=True)).drive()
    assert (output.content, len(own.seen)) == ("It is 4.", 2)


async def test_an_agent_thinks_with_its_own_words() -> None:
    thinker = Agent(id="thinker", model=TurnModel(steps(LAST)), instructions=["Doubt everything."])
    await LoopHarness(Agent(id="solo", model=TurnModel("so"), reasoning_agent=thinker)).drive()
    model = thinker.model
    assert isinstance(model, TurnModel)
    assert "Doubt everything." in text(model)


async def test_it_thinks_as_long_as_it_must_and_as_it_may() -> None:
    least = TurnModel(steps(LAST), steps(LAST))
    output = await LoopHarness(
        Agent(id="solo", model=TurnModel("so"), reasoning_model=least, reasoning_min_steps=2)
    ).drive()
    assert len(output.reasoning_steps) == 2
    most = TurnModel(steps(STEP, STEP), steps(STEP, STEP))
    output = await LoopHarness(
        Agent(id="solo", model=TurnModel("so"), reasoning_model=most, reasoning_max_steps=3)
    ).drive()
    assert len(output.reasoning_steps) == 3


async def test_a_model_that_thinks_by_itself_is_heard_thinking() -> None:
    async def think(messages: Any, info: Any) -> AsyncIterator[Any]:
        yield {0: DeltaThinkingPart(content="two and ")}
        yield {0: DeltaThinkingPart(content="two")}
        yield "4"

    other = FunctionModel(stream_function=think, profile=ModelProfile(thinking_always_enabled=True))
    own = TurnModel("It is 4.")
    harness = LoopHarness(Agent(id="solo", model=own, reasoning_model=other))
    output = await harness.drive()
    deltas = [event.data["reasoning"] for event in harness.events if event.kind is EventKind.REASONING_CONTENT_DELTA]
    assert "".join(deltas) == "two and two"
    assert output.reasoning == "two and two"
    assert output.reasoning_steps == [{**NONE, "result": "two and two"}]
    assert "<reasoning>\ntwo and two\n</reasoning>" in text(own)


async def test_the_thoughts_of_earlier_runs_are_not_those_of_this_one() -> None:
    async def think(messages: Any, info: Any) -> AsyncIterator[Any]:
        yield {0: DeltaThinkingPart(content="now")}
        yield "4"

    earlier = ModelResponse(parts=[ThinkingPart("before"), TextPart("3")])
    history = [ModelRequest(parts=[UserPromptPart("1+2?")]), earlier]
    model = FunctionModel(stream_function=think)
    output = await LoopHarness(Agent(id="solo", model=model), history=history).drive()
    assert output.reasoning == "now"


async def test_a_model_that_cannot_think_fails_the_run() -> None:
    with pytest.raises(RunFailed):
        await LoopHarness(Agent(id="solo", model=TurnModel(), reasoning_model=TurnModel(failure(400)))).drive()


async def test_thoughts_on_the_way_are_steps() -> None:
    calls = [
        Call("think", {"title": "Plan", "thought": "Add them.", "action": "I add."}),
        Call("analyze", {"title": "Sum", "result": "4", "analysis": "Fits.", "next_action": "final_answer"}),
    ]
    model = TurnModel(calls[0], calls[1], "It is 4.")
    harness = LoopHarness(Team(id="team", model=model, members=[], tools=[*ReasoningTools()]))
    output = await harness.drive()
    assert [(step["title"], step["next_action"]) for step in output.reasoning_steps] == [
        ("Plan", "continue"),
        ("Sum", "final_answer"),
    ]
    assert reasons_told(harness) == [REASONS[0], REASONS[1], REASONS[1], REASONS[2]]
    assert model.tool_results() == ["Noted. Give the answer."]


async def test_an_event_repeats_the_end_of_long_reasoning() -> None:
    thoughts = [f"{number} {'x' * 20_000}" for number in range(20)]
    model = TurnModel(*[Call("think", {"title": "", "thought": thought}) for thought in thoughts], "So.")
    harness = LoopHarness(Agent(id="solo", model=model, tools=[*ReasoningTools()]))
    output = await harness.drive()
    repeated = [event.data["reasoning_content"] for event in harness.events if event.kind is EventKind.REASONING_STEP]
    assert repeated[0] == f"{thoughts[0]}\n\n"
    assert repeated[1][0] == "…"
    assert all(text.endswith(f"{thought}\n\n") for text, thought in zip(repeated, thoughts, strict=True))
    assert sum(map(len, repeated)) < 20 * 33_000, "it was the reasoning ten times"
    assert output.reasoning == "\n\n".join(thoughts)


def test_either_tool_can_be_left_out() -> None:
    assert [tool.name for tool in ReasoningTools(enable_think=False)] == ["analyze"]
