"""Ready tools by which a model asks the user: for values, as in a form, or to choose between options.

The model says what it wants to know, the run waits for a person as for any call that needs input, and what that
person answers is the tool's result.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from musterd.declare.tools import asking_tool


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
    told = [{"name": one.field_name, "value": answers.get(one.field_name)} for one in user_input_fields]
    return f"User inputs retrieved: {json.dumps(told, ensure_ascii=False)}"


async def _ask_user(questions: Annotated[list[Question], Field(min_length=1)], answers: dict[str, list[str]]) -> str:
    """Have the user choose between options. Ask all that you want to know at once."""
    told = [{"question": one.question, "selected": answers.get(one.question, [])} for one in questions]
    return f"User feedback received: {json.dumps(told, ensure_ascii=False)}"


get_user_input = asking_tool(_get_user_input, "get_user_input", "fields")
"""Lets the model ask the user for values; list it in ``tools=``."""
ask_user = asking_tool(_ask_user, "ask_user", "questions")
"""Lets the model have the user choose between options; list it in ``tools=``."""
