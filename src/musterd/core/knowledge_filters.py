"""Conditions on the metadata of a knowledge base's contents.

A filter has three forms on the wire: an object ``{key: value}`` (all of them hold; a list of values: any of them), an
expression ``{"op": "EQ", "key": …, "value": …}`` or ``{"op": "AND", "conditions": […]}``, and a list of these (all of
them hold). There is one meaning for all databases and kinds of search: :func:`matches`, applied to contents before
chunks are ranked.

- A key that a content does not have counts as null, and NOT holds exactly if its condition does not.
- A list in the metadata satisfies a comparison if one of its items does; NEQ holds exactly if EQ does not.
- A text equals the number or the truth value that it spells, because forms and models often send texts.
- GT, GTE, LT and LTE compare numbers with numbers and texts with texts; other pairs satisfy none of them.
- CONTAINS and STARTSWITH ignore case.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.suggestions import closest_match

Comparator = Literal["EQ", "NEQ", "GT", "GTE", "LT", "LTE", "IN", "CONTAINS", "STARTSWITH"]

COMPARATORS: tuple[Comparator, ...] = get_args(Comparator)
COMBINATORS = ("AND", "OR", "NOT")
MAX_DEPTH = 10
"""How deeply expressions may be nested."""
MAX_CONDITIONS = 1000
"""The most comparisons in a filter. Each value of an IN counts as one."""
_TEXT_COMPARATORS = frozenset({"CONTAINS", "STARTSWITH"})
_ORDER_COMPARATORS = frozenset({"GT", "GTE", "LT", "LTE"})
_LITERALS = {"true": True, "false": False}
_LONGEST_NUMBER = 40
_LONGEST_SHOWN = 60
"""How many characters of a value an error repeats."""


class FilterInvalid(ValueError):
    """A filter has no meaning. The text says which part and what to write, for the client."""


class _Expression:
    """The operators by which expressions are combined in Python."""

    __slots__ = ()

    def __and__(self, other: "Filter") -> "Combination":
        return AND(cast("Filter", self), other)

    def __or__(self, other: "Filter") -> "Combination":
        return OR(cast("Filter", self), other)

    def __invert__(self) -> "Combination":
        return NOT(cast("Filter", self))


@dataclass(frozen=True, slots=True)
class Comparison(_Expression):
    """The value of one key compared with a value; of IN with a list of values."""

    op: Comparator
    key: str
    value: Json
    values: "_Values | None" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _Values(self.value) if self.op == "IN" else None)

    def to_dict(self) -> JsonObject:
        """The expression as JSON."""
        return {"op": self.op, "key": self.key, "values" if self.op == "IN" else "value": self.value}


@dataclass(frozen=True, slots=True)
class Combination(_Expression):
    """Conditions that all hold, of which any holds, or of which none holds."""

    op: Literal["AND", "OR", "NOT"]
    conditions: "tuple[Filter, ...]"

    def to_dict(self) -> JsonObject:
        """The expression as JSON."""
        if self.op == "NOT" and len(self.conditions) == 1:
            return {"op": self.op, "condition": self.conditions[0].to_dict()}
        return {"op": self.op, "conditions": [condition.to_dict() for condition in self.conditions]}


Filter = Comparison | Combination


# --- expressions in Python, with AgentOS's names ----------------------------------------------------


def EQ(key: str, value: Json) -> Comparison:  # noqa: N802
    """The value of ``key`` equals ``value``."""
    return Comparison("EQ", key, value)


def NEQ(key: str, value: Json) -> Comparison:  # noqa: N802
    """The value of ``key`` does not equal ``value``."""
    return Comparison("NEQ", key, value)


def GT(key: str, value: Json) -> Comparison:  # noqa: N802
    """The value of ``key`` is greater than ``value``."""
    return Comparison("GT", key, value)


def GTE(key: str, value: Json) -> Comparison:  # noqa: N802
    """The value of ``key`` is ``value`` or greater."""
    return Comparison("GTE", key, value)


def LT(key: str, value: Json) -> Comparison:  # noqa: N802
    """The value of ``key`` is less than ``value``."""
    return Comparison("LT", key, value)


def LTE(key: str, value: Json) -> Comparison:  # noqa: N802
    """The value of ``key`` is ``value`` or less."""
    return Comparison("LTE", key, value)


def IN(key: str, values: Sequence[Json]) -> Comparison:  # noqa: N802
    """The value of ``key`` is one of ``values``."""
    return Comparison("IN", key, list(values))


def CONTAINS(key: str, value: str) -> Comparison:  # noqa: N802
    """The text of ``key`` contains ``value``."""
    return Comparison("CONTAINS", key, value)


def STARTSWITH(key: str, value: str) -> Comparison:  # noqa: N802
    """The text of ``key`` starts with ``value``."""
    return Comparison("STARTSWITH", key, value)


def AND(*expressions: Filter) -> Combination:  # noqa: N802
    """All expressions hold."""
    return Combination("AND", expressions)


def OR(*expressions: Filter) -> Combination:  # noqa: N802
    """One of the expressions holds, or several."""
    return Combination("OR", expressions)


def NOT(expression: Filter) -> Combination:  # noqa: N802
    """The expression does not hold."""
    return Combination("NOT", (expression,))


def both(first: Filter | None, second: Filter | None) -> Filter | None:
    """The filter that holds if both hold; None is no condition."""
    if first is None or second is None:
        return first or second
    return Combination("AND", (first, second))


# --- from JSON --------------------------------------------------------------------------------------


def parse_filters(value: Json) -> Filter | None:
    """The filter that ``value`` describes; None for no condition (null, ``{}``, ``[]``).

    :raises FilterInvalid: it describes none.
    """
    return None if value is None else _Parser().filters(value)


class _Parser:
    """Parses one filter, and refuses it as soon as it has too many conditions."""

    def __init__(self) -> None:
        self._count = 0

    def filters(self, value: Json) -> Filter | None:
        """The filter of a list or of a single condition; None for no condition."""
        items = value if isinstance(value, list | tuple) else [value]
        if len(items) > MAX_CONDITIONS:
            raise _too_many()
        conditions = tuple(condition for item in items if (condition := self._parsed(item)) is not None)
        if not conditions:
            return None
        return conditions[0] if len(conditions) == 1 else Combination("AND", conditions)

    def _parsed(self, value: Json) -> Filter | None:
        """The filter of an object in either form; None for an empty one."""
        if not isinstance(value, Mapping):
            raise FilterInvalid(
                'A filter is an object like {"country": "no"}, an expression like {"op": "EQ", "key": "country", '
                f'"value": "no"}}, or a list of these, not {_shortened(value)}.'
            )
        if "op" in value:
            return self._expression(value, 1)
        conditions = tuple(
            self._comparison("IN" if isinstance(item, list | tuple) else "EQ", key, item) for key, item in value.items()
        )
        if not conditions:
            return None
        return conditions[0] if len(conditions) == 1 else Combination("AND", conditions)

    def _expression(self, value: Json, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise FilterInvalid(f"Filters are nested at most {MAX_DEPTH} levels deep.")
        if not isinstance(value, Mapping) or "op" not in value:
            raise FilterInvalid(f'A condition is an expression with an "op", not {_shortened(value)}.')
        op = value["op"]
        if op in COMPARATORS:
            operand = _only(value, op, ("value", "values"), ("key",))
            if "key" not in value or not ("value" in value or "values" in value):
                raise FilterInvalid(f'{op} needs "key" and "{"values" if op == "IN" else "value"}".')
            return self._comparison(op, value["key"], operand)
        if op not in COMBINATORS:
            names = ", ".join((*COMPARATORS, *COMBINATORS))
            raise FilterInvalid(f"{_shortened(op)} is not an operator; use one of {names}.")
        operand = _only(value, op, ("condition", "conditions"))
        conditions = [operand] if "condition" in value else operand
        if not isinstance(conditions, list | tuple) or not conditions:
            name = '"condition"' if op == "NOT" else '"conditions", a list'
            raise FilterInvalid(f"{op} needs {name}.")
        return Combination(op, tuple(self._expression(condition, depth + 1) for condition in conditions))

    def _comparison(self, op: Comparator, key: Json, value: Json) -> Comparison:
        if not isinstance(key, str):
            raise FilterInvalid(f"{op}: the key is a text, not {_shortened(key)}.")
        self._count += max(1, len(value)) if op == "IN" and isinstance(value, list | tuple) else 1
        if self._count > MAX_CONDITIONS:
            raise _too_many()
        if op == "IN":
            if not isinstance(value, list | tuple) or not all(map(_is_scalar, value)):
                needs = "IN needs a list of texts, numbers or truth values"
                raise FilterInvalid(f"'{key}': {needs}, not {_shortened(value)}.")
            return Comparison(op, key, list(value))
        if (problem := _operand_problem(op, value)) is not None:
            raise FilterInvalid(f"'{key}': {problem}.")
        return Comparison(op, key, value)


def _only(value: Mapping[str, Json], op: str, names: tuple[str, str], others: tuple[str, ...] = ()) -> Json:
    """The part of an expression that has one of these names; None if it has none of them.

    :param others: the names that the expression has in addition.
    :raises FilterInvalid: the expression has both, or a name that is none of these.
    """
    known = (*others, *names)
    for name in value:
        if name != "op" and name not in known:
            meant = closest_match(str(name), known)
            words = f'did you mean "{meant}"?' if meant else f"it may have {', '.join(known)}."
            raise FilterInvalid(f"{op} has an unknown key {_shortened(name)}; {words}")
    if names[0] in value and names[1] in value:
        raise FilterInvalid(f'{op} has both "{names[0]}" and "{names[1]}"; use one of them.')
    return value.get(names[0], value.get(names[1]))


def _operand_problem(op: Comparator, value: Json) -> str | None:
    """Why a comparison other than IN does not take this value."""
    if op in _TEXT_COMPARATORS and not isinstance(value, str):
        return f"{op} needs a text, not {_shortened(value)}"
    if op in _ORDER_COMPARATORS and (isinstance(value, bool) or not isinstance(value, str | int | float)):
        return f"{op} needs a number or a text, not {_shortened(value)}"
    if not _is_scalar(value):
        fix = "use IN for a list" if isinstance(value, list | tuple) else "use a text, a number or a truth value"
        return f"{op} does not take {_shortened(value)}; {fix}"
    return None


def _too_many() -> FilterInvalid:
    return FilterInvalid(f"A filter has at most {MAX_CONDITIONS} conditions. Each value of an IN counts as one.")


def _is_scalar(value: Json) -> bool:
    return value is None or isinstance(value, str | int | float)


def _shortened(value: Json) -> str:
    text = ""
    for part in _written(value):
        text += part
        if len(text) > _LONGEST_SHOWN:
            return f"{text[: _LONGEST_SHOWN - 1]}…"
    return text


def _written(value: Json) -> Iterator[str]:
    """The value as JSON in parts, so that only the beginning of a large value is written."""
    if isinstance(value, list | tuple):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _written(item)
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for number, (name, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{_scalar_text(name)}: "
            yield from _written(item)
        yield "}"
    else:
        yield _scalar_text(value)


def _scalar_text(value: Json) -> str:
    """The beginning of a text, or another value; a declaration in Python may have values that are not JSON."""
    return json.dumps(
        value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else value, ensure_ascii=False, default=repr
    )


# --- the meaning ------------------------------------------------------------------------------------


def matches(filters: Filter | None, metadata: Mapping[str, Json]) -> bool:
    """Whether a content with this metadata satisfies the filter."""
    if filters is None:
        return True
    if isinstance(filters, Combination):
        results = (matches(condition, metadata) for condition in filters.conditions)
        if filters.op == "AND":
            return all(results)
        return any(results) if filters.op == "OR" else not any(results)
    stored = metadata.get(filters.key)
    items = stored if isinstance(stored, list) else [stored]
    if filters.values is not None:
        return any(map(filters.values.have, items))
    if filters.op == "NEQ":
        return not any(_satisfies("EQ", item, filters.value) for item in items)
    return any(_satisfies(filters.op, item, filters.value) for item in items)


def _satisfies(op: Comparator, stored: Json, value: Json) -> bool:
    if op in _TEXT_COMPARATORS:
        if not isinstance(stored, str):
            return False
        text, part = stored.casefold(), value.casefold()
        return text.startswith(part) if op == "STARTSWITH" else part in text
    return _equals(stored, value) if op == "EQ" else _is_in_order(op, stored, value)


def _equals(stored: Json, value: Json) -> bool:
    if type(stored) is type(value):
        return bool(stored == value)
    stored, value = _read(stored, value), _read(value, stored)
    if isinstance(stored, bool) or isinstance(value, bool):  # True == 1 in Python
        return stored is value
    return _is_scalar(stored) and bool(stored == value)


class _Values:
    """The values of an IN, so that one look says whether one of them equals a stored value, as :func:`_equals` does.

    The sets are apart by type, because ``True == 1`` in Python.
    """

    __slots__ = ("_has_null", "_numbers", "_spelt_numbers", "_spelt_truths", "_texts", "_truths")

    def __init__(self, values: Sequence[Json]) -> None:
        self._texts = {value for value in values if isinstance(value, str)}
        self._truths = {value for value in values if isinstance(value, bool)}
        self._numbers = {value for value in values if _is_number(value)}
        self._has_null = None in values
        self._spelt_truths = {_read(text, True) for text in self._texts}
        self._spelt_numbers = {_read(text, 0) for text in self._texts}

    def have(self, stored: Json) -> bool:
        """Whether one of the values equals ``stored``."""
        if stored is None:
            return self._has_null
        if isinstance(stored, bool):
            return stored in self._truths or stored in self._spelt_truths
        if isinstance(stored, str):
            return (
                stored in self._texts
                or (bool(self._numbers) and _read(stored, 0) in self._numbers)
                or (bool(self._truths) and _read(stored, True) in self._truths)
            )
        return _is_number(stored) and (stored in self._numbers or stored in self._spelt_numbers)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_in_order(op: Comparator, stored: Json, value: Json) -> bool:
    stored, value = _read(stored, value), _read(value, stored)
    is_text = isinstance(stored, str)
    if isinstance(stored, bool) or not isinstance(stored, str | int | float) or is_text != isinstance(value, str):
        return False
    if op == "GT":
        return bool(stored > value)
    if op == "GTE":
        return bool(stored >= value)
    return bool(stored < value) if op == "LT" else bool(stored <= value)


def _read(value: Json, other: Json) -> Json:
    """A text as the number or truth value that it spells, if ``other`` is one; else the value itself."""
    if not isinstance(value, str) or isinstance(other, str) or other is None:
        return value
    if isinstance(other, bool):
        return _LITERALS.get(value.lower(), value)
    if len(value) > _LONGEST_NUMBER:
        return value
    for number in (int, float):  # as a float, a long whole number would equal its neighbours
        with suppress(ValueError):
            return number(value)
    return value
