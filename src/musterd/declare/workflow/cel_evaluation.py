"""The evaluation of CEL texts, which ends after a limited time. It imports the library, so it is imported late.

The library is an interpreter in Python: it needs up to a tenth of a millisecond for each item of a list. A text may go
through a list once for each of its items, and the list may come from a client.
"""

from collections.abc import Mapping
from typing import Any, cast

import lark
from celpy import celtypes
from celpy.adapter import json_to_cel
from celpy.evaluation import Activation, Context, Evaluator, Result

from musterd.core import clock

MAX_SECONDS = 2.0
"""How much processor time an evaluation may take."""


class TookTooLong(Exception):
    """An evaluation reached its limit. Not a ValueError, because ``||`` and ``&&`` may ignore those."""


def value_of(tree: "lark.Tree[lark.Token]", values: Mapping[str, Any]) -> Any:
    """The value of a parsed text, as JSON.

    :param values: JSON values by name.
    :raises TookTooLong: it takes more than ``MAX_SECONDS``.
    :raises CELEvalError: it cannot be evaluated with these values.
    """
    limit = _Limit()
    context = {name: _as_cel(value, limit) for name, value in values.items()}
    return _plain(_LimitedEvaluator(tree, Activation(), limit).evaluate(context), limit)


class _Limit:
    """The processor time of this thread that an evaluation may take."""

    def __init__(self) -> None:
        self._ends_at = clock.thread_seconds() + MAX_SECONDS

    def check(self) -> None:
        """Stop if the evaluation has taken too long."""
        if clock.thread_seconds() >= self._ends_at:
            raise TookTooLong


class _LimitedEvaluator(Evaluator):
    """An evaluator that ends when it takes too long, also those of the expressions in ``all``, ``map`` and the like."""

    def __init__(self, ast: "lark.Tree[lark.Token]", activation: Activation, limit: _Limit) -> None:
        super().__init__(ast, activation)
        self._limit = limit

    def sub_evaluator(self, ast: "lark.Tree[lark.Token]") -> Evaluator:
        """Evaluates an expression for each item of a list."""
        return _LimitedEvaluator(ast, self.activation, self._limit)

    def evaluate(self, context: Context | None = None) -> celtypes.Value:
        """Evaluate the expression, for one item if it has items."""
        self._limit.check()
        return super().evaluate(context)


def _as_cel(value: Any, limit: _Limit) -> Result:
    """A JSON value as a value of the library."""
    limit.check()
    if isinstance(value, Mapping):
        items = {json_to_cel(name): _as_cel(item, limit) for name, item in value.items()}
        return celtypes.MapType(cast("dict[celtypes.Value, celtypes.Value]", items))
    if isinstance(value, list | tuple):
        return celtypes.ListType(cast("list[celtypes.Value]", [_as_cel(item, limit) for item in value]))
    return json_to_cel(value)


def _plain(value: Any, limit: _Limit) -> Any:
    """A value of the library as a JSON value."""
    limit.check()
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item, limit) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, limit) for item in value]
    plain_type = next((kind for kind in (str, int, float) if isinstance(value, kind)), None)
    return value if plain_type is None else plain_type(value)
