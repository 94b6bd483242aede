"""Conditions on the metadata of a knowledge base's contents.

A condition has three forms on the wire: an object ``{key: value}`` (all of them hold; a list of values: any of them), an
expression ``{"op": "EQ", "key": …, "value": …}`` or ``{"op": "AND", "conditions": […]}``, and a list of expressions (all
of them hold). There is one meaning for all databases and kinds of search: :func:`matches`, applied to contents before
chunks are ranked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from musterd.core.jsontypes import Json

Comparator = Literal["EQ", "NEQ", "GT", "GTE", "LT", "LTE", "IN", "CONTAINS", "STARTSWITH"]


class FilterInvalid(ValueError):
    """A filter has no meaning. The text says which part and what to write, for the client."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The value of one key compared with a value."""

    op: Comparator
    key: str
    value: Json


@dataclass(frozen=True, slots=True)
class Combination:
    """Conditions that all hold, of which any holds, or of which none holds."""

    op: Literal["AND", "OR", "NOT"]
    conditions: "tuple[Filter, ...]"


Filter = Comparison | Combination


def parse_filters(value: Json) -> Filter | None:
    """The filter that ``value`` describes; None for no condition (null, ``{}``, ``[]``).

    :raises FilterInvalid: it describes none.
    """
    raise NotImplementedError


def both(first: Filter | None, second: Filter | None) -> Filter | None:
    """The filter that holds if both hold; None is no condition."""
    if first is None or second is None:
        return first or second
    return Combination("AND", (first, second))


def matches(filters: Filter | None, metadata: Mapping[str, Json]) -> bool:
    """Whether a content with this metadata satisfies the filter."""
    raise NotImplementedError
