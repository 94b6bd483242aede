"""Patterns that cannot be checked are left out of schemas of arguments, and nothing else is."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd.core.schema_checks import arguments_check, schema_problem
from musterd.core.schema_costs import SchemaRefused
from musterd.core.schema_patterns import without_unsupported_patterns
from tests.support.cpu_time import cpu_at_most

UNSUPPORTED = "^(?!x)"
"""A pattern with look-ahead."""


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    check = arguments_check(schema)
    assert check is not None
    return check.is_valid(value)


@pytest.mark.parametrize("pattern", [UNSUPPORTED, r"(a)\1", "[", r"\pL{150}"])
def test_the_rest_of_a_schema_is_checked(pattern: str) -> None:
    name = {"type": "string", "pattern": pattern, "maxLength": 5}
    schema = {"properties": {"name": name, "code": {"pattern": "^[a-z]+$"}, "n": {"type": "integer"}}}
    assert is_valid(schema, {"name": "x", "code": "a", "n": 1})
    assert not is_valid(schema, {"name": "longer"})
    assert not is_valid(schema, {"name": 1})
    assert not is_valid(schema, {"code": "1"})
    assert schema_problem(schema, {"n": "1"}, "mail") == 'n: "1" is not of type "integer"'


def test_a_pattern_that_is_left_out_is_logged_once() -> None:
    with capture_logs() as logs:
        for title in ("a", "b"):
            assert is_valid({"title": title, "items": {"pattern": "(?=logged once)"}}, ["x"])
    assert [(line["event"], line["pattern"]) for line in logs] == [
        ("arguments are not checked against a pattern of a tool: it is unsupported", "(?=logged once)")
    ]


def test_a_pattern_behind_a_reference_is_left_out() -> None:
    schema = {"items": {"$ref": "#/$defs/code"}, "$defs": {"code": {"pattern": UNSUPPORTED, "minLength": 2}}}
    assert is_valid(schema, ["xx"])
    assert not is_valid(schema, ["x"])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"not": {"pattern": UNSUPPORTED}}, "x"),
        ({"not": {"$ref": "#/$defs/code"}, "$defs": {"code": {"pattern": UNSUPPORTED}}}, "x"),
        ({"if": {"pattern": UNSUPPORTED}, "then": {"minLength": 2}}, "x"),
        ({"oneOf": [{"pattern": UNSUPPORTED}, {"maxLength": 1}]}, "x"),
        ({"oneOf": [{"pattern": UNSUPPORTED}, {"maxLength": 1}], "anyOf": [{"type": "string"}]}, "x"),
        ({"contains": {"pattern": UNSUPPORTED}, "maxContains": 1}, ["a", "x"]),
        ({"patternProperties": {UNSUPPORTED: {"type": "string"}}, "additionalProperties": False}, {"a": "a"}),
        ({"patternProperties": {UNSUPPORTED: {"type": "string"}}, "unevaluatedProperties": False}, {"a": "a"}),
    ],
)
def test_what_the_whole_schema_accepts_is_accepted(schema: dict[str, Any], value: Any) -> None:
    assert is_valid(schema, value)


def test_keywords_without_such_a_pattern_stay() -> None:
    kept = {
        "oneOf": [{"pattern": "^a$"}, {"type": "integer"}],
        "not": {"const": {"pattern": UNSUPPORTED}},
        "patternProperties": {"^a": {"default": {"pattern": UNSUPPORTED}}},
        "additionalProperties": False,
    }
    remainder = without_unsupported_patterns({**kept, "properties": {"pattern": {"pattern": UNSUPPORTED}}})
    assert remainder.schema == {**kept, "properties": {"pattern": {}}}
    assert remainder.left_out == [UNSUPPORTED]


def test_alternatives_are_checked_as_any_of_them() -> None:
    schema = {"oneOf": [{"type": "string", "pattern": UNSUPPORTED}, {"type": "integer"}]}
    assert is_valid(schema, 1)
    assert not is_valid(schema, [])


def test_other_refused_schemas_are_not_checked() -> None:
    assert arguments_check({"$ref": "https://example.org/other.json", "items": {"pattern": UNSUPPORTED}}) is None
    assert arguments_check({"patternProperties": 1, "pattern": UNSUPPORTED}) is None


def test_very_many_patterns_are_read_in_a_fraction_of_a_second() -> None:
    patterns = {f"a{place}": {"pattern": f"(?=a{place})"} for place in range(9_000)}
    with cpu_at_most(1):
        assert len(without_unsupported_patterns({"$defs": patterns}).left_out) == 9_000


def test_what_is_too_large_without_its_patterns_is_not_read() -> None:
    patterns = {f"a{place}": {"pattern": f"(?=a{place})"} for place in range(100_000)}
    with cpu_at_most(0.5), pytest.raises(SchemaRefused):
        without_unsupported_patterns({"$defs": patterns})
    assert arguments_check({"properties": patterns}) is None


def test_a_deep_schema_is_read_in_linear_time() -> None:
    part: dict[str, Any] = {"properties": {f"p{number}": {"type": "string"} for number in range(6_000)}}
    for _ in range(200):
        part = {"not": part}
    with cpu_at_most(1):
        schema = {"properties": {"text": {"pattern": "^(?!x)"}}, "allOf": [part]}
        assert without_unsupported_patterns(schema).left_out == ["^(?!x)"]
