"""The budget in a request: a JSON object of limits."""

from typing import Any

from musterd.wire.fields import Fields

_WHOLE = {"tokens": 1, "tool_calls": 0, "depth": 0}
"""Limits that are whole numbers, with their minimum."""
_CEILINGS = ("tokens", "cost_usd", "seconds", "tool_calls", "depth")
_MOST = 2**53
"""The maximum of a limit. Above it a float can no longer be increased by one."""


def budget(fields: Fields) -> dict[str, float] | None:
    """The limits in the field ``budget``. None if there are none."""
    limits = fields.json_object("budget")
    for name, value in (limits or {}).items():
        if problem := _problem(name, value):
            fields.problems.add("budget", *problem, value)
    return limits or None


def _problem(name: str, value: Any) -> tuple[str, str] | None:
    if name not in _CEILINGS:
        return "unknown_ceiling", f"There is no ceiling {name[:40]}; there are {', '.join(_CEILINGS)}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "float_type", f"{name} should be a number"
    if name in _WHOLE and (not isinstance(value, int) or value < _WHOLE[name]):
        return "int_type", f"{name} should be a whole number, {_WHOLE[name]} or more"
    if value <= 0 and name not in _WHOLE:
        return "greater_than", f"{name} should be greater than 0"
    if value > _MOST:
        return "less_than_equal", f"{name} should be less than or equal to {_MOST}"
    return None
