"""What a decision about a requirement must be, and when it is one."""

from typing import Any

import pytest

from musterd.core.jsontypes import JsonObject
from musterd.core.records import ToolCall
from musterd.core.requirements import Decision, Requirement, RequirementKind, Verdict, problem_of, said_of

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
        schema=SCHEMA if is_input else None,
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
    taken = {one for one in Verdict if problem_of(Decision(key="q", verdict=one, result="x"), asks(kind)) is None}
    assert taken == verdicts


@pytest.mark.parametrize(
    "given, kept",
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
def test_values_that_are_as_they_were_shown_are_no_decision(given: dict[str, Any], kept: JsonObject | None) -> None:
    said = said_of(Decision(key="q", verdict=RUN, **{"is_explicit": False, **given}), asks(RequirementKind.USER_INPUT))
    assert (said and said.values) == kept


def test_a_requirement_is_stored_whole() -> None:
    for kind in RequirementKind:
        found = asks(kind)
        assert Requirement.from_json(found.as_json()) == found
    assert "fields" not in asks(RequirementKind.CONFIRMATION).as_json()
