"""Counting of budgets, without anything that is counted."""

import pytest

from musterd.core.errors import BudgetSpent
from musterd.core.records import StepKind, StepRow, StepState, Usage
from musterd.loop.budget import Amount, Budgets, PriorUsage, lower_ceilings


def step(path: str, kind: StepKind = StepKind.MODEL, tokens: int = 0, lost: int = 0) -> StepRow:
    usage = Usage(input_tokens=tokens, estimated_tokens=lost) if kind is StepKind.MODEL else None
    state = StepState.COMPLETED
    return StepRow(
        root_id="r1", path=path, kind=kind, state=state, fingerprint="", attempt=1, started_at=0.0, usage=usage
    )


def test_calls_under_way_keep_their_room() -> None:
    budgets = Budgets({"tokens": 100}, PriorUsage())
    budgets.reserve("t0/m", Amount(60))
    with pytest.raises(BudgetSpent, match="0 are used, 60 are reserved for calls in progress") as spent:
        budgets.reserve("t0/c0/t0/m", Amount(50))
    assert (spent.value.code, spent.value.path) == ("budget_tokens", "")
    budgets.settle("t0/m", Amount(60), Amount(10))
    budgets.reserve("t0/c0/t0/m", Amount(50))
    assert budgets.as_json("") == {"tokens": {"limit": 100, "spent": 10, "left": 90}}


def test_a_members_budget_counts_what_is_below_it() -> None:
    steps = [step("t0/m", tokens=10), step("t0/c0/t0/m", tokens=7, lost=5), step("t0/c10/t0/m", tokens=1)]
    history = PriorUsage(steps=steps)
    budgets = Budgets({}, history)
    budgets.open_member("t0/c0", {"tokens": 20, "seconds": 9})
    budgets.open_member("t0/c1", None)
    assert budgets.as_json("") is None
    assert budgets.as_json("t0/c1") is None
    budget = budgets.as_json("t0/c0")
    assert budget is not None
    assert budget["tokens"] == {"limit": 20, "spent": 12, "left": 8}
    budgets.reserve("t0/m", Amount(1000))
    with pytest.raises(BudgetSpent) as spent:
        budgets.reserve("t0/c0/t1/m", Amount(9))
    assert spent.value.path == "t0/c0"


def test_tool_calls_count_once_and_runs_that_they_start_do_not() -> None:
    history = PriorUsage(steps=[step("t0/c0", StepKind.DELEGATE), step("t0/c0/0", StepKind.DELEGATE)])
    budgets = Budgets({"tool_calls": 2}, history)
    budgets.take_calls(["t0/c0"])
    budgets.take_calls(["t0/c0/0/t0/c0"])
    with pytest.raises(BudgetSpent, match="2 are used, and the model asks for 2 more"):
        budgets.take_calls(["t1/c0", "t1/c1"])
    assert budgets.as_json("") == {"tool_calls": {"limit": 2, "spent": 2, "left": 0}}


def test_time_that_is_over_is_over_for_tools_too() -> None:
    budgets = Budgets({"seconds": 5}, PriorUsage(seconds=5))
    with pytest.raises(BudgetSpent, match="The budget of 5 seconds of work is spent"):
        budgets.take_calls(["t0/c0"])


def test_depth_of_a_members_budget() -> None:
    budgets = Budgets({}, PriorUsage())
    budgets.open_member("t0/c0", {"depth": 0})
    with pytest.raises(BudgetSpent, match="0 levels of members") as spent:
        budgets.open_member("t0/c0/t0/c1", None)
    assert (spent.value.code, spent.value.path) == ("budget_depth", "t0/c0")


def test_of_two_ceilings_the_lower_one_holds() -> None:
    assert lower_ceilings({"tokens": 5, "seconds": 1.0}, {"tokens": 9, "depth": 2}) == {
        "tokens": 5,
        "seconds": 1.0,
        "depth": 2,
    }
