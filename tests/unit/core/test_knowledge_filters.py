"""Filters on the metadata of contents: one table of meanings, and what is wrong with a filter in words."""

from typing import Any

import pytest

from musterd.core.jsontypes import Json
from musterd.core.knowledge_filters import MAX_CONDITIONS, MAX_DEPTH, FilterInvalid, both, matches, parse_filters
from musterd.filters import AND, CONTAINS, EQ, GT, GTE, IN, LT, LTE, NEQ, NOT, OR, STARTSWITH
from tests.support.cpu_time import cpu_at_most

CONTENT: dict[str, Json] = {
    "country": "no",
    "year": 2024,
    "price": 9.5,
    "public": True,
    "tags": ["Rain", "sea"],
    "empty": None,
    "day": "2026-05-01",
    "tenant": 1234567890123456789,
    "account": "1234567890123456789",
}

MEANINGS: list[tuple[Json, bool]] = [
    ({}, True),
    ([], True),
    (None, True),
    ({"country": "no"}, True),
    ({"country": "se"}, False),
    ({"country": "NO"}, False),
    ({"country": "no", "year": 2024}, True),
    ({"country": "no", "year": 2023}, False),
    ({"country": ["se", "no"]}, True),
    ({"country": []}, False),
    ([{"country": "no"}, {"op": "GT", "key": "year", "value": 2023}], True),
    ([{"country": "no"}, {"op": "GT", "key": "year", "value": 2024}], False),
    # texts that spell a number or a truth value
    ({"year": "2024"}, True),
    ({"year": 2024.0}, True),
    ({"year": "next"}, False),
    ({"year": "2024.0"}, True),
    ({"tenant": "1234567890123456789"}, True),
    ({"tenant": "1234567890123456768"}, False),
    ({"tenant": ["1234567890123456768"]}, False),
    ({"tenant": ["1234567890123456789"]}, True),
    ({"account": 1234567890123456789}, True),
    ({"account": 1234567890123456768}, False),
    ({"public": "true"}, True),
    ({"public": 1}, False),
    ({"public": "1"}, False),
    # a missing key is null
    ({"empty": None}, True),
    ({"missing": None}, True),
    ({"missing": "no"}, False),
    (NEQ("missing", "no").to_dict(), True),
    (NEQ("country", "no").to_dict(), False),
    (NOT(EQ("country", "no")).to_dict(), False),
    (NOT(GT("missing", 1)).to_dict(), True),
    # lists in the metadata
    ({"tags": "sea"}, True),
    ({"tags": ["sun", "sea"]}, True),
    (NEQ("tags", "sea").to_dict(), False),
    (CONTAINS("tags", "rai").to_dict(), True),
    # order
    (GT("year", 2024).to_dict(), False),
    (GTE("year", 2024).to_dict(), True),
    (LT("price", 10).to_dict(), True),
    (LTE("price", "9.5").to_dict(), True),
    (GT("day", "2026-04-30").to_dict(), True),
    (GT("country", 1).to_dict(), False),
    (GT("tenant", "1234567890123456788").to_dict(), True),
    (GT("tenant", "1234567890123456789").to_dict(), False),
    (LT("public", 2).to_dict(), False),
    # texts
    (STARTSWITH("day", "2026-").to_dict(), True),
    (STARTSWITH("country", "N").to_dict(), True),
    (CONTAINS("year", "20").to_dict(), False),
    (IN("country", ["se", "no"]).to_dict(), True),
    ({"op": "IN", "key": "country", "value": ["se"]}, False),
    # combinations
    (AND(EQ("country", "no"), GT("year", 2000)).to_dict(), True),
    (OR(EQ("country", "se"), GT("year", 2000)).to_dict(), True),
    ((EQ("country", "se") | EQ("country", "no")).to_dict(), True),
    ((EQ("country", "no") & ~EQ("public", True)).to_dict(), False),
    ({"op": "NOT", "conditions": [{"op": "EQ", "key": "country", "value": "se"}]}, True),
]


@pytest.mark.parametrize(("filters", "holds"), MEANINGS, ids=str)
def test_the_meaning_of_a_filter(filters: Json, holds: bool) -> None:
    assert matches(parse_filters(filters), CONTENT) is holds


SCALARS: list[Json] = [None, True, False, 0, 1, 1.0, 2.5, "1", "1.0", "2.5", "true", "FALSE", "no", "", "nan", "1" * 50]
SCALARS += [1234567890123456789, "1234567890123456789", "1234567890123456768"]


def test_in_means_the_same_as_eq_for_each_value() -> None:
    for stored in [*SCALARS, {"a": 1}, ["no", 1], [True], [], [[1]]]:
        for value in SCALARS:
            is_equal = matches(EQ("key", value), {"key": stored})
            assert matches(IN("key", [value]), {"key": stored}) is is_equal, (stored, value)
        assert matches(IN("key", SCALARS), {"key": stored}) is any(
            matches(EQ("key", value), {"key": stored}) for value in SCALARS
        )


