"""What a run waits for, in words: who asks, and for what."""

from typing import Any

import pytest

from musterd.core.requirements import RequirementKind
from musterd.wire.questions import question_text
from tests.unit.wire import samples

CONFIRMATION = RequirementKind.CONFIRMATION
FORM = RequirementKind.USER_INPUT


def text(kind: RequirementKind, **changes: Any) -> str:
    call = samples.weather_call(name="check_in")
    return question_text(samples.requirement(kind=kind, tool=call, component_name="Travel", **changes))


def field(name: str, value: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "field_type": "str", "description": None, "value": value, **more}


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (CONFIRMATION, None, "May Travel call check_in?"),
        (RequirementKind.EXTERNAL_EXECUTION, None, "Travel needs the result of check_in"),
        (RequirementKind.UNKNOWN_OUTCOME, None, "Travel: did the call of check_in happen?"),
        (FORM, [field("flight", "SK 1421"), field("seat")], "Travel needs seat for check_in"),
        (FORM, [field("seat"), field("bags"), field("meal")], "Travel needs seat, bags and meal for check_in"),
        (FORM, [field("flight", "SK 1421")], "Travel needs values for check_in"),
        (FORM, [field("Window or aisle?", options=["window", "aisle"])], "Travel asks: Window or aisle?"),
    ],
)
def test_a_call_says_who_asks_and_for_what(
    kind: RequirementKind, fields: list[dict[str, Any]] | None, expected: str
) -> None:
    assert text(kind, fields=fields) == expected


@pytest.mark.parametrize(
    ("kind", "step", "expected"),
    [
        (CONFIRMATION, {}, "May Travel run check_in?"),
        (CONFIRMATION, {"confirmation_message": "Publish this article?"}, "Publish this article?"),
        (CONFIRMATION, {"error_message": "No network"}, "Try check_in again?"),
        (FORM, {"available_choices": ["mail", "letter"]}, "Which step should check_in run?"),
        (FORM, {"available_choices": ["a"], "allow_multiple_selections": True}, "Which steps should check_in run?"),
        (RequirementKind.UNKNOWN_OUTCOME, {}, "Travel: did the call of check_in happen?"),
    ],
)
def test_a_step_of_a_workflow_asks_in_its_own_words(kind: RequirementKind, step: dict[str, Any], expected: str) -> None:
    assert text(kind, step={"step_name": "check_in", **step}) == expected
