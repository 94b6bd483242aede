"""Answers of a given form: which one a run wants, and whether what the model said has it."""

from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from musterd.core import jsontext
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import Component, named_schema

FINAL_TOOL = "final_result"
CORRECTIONS = 2
"""How often a model may correct an answer that does not have the form."""


class AnswerInvalid(Exception):
    """The answer does not have the form asked for; the message tells the model what to change."""


def never_of_the_form(problem: AnswerInvalid) -> RunFailed:
    """What ends a run whose model has corrected its answer as often as it may."""
    return RunFailed(f"The answer does not have the form asked for: {problem}", "output_invalid")


@dataclass(frozen=True, slots=True)
class Answer:
    """A run's answer: text, or a value of the form that ``content_type`` names."""

    content: Json
    content_type: str = "str"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """The form that an answer must have: a JSON schema, and the pydantic model where one was declared."""

    name: str
    schema: JsonObject
    model_class: type[BaseModel] | None = None

    def parse(self, text: str) -> Json:
        """The answer's value.

        :raises AnswerInvalid: the text is not JSON of this form.
        """
        try:
            if self.model_class is not None:
                value = self.model_class.model_validate_json(_unfenced(text)).model_dump(mode="json")
                jsontext.dumps(value)  # a float field may be infinite
                return value
            value = jsontext.loads(_unfenced(text))
        except ValidationError as error:
            raise AnswerInvalid(_problems(error)) from error
        except ValueError as error:
            raise AnswerInvalid(f"The answer is not JSON: {error}") from error
        return self.check(value)

    def check(self, value: Json) -> Json:
        """``value`` when it has the form.

        :raises AnswerInvalid: it does not.
        """
        import jsonschema_rs

        try:
            jsonschema_rs.validate(self.schema, value, offline=True)
        except jsonschema_rs.ValidationError as error:
            place = ".".join(str(part) for part in error.instance_path)
            raise AnswerInvalid(f"{place}: {error.message}" if place else error.message) from error
        return value


def wanted_form(component: Component, asked: JsonObject | None) -> AnswerForm | None:
    """The form of a run's answer: what its request asks for, else what the component declares; None: free text."""
    if asked is not None:
        name, schema = named_schema(asked)
        return AnswerForm(name=name, schema=schema)
    declared = component.json_output_schema()
    if declared is None:
        return None
    given = component.spec.output_schema
    return AnswerForm(name=declared[0], schema=declared[1], model_class=given if isinstance(given, type) else None)


def message_form(component: Component) -> AnswerForm | None:
    """The form that a message to a component must have; None: any text."""
    if component.message_schema is None:
        return None
    name, schema = component.message_schema
    given = component.spec.input_schema
    return AnswerForm(name=name, schema=schema, model_class=given if isinstance(given, type) else None)


def _unfenced(text: str) -> str:
    """The JSON in a text that a model fenced as code."""
    stripped = text.strip()
    if stripped.startswith("```"):
        stripped = stripped.split("\n", 1)[-1].removesuffix("```").strip()
    return stripped


def _problems(error: ValidationError) -> str:
    found = [(".".join(str(part) for part in item["loc"]), item["msg"]) for item in error.errors(include_url=False)]
    return "; ".join(f"{place}: {message}" if place else message for place, message in found)
