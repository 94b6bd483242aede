"""Structured answers: the schema that a run's answer must match, and the check whether it does."""

from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from musterd.core import jsontext
from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.problem_lists import MAX_LISTED, MAY_BE_MORE, problem_list, read_problems
from musterd.core.schema_checks import SchemaErrors, TooMuchWork, described, schema_check
from musterd.core.schema_costs import SchemaRefused
from musterd.declare import BaseComponent, Component, named_schema

FINAL_TOOL = "final_result"
CORRECTIONS = 2
"""How often a model may correct an answer that does not match the schema."""

MAX_VALUES = 200_000
"""Most JSON values of an answer of a pydantic model."""


class AnswerInvalid(Exception):
    """The answer does not match the schema; the message tells the model what to change."""


def invalid_output(problem: AnswerInvalid) -> RunFailed:
    """The error of a run whose model has used up its corrections."""
    return RunFailed(f"The answer does not have the requested format: {problem}", "output_invalid")


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """A run's answer: text, or a value that matches the schema named by ``content_type``."""

    content: Json
    content_type: str = "str"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """The schema that an answer must match: a JSON schema, and the pydantic model if one was declared."""

    name: str
    schema: JsonObject
    model_class: type[BaseModel] | None = None

    def parse(self, text: str) -> Json:
        """Parse and validate an answer.

        :raises AnswerInvalid: if the text is not JSON that matches the schema.
        """
        try:
            if self.model_class is not None:
                json_text = _unfenced(text)
                _require_few_values(json_text)
                value = self.model_class.model_validate_json(json_text).model_dump(mode="json")
                jsontext.dumps(value)  # pydantic accepts infinite floats, which JSON cannot express
                return value
            value = jsontext.loads(_unfenced(text))
        except ValidationError as error:
            raise AnswerInvalid(_problems(error)) from error
        except ValueError as error:
            raise AnswerInvalid(f"The answer is not JSON: {error}") from error
        return self.check(value)

    def check(self, value: Json) -> Json:
        """Validate a value, and return it.

        :raises AnswerInvalid: if it does not match the schema.
        """
        try:
            check = schema_check(self.schema)
        except SchemaRefused:
            return self._check_as_declared(value)
        try:
            if check.is_valid(value):
                return value
        except TooMuchWork as error:
            raise AnswerInvalid("It is too large to be checked against the schema. Make it shorter.") from error
        raise AnswerInvalid(_listed(check.errors(value)))

    def _check_as_declared(self, value: Json) -> Json:
        """Validate a value against a schema that only the operator may set, for example with look-around in patterns.

        A request with such a schema was refused.
        """
        import jsonschema_rs

        try:
            jsonschema_rs.validate(self.schema, value, offline=True)
        except jsonschema_rs.ValidationError as error:
            raise AnswerInvalid(described(error)) from error
        return value


def answer_form(component: Component, requested: JsonObject | None) -> AnswerForm | None:
    """The form of a run's answer: that of the request, else that of the component; None for free text."""
    if requested is not None:
        name, schema = named_schema(requested)
        return AnswerForm(name=name, schema=schema)
    named = component.json_output_schema()
    if named is None:
        return None
    name, schema = named
    declared = component.spec.output_schema
    return AnswerForm(name=name, schema=schema, model_class=declared if isinstance(declared, type) else None)


def message_form(component: BaseComponent) -> AnswerForm | None:
    """The form that messages to a component must have; None if any text is accepted."""
    if component.message_schema is None:
        return None
    name, schema = component.message_schema
    declared = component.spec.input_schema
    return AnswerForm(name=name, schema=schema, model_class=declared if isinstance(declared, type) else None)


def _unfenced(text: str) -> str:
    """The text without the Markdown code fence that models like to put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```"):
        stripped = stripped.split("\n", 1)[-1].removesuffix("```").strip()
    return stripped


def _require_few_values(text: str) -> None:
    """Check how many values the JSON has: pydantic looks for the problems of all of them at once.

    :raises AnswerInvalid: there are too many.
    """
    # The cheap upper bound first: it also counts commas inside of strings.
    if jsontext.max_values(text) > MAX_VALUES and jsontext.has_more_values(jsontext.loads(text), MAX_VALUES):
        raise AnswerInvalid(f"It has more than {MAX_VALUES:,} values. Make it shorter.")


def _listed(errors: SchemaErrors) -> str:
    if not errors.problems:
        return "It does not match the schema."
    problems = [described(error) for error in errors.problems[:MAX_LISTED]]
    more = len(errors.problems) - len(problems)
    return problem_list(problems if errors.are_all else [*problems, MAY_BE_MORE], more)


def _problems(error: ValidationError) -> str:
    details = read_problems(error)
    if isinstance(details, str):
        return f"The answer has {details}."
    problems = [(".".join(str(part) for part in item["loc"]), item["msg"]) for item in details]
    return problem_list([f"{place}: {message}" if place else message for place, message in problems])
