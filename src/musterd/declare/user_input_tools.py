"""Built-in tools with which a model asks the user for values (a form) or for a choice between options.

The run waits for a person as for any call that requires user input, and the answers are the result of the tool.
The docstrings of the functions and models below are part of the tools' schemas, so the model reads them.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from musterd.declare.tools import question_tool


class InputField(BaseModel):
    """One value that the user is asked for."""

    field_name: Annotated[str, Field(min_length=1, description="The name of the value.")]
    field_type: Literal["str", "int", "float", "bool", "list", "dict"] = "str"
    field_description: Annotated[str | None, Field(description="What the user is to fill in.")] = None


class Option(BaseModel):
    """One thing that the user may choose."""

    label: Annotated[str, Field(min_length=1, description="Short text of the option, 1 to 5 words.")]
    description: Annotated[str | None, Field(description="What it means.")] = None


class Question(BaseModel):
    """A question with the options that the user has."""

    question: Annotated[str, Field(min_length=1, description="The question, with its question mark.")]
    header: Annotated[str | None, Field(description="A short label for it, 12 characters at most.")] = None
    options: Annotated[list[Option], Field(min_length=2, description="2 to 4 options.")]
    multi_select: Annotated[bool, Field(description="Whether the user may choose several.")] = False


async def _get_user_input(
    user_input_fields: Annotated[list[InputField], Field(min_length=1)], answers: dict[str, Any]
) -> str:
    """Ask the user for values that you need and do not have, as in a form. Name all that you need at once."""
    values = [{"name": field.field_name, "value": answers.get(field.field_name)} for field in user_input_fields]
    return f"User inputs retrieved: {json.dumps(values, ensure_ascii=False)}"


async def _ask_user(questions: Annotated[list[Question], Field(min_length=1)], answers: dict[str, list[str]]) -> str:
    """Have the user choose between options. Ask all that you want to know at once."""
    selections = [
        {"question": question.question, "selected": answers.get(question.question, [])} for question in questions
    ]
    return f"User feedback received: {json.dumps(selections, ensure_ascii=False)}"


get_user_input = question_tool(_get_user_input, "get_user_input", "fields")
"""Lets the model ask the user for values. List it in ``tools=``."""
ask_user = question_tool(_ask_user, "ask_user", "questions")
"""Lets the model ask the user to choose between options. List it in ``tools=``."""
