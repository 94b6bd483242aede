"""Measures what it costs to check values against a JSON schema that a client or a tool server sent.

A kilobyte of nested references can unfold to gigabytes, and a pattern of ten characters can compile to a megabyte. The
measurement follows each reference once, so it takes time in proportion to the schema as it is written.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from musterd.core.jsontypes import Json, JsonObject

LARGEST_SCHEMA = 20_000
"""Most parts of a schema after each reference is replaced by its target."""
LARGEST_PATTERNS = 50_000
"""Largest size of all patterns of a schema together. Each takes about a microsecond to compile."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# Their values are schemas by name, so the names are not keywords.
_MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
# These apply to the same value as the schema that contains them.
_IN_PLACE = frozenset(
    {*_REFERENCES, "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
# If a value does not match one of these, the library collects the problems of all parts below it.
_CHOICES = frozenset({"anyOf", "oneOf", "not", "if", "contains", "propertyNames", *_UNEVALUATED})
_UNEVALUATED_FACTOR = 3
"""``unevaluated…`` checks the schemas beside it again, and so on for those inside them (measured: up to 2.5 times)."""
_OBJECT_FACTOR = 20
"""Comparing with an object or list of an ``enum`` takes so much longer than checking one keyword."""


class SchemaRefused(ValueError):
    """Checking values against a schema is not possible in bounded time.

    :param expected: what the schema should be instead, after "should".
    :param is_too_large: the schema is too large in itself, so nothing should read it.
    :param part: the part of the schema that is the reason, if it is a single one.
    """

    def __init__(self, expected: str, *, is_too_large: bool = False, part: str | None = None) -> None:
        super().__init__(f"The schema should {expected}")
        self.expected, self.is_too_large, self.part = expected, is_too_large, part


@dataclass(slots=True)
class SchemaCost:
    """The cost of a schema, or of a part of one.

    :ivar parts: its JSON values, each reference replaced by its target.
    :ivar width: the most of its parts that apply to one value; of the properties of an object only one does.
    :ivar compiling: the size of its patterns, to compile them.
    :ivar matching: the most steps for one character of a text, of all patterns that apply to it.
    :ivar loops: how often a part that refers to itself may apply to one value within it.
    :ivar has_choices: whether describing a problem may mean to describe those of many parts.
    :ivar copies: of a whole schema, how many of its parts are copies: they come from a target of several references.
    :ivar unresolved: of a whole schema, a reference that leads to none of its parts, or a part with an address of its
        own, which changes the meaning of references. The cost of checking values is unknown then.
    """

    parts: int = 1
    width: int = 1
    compiling: int = 0
    matching: int = 0
    loops: int = 0
    has_choices: bool = False
    copies: int = 0
    unresolved: str | None = None

    def add(self, other: "SchemaCost", times: int = 1) -> None:
        """Add the cost of a part that applies to the same value, ``times`` times."""
        self.parts += other.parts
        self.width += other.width * times
        self.compiling += other.compiling
        self.matching += other.matching * times
        self.loops += other.loops * times
        self.has_choices |= other.has_choices

    def add_one_of(self, others: list["SchemaCost"]) -> None:
        """Add the costs of parts of which at most one applies to each value."""
        for other in others:
            self.parts += other.parts
            self.compiling += other.compiling
            self.has_choices |= other.has_choices
        self.width += max((other.width for other in others), default=0)
        self.matching += max((other.matching for other in others), default=0)
        self.loops += max((other.loops for other in others), default=0)


def schema_cost(schema: JsonObject) -> SchemaCost:
    """The cost of a schema.

    :raises SchemaRefused: it is too large.
    """
    meter = _Meter(schema)
    try:
        cost = meter.root_cost()
    except RecursionError as error:
        raise _too_many_parts() from error
    _require_few(cost.parts)
    if cost.compiling > LARGEST_PATTERNS:
        raise SchemaRefused("have fewer or shorter patterns, with fewer repetitions", is_too_large=True)
    cost.copies, cost.unresolved = cost.parts - meter.visited, meter.unresolved
    return cost


class _Meter:
    """Measures the parts of one schema."""

    def __init__(self, schema: JsonObject) -> None:
        self.unresolved: str | None = None
        self._identifier = "id" if "draft-04" in str(schema.get("$schema")) else "$id"
        self._schema = {name: value for name, value in schema.items() if name != self._identifier}
        self._costs: dict[str, SchemaCost] = {}
        self.visited = 0

    def root_cost(self) -> SchemaCost:
        # Definitions count only if they are referenced: the others are never used to check a value.
        return self._cost({name: part for name, part in self._schema.items() if name not in ("$defs", "definitions")})

    def _cost(self, part: Json) -> SchemaCost:
        self._visit()
        cost = SchemaCost()
        if isinstance(part, list):
            for item in part:
                cost.add(self._cost(item))
        elif isinstance(part, dict):
            if isinstance(address := part.get(self._identifier), str):  # references below it are relative to it
                self.unresolved = self.unresolved or f"{self._identifier} {address}"
            again = _UNEVALUATED_FACTOR if any(name in part for name in _UNEVALUATED) else 1
            for name, value in part.items():
                cost.add(self._keyword_cost(name, value), again if name in _IN_PLACE else 1)
        return cost

    def _visit(self) -> None:
        self.visited += 1  # stop as soon as the visited parts alone are too many
        _require_few(self.visited)

    def _keyword_cost(self, name: str, value: Json) -> SchemaCost:
        if name in _MAPPINGS and isinstance(value, dict):
            return self._mapping_cost(name, value)
        cost = self._cost(value)
        cost.has_choices |= name in _CHOICES
        if name in _REFERENCES and isinstance(value, str):
            cost.add(self._target_cost(value))
        elif name == "pattern" and isinstance(value, str):
            cost.add(_pattern_cost(value))
        elif name == "enum" and isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            cost.width *= _OBJECT_FACTOR
        return cost

    def _mapping_cost(self, name: str, parts: JsonObject) -> SchemaCost:
        self._visit()
        cost = SchemaCost(width=1 + len(parts))
        costs = [self._cost(part) for part in parts.values()]
        if name == "properties":
            cost.add_one_of(costs)
            return cost
        for pattern, part_cost in zip(parts, costs, strict=True):
            cost.add(part_cost)
            if name == "patternProperties":
                cost.add(_pattern_cost(pattern))
        return cost

    def _target_cost(self, reference: str) -> SchemaCost:
        if reference not in self._costs:
            self._costs[reference] = SchemaCost(parts=0, width=0, loops=1)  # counts a recursive reference once
            try:
                part = _resolve(self._schema, reference)
            except KeyError:
                self.unresolved = self.unresolved or reference
                self._costs[reference] = SchemaCost()
            else:
                self._costs[reference] = self.root_cost() if part is self._schema else self._cost(part)
            _require_few(self._costs[reference].parts)
        return self._costs[reference]


def _too_many_parts() -> SchemaRefused:
    expected = f"have at most {LARGEST_SCHEMA} parts after its references are resolved"
    return SchemaRefused(expected, is_too_large=True)


def _require_few(parts: int) -> None:
    if parts > LARGEST_SCHEMA:
        raise _too_many_parts()


def _resolve(schema: JsonObject, reference: str) -> Json:
    """The part of the schema that a reference points to. Raises KeyError if there is no such part."""
    part: Json = schema
    root, *names = unquote(reference).split("/")
    if root != "#":
        raise KeyError(reference)
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and key in part:
            part = part[key]
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            raise KeyError(reference)
    return part


# --- patterns -------------------------------------------------------------------------------------

_PATTERN_TOKEN = re.compile(
    r"(?P<unicode>\\[pP](?:\{[^}]{0,60}\}|.)?)"
    r"|\\."
    r"|(?P<set>\[(?:\\.|[^\]\\])*\]?)"
    r"|\{(?P<least>\d{1,6})(?P<more>,)?(?P<most>\d{1,6})?\}"
    r"|.",
    re.DOTALL,
)
_VERBOSE = re.compile(r"\(\?[A-Za-z]{0,10}x")
_UNICODE_SIZE, _WIDE_SIZE = 500, 10
"""How much larger than a letter ``\\p{L}`` is, and a dot or a negated set."""
_WIDE_STEPS = 4
"""The steps for one character, at a place that takes characters of up to four bytes."""


def _pattern_cost(pattern: str) -> SchemaCost:
    """An upper bound of the compiled size of a pattern, and of its states: counted repetitions are written out."""
    if _VERBOSE.search(pattern):  # a comment may stand between a group and its repetition
        return SchemaCost(parts=0, width=0, compiling=LARGEST_PATTERNS + 1)
    # For each open group the size and steps so far, and those of its last item, which a repetition multiplies.
    groups: list[list[int]] = [[0, 0, 0, 0]]
    for token in _PATTERN_TOKEN.finditer(pattern):
        text, group = token[0], groups[-1]
        if text == "(":
            groups.append([0, 0, 0, 0])
            continue
        if text == ")" and len(groups) > 1:
            size, steps, *_ = groups.pop()
            group, size, steps = groups[-1], size + 1, steps + 1
        elif token["least"] is not None:
            # An open repetition ends in a loop. The item itself is counted once already.
            times = max(int(token["most"] or 0), int(token["least"]) + (token["more"] is not None)) - 1
            size, steps = group[2] * times, group[3] * times
            if times > 0:
                group[2:] = [group[2] + size, group[3] + steps]
                group[:2] = [group[0] + size, group[1] + steps]
            continue
        else:
            size, steps = _token_cost(token)
            if text.isspace() or text in "*+?":  # the item before it stays the one that is repeated
                group[:2] = [group[0] + size, group[1] + steps]
                continue
        group[:] = [group[0] + size, group[1] + steps, size, steps]
    size, steps = (sum(group[place] for group in groups) for place in (0, 1))
    return SchemaCost(parts=0, width=0, compiling=size, matching=steps)


def _token_cost(token: re.Match[str]) -> tuple[int, int]:
    text = token[0]
    if token["unicode"] or (token["set"] and ("\\p" in text or "\\P" in text)):
        classes = max(1, text.count("\\p") + text.count("\\P"))
        return _UNICODE_SIZE * classes, _WIDE_STEPS
    if token["set"]:
        return max(_WIDE_SIZE, len(text)), _WIDE_STEPS
    return (_WIDE_SIZE, _WIDE_STEPS) if text == "." or text[0] == "\\" else (1, 1)
