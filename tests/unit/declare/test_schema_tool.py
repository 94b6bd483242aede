"""Tools with a JSON schema of their arguments: which calls they take, and what a person may add to one."""

from typing import Any

import pytest

from musterd import Tool
from musterd.declare import ToolArgumentsInvalid
from musterd.declare.schema_tool import schema_tool
from musterd.declare.source_location import current_place

MAIL = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "text": {"type": "string"},
        "options": {"type": "object", "required": ["priority"]},
    },
    "required": ["to", "text"],
    "additionalProperties": False,
}


async def send(arguments: dict[str, Any], _context: Any) -> str:
    return str(arguments)


def mail(schema: dict[str, Any] = MAIL, **options: Any) -> Tool:
    return schema_tool("mail", "Sends mail.", schema, send, current_place(), **options)


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ({"text": "Hello"}, "to: missing"),
        ({"to": "Ann", "text": 1}, 'text: 1 is not of type "string"'),
        ({"to": "Ann", "text": "Hello", "subject": "Hi"}, "subject: unknown argument"),
        ({"to": "Ann", "text": "Hello", "options": {}}, "options.priority: missing"),
    ],
)
def test_a_problem_names_its_argument(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ToolArgumentsInvalid, match=f"Wrong arguments for mail. {problem}. It takes"):
        mail().validate(arguments)


@pytest.mark.parametrize("fields", [("to",), ()], ids=["one field", "all fields"])
def test_a_person_may_give_a_required_argument(fields: tuple[str, ...]) -> None:
    mail(requires_user_input=True, user_input_fields=fields).validate_proposed({"text": "Hello"})


def test_a_rule_about_several_arguments_waits_for_the_person() -> None:
    either = {**MAIL, "anyOf": [{"required": ["to"]}, {"required": ["options"]}]}
    tool = mail(either, requires_user_input=True, user_input_fields=("to", "options"))
    tool.validate_proposed({"text": "Hello"})
    with pytest.raises(ToolArgumentsInvalid, match="to: missing"):
        tool.validate({"text": "Hello"})


def test_a_schema_without_properties_can_be_completed() -> None:
    mail({"type": "object"}, requires_user_input=True).validate_proposed({"anything": 1})


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ({}, "text: missing"),
        ({"text": 1}, 'text: 1 is not of type "string"'),
        ({"text": "Hello", "to": "Ann"}, "to: unknown argument"),
        ({"text": "Hello", "subject": "Hi"}, "subject: unknown argument"),
    ],
)
def test_the_models_own_arguments_are_checked_before_a_person_is_asked(arguments: dict[str, Any], problem: str) -> None:
    tool = mail(requires_user_input=True, user_input_fields=("to",))
    with pytest.raises(ToolArgumentsInvalid, match=f"{problem}. It takes 'text'"):
        tool.validate_proposed(arguments)
