"""What a decision about a requirement must be, and when it is one."""

from dataclasses import replace
from typing import Any

import pytest

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import (
    Decision,
    Requirement,
    RequirementKind,
    Verdict,
    decision_problem,
    effective_decision,
)

SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "nights": {"type": "integer"}},
    "required": ["city", "nights"],
}
FIELDS: list[JsonObject] = [{"name": "city", "value": "Rome"}, {"name": "nights", "value": None}]
RUN, HAPPENED, REFUSED = Verdict.RUN, Verdict.HAPPENED, Verdict.REFUSED


def asks(kind: RequirementKind) -> Requirement:
    is_input = kind is RequirementKind.USER_INPUT
    return Requirement(
        id="q",
        kind=kind,
        path="t0/c0",
        tool=ToolCall(id="c", name="book", args={"city": "Rome"}, created_at=1.0),
        run_id="r",
        component_kind="agent",
        component_id="a",
        component_name="A",
        created_at=1.0,
        fields=FIELDS if is_input else None,
        schema=SCHEMA if is_input or kind is RequirementKind.CONFIRMATION else None,
    )


@pytest.mark.parametrize(
    "kind, verdicts",
    [
        (RequirementKind.CONFIRMATION, {RUN, REFUSED}),
        (RequirementKind.EXTERNAL_EXECUTION, {HAPPENED, REFUSED}),
        (RequirementKind.UNKNOWN_OUTCOME, {RUN, HAPPENED, REFUSED}),
        (RequirementKind.USER_INPUT, {REFUSED}),
    ],
)
def test_each_kind_takes_its_verdicts(kind: RequirementKind, verdicts: set[Verdict]) -> None:
    taken = {one for one in Verdict if decision_problem(Decision(key="q", verdict=one, result="x"), asks(kind)) is None}
    assert taken == verdicts


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"values": {"nights": 2}}, {"nights": 2}),
        ({"values": {"city": "Rome", "nights": 2}}, {"nights": 2}),
        (
            {"values": {"city": "Rome", "nights": None}, "tool_values": {"city": "Oslo", "nights": None}},
            {"city": "Oslo"},
        ),
        ({"values": {"city": None}}, {"city": None}),
        ({"values": {"city": "Rome", "nights": None}}, None),
        ({"values": {"city": "Rome"}, "is_explicit": True}, {}),
    ],
)
def test_values_that_are_as_they_were_shown_are_no_decision(
    values: dict[str, Any], expected: JsonObject | None
) -> None:
    said = effective_decision(
        Decision(key="q", verdict=RUN, **{"is_explicit": False, **values}), asks(RequirementKind.USER_INPUT)
    )
    assert (said and said.values) == expected


@pytest.mark.parametrize(
    "sent, expected",
    [
        ({"values": {"city": "Oslo", "nights": 2}}, {"city": "Oslo", "nights": 2}),
        ({"values": {"city": "Rome"}}, {}),
        ({"args": {"city": "Oslo"}}, {"city": "Oslo"}),
        ({"args": {"city": "Oslo"}, "values": {"city": "Bern"}}, {"city": "Bern"}),
        ({"args": {}}, {}),
    ],
)
def test_a_confirmation_keeps_what_differs_from_the_call(sent: dict[str, Any], expected: JsonObject) -> None:
    said = effective_decision(Decision(key="q", verdict=RUN, **sent), asks(RequirementKind.CONFIRMATION))
    assert said is not None
    assert said.as_json().get("values", {}) == expected


@pytest.mark.parametrize("sent", [{"values": {"city": "Oslo"}}, {"args": {"city": "Oslo"}}])
def test_changed_arguments_alone_confirm_nothing(sent: dict[str, Any]) -> None:
    decision = Decision(key="q", verdict=RUN, is_explicit=False, **sent)
    assert effective_decision(decision, asks(RequirementKind.CONFIRMATION)) is None


@pytest.mark.parametrize("returned", [12345678901234567000, 12345678901234567168.0])
def test_a_number_that_a_client_cannot_hold_exactly_is_not_a_change(returned: float) -> None:
    call = ToolCall(id="c", name="book", args={"order": [{"id": 12345678901234567168}]}, created_at=1.0)
    requirement = replace(asks(RequirementKind.CONFIRMATION), tool=call)
    said = effective_decision(Decision(key="q", verdict=RUN, args={"order": [{"id": returned}]}), requirement)
    assert said is not None
    assert said.values == {}
    said = effective_decision(Decision(key="q", verdict=RUN, args={"order": [{"id": 5}]}), requirement)
    assert said is not None
    assert said.values == {"order": [{"id": 5}]}


@pytest.mark.parametrize("changed", [1234567890123456787, 1234567890123456790, 1234567890123456000])
def test_a_large_number_that_equals_another_one_as_a_double_is_changed(changed: int) -> None:
    call = ToolCall(id="c", name="book", args={"order_id": 1234567890123456789}, created_at=1.0)
    requirement = replace(asks(RequirementKind.CONFIRMATION), tool=call)
    said = effective_decision(Decision(key="q", verdict=RUN, args={"order_id": changed}), requirement)
    assert said is not None
    assert said.values == {"order_id": changed}


@pytest.mark.parametrize(
    "values, words",
    [
        ({"nights": "two"}, 'nights: "two" is not of type "integer"'),
        ({"city": None}, 'city: null is not of type "string"'),
        ({"stars": 5}, "book has no field stars; it has city, nights"),
        ({"nights": 2}, None),
        ({}, None),
    ],
)
def test_changed_arguments_must_be_of_the_tools_types(values: JsonObject, words: str | None) -> None:
    decision = Decision(key="q", verdict=RUN, values=values)
    assert decision_problem(decision, asks(RequirementKind.CONFIRMATION)) == words


def test_arguments_that_the_tool_took_already_are_not_checked_again() -> None:
    """The model sent a number as text, and the tool takes that; the person changes another argument."""
    call = ToolCall(id="c", name="book", args={"city": "Rome", "nights": "2"}, created_at=1.0)
    requirement = replace(asks(RequirementKind.CONFIRMATION), tool=call)
    assert decision_problem(Decision(key="q", verdict=RUN, values={"city": "Oslo"}), requirement) is None


@pytest.mark.parametrize(
    "kind, verdict", [(RequirementKind.UNKNOWN_OUTCOME, RUN), (RequirementKind.EXTERNAL_EXECUTION, HAPPENED)]
)
def test_a_call_that_was_begun_takes_no_values(kind: RequirementKind, verdict: Verdict) -> None:
    decision = Decision(key="q", verdict=verdict, values={"city": "Oslo"})
    assert (
        decision_problem(decision, asks(kind))
        == "The arguments of book can no longer be changed; send the decision without values"
    )


def test_a_requirement_is_stored_whole() -> None:
    for kind in RequirementKind:
        requirement = asks(kind)
        assert Requirement.from_json(requirement.as_json()) == requirement
    assert "fields" not in asks(RequirementKind.CONFIRMATION).as_json()


def test_changed_arguments_that_take_long_to_check_are_left_to_the_tool() -> None:
    steps = {f"d{place}": {"allOf": [{"$ref": f"#/$defs/d{place + 1}"}] * 2} for place in range(40)}
    growing = {"properties": {"city": {"$ref": "#/$defs/d0"}}, "$defs": {**steps, "d40": {}}}
    requirement = replace(asks(RequirementKind.CONFIRMATION), schema=growing)
    assert decision_problem(Decision(key="q", verdict=RUN, values={"city": "Oslo"}), requirement) is None
