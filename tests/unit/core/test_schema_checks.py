"""Checks against schemas of strangers: they are right, and none takes long."""

from typing import Any

import pytest

from musterd.core.schema_checks import MAX_WORK, TooMuchWork, described, schema_check, schema_problem
from musterd.core.schema_costs import LARGEST_PATTERNS, SchemaRefused, schema_cost
from tests.support.cpu_time import cpu_at_most

SELF = {"$ref": "#"}
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def nested(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = {"a": leaf}
    return leaf


def branches(number: int) -> dict[str, Any]:
    """A kind of tree as pydantic describes it: kinds of nodes that all have a child of any kind."""
    kinds = {
        f"k{place}": {"properties": {"op": {"const": f"k{place}"}, "a": {"$ref": "#/$defs/any"}}, "required": ["op"]}
        for place in range(number)
    }
    any_kind = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds]}
    return {"$ref": "#/$defs/any", "$defs": {"any": any_kind, **kinds}}


def growing(levels: int) -> dict[str, Any]:
    steps = {f"d{place}": {"allOf": [{"$ref": f"#/$defs/d{place + 1}"}] * 2} for place in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{levels}": {"minProperties": 0}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "anyOf": [{"properties": {"a": SELF}}] * 2},
        {"type": "object", "allOf": [{"properties": {"a": SELF}}] * 2},
        {"type": "object", "oneOf": [{"properties": {"a": SELF}}, {"properties": {"a": SELF}, "minProperties": 3}]},
        {
            "type": "object",
            "if": {"properties": {"a": SELF}, "minProperties": 2},
            "then": False,
            "else": {"properties": {"a": SELF}},
        },
        {"type": "object", "properties": {"a": SELF}, "patternProperties": {"a": SELF}},
        {"type": "object", "properties": {"a": SELF}, "dependentSchemas": {"a": {"properties": {"a": SELF}}}},
        {"$schema": DRAFT_7, "type": "object", "anyOf": [{"properties": {"a": SELF}}] * 2},
        branches(4),
    ],
)
def test_schemas_that_refer_to_themselves_are_checked_at_once(schema: dict[str, Any]) -> None:
    """This relies on the library: it remembers whether an object matches such a part."""
    check = schema_check(schema)
    leaf = {"op": "k1"} if "$defs" in schema else {}
    value = nested(60, leaf)
    if leaf:
        level = value
        while "a" in level:
            level["op"], level = "k1", level["a"]
    with cpu_at_most(1):
        assert check.is_valid(value)
        assert not check.is_valid(nested(60, 1))
        assert check.errors(nested(60, 1)).problems == []


def test_what_is_wrong_is_said_where_that_is_quick() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": SELF}}}
    check = schema_check(tree)
    value: Any = {"kids": 1}
    for _ in range(30):
        value = {"kids": [value]}
    (error,) = check.errors(value).problems
    assert described(error).startswith("kids.0.kids.0")
    assert described(error).endswith('1 is not of type "array"')
    assert [error.message for error in schema_check(branches(3)).errors({"op": 1}).problems]


def test_copies_of_targets_are_counted() -> None:
    name = {"type": "object", "properties": {"first": {"type": "string"}, "last": {"type": "string"}}}
    once: dict[str, Any] = {"properties": {"a": {"$ref": "#/$defs/name"}}, "$defs": {"name": name}}
    twice = {"properties": {**once["properties"], "b": {"$ref": "#/$defs/name"}}, "$defs": {"name": name}}
    assert schema_cost({"properties": {"a": name, "b": name}}).copies == 0
    assert schema_cost(once).copies == 0
    assert schema_cost(twice).copies == 7


def test_parts_that_are_copied_for_each_not_are_counted() -> None:
    part: dict[str, Any] = {"properties": {f"p{number}": {"type": "string"} for number in range(6_000)}}
    for _ in range(200):
        part = {"not": part}
    with cpu_at_most(1), pytest.raises(SchemaRefused, match="should have at most 20000 parts"):  # it was over 1.5 s
        schema_check(part)
    assert schema_check({"not": {"required": ["a"]}}).is_valid({})


