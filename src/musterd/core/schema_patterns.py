"""Leaves out of a JSON schema the patterns that cannot be checked in bounded time, so that the rest can be checked.

What remains accepts each value that the whole schema accepts. So keywords are left out too that accept fewer values if
a part of them accepts more, like ``not``, and that contain such a pattern or a reference, which may lead to one.
"""

from dataclasses import dataclass, field

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.schema_costs import (
    DATA,
    LARGEST_PATTERNS,
    MAPPINGS,
    REFERENCES,
    UNEVALUATED,
    pattern_cost,
    require_few_parts,
)

_NARROWED = ("not", "if", "contains", "oneOf")
_TRY_SIZE = 10
"""What it costs to find out whether a pattern is supported, beside its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remainder:
    """What remains of a schema.

    :param left_out: the patterns that are not in it, in the order of the schema.
    """

    schema: JsonObject
    left_out: list[str]


def without_unsupported_patterns(schema: JsonObject) -> Remainder:
    """``schema`` without the patterns that take more than linear time, are too large, or are no patterns.

    :raises SchemaRefused: it has too many parts, so that it cannot be checked without them either.
    """
    reader = _Reader()
    return Remainder(schema=reader.remaining_object(schema), left_out=list(dict.fromkeys(reader.left_out)))


@dataclass(slots=True)
class _Reader:
    """Reads a schema once.

    :ivar left_out: the patterns that were left out so far.
    :ivar _parts: how many keywords and names were read so far.
    :ivar _changes: how many keywords were left out so far.
    :ivar _references: how many references were read so far.
    :ivar _size: the size of the patterns that were tried so far, to compile them.
    :ivar _supported: whether each pattern that was read is supported.
    """

    left_out: list[str] = field(default_factory=list)
    _parts: int = 0
    _changes: int = 0
    _references: int = 0
    _size: int = 0
    _supported: dict[str, bool] = field(default_factory=dict)

    def remaining_object(self, part: JsonObject) -> JsonObject:
        self._count(part)
        remaining: JsonObject = {}
        choices: Json = None
        for keyword, value in part.items():
            before = self._changes, self._references
            # The other keywords decide what "unevaluated" means.
            if keyword in UNEVALUATED or (keyword == "pattern" and not self._keeps(value)):
                self._changes += 1
                continue
            rest = self._remaining_value(keyword, value)
            if keyword not in _NARROWED or before == (self._changes, self._references):
                remaining[keyword] = rest
                continue
            self._changes += 1
            if keyword == "oneOf":  # several of the choices may match now
                choices = rest
        if choices is not None:
            remaining.setdefault("anyOf", choices)
        if len(remaining.get("patternProperties", ())) < len(part.get("patternProperties", ())):
            remaining.pop("additionalProperties", None)
        return remaining

    def _remaining_value(self, keyword: str, value: Json) -> Json:
        if keyword in DATA:
            return value
        self._references += keyword in REFERENCES
        if keyword in MAPPINGS and isinstance(value, dict):
            self._count(value)
            names = [name for name in value if keyword != "patternProperties" or self._keeps(name)]
            self._changes += len(value) - len(names)
            return {name: self._remaining(value[name]) for name in names}
        return self._remaining(value)

    def _remaining(self, part: Json) -> Json:
        if isinstance(part, list):
            return [self._remaining(item) for item in part]
        return self.remaining_object(part) if isinstance(part, dict) else part

    def _count(self, values: JsonObject) -> None:
        self._parts += len(values)
        require_few_parts(self._parts)

    def _keeps(self, pattern: Json) -> bool:
        """Whether the pattern stays; otherwise note it."""
        if not isinstance(pattern, str):
            return True
        if pattern not in self._supported:
            size = pattern_cost(pattern).compiling + _TRY_SIZE
            is_small = self._size + size <= LARGEST_PATTERNS
            self._size += size if is_small else 0
            self._supported[pattern] = is_small and _is_supported(pattern)
        if not self._supported[pattern]:
            self.left_out.append(pattern)
        return self._supported[pattern]


def _is_supported(pattern: str) -> bool:
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except jsonschema_rs.ValidationError:
        return False
    return True
