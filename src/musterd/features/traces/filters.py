"""Filters of traces: the fields and operators, and the parser of a tree of comparisons with AND, OR and NOT."""

import math
from datetime import UTC, datetime
from typing import Any

from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.features.traces.records import Condition, SpanStatus
from musterd.wire.problems import Problems

DEPTH = 10
"""Maximum nesting of conditions."""
MAX_PARTS = 100
"""Maximum number of comparisons in a filter."""
MAX_VALUES = 100
TEXT_CHARACTERS = 255
HALF_MICROSECOND = 5e-7
"""The API rounds times to microseconds; a filter with such a time must still match the exact stored one."""

_IDENTITY = ("EQ", "NEQ", "CONTAINS", "STARTSWITH", "IN")
_ORDER = ("GT", "GTE", "LT", "LTE")
_STATUSES = tuple(status.value for status in SpanStatus)
_ANY_ORDER = ("EQ", "NEQ", *_ORDER)
FIELDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "status": ("Status", "enum", ("EQ", "NEQ", "IN")),
    "user_id": ("User ID", "string", _IDENTITY),
    "agent_id": ("Agent ID", "string", _IDENTITY),
    "team_id": ("Team ID", "string", _IDENTITY),
    "workflow_id": ("Workflow ID", "string", _IDENTITY),
    "session_id": ("Session ID", "string", _IDENTITY),
    "run_id": ("Run ID", "string", _IDENTITY),
    "name": ("Trace Name", "string", _IDENTITY[:-1]),
    "trace_id": ("Trace ID", "string", _IDENTITY),
    "duration_ms": ("Duration (ms)", "number", _ANY_ORDER),
    "start_time": ("Start Time", "datetime", _ORDER),
    "end_time": ("End Time", "datetime", _ORDER),
    "created_at": ("Created At", "datetime", _ORDER),
}
"""What a comparison may name: its words for people, its type, its operators."""

_NOTHING = Condition(op="AND")


class FilterFieldSchema(TypedDict):
    """A field that traces can be filtered by."""

    key: str
    label: str
    type: str
    operators: list[str]
    values: list[str] | None


class FilterSchemaResponse(TypedDict):
    """The fields and operators from which clients build their filter bars."""

    fields: list[FilterFieldSchema]
    logical_operators: list[str]


def filter_schema() -> FilterSchemaResponse:
    """The fields and operators from which clients build their filter bars."""
    fields: list[FilterFieldSchema] = [
        {
            "key": key,
            "label": label,
            "type": kind,
            "operators": list(operators),
            "values": list(_STATUSES) if kind == "enum" else None,
        }
        for key, (label, kind, operators) in FIELDS.items()
    ]
    return {"fields": fields, "logical_operators": ["AND", "OR"]}


def parse_condition(value: Any, problems: Problems) -> Condition:
    """Parse a filter; its errors are added to ``problems``."""
    return _Parser(problems).read(value, ("filter",), 0)


def comparison(op: str, key: str, value: Any, problems: Problems, where: tuple[str | int, ...]) -> Condition:
    """A comparison of a field with a value, which is parsed according to the field's type."""
    operand = _value(FIELDS[key][1], value)
    if operand is None:
        problems.add(where, "value_error", f"Input should be a {_WORDS[FIELDS[key][1]]}", value)
        return _NOTHING
    if FIELDS[key][1] == "datetime" and isinstance(operand, float):
        operand += HALF_MICROSECOND if op in ("GT", "LTE") else -HALF_MICROSECOND
    return Condition(op=op, key=key, values=(operand,))


_WORDS = {
    "string": f"text of at most {TEXT_CHARACTERS} characters",
    "enum": f"status: {', '.join(_STATUSES)}",
    "number": "number",
    "datetime": "time as ISO 8601 has it, with its time zone",
}


class _Parser:
    """Parses one filter and counts its parts."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._parts = 0

    def read(self, value: Any, where: tuple[str | int, ...], depth: int) -> Condition:
        self._parts += 1
        if depth > DEPTH or self._parts > MAX_PARTS:
            return self._wrong(where, f"A filter may have {MAX_PARTS} parts, nested {DEPTH} levels deep")
        if not isinstance(value, dict):
            return self._wrong(where, "Input should be an object with an 'op'")
        op = value.get("op")
        if op in ("AND", "OR"):
            return self._several(op, value.get("conditions"), where, depth)
        if op == "NOT":
            below = self.read(value.get("condition"), (*where, "condition"), depth + 1)
            return Condition(op="NOT", parts=(below,))
        return self._comparison(op, value, where)

    def _several(self, op: str, conditions: Any, where: tuple[str | int, ...], depth: int) -> Condition:
        place = (*where, "conditions")
        if not isinstance(conditions, list) or not conditions:
            return self._wrong(place, "Input should be a list of at least one condition")
        if len(conditions) > MAX_PARTS:
            return self._wrong(place, f"A filter may have {MAX_PARTS} parts, nested {DEPTH} levels deep")
        parts = [self.read(one, (*place, number), depth + 1) for number, one in enumerate(conditions)]
        return Condition(op=op, parts=tuple(parts))

    def _comparison(self, op: Any, value: dict[str, Any], where: tuple[str | int, ...]) -> Condition:
        key = value.get("key")
        if not isinstance(key, str) or key not in FIELDS:
            return self._wrong((*where, "key"), f"Input should be one of {', '.join(FIELDS)}")
        operators = FIELDS[key][2]
        if not isinstance(op, str) or op not in operators:
            return self._wrong((*where, "op"), f"Input should be one of {', '.join(operators)} for {key}")
        if op != "IN":
            return comparison(op, key, value.get("value"), self._problems, (*where, "value"))
        values = value.get("values")
        if not isinstance(values, list) or not 0 < len(values) <= MAX_VALUES:
            return self._wrong((*where, "values"), f"Input should be a list of 1 to {MAX_VALUES} values")
        operands = [operand for item in values if (operand := _value(FIELDS[key][1], item)) is not None]
        if len(operands) < len(values):
            return self._wrong((*where, "values"), f"Each should be a {_WORDS[FIELDS[key][1]]}")
        return Condition(op=op, key=key, values=tuple(operands))

    def _wrong(self, where: tuple[str | int, ...], msg: str) -> Condition:
        self._problems.add(where, "value_error", msg)
        return _NOTHING


def _value(kind: str, value: Any) -> str | float | None:
    """Parse a value of a field of this type; None: it is not one."""
    if kind == "number":
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**53
        return float(value) if is_number and math.isfinite(value) else None
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS or not jsontext.is_storable(value):
        return None
    if kind == "datetime":
        return _unix_seconds(value)
    return value if kind != "enum" or value in _STATUSES else None


def _unix_seconds(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
