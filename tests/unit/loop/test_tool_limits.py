"""How large the arguments and the result of a call may be, and what arguments must be."""

import json
from typing import Any

import pytest
from pydantic_ai.messages import BinaryContent, ToolCallPart

from musterd import Agent, Team, ToolContext, tool
from musterd.core.errors import RunFailed
from musterd.core.records import StepState
from musterd.declare.tool_result import Media, ToolResult
from musterd.loop.argument_limits import read_arguments, refused_calls
from musterd.loop.conversation import parse_response
from musterd.loop.tool_results import ResultTooLarge, bounded_text
from tests.support.loop import Call, LoopHarness, TurnModel


@tool
def add(one: float, text: str = "") -> str:
    """Add a number."""
    return f"added {one}"


async def harness_after(*tools: Any, calls: list[Call | str], **settings: Any) -> LoopHarness:
    """A run whose model makes ``calls`` in its first turn, and answers in its second."""
    harness = LoopHarness(Agent(id="solo", model=TurnModel(calls, "answer"), tools=list(tools)), settings=settings)
    await harness.drive()
    return harness


def results(harness: LoopHarness) -> list[Any]:
    return [(call.result, call.is_error) for call in harness.loop.progress.output.tools]


NESTED = '{"one": 1, "text": ' + "[" * 50_000 + "]" * 50_000 + "}"


@pytest.mark.parametrize(
    "arguments",
    ['{"one": 1e999}', '{"one": -1e999}', '{"one": Infinity}', NESTED, '{"one": 1' + "0" * 5000 + "}"],
    ids=["1e999", "-1e999", "Infinity", "nested", "digits"],
)
async def test_arguments_that_have_no_json_are_a_failed_call_and_are_not_kept(arguments: str) -> None:
    harness = await harness_after(add, calls=[Call("add", arguments, "bad"), Call("add", {"one": 1})])
    (said, failed), other = results(harness)
    assert said.startswith("The arguments are not a JSON object.")
    assert failed
    assert other == ("added 1.0", False)
    assert harness.loop.progress.conversation is not None
    (answer,) = [message for message in harness.loop.progress.conversation.messages if message.kind == "response"][:1]
    assert [part.args for part in answer.parts if isinstance(part, ToolCallPart)] == ["{}", '{"one": 1}']


async def test_arguments_that_are_no_json_at_all_are_kept_for_the_model_to_correct() -> None:
    harness = await harness_after(add, calls=[Call("add", '{"one":')])
    conversation = harness.loop.progress.conversation
    assert conversation is not None
    assert '{\\"one\\":' in conversation.texts[1]


@pytest.mark.parametrize(
    "arguments, is_taken",
    [
        ({"a": float("inf")}, False),
        ({"a": 1.5}, True),
        ('{"a": "\\ud800"}', False),
        ('{"a": "\\ud83d\\ude00, 1e999 NaN"}', True),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", True),
        ("", True),
    ],
)
def test_which_arguments_are_taken(arguments: Any, is_taken: bool) -> None:
    assert (read_arguments(ToolCallPart("add", arguments))[1] is None) is is_taken


async def test_arguments_that_are_too_long_are_a_failed_call() -> None:
    long = {"one": 1, "text": "ü" * 40}
    harness = await harness_after(
        add, calls=[Call("add", json.dumps(long, ensure_ascii=False))], tool_arguments_bytes=80
    )
    said, failed = results(harness)[0]
    assert said == "The arguments have 102 bytes; at most 80 are allowed. The call was not made. Send less."
    assert failed
    assert "ü" not in str(harness.loop.progress.messages)


async def test_the_call_that_gives_the_answer_is_no_exception() -> None:
    model = TurnModel([Call("final_result", '{"one": 1e999}')], [Call("final_result", {"one": 2.5})])
    schema = {"type": "object", "properties": {"one": {"type": "number"}}, "required": ["one"]}
    harness = LoopHarness(Agent(id="solo", model=model, output_schema=schema))
    output = await harness.drive()
    assert output.content == {"one": 2.5}
    assert "non-finite" in str(model.tool_results())


