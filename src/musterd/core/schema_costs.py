"""Measures what it costs to check values against a JSON schema that a client or a tool server sent.

A kilobyte of nested references can unfold to gigabytes, and a pattern of ten characters can compile to a megabyte. The
measurement follows each reference once, so it takes time in proportion to the schema as it is written.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from urllib.parse import unquote

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.value_sizes import value_size

LARGEST_SCHEMA = 20_000
"""Most parts of a schema after each reference is replaced by its target."""
LARGEST_PATTERNS = 50_000
"""Largest size of all patterns of a schema together. Each takes about a microsecond to compile."""

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
"""Keywords whose values are schemas by name, so the names are not keywords."""
DATA = frozenset({"default", "examples", "const", "enum"})
"""Keywords whose values are no schemas."""
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
# These apply to the same value as the schema that contains them.
_IN_PLACE = frozenset(
    {*REFERENCES, "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
_ANY_NAME = frozenset(
    {
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "dependentSchemas",
        "dependencies",
        "unevaluatedProperties",
    }
)
# If a value does not match one of these, the library collects the problems of all parts below it.
_CHOICES = frozenset({"anyOf", "oneOf", "not", "if", "contains", "propertyNames", *UNEVALUATED})
# These apply to values inside of the value.
_INSIDE = frozenset(
    {"additionalProperties", "items", "prefixItems", "additionalItems", "contains", "propertyNames", *UNEVALUATED}
)
_UNEVALUATED_FACTOR = 3
"""``unevaluated…`` checks the schemas beside it again, and so on for those inside them (measured: up to 2.5 times)."""
_OBJECT_FACTOR, _SCALAR_SHARE = 20, 20
"""Comparing with an object or list of an ``enum`` takes so much longer than checking one keyword, and with a text or
number so much less."""


class SchemaRefused(ValueError):
    """Checking values against a schema is not possible in bounded time.

    :param expected: what the schema should be instead, after "should".
    :param is_too_large: the schema is too large in itself, so nothing should read it.
    :param part: the part of the schema that is the reason, if it is a single one.
    """

    def __init__(self, expected: str, *, is_too_large: bool = False, part: str | None = None) -> None:
        super().__init__(f"The schema should {expected}")
        self.expected, self.is_too_large, self.part = expected, is_too_large, part

    def again(self) -> "SchemaRefused":
        """The same refusal, without the traceback of this one."""
        return SchemaRefused(self.expected, is_too_large=self.is_too_large, part=self.part)


@dataclass(slots=True)
class SchemaCost:
    """The cost of a schema, or of a part of one.

    :ivar parts: its JSON values, each reference replaced by its target; a target that leads to itself counts once.
    :ivar here: how many of its parts apply to the value itself.
    :ivar inside: the most of its parts that apply to one of the values in the value.
    :ivar compiling: the size of its patterns, to compile them.
    :ivar negated: its parts below ``not``, each counted once for every ``not`` above it: the library copies them.
    :ivar matching_here: the most steps for one character of the value, if it is a text.
    :ivar matching_inside: the same for a text in the value.
    :ivar loops: how often a part that refers to itself may apply to one value within it.
    :ivar choices: how many parts the choices between schemas of objects or lists have: if no choice matches a value,
        the problems of all values in it are described.
    :ivar leaf_choices: how many parts the other choices have.
    :ivar names: the properties whose texts its patterns may apply to; None stands for texts that are in no object.
    :ivar has_any_name: whether its patterns may apply to the texts of all properties.
    :ivar copies: of a whole schema, how many of its parts are copies: they come from a target of several references.
    :ivar unresolved: of a whole schema, a reference that leads to none of its parts, or a part with an address of its
        own, which changes the meaning of references. The cost of checking values is unknown then.
    """

    parts: int = 1
    here: int = 1
    inside: int = 0
    compiling: int = 0
    negated: int = 0
    matching_here: int = 0
    matching_inside: int = 0
    loops: int = 0
    choices: int = 0
    leaf_choices: int = 0
    names: set[str | None] = field(default_factory=set)
    has_any_name: bool = False
    copies: int = 0
    unresolved: str | None = None

    @property
    def width(self) -> int:
        """The most parts that apply to one value."""
        return max(self.here, self.inside)

    @property
    def matching(self) -> int:
        """The most steps for one character of a text."""
        return max(self.matching_here, self.matching_inside)

    def add(self, other: "SchemaCost", times: int = 1) -> None:
        """Add the cost of a part that applies to the same value, ``times`` times."""
        self._add_size(other)
        self.here += other.here * times
        self.inside += other.inside * times
        self.matching_here += other.matching_here * times
        self.matching_inside += other.matching_inside * times
        self.loops += other.loops * times

    def add_inside(self, others: Iterable["SchemaCost"]) -> None:
        """Add the costs of parts of which at most one applies to each value in the value."""
        parts = list(others)
        for part in parts:
            self._add_size(part)
        self.inside += max((part.width for part in parts), default=0)
        self.matching_inside += max((part.matching for part in parts), default=0)
        self.loops += max((part.loops for part in parts), default=0)

    def _add_size(self, other: "SchemaCost") -> None:
        self.parts += other.parts
        self.compiling += other.compiling
        self.negated += other.negated
        self.choices += other.choices
        self.leaf_choices += other.leaf_choices
        self.names |= other.names
        self.has_any_name |= other.has_any_name


def schema_cost(schema: JsonObject) -> SchemaCost:
    """The cost of a schema.

    :raises SchemaRefused: it has too many parts.
    """
    meter = _Meter(schema)
    try:
        cost = meter.root_cost()
    except RecursionError as error:
        raise _too_many_parts() from error
    require_few_parts(cost.parts + cost.negated)
    cost.copies, cost.unresolved = cost.parts - meter.visited, meter.unresolved
    return cost


class _Meter:
    """Measures the parts of one schema."""

    def __init__(self, schema: JsonObject) -> None:
        self.unresolved: str | None = None
        self._identifier = "id" if "draft-04" in str(schema.get("$schema")) else "$id"
        self._schema = {name: value for name, value in schema.items() if name != self._identifier}
        self._costs: dict[str, SchemaCost] = {}
        self._recursive: list[SchemaCost] = []
        # The targets that are being measured, in the order in which they lead to each other, with their places; the
        # first place to which each leads back; and, for those that are done, the target to which they lead back.
        self._places: dict[str, int] = {}
        self._lowest: list[int] = []
        self._reached: dict[str, str] = {}
        self.visited = 0

    def root_cost(self) -> SchemaCost:
        """The cost of the whole schema."""
        cost, loops = self._cost(self._used()), 0
        # The library remembers whether a value matches a target that leads to itself, so it checks this once for a
        # value, beside what the schema itself checks.
        for target in self._recursive:
            cost.parts += target.parts
            cost.compiling += target.compiling
            cost.negated += target.negated
            cost.here += target.width
            cost.inside += target.width
            cost.matching_inside += target.matching
            cost.has_any_name |= None in target.names  # any property may refer to the target
            loops = max(loops, target.loops, 1)
        cost.loops = loops
        return cost

    def _used(self) -> JsonObject:
        # Definitions count only if they are referenced: the others are never used to check a value.
        return {name: part for name, part in self._schema.items() if name not in ("$defs", "definitions")}

    def _cost(self, part: Json) -> SchemaCost:
        self._visit()
        cost = SchemaCost()
        if isinstance(part, list):
            for item in part:
                cost.add(self._cost(item))
        elif isinstance(part, dict):
            if isinstance(address := part.get(self._identifier), str):  # references below it are relative to it
                self.unresolved = self.unresolved or f"{self._identifier} {address}"
            again = _UNEVALUATED_FACTOR if any(name in part for name in UNEVALUATED) else 1
            for name, value in part.items():
                cost.add(self._keyword_cost(name, value), again if name in _IN_PLACE else 1)
        return cost

    def _visit(self) -> None:
        self.visited += 1  # stop as soon as the visited parts alone are too many
        require_few_parts(self.visited)

    def _keyword_cost(self, name: str, value: Json) -> SchemaCost:
        if name in DATA:
            return self._data_cost(name, value)
        if name in MAPPINGS and isinstance(value, dict):
            cost = self._mapping_cost(name, value)
        elif name in _INSIDE:
            cost = SchemaCost(parts=0)
            cost.add_inside([self._cost(value)])
        else:
            cost = self._cost(value)
        if name in REFERENCES and isinstance(value, str):
            cost.add(self._target_cost(value))
        elif name == "pattern" and isinstance(value, str):
            cost.add(pattern_cost(value))
            cost.names.add(None)
        if name == "not":
            cost.negated += cost.parts
        if name in _CHOICES:
            if cost.inside or cost.loops:
                cost.choices = cost.here + cost.inside
            else:
                cost.leaf_choices = cost.here
        cost.has_any_name |= name in _ANY_NAME and cost.matching > 0
        return cost

    def _data_cost(self, name: str, value: Json) -> SchemaCost:
        size = value_size(value).values
        self.visited += size
        require_few_parts(self.visited)
        if name != "enum" or not isinstance(value, list):
            return SchemaCost(parts=size)
        has_objects = any(isinstance(item, dict | list) for item in value)
        return SchemaCost(parts=size, here=size * _OBJECT_FACTOR if has_objects else 1 + size // _SCALAR_SHARE)

    def _mapping_cost(self, name: str, parts: JsonObject) -> SchemaCost:
        self._visit()
        cost = SchemaCost(here=1 + len(parts))
        costs = {key: self._cost(part) for key, part in parts.items()}
        if name == "properties":
            for key, part_cost in costs.items():
                if None in part_cost.names:  # a pattern applies to the property's own texts
                    part_cost.names = (part_cost.names - {None}) | {key}
            cost.add_inside(costs.values())
            return cost
        for key, part_cost in costs.items():
            if name == "patternProperties":
                cost.add(pattern_cost(key))
                cost.add_inside([part_cost])
            else:
                cost.add(part_cost)
        return cost

    def _target_cost(self, reference: str) -> SchemaCost:
        if reference in self._places:  # it is being measured, so it leads to itself
            self._reach(reference)
            return SchemaCost(parts=0, loops=1, inside=1)
        if reference not in self._costs:
            self._costs[reference] = self._measured(reference)
            require_few_parts(self._costs[reference].parts)
        elif (ancestor := self._reached.get(reference)) in self._places:
            self._reach(ancestor)
        return self._costs[reference]

    def _measured(self, reference: str) -> SchemaCost:
        try:
            part = _resolve(self._schema, reference)
        except KeyError:
            self.unresolved = self.unresolved or reference
            return SchemaCost()
        place = len(self._places)
        self._places[reference] = place
        self._lowest.append(place + 1)
        cost = self._cost(self._used() if part is self._schema else part)
        lowest = self._lowest.pop()
        ancestor = next(islice(self._places, lowest, None), reference)
        del self._places[reference]
        if lowest > place:
            return cost
        # It leads to itself, perhaps by a target that is still being measured.
        if lowest < place:
            self._reached[reference] = ancestor
            self._reach(ancestor)
        self._recursive.append(cost)
        return replace(cost, parts=0, compiling=0, negated=0)  # root_cost counts them once

    def _reach(self, reference: str) -> None:
        """Note that the target that is being measured leads to ``reference``, which is being measured too."""
        self._lowest[-1] = min(self._lowest[-1], self._places[reference])


def _too_many_parts() -> SchemaRefused:
    expected = f"have at most {LARGEST_SCHEMA} parts after its references are resolved"
    return SchemaRefused(expected, is_too_large=True)


def require_few_parts(parts: int) -> None:
    """Refuse a schema that has more parts than can be checked.

    :raises SchemaRefused: it has.
    """
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


def pattern_cost(pattern: str) -> SchemaCost:
    """An upper bound of the compiled size of a pattern, and of its states: counted repetitions are written out."""
    if _VERBOSE.search(pattern):  # a comment may stand between a group and its repetition
        return SchemaCost(parts=0, here=0, compiling=LARGEST_PATTERNS + 1)
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
    return SchemaCost(parts=0, here=0, compiling=size, matching_here=steps)


def _token_cost(token: re.Match[str]) -> tuple[int, int]:
    text = token[0]
    if token["unicode"] or (token["set"] and ("\\p" in text or "\\P" in text)):
        classes = max(1, text.count("\\p") + text.count("\\P"))
        return _UNICODE_SIZE * classes, _WIDE_STEPS
    if token["set"]:
        return max(_WIDE_SIZE, len(text)), _WIDE_STEPS
    return (_WIDE_SIZE, _WIDE_STEPS) if text == "." or text[0] == "\\" else (1, 1)
