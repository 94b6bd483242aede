"""Tools with a JSON schema of their arguments: which calls they take, and what a person may add to one."""

from typing import Any

import pytest

from musterd import Tool, tool
from musterd.declare import ToolArgumentsInvalid
from musterd.declare.schema_tool import schema_tool
from musterd.declare.source_location import current_place
from tests.support.cpu_time import cpu_at_most

MAIL: dict[str, Any] = {
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


def test_the_first_of_many_problems_are_told() -> None:
    schema = {"type": "object", "properties": {"to": {"type": "array", "items": {"type": "string"}}}}
    with pytest.raises(ToolArgumentsInvalid, match=r"to.19: 1 is not of type \"string\"; and 80 more problems. It "):
        mail(schema).validate({"to": [1] * 100})
    with pytest.raises(ToolArgumentsInvalid, match="and 80 more problems"):
        mail().validate({"to": "Ann", "text": "Hello", **{f"field{place}": 1 for place in range(100)}})


def test_it_is_said_that_not_all_problems_were_looked_for() -> None:
    schema = {"type": "object", "properties": {"to": {"type": "array", "items": {"type": "string"}}}}
    with pytest.raises(
        ToolArgumentsInvalid, match=r'to.0: 1 is not of type "string"; there may be more problems. It takes'
    ):
        mail(schema).validate({"to": [1] * 10_000})


def test_many_problems_make_a_short_text() -> None:
    limits = {"type": "object", "properties": {"to": {"allOf": [{"maxItems": 1}] * 100}}}
    with cpu_at_most(1):
        with pytest.raises(ToolArgumentsInvalid, match="has more than 1 item") as refusal:
            mail(limits).validate({"to": [1] * 20_000})
        assert len(str(refusal.value)) < 2000

    def names(people: list[str]) -> str:
        """Name people."""
        return ", ".join(people)

    for number, words in ((3000, "people.19: .*; and 2980 more problems"), (60_000, "60000 problems, too many")):
        with pytest.raises(ToolArgumentsInvalid, match=words) as refusal:
            tool(names).validate({"people": [1] * number})
        assert len(str(refusal.value)) < 3000
    with pytest.raises(ToolArgumentsInvalid, match="60000 problems, too many"):
        tool(requires_user_input=True)(names).validate_proposed({"people": [1] * 60_000})


def test_the_model_sees_a_pattern_that_is_not_checked() -> None:
    schema = {**MAIL, "properties": {**MAIL["properties"], "to": {"type": "string", "pattern": "^(?!x)"}}}
    assert mail(schema).parameters["properties"]["to"]["pattern"] == "^(?!x)"
    assert mail(schema).validate({"to": "x", "text": "Hello"}) == {"to": "x", "text": "Hello"}
    with pytest.raises(ToolArgumentsInvalid, match="text: missing"):
        mail(schema).validate({"to": "x"})


@pytest.mark.parametrize(
    "part",
    [
        {"pattern": r"(?=(a+))\1b"},
        {"pattern": r"\pL{150}"},
        {"$ref": "https://example.org/other.json"},
        {"$ref": "#/$defs/d0"},
    ],
    ids=["back-reference", "large pattern", "another schema", "growing references"],
)
def test_what_takes_long_to_check_is_left_to_the_tool(part: dict[str, Any]) -> None:
    steps = {f"d{place}": {"allOf": [{"$ref": f"#/$defs/d{place + 1}"}] * 2} for place in range(40)}
    schema = {"type": "object", "properties": {"text": part}, "$defs": {**steps, "d40": {}}}
    with cpu_at_most(1):
        assert mail(schema).validate({"text": "a" * 100_000}) == {"text": "a" * 100_000}