def test_references_that_unfold_without_end_are_refused() -> None:
    with cpu_at_most(1), pytest.raises(SchemaRefused, match="should have at most 20000 parts") as refused:
        schema_check(growing(40))
    assert refused.value.is_too_large
    with cpu_at_most(1), pytest.raises(SchemaRefused, match="should have at most 20000 parts"):
        schema_cost({**growing(40), "properties": {"a": {"$ref": "other.json"}}})


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        (r"\pL{150}", 1),
        (r"^[\p{L}\p{N}]{1,50}$", 1),
        ("(((a{1,30}b){1,30}c){1,30}d){1,30}", 1),
        (r"(?x)(\pL) # letters" "\n{150}", 1),
        (r"\pL {150}", 1),
        (r"\p{L}", 200),
        ("[a-z]{1,100}", 100),
    ],
)
def test_patterns_that_take_long_to_compile_are_refused(pattern: str, number: int) -> None:
    schema = {"properties": {f"a{place}": {"pattern": pattern + "a" * place} for place in range(number)}}
    with cpu_at_most(1), pytest.raises(SchemaRefused, match="fewer or shorter patterns"):
        schema_check(schema)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$", "a@b.org"),
        (r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$", "2026-01-01T00:00:00Z"),
        (r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", "0" * 8 + "-0000" * 3 + "-" + "0" * 12),
        (r"^[\p{L} '-]{1,50}$", "Zoë O'Neil"),
        (r"^.{1,500}$", "a" * 500),
        (r"^\w{1,64}$", "name"),
        (r"^(a+)+$", "a" * 100_000),
    ],
)
def test_usual_patterns_are_checked(pattern: str, text: str) -> None:
    check = schema_check({"type": "array", "items": {"type": "string", "pattern": pattern}})
    assert check.is_valid([text])
    assert not check.is_valid([f"{text}\n"])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"allOf": [{"minLength": 1}] * 5000}}, ["a"] * 20_000),
        ({"items": {"enum": [{"a": place} for place in range(3000)]}}, [{"a": 2999}] * 5000),
        ({"pattern": "^[ab]*a[ab]{1000}c$"}, "ab" * 100_000),
        ({"patternProperties": {"^[ab]*a[ab]{1000}c$": {}}}, {"ab" * 100_000: 1}),
    ],
    ids=["parts", "objects of an enum", "pattern", "pattern of names"],
)
def test_too_large_values_are_not_checked(schema: dict[str, Any], value: Any) -> None:
    check = schema_check(schema)
    with cpu_at_most(1), pytest.raises(TooMuchWork):
        check.is_valid(value)
    assert schema_problem(schema, value, "it") is None


def test_schemas_that_are_checked_again_and_again_count_as_often() -> None:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(40):
        schema = {"allOf": [schema], "unevaluatedProperties": {"type": "integer"}}
    with cpu_at_most(1), pytest.raises(TooMuchWork):
        schema_check(schema).is_valid({"a": 1, "b": 1})


def test_many_problems_are_not_all_described() -> None:
    with cpu_at_most(1):
        errors = schema_check({"items": {"type": "string"}}).errors([1] * 100_000).problems
        assert len(errors) == 1
        errors = schema_check({"allOf": [{"maxItems": 1}] * 100}).errors([1] * 20_000).problems
        assert len(described(errors[0])) < 1100
        assert described(errors[0]).endswith("has more than 1 item")
        assert schema_check({"anyOf": [{"maxLength": 1}] * 1000}).errors("a" * 50_000).problems == []


def test_a_text_is_not_compiled_as_a_pattern() -> None:
    assert schema_check({"$schema": DRAFT_7, "format": "regex"}).is_valid("(")


def test_a_check_at_the_bound_takes_a_fraction_of_a_second() -> None:
    check = schema_check({"items": {"allOf": [{"minLength": 1}] * 50}})
    values = ["a"] * (MAX_WORK // (check.cost.width * 3))
    with cpu_at_most(1):
        assert check.is_valid(values)


def test_the_largest_patterns_compile_in_a_fraction_of_a_second() -> None:
    number = LARGEST_PATTERNS // 510
    with cpu_at_most(1):
        schema_check({"properties": {f"a{place}": {"pattern": rf"\pL{place}"} for place in range(number)}})


def test_a_property_may_be_named_like_a_keyword() -> None:
    """Of the names in ``patternProperties`` all may apply, even if one is called ``properties``."""
    hidden = {"patternProperties": {"properties": {f"p{place}": {"const": 1} for place in range(10)}}}
    assert schema_cost(hidden).width > 20
    named = {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}, "enum": {"type": "array"}}}
    assert schema_check(named).is_valid({"pattern": "(", "$ref": "x", "enum": []})


