"""Checks of answers: what is wrong is said in few words and little time."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.profiles.google import google_model_profile

from musterd import Agent
from musterd.loop.structured_answers import MAX_VALUES, AnswerForm, AnswerInvalid
from tests.support.cpu_time import cpu_at_most
from tests.support.loop import Call, LoopHarness, TurnModel


class People(BaseModel):
    names: list[str]


MODEL = AnswerForm(name="People", schema=People.model_json_schema(), model_class=People)


def problem(form: AnswerForm, value: Any) -> str:
    text = json.dumps(value)
    with cpu_at_most(1), pytest.raises(AnswerInvalid) as refusal:
        form.parse(text)
    return str(refusal.value)


def test_the_first_problems_of_a_models_answer_are_told() -> None:
    text = problem(MODEL, {"names": [1] * 30})
    assert text.startswith("names.0: Input should be a valid string; names.1: ")
    assert text.endswith("names.19: Input should be a valid string; and 10 more problems")
    assert problem(MODEL, {"names": [1] * 100_000}) == "The answer has 100000 problems, too many to list."


def test_the_first_problems_of_an_answer_with_a_json_schema_are_told() -> None:
    form = AnswerForm(name="answer", schema={"items": {"type": "string"}})
    assert problem(form, [1]) == '0: 1 is not of type "string"'
    text = problem(form, [1] * 30)
    assert text.startswith('0: 1 is not of type "string"; 1: 1 is not')
    assert text.endswith('19: 1 is not of type "string"; and 10 more problems')


def test_an_answer_has_so_many_values() -> None:
    assert problem(MODEL, {"names": [1] * MAX_VALUES}) == "It has more than 200,000 values. Make it shorter."
    assert MODEL.parse(json.dumps({"names": ["," * MAX_VALUES]}))


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "object"}, [1] * 100_000, '] is not of type "object"'),
        ({"items": {"type": "string"}}, [1] * 100_000, '0: 1 is not of type "string"; there may be more problems'),
        ({"items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, [1] * 100_000, "0: 1 is not valid under any"),
        ({"anyOf": [{"items": {"type": "string"}}, {"maxItems": 1}]}, [1] * 100_000, "does not match the schema."),
        ({"items": {"allOf": [{"minLength": 1}] * 4000}}, ["a"] * 20_000, "too large to be checked"),
    ],
)
def test_a_large_answer_gets_few_words(schema: dict[str, Any], value: Any, words: str) -> None:
    text = problem(AnswerForm(name="answer", schema=schema), value)
    assert words in text
    assert len(text) < 1100


def test_a_declared_schema_may_look_around() -> None:
    form = AnswerForm(name="answer", schema={"properties": {"a": {"pattern": "^(?!x)"}}})
    assert form.parse('{"a": "y"}') == {"a": "y"}
    assert problem(form, {"a": "x"}).startswith("a: ")


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize(
    ("name", "tools", "is_called"),
    [("gemini-2.5-flash", [add], True), ("gemini-2.5-flash", [], False), ("gemini-3-pro-preview", [add], False)],
)
async def test_older_gemini_models_answer_with_a_call_beside_tools(
    name: str, tools: list[Any], is_called: bool
) -> None:
    answer = {"names": ["Ada"]}
    model = TurnModel(Call("final_result", answer) if is_called else json.dumps(answer))
    model._profile = google_model_profile(name)
    output = await LoopHarness(Agent(id="solo", model=model, tools=tools, output_schema=People)).drive()
    assert output.content == answer
    assert [tool.name for tool in model.offered[0].output_tools] == (["final_result"] if is_called else [])
