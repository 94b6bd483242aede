"""Checks values against JSON schemas of clients and tool servers, in a time that is bounded whatever they contain.

The library holds the interpreter's lock while it checks, so an expensive check would hold up all runs, even in a
thread. Each check has a bound on its work: the parts of the schema that may apply to a value, for each value, and the
steps of its patterns for each character.

Whether a value matches is cheap to say, even for schemas that refer to themselves: the library remembers, for such a
part and an object or array, whether they match. What is wrong is not: it then tries each choice at each level. Problems
are therefore described only as far as the bound allows.
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.problem_lists import shortened
from musterd.core.schema_costs import SchemaCost, SchemaRefused, schema_cost

if TYPE_CHECKING:
    import jsonschema_rs

MAX_WORK = 25_000_000
"""Most steps of one check: about a tenth of a second."""
_PART_STEPS, _PROBLEM_STEPS = 2, 500


class TooMuchWork(Exception):
    """A value is too large to be checked against a schema in bounded time."""


@dataclass(frozen=True, slots=True, eq=False)
class SchemaCheck:
    """A schema that values can be checked against."""

    cost: SchemaCost
    validator: "jsonschema_rs.Validator"

    def is_valid(self, value: Json) -> bool:
        """Whether a value matches the schema.

        :raises TooMuchWork: it would take too long to say.
        """
        size = value_size(value)
        if size.values * self.cost.width * _PART_STEPS + size.characters * self.cost.matching > MAX_WORK:
            raise TooMuchWork
        return self.validator.is_valid(value)

    def errors(self, value: Json) -> "list[jsonschema_rs.ValidationError]":
        """What is wrong with an invalid value: all of it, only the first problem, or nothing if that takes too long."""
        import jsonschema_rs

        size = value_size(value)
        applications = self.cost.width * max(1, self.cost.loops) ** size.levels
        # Each problem has a text, which may contain the whole value.
        to_describe_all = applications * (size.values * _PROBLEM_STEPS + size.characters)
        if to_describe_all <= MAX_WORK:
            return list(self.validator.iter_errors(value))
        to_reach_first = applications * size.values * _PART_STEPS + size.characters * self.cost.matching
        if self.cost.has_choices or to_reach_first > MAX_WORK:
            return []
        try:
            self.validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [error]
        return []


def schema_check(schema: JsonObject) -> SchemaCheck:
    """The check for a schema. The last ones are kept, so that the answers of a run share one.

    :raises SchemaRefused: it is no schema, or values cannot be checked against it in bounded time.
    """
    try:
        text = jsontext.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaRefused("be a JSON schema") from error
    return _compiled(text)


@functools.lru_cache(maxsize=16)  # the largest take five megabytes each
def _compiled(text: str) -> SchemaCheck:
    import jsonschema_rs

    schema: JsonObject = jsontext.loads(text)
    cost = schema_cost(schema)
    if cost.unresolved is not None:
        expected = "be a JSON schema with internal references only, such as #/$defs/name"
        raise SchemaRefused(expected, part=cost.unresolved[:200])
    try:
        # Only patterns that take linear time: those with look-around or back-references may take hours for a crafted
        # text. A text is not compiled as a pattern either, which the format "regex" of older drafts means.
        validator = jsonschema_rs.validator_for(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions(), formats={"regex": _any_text}
        )
    except jsonschema_rs.ValidationError as error:
        raise SchemaRefused(f"be a JSON schema: {shortened(error.message)}") from error
    except (TypeError, ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        raise SchemaRefused("be a JSON schema") from error
    return SchemaCheck(cost, validator)


def schema_problem(schema: JsonObject, value: Json, name: str) -> str | None:
    """The first thing that is wrong with a value, after its place or ``name``.

    :return: None if the value matches, or if it cannot be checked in bounded time: then the tool must check it.
    """
    try:
        check = schema_check(schema)
        if check.is_valid(value):
            return None
    except (SchemaRefused, TooMuchWork):
        return None
    for error in check.errors(value):
        place = ".".join(str(part) for part in error.instance_path)
        return f"{place or name}: {error.message[:200]}"
    return f"{name}: the values do not match the schema"


def described(error: "jsonschema_rs.ValidationError") -> str:
    """A problem with its place."""
    place = ".".join(str(part) for part in error.instance_path)
    message = shortened(error.message)
    return f"{place}: {message}" if place else message


@dataclass(slots=True)
class ValueSize:
    """The size of a JSON value: the values in it, the characters of its texts and names, and its levels."""

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


def _any_text(_text: str) -> bool:
    return True