def test_many_values_are_compared_with_a_long_list_in_little_time() -> None:
    values: list[Json] = [*range(MAX_CONDITIONS // 2), *(f"word{number}" for number in range(MAX_CONDITIONS // 2))]
    filters, stored = IN("key", values), {"key": [f"other{number}" for number in range(10_000)]}
    with cpu_at_most(1):  # it was 10 seconds
        assert not matches(filters, stored)


@pytest.mark.parametrize("filters", [[{"a": 1}] * 500_000, {"a": {"b": ["c" * 100] * 500_000}}], ids=["many", "large"])
def test_a_large_filter_is_refused_before_all_of_it_is_read(filters: Json) -> None:
    with cpu_at_most(0.1), pytest.raises(FilterInvalid):
        parse_filters(filters)


@pytest.mark.parametrize(
    "filters",
    [EQ("a", 1), IN("a", [1, 2]), AND(EQ("a", 1), NOT(LT("b", 2))), OR(CONTAINS("a", "x"), STARTSWITH("b", "y"))],
    ids=str,
)
def test_an_expression_is_the_same_after_it_was_sent(filters: Any) -> None:
    assert parse_filters(filters.to_dict()) == filters


def test_two_filters_can_only_narrow() -> None:
    declared, requested = parse_filters({"country": "no"}), parse_filters({"country": "se"})
    assert not matches(both(declared, requested), {"country": "no"})
    assert not matches(both(declared, requested), {"country": "se"})
    assert both(None, requested) == requested
    assert both(declared, None) == declared


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (5, "A filter is an object"),
        ("country", "A filter is an object"),
        ([5], "A filter is an object"),
        ({"op": "LIKE", "key": "a", "value": 1}, '"LIKE" is not an operator'),
        ({"op": ["EQ"]}, "is not an operator"),
        ({"op": "EQ", "key": "a"}, 'EQ needs "key" and "value"'),
        ({"op": "EQ", "key": 5, "value": 1}, "the key is a text"),
        ({"op": "EQ", "key": "a", "value": [1]}, "use IN for a list"),
        ({"a": {"b": 1}}, "does not take"),
        ({"a": [{"b": 1}]}, "IN needs a list"),
        ({"op": "IN", "key": "a", "values": "no"}, "IN needs a list"),
        ({"op": "GT", "key": "a", "value": True}, "GT needs a number or a text"),
        ({"op": "GT", "key": "a", "value": None}, "GT needs a number or a text"),
        ({"op": "CONTAINS", "key": "a", "value": 5}, "CONTAINS needs a text"),
        (
            {"op": "EQ", "key": "a", "value": 1, "negate": True},
            'EQ has an unknown key "negate"; it may have key, value',
        ),
        ({"op": "IN", "key": "a", "values": [1], "valeus": [2]}, 'unknown key "valeus"; did you mean "values"'),
        ({"op": "EQ", "key": "a", "value": 1, "values": 2}, 'EQ has both "value" and "values"'),
        ({"op": "AND", "conditions": [EQ("a", 1).to_dict()], "conditons": []}, 'did you mean "conditions"'),
        ({"op": "NOT", "condition": EQ("a", 1).to_dict(), "conditions": []}, 'NOT has both "condition" and "cond'),
        ([None], "these, not null"),
        ({"op": "GT", "key": "a", "value": {"b": [None, True, "x"]}}, r'not \{"b": \[null, true, "x"\]\}'),
        ({"op": "AND"}, 'AND needs "conditions"'),
        ({"op": "AND", "conditions": []}, 'AND needs "conditions"'),
        ({"op": "NOT"}, 'NOT needs "condition"'),
        ({"op": "AND", "conditions": [{"a": 1}]}, 'an expression with an "op"'),
        ({f"k{number}": 1 for number in range(MAX_CONDITIONS + 1)}, "at most 1000 conditions"),
        ({"a": list(range(MAX_CONDITIONS + 1))}, "at most 1000 conditions"),
        ({f"k{number}": [1, 2, 3] for number in range(400)}, "Each value of an IN counts as one"),
        ([{} for _ in range(MAX_CONDITIONS + 1)], "at most 1000 conditions"),
        ({"a": {"b": ["c" * 100] * 100}}, r'EQ does not take \{"b": \["c{51}…; use'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_filter_without_a_meaning_is_refused_in_words(filters: Json, words: str) -> None:
    with pytest.raises(FilterInvalid, match=words):
        parse_filters(filters)


def test_expressions_are_nested_a_limited_number_of_times() -> None:
    filters: dict[str, Json] = {"op": "EQ", "key": "a", "value": 1}
    for _ in range(MAX_DEPTH - 1):
        filters = {"op": "NOT", "condition": filters}
    assert parse_filters(filters) is not None
    with pytest.raises(FilterInvalid, match="at most 10 levels"):
        parse_filters({"op": "NOT", "condition": filters})
