"""Checks values against JSON schemas of clients and tool servers, in a time that is bounded whatever they contain.

The library holds the interpreter's lock while it checks, so an expensive check would hold up all runs, even in a
thread. Each check has a bound on its work: the parts of the schema that may apply to a value, for each value, and the
steps of its patterns for each character.

Whether a value matches is cheap to say, even for schemas that refer to themselves: the library remembers, for such a
part and an object or array, whether they match. What is wrong is not cheap to say: it then describes the problems of
each choice at each level. So problems are described only as far as the bound allows.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.problem_lists import shortened
from musterd.core.schema_costs import LARGEST_PATTERNS, SchemaCost, SchemaRefused, schema_cost
from musterd.core.schema_patterns import without_unsupported_patterns
from musterd.core.value_sizes import ValueSize, characters_under, value_size

if TYPE_CHECKING:
    import jsonschema_rs

log = structlog.get_logger("musterd.core")

MAX_WORK = 25_000_000
"""Most steps of one check: about a tenth of a second."""
MAX_PROBLEMS = 5000
"""Most problems of a value that the library may have to describe: it needs tens of microseconds for each."""
_PART_STEPS = 2


class TooMuchWork(Exception):
    """A value is too large to be checked against a schema in bounded time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaErrors:
    """What is wrong with a value.

    :param problems: all problems; only the first one, or none, if it would take too long to describe all.
    :param are_all: whether ``problems`` has all problems.
    """

    problems: "Sequence[jsonschema_rs.ValidationError]"
    are_all: bool


@dataclass(frozen=True, slots=True, eq=False)
class SchemaCheck:
    """A schema that values can be checked against."""

    cost: SchemaCost
    validator: "jsonschema_rs.Validator"

    def is_valid(self, value: Json) -> bool:
        """Whether a value matches the schema.

        :raises TooMuchWork: it would take too long to say.
        """
        if self._steps(value, value_size(value)) > MAX_WORK:
            raise TooMuchWork
        return self.validator.is_valid(value)

    def errors(self, value: Json) -> SchemaErrors:
        """What is wrong with an invalid value, as far as it can be described in bounded time."""
        size = value_size(value)
        # To describe problems the library follows a part that refers to itself once for each way that leads to it.
        times = max(1, self.cost.loops) ** size.levels
        problems = size.values * self.cost.width * times
        # Each problem has a text, which may contain the whole value.
        if problems <= MAX_PROBLEMS and problems * size.characters <= MAX_WORK:
            return SchemaErrors(problems=list(self.validator.iter_errors(value)), are_all=True)
        return SchemaErrors(problems=self._first_error(value, size, times), are_all=False)

    def _first_error(self, value: Json, size: ValueSize, times: int) -> "list[jsonschema_rs.ValidationError]":
        import jsonschema_rs

        # The first problem may be that no choice matches: its text takes the problems of all choices.
        of_choices = size.values * self.cost.choices * times + self.cost.leaf_choices
        if of_choices > MAX_PROBLEMS or of_choices * size.characters > MAX_WORK:
            return []
        if self._steps(value, size) * times > MAX_WORK:
            return []
        try:
            self.validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [error]
        return []

    def _steps(self, value: Json, size: ValueSize) -> int:
        cost = self.cost
        steps = size.values * cost.width * _PART_STEPS
        if cost.matching:
            characters = size.characters if cost.has_any_name else characters_under(value, cost.names)
            steps += characters * cost.matching
        return steps


def schema_check(schema: JsonObject) -> SchemaCheck:
    """The check for a schema. The last ones are kept, so that the answers of a run share one.

    :raises SchemaRefused: it is no schema, or values cannot be checked against it in bounded time.
    """
    try:
        text = jsontext.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaRefused("be a JSON schema") from error
    check = _compiled(text)
    if isinstance(check, SchemaRefused):
        raise check.again()
    return check


def arguments_check(schema: JsonObject) -> SchemaCheck | None:
    """The check for the arguments of a tool, which checks them itself as well.

    Patterns that cannot be checked in bounded time are left out.

    :return: None if the schema is refused for another reason.
    """
    try:
        text = jsontext.dumps(schema)
        check = _compiled(text)
        if isinstance(check, SchemaRefused) and (remaining := _without_unsupported_patterns(text)) is not None:
            check = _compiled(remaining)
    except (TypeError, ValueError, RecursionError):
        return None
    return check if isinstance(check, SchemaCheck) else None


@functools.lru_cache(maxsize=16)
def _without_unsupported_patterns(text: str) -> str | None:
    remainder = without_unsupported_patterns(jsontext.loads(text))
    for pattern in remainder.left_out:
        _report_unchecked(pattern)
    return jsontext.dumps(remainder.schema) if remainder.left_out else None


@functools.lru_cache(maxsize=1024)  # each pattern is reported once
def _report_unchecked(pattern: str) -> None:
    log.warning("arguments are not checked against a pattern of a tool: it is unsupported", pattern=shortened(pattern))


@functools.lru_cache(maxsize=16)  # the largest take five megabytes each
def _compiled(text: str) -> SchemaCheck | SchemaRefused:
    import jsonschema_rs

    try:
        schema: JsonObject = jsontext.loads(text)
        cost = schema_cost(schema)
        if cost.compiling > LARGEST_PATTERNS:
            return SchemaRefused("have fewer or shorter patterns, with fewer repetitions", is_too_large=True)
        if cost.width * cost.loops > MAX_WORK:  # the library remembers results, but not across copies of a target
            return SchemaRefused("refer to itself in fewer places", is_too_large=True)
        if cost.unresolved is not None:
            expected = "be a JSON schema with internal references only, such as #/$defs/name"
            return SchemaRefused(expected, part=cost.unresolved[:200])
        # Only patterns that take linear time: those with look-around or back-references may take hours for a crafted
        # text. A text is not compiled as a pattern either, which the format "regex" of older drafts means.
        validator = jsonschema_rs.validator_for(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions(), formats={"regex": _any_text}
        )
    except SchemaRefused as refusal:
        return refusal.again()
    except jsonschema_rs.ValidationError as error:
        return SchemaRefused(f"be a JSON schema: {shortened(error.message)}")
    except (TypeError, ValueError, RecursionError, jsonschema_rs.ReferencingError):
        return SchemaRefused("be a JSON schema")
    return SchemaCheck(cost, validator)


def schema_problem(schema: JsonObject, value: Json, name: str) -> str | None:
    """The first thing that is wrong with a value, after its place or ``name``.

    :return: None if the value matches, or if it cannot be checked in bounded time: then the tool must check it.
    """
    check = arguments_check(schema)
    try:
        if check is None or check.is_valid(value):
            return None
    except TooMuchWork:
        return None
    for error in check.errors(value).problems:
        return f"{_place(error) or name}: {error.message[:200]}"
    return f"{name}: the values do not match the schema"


def described(error: "jsonschema_rs.ValidationError") -> str:
    """A problem with its place."""
    place, message = _place(error), shortened(error.message)
    return f"{place}: {message}" if place else message


def _place(error: "jsonschema_rs.ValidationError") -> str:
    return ".".join(str(part) for part in error.instance_path)


def _any_text(_text: str) -> bool:
    return True