async def test_an_answer_in_text_must_have_json_too() -> None:
    schema = {"type": "object", "properties": {"one": {"type": "number"}}, "required": ["one"]}
    turns = ['{"one": 1e999}', '{"one": ' + "[" * 5000 + "]" * 5000 + "}", "{}"]
    harness = LoopHarness(Agent(id="solo", model=TurnModel(*turns), output_schema=schema))
    with pytest.raises(RunFailed) as failed:
        await harness.drive()
    assert failed.value.code == "output_invalid"


@tool
async def give(what: str) -> Any:
    """Give something large."""
    large = {"text": "x" * 101, "wide": "ü" * 51, "list": [0] * 60, "long list": [0] * 20_000}
    return large[what]


@pytest.mark.parametrize("what", ["text", "wide", "list", "long list"])
async def test_a_result_that_is_too_long_is_a_failed_call(what: str) -> None:
    harness = await harness_after(give, calls=[Call("give", {"what": what})], tool_result_stored_bytes=100)
    said, failed = results(harness)[0]
    assert said.startswith("The tool was called, but its result has")
    assert failed
    assert harness.steps.results["t0/c0"].state is StepState.FAILED


async def test_a_long_message_of_an_exception_is_cut_in_words() -> None:
    @tool
    def fail() -> str:
        """Fail with many words."""
        raise RuntimeError("x" * 1001)

    harness = await harness_after(fail, calls=[Call("fail")], tool_result_stored_bytes=100)
    assert results(harness) == [("x" * 250 + "\n[… cut: the message has 1001 characters]", True)]


async def test_a_value_that_unfolds_without_end_is_too_long() -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    with pytest.raises(ResultTooLarge):
        await bounded_text(value, 1_000_000)


async def test_a_result_at_the_limit_is_kept() -> None:
    @tool
    def exact() -> str:
        """Give 100 bytes."""
        return "ü" * 50

    assert results(await harness_after(exact, calls=[Call("exact")], tool_result_stored_bytes=100)) == [
        ("ü" * 50, False)
    ]


@pytest.mark.parametrize(
    "media",
    [
        BinaryContent(b"x" * 101, media_type="image/png"),
        ToolResult(content="two", files=[Media(content=b"x" * 51)] * 2),
    ],
    ids=["one", "two together"],
)
async def test_media_that_are_too_large_are_a_failed_call(media: Any) -> None:
    @tool
    def draw() -> Any:
        """Draw something."""
        return media

    harness = await harness_after(draw, calls=[Call("draw")], media_bytes=100)
    said, failed = results(harness)[0]
    assert "its media have" in said
    assert failed
    assert harness.steps.results["t0/c0"].media == ()


async def test_a_tool_that_leaves_too_much_in_the_state_has_failed() -> None:
    @tool
    def grow(count: int, context: ToolContext) -> str:
        """Leave something in the state."""
        context.session_state["text"] = "x" * count
        return "done"

    harness = await harness_after(
        grow, calls=[Call("grow", {"count": 10}), Call("grow", {"count": 100})], state_bytes=100
    )
    assert [failed for _, failed in results(harness)] == [False, True]
    assert harness.run.state == {"text": "x" * 10}


@pytest.mark.parametrize("mode", ["coordinate", "broadcast"])
async def test_a_members_answer_that_is_too_long_is_a_failed_call(mode: str) -> None:
    member = Agent(id="one", model=TurnModel("x" * 101))
    call = (
        Call("delegate_task_to_member", {"member_id": "one", "task": "t"})
        if mode == "coordinate"
        else Call("delegate_task_to_members", {"task": "t"})
    )
    team = Team(id="team", model=TurnModel([call], "answer"), members=[member], mode=mode)
    harness = LoopHarness(team, settings={"tool_result_stored_bytes": 100})
    output = await harness.drive()
    assert output.content == "answer"
    assert "at most 100 are kept" in str(output.tools[0].result)
    assert output.tools[0].is_error


async def test_why_a_call_was_refused_is_stored_with_the_answer() -> None:
    harness = await harness_after(add, calls=[Call("add", '{"one": 1, "text": "long"}', "a")], tool_arguments_bytes=10)
    conversation = harness.loop.progress.conversation
    assert conversation is not None
    stored = parse_response(conversation.texts[1])
    assert refused_calls(stored) == {"a": results(harness)[0][0]}