def containers(number: int) -> dict[str, Any]:
    """Kinds of containers, each of which may contain all kinds, as pydantic describes them."""
    kinds = [{"$ref": f"#/$defs/k{place}"} for place in range(number)]
    return {
        "$ref": "#/$defs/k0",
        "$defs": {
            f"k{place}": {
                "type": "object",
                "properties": {
                    "kind": {"const": f"k{place}"},
                    "title": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "kids": {"type": "array", "items": {"anyOf": kinds}},
                },
                "required": ["kind"],
            }
            for place in range(number)
        },
    }


def tree(levels: int, kind: int = 0) -> dict[str, Any]:
    kids = [tree(levels - 1, (kind + number) % 8) for number in range(4)] if levels else []
    return {"kind": f"k{kind}", "title": None, "kids": kids}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (containers(8), tree(4)),
        (
            {"properties": {"title": {"pattern": r"^[^\n]{1,500}$"}, "body": {"type": "string"}}},
            {"body": "x" * 100_000},
        ),
        ({"items": {"enum": [str(number) for number in range(3000)]}}, ["2999"] * 5000),
    ],
    ids=["containers", "a pattern beside", "a long enum"],
)
def test_ordinary_values_are_checked(schema: dict[str, Any], value: Any) -> None:
    with cpu_at_most(1):
        assert schema_check(schema).is_valid(value)


def test_the_first_problem_of_a_long_list_is_described() -> None:
    row = {"properties": {"qty": {"type": "integer"}, "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    check = schema_check({"properties": {"rows": {"items": row}}})
    rows: list[dict[str, Any]] = [{"qty": 1, "note": None} for _ in range(2000)]
    rows[3]["qty"] = "3"
    value = {"rows": rows}
    assert not check.is_valid(value)
    errors = check.errors(value)
    assert not errors.are_all
    (error,) = errors.problems
    assert described(error) == 'rows.3.qty: "3" is not of type "integer"'


def test_copies_of_a_target_that_leads_to_itself_are_refused() -> None:
    """The library does not remember results across copies: twelve doublings take a second, twenty take hours."""
    doubling = growing(20)
    doubling["$defs"]["d20"] = {"properties": {"a": {"$ref": "#/$defs/d0"}}}
    with cpu_at_most(1), pytest.raises(SchemaRefused, match="refer to itself in fewer places"):
        schema_check(doubling)


def test_data_in_a_schema_is_no_schema() -> None:
    schema = {"default": {"$ref": "x"}, "examples": [{"$id": "y"}], "properties": {"a": {"const": {"$ref": "z"}}}}
    assert schema_check(schema).is_valid({"a": {"$ref": "z"}})


def test_targets_that_lead_to_each_other_count_once() -> None:
    kids = {name: {"$ref": f"#/$defs/{name}"} for name in "abc"}
    node = {"properties": {"x": {"type": "string"}, "y": {"type": "string"}, **kids}}
    ring = {"$defs": dict.fromkeys("abc", node), "properties": kids}
    cost = schema_cost(ring)
    assert (cost.copies, cost.loops) == (0, 1)
    # `c` leads to itself only by `b`, which was measured before and leads to `a`, which is still being measured.
    defs = {
        name: {"properties": {ref: kids[ref] for ref in refs}} for name, refs in (("a", "bc"), ("b", "a"), ("c", "b"))
    }
    assert schema_cost({"$defs": defs, "properties": {**kids, "again": kids["c"]}}).copies == 0
    # A copy that leads to none of them is counted as one.
    leaf = {"properties": {"x": {"type": "string"}}}
    twice = {"p": {"$ref": "#/$defs/leaf"}, "q": {"$ref": "#/$defs/leaf"}}
    assert schema_cost({"$defs": {**defs, "leaf": leaf}, "properties": {**kids, **twice}}).copies == 4


def test_many_references_are_measured_in_linear_time() -> None:
    names = [f"d{number}" for number in range(1500)]
    references = [{"$ref": f"#/$defs/{name}"} for name in names]
    with cpu_at_most(1):
        schema_cost({"anyOf": references, "$defs": {name: {"properties": {"a": SELF}} for name in names}})
