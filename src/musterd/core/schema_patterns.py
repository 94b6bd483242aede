"""Leaves out of a JSON schema the patterns that cannot be checked in bounded time, so that the rest can be checked.

What remains accepts each value that the whole schema accepts. So keywords are left out too that accept fewer values if
a part of them accepts more, like ``not``, and that contain such a pattern or a reference, which may lead to one.
"""

from dataclasses import dataclass, field

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.schema_costs import DATA, LARGEST_PATTERNS, MAPPINGS, REFERENCES, UNEVALUATED, pattern_cost

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
    """``schema`` without the patterns that take more than linear time, are too large, or are no patterns."""
    reader = _Reader()
    return Remainder(schema=reader.remaining_object(schema), left_out=list(dict.fromkeys(reader.left_out)))


@dataclass(slots=True)
class _Reader:
    left_out: list[str] = field(default_factory=list)
    _size: int = 0
    _supported: dict[str, bool] = field(default_factory=dict)

    def remaining_object(self, part: JsonObject) -> JsonObject:
        remaining: JsonObject = {}
        for keyword, value in part.items():
            if keyword in DATA:
                remaining[keyword] = value
            elif keyword in MAPPINGS and isinstance(value, dict):
                remaining[keyword] = {
                    name: self._remaining(item)
                    for name, item in value.items()
                    if keyword != "patternProperties" or self._keeps(name)
                }
            # The other keywords decide what "unevaluated" means.
            elif keyword not in UNEVALUATED and (keyword != "pattern" or self._keeps(value)):
                remaining[keyword] = self._remaining(value)
        _widen(part, remaining)
        return remaining

    def _remaining(self, part: Json) -> Json:
        if isinstance(part, list):
            return [self._remaining(item) for item in part]
        return self.remaining_object(part) if isinstance(part, dict) else part

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


def _widen(part: JsonObject, remaining: JsonObject) -> None:
    """Make ``remaining`` accept all that ``part`` accepts, after patterns in its values were left out."""
    for keyword in _NARROWED:
        if keyword in remaining and (remaining[keyword] != part[keyword] or _has_reference(part[keyword])):
            value = remaining.pop(keyword)
            if keyword == "oneOf":  # several of the choices may match now
                remaining.setdefault("anyOf", value)
    if len(remaining.get("patternProperties", ())) < len(part.get("patternProperties", ())):
        remaining.pop("additionalProperties", None)


def _has_reference(part: Json) -> bool:
    if isinstance(part, dict):
        return any(keyword in part for keyword in REFERENCES) or any(map(_has_reference, part.values()))
    return isinstance(part, list) and any(map(_has_reference, part))


def _is_supported(pattern: str) -> bool:
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except jsonschema_rs.ValidationError:
        return False
    return True
