"""Tool results that are shortened for later turns."""

from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage

from musterd import Agent, CompressionManager
from musterd.core.errors import DeclarationError
from musterd.core.events import EventKind
from tests.support.loop import Call, LoopHarness, TurnModel, failure

LONG = "a fact, and many words around it. " * 20


async def look(n: int) -> str:
    """Look something up."""
    return f"{n}: {LONG}"


async def brief() -> str:
    """Say little."""
    return "so"


def solo(*turns: Any, **options: Any) -> LoopHarness:
    return LoopHarness(Agent(id="solo", model=TurnModel(*turns), tools=[look, brief], **options))


def looks(*numbers: int) -> list[Call]:
    return [Call("look", {"n": number}) for number in numbers]


def manager(*said: Any, **options: Any) -> CompressionManager:
    return CompressionManager(model=TurnModel(*said), **options)


def own(harness: LoopHarness) -> TurnModel:
    model = harness.run.component.model
    assert isinstance(model, TurnModel)
    return model


def results(messages: list[ModelMessage]) -> list[Any]:
    return [part.content for message in messages for part in message.parts if part.part_kind == "tool-return"]


async def test_many_results_are_shortened_and_stay_stored_in_full() -> None:
    harness = solo(looks(1, 2), looks(3), "done", compression_manager=manager("short", "short", "short"))
    output = await harness.drive()
    assert results(own(harness).seen[1]) == [f"1: {LONG}", f"2: {LONG}"]
    assert results(own(harness).seen[2]) == ["short"] * 3
    assert [call.result for call in output.tools] == [f"{n}: {LONG}" for n in (1, 2, 3)]
    assert LONG in "".join(harness.loop.progress.messages)
    assert [path for what, path in harness.steps.log if what == "model"] == [
        "t0/m",
        "t1/m",
        "short/0/m",
        "short/1/m",
        "short/2/m",
        "t2/m",
    ]
    (event_data,) = [event.data for event in harness.events if event.kind is EventKind.COMPRESSION_COMPLETED]
    assert (event_data["tool_results_compressed"], event_data["compressed_size"]) == (3, 15)
    assert [aside["role"] for aside in output.asides] == ["compression_model"]


async def test_while_results_are_shortened_no_text_is_under_way() -> None:
    texts: list[str] = []

    def note(messages: list[ModelMessage]) -> str:
        texts.append(harness.loop.progress.partial_text)
        return "short"

    compression = CompressionManager(model=TurnModel(ask=note), compress_tool_results_limit=1)
    harness = solo(["Let me look.", *looks(1)], "done", compression_manager=compression)
    await harness.drive()
    assert texts == [""], "a cancel would store it a second time, as an interrupted answer"


async def test_its_own_model_shortens_where_no_other_is_named() -> None:
    harness = solo(looks(1, 2, 3), "short", "short", "short", "done", compress_tool_results=True)
    await harness.drive()
    assert results(own(harness).seen[-1]) == ["short"] * 3


async def test_only_what_is_new_and_long_is_shortened() -> None:
    own_manager = manager("one", "two", compress_tool_results_limit=1)
    harness = solo(looks(1), [*looks(2), Call("brief")], "done", compression_manager=own_manager)
    await harness.drive()
    assert results(own(harness).seen[-1]) == ["one", "two", "so"]


@pytest.mark.parametrize("said", [failure(400), "", LONG + LONG])
async def test_a_result_that_cannot_be_shortened_is_read_in_full(said: Any) -> None:
    harness = solo(looks(1), "done", compression_manager=manager(said, compress_tool_results_limit=1))
    assert (await harness.drive()).content == "done"
    assert results(own(harness).seen[-1]) == [f"1: {LONG}"]


async def test_tokens_may_decide() -> None:
    for limit, expected in ((1, ["short"]), (10**9, [f"1: {LONG}"])):
        harness = solo(looks(1), "done", compression_manager=manager("short", compress_token_limit=limit))
        await harness.drive()
        assert results(own(harness).seen[-1]) == expected


def test_a_limit_is_a_whole_number() -> None:
    with pytest.raises(DeclarationError, match="whole number"):
        CompressionManager(compress_token_limit=0)
    with pytest.raises(DeclarationError, match=r"use a CompressionManager"):
        Agent(id="solo", compression_manager=object())
