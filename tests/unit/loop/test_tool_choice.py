"""Which tools a model may call, or has to."""

from typing import Any

import pytest

from musterd import Agent, Team
from musterd.core.errors import DeclarationError
from tests.support.loop import Call, LoopHarness, TurnModel


def look() -> str:
    """Look."""
    return "seen"


def add(a: int) -> int:
    """Add."""
    return a


def choices(model: TurnModel) -> list[Any]:
    return [(info.model_settings or {}).get("tool_choice") for info in model.offered]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (None, [None, None]),
        ("auto", [None, None]),
        ("none", ["none", "none"]),
        ("required", ["required", None]),
        ("look", [["look"], None]),
        ({"type": "function", "function": {"name": "look"}}, [["look"], None]),
        ({"type": "function", "name": "look"}, [["look"], None]),
    ],
)
async def test_a_call_is_forced_once_and_the_model_may_answer_then(choice: Any, said: list[Any]) -> None:
    model = TurnModel([Call("look")], "answer")
    output = await LoopHarness(Agent(id="solo", model=model, tools=[look, add], tool_choice=choice)).drive()
    assert (output.content, choices(model)) == ("answer", said)


async def test_a_leader_can_be_made_to_delegate() -> None:
    model = TurnModel([Call("delegate_task_to_member", {"member_id": "one", "task": "x"})], "done", "answer")
    team = Team(id="team", model=model, members=[Agent(id="one")], tool_choice="delegate_task_to_member")
    await LoopHarness(team).drive()
    assert choices(model) == [["delegate_task_to_member"], None, None]


async def test_nothing_is_forced_where_no_tool_is_there() -> None:
    model = TurnModel("answer")
    await LoopHarness(Agent(id="solo", model=model, tool_choice="required")).drive()
    assert choices(model) == [None]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function"},
        {"type": "function", "name": ""},
        {"type": "function", "name": 1},
        {"type": "function", "function": "look"},
        {"type": "allowed_tools", "mode": "auto", "tools": []},
    ],
)
def test_an_object_that_names_no_tool_is_refused(choice: Any) -> None:
    with pytest.raises(DeclarationError, match="'tool_choice' is a dict — use"):
        Agent(id="solo", tools=[look], tool_choice=choice)


def test_a_choice_names_a_tool_that_is_there() -> None:
    with pytest.raises(DeclarationError, match="names 'lok', which is not one of its tools — did you mean 'look'"):
        Agent(id="solo", tools=[look, add], tool_choice={"type": "function", "name": "lok"})
    with pytest.raises(DeclarationError, match="names 'lok', which is not one of its tools — did you mean 'look'"):
        Agent(id="solo", tools=[look, add], tool_choice="lok")
    with pytest.raises(DeclarationError, match='\'tool_choice\' is a list — use "auto", "none", "required"'):
        Agent(id="solo", tools=[look], tool_choice=["look"])  # type: ignore[arg-type]
