"""The budget that a request sets, a JSON object of limits, and what a run shows of each limit."""

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict


class BudgetUse(TypedDict):
    """One limit of a run's budget, and how much of it is spent and left."""

    limit: float
    spent: NotRequired[float]
    left: NotRequired[float]


_WHOLE = {"tokens": 1, "tool_calls": 0, "depth": 0}
"""Limits that are whole numbers, and the lowest value of each."""
_LIMITS = ("tokens", "cost_usd", "seconds", "tool_calls", "depth")
_MAX = 2**53
"""The highest value of a limit: above it, a float cannot count."""


def budget_problems(budget: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """What is wrong with a budget: the type, the message and the value of each problem."""
    for name, value in budget.items():
        if problem := _problem(name, value):
            yield *problem, value


def _problem(name: str, value: Any) -> tuple[str, str] | None:
    if name not in _LIMITS:
        return "unknown_ceiling", f"There is no ceiling {name[:40]}; there are {', '.join(_LIMITS)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "float_type", f"{name} should be a number"
    if name in _WHOLE and (not isinstance(value, int) or value < _WHOLE[name]):
        return "int_type", f"{name} should be a whole number, {_WHOLE[name]} or more"
    if value <= 0 and name not in _WHOLE:
        return "greater_than", f"{name} should be greater than 0"
    if value > _MAX:
        return "less_than_equal", f"{name} should be less than or equal to {_MAX}"
    return None
