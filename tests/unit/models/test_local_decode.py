"""Questions for a small model, and the reading of its answers."""

from typing import Any

import pytest

from musterd.models.clauses import Member
from musterd.models.local import decode

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Current weather in a city.\n\nMore words.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city."}},
        "required": ["city"],
    },
}


def test_members_and_tools_are_choices() -> None:
    assert (
        decode.member_option(Member(id="w", name="Weather", role="Knows the weather")) == "Weather: Knows the weather"
    )
    assert decode.tool_option(WEATHER) == "get weather: Current weather in a city."


def test_whose_work_it_is_is_asked_by_letter() -> None:
    body = decode.routing_prompt("rain?", ["Weather: knows it", "Writer: writes"])
    assert body["max_tokens"] == 1
    assert body["messages"][1]["content"] == (
        'Who in the team should do this: "rain?"?\nA. Weather: knows it\nB. Writer: writes\n'
        "C. Nobody: small talk and anything else\nAnswer with the letter."
    )


def test_letters_that_are_not_told_are_unlikely() -> None:
    tops = [{"token": "B", "logprob": -0.5}, {"token": "x", "logprob": -1.0}]
    chunk = {"choices": [{"logprobs": {"content": [{"top_logprobs": tops}]}}]}
    assert decode.letter_scores(chunk, 2) == [-25.0, -0.5]
    assert decode.letter_scores({"choices": [{"delta": {}}]}, 2) is None


@pytest.mark.parametrize(
    ("scores", "picked"),
    [
        ([-1.0, -1.0, -3.0], 0),  # B is likelier by itself, so A gained more
        ([-2.0, -0.4, -3.0], 1),
        ([-2.0, -1.0, -2.8], None),  # nobody gained as much
    ],
)
def test_a_letter_is_judged_by_what_it_gains(scores: list[float], picked: int | None) -> None:
    assert decode.best_option(scores, [[-2.0, -1.0, -3.0], [-2.0, -1.0, -3.0]]) == picked


def test_arguments_are_held_to_the_schema() -> None:
    body = decode.arguments_prompt(WEATHER, "rain in Oslo?")
    assert body["messages"][1]["content"] == (
        "get_weather(city: string): Current weather in a city.\n- city: Name of the city.\nRequest: rain in Oslo?"
    )
    schema = body["response_format"]["json_schema"]["schema"]
    assert (schema["type"], schema["minItems"]) == ("array", 1)
    assert schema["items"]["properties"]["city"]["maxLength"] == decode.ARGUMENT_CHARS
    assert "maxLength" not in WEATHER["parameters"]["properties"]["city"]


def test_only_endless_texts_are_bounded() -> None:
    schema: dict[str, Any] = {
        "anyOf": [{"type": "string"}, {"type": "string", "enum": ["a"]}, {"type": "integer"}],
        "x": [1],
    }
    first, *rest = decode.with_max_lengths(schema)["anyOf"]
    assert first == {"type": "string", "maxLength": decode.ARGUMENT_CHARS}
    assert rest == schema["anyOf"][1:]


def test_one_of_several_tools_or_the_answer() -> None:
    nested = {"name": "send", "parameters": {"$defs": {"T": {"type": "integer"}}, "properties": {"t": {"$ref": "x"}}}}
    body = decode.tool_prompt([WEATHER, nested], "You help.", "do it", ["one"])
    schema = body["response_format"]["json_schema"]["schema"]
    assert [list(choice["properties"]) for choice in schema["anyOf"]] == [
        ["tool", "args"],
        ["tool", "args"],
        ["answer"],
    ]
    assert schema["$defs"] == {"T": {"type": "integer"}}
    assert body["messages"][1]["content"] == "Request: do it\nResult: one"


def test_a_conversation_keeps_what_was_said() -> None:
    said: list[dict[str, Any]] = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "tool", "content": "r"},
    ]
    body = decode.chat_prompt(said, "You help.", {"type": "object"})
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(("text", "value"), [('{"a": 1}', {"a": 1}), ('{"a": ', None), ("[1]", None)])
def test_cut_off_json_is_none(text: str, value: object) -> None:
    assert decode.read_json(text) == value
