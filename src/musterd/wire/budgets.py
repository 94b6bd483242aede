"""The budget that a request asks for: a JSON object of ceilings."""

from typing import Any

from musterd.wire.fields import Fields

_WHOLE = {"tokens": 1, "tool_calls": 0, "depth": 0}
"""Ceilings that are whole numbers, and the least that each may be."""
_CEILINGS = ("tokens", "cost_usd", "seconds", "tool_calls", "depth")
_MOST = 2**53
"""The highest that a ceiling may be: far beyond it no float can count."""


def budget(fields: Fields) -> dict[str, float] | None:
    """The ceilings in the field ``budget``; None: none was given."""
    asked = fields.json_object("budget")
    for name, value in (asked or {}).items():
        if problem := _problem(name, value):
            fields.problems.add("budget", *problem, value)
    return asked or None


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
