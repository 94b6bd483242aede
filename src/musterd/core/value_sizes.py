"""The size of a JSON value, from which the cost of checking it follows."""

from collections.abc import Container
from dataclasses import dataclass

from musterd.core.jsontypes import Json


@dataclass(slots=True)
class ValueSize:
    """The values in a JSON value, the characters of its texts and names, and its levels."""

    values: int = 0
    characters: int = 0
    levels: int = 0


def value_size(value: Json) -> ValueSize:
    """The size of a JSON value."""
    size = ValueSize()
    level: list[Json] = [value]
    while level:
        size.levels += 1
        size.values += len(level)
        below: list[Json] = []
        for item in level:
            if isinstance(item, str):
                size.characters += len(item)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                size.characters += sum(map(len, item))
                below += item.values()
        level = below
    return size


def characters_under(value: Json, names: Container[str | None]) -> int:
    """The characters of the texts whose property, the nearest one above them, is among ``names``.

    :param names: None stands for texts that are in no object.
    """
    characters = 0
    remaining: list[tuple[str | None, Json]] = [(None, value)]
    while remaining:
        name, item = remaining.pop()
        if isinstance(item, str):
            characters += len(item) if name in names else 0
        elif isinstance(item, list):
            remaining += [(name, each) for each in item]
        elif isinstance(item, dict):
            remaining += item.items()
    return characters
