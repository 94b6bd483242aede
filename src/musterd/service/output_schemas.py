"""Checks the output schema that a request sets, and the request's message against the component's input schema.

Both are checked before the run is accepted.
"""

import json
from dataclasses import replace

from musterd.core.errors import InvalidInput
from musterd.core.records import Input
from musterd.core.schema_checks import schema_check
from musterd.core.schema_costs import SchemaRefused
from musterd.declare import BaseComponent, named_schema
from musterd.loop.structured_answers import AnswerInvalid, message_form

_LOCATION = ("body", "output_schema")


def require_output_schema(run_input: Input) -> None:
    """Check that the request's output schema is a self-contained JSON schema, and cheap to check answers against.

    Nothing is fetched and no file is read.

    :raises InvalidInput: it is not.
    """
    output_schema = run_input.options.get("output_schema")
    if output_schema is None:
        return
    try:
        _, schema = named_schema(output_schema)
        schema_check(schema)
    except SchemaRefused as error:
        kind = "too_long" if error.is_too_large else "json_schema"
        raise InvalidInput.at(_LOCATION, kind, f"Input should {error.expected}", error.part) from error
    except (TypeError, ValueError) as error:
        raise InvalidInput.at(_LOCATION, "json_schema", "Input should be a JSON schema") from error


def with_parsed_message(component: BaseComponent, run_input: Input) -> Input:
    """The request with its message as the model reads it: JSON, if the component declares an input schema.

    If the input schema is a pydantic model class, the JSON has the class's order of fields and its defaults.

    :raises InvalidInput: the message does not match the input schema.
    """
    form = message_form(component)
    if form is None:
        return run_input
    try:
        value = form.parse(run_input.message)
        if form.model_class is None:
            return run_input
        return replace(run_input, message=json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
    except AnswerInvalid as error:
        reason = str(error).removeprefix("The answer is not JSON: ")
        raise InvalidInput.at(
            ("body", "message"), "input_schema", f"Input should be JSON of {form.name}: {reason}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput.at(("body", "message"), "input_schema", f"Input should be JSON of {form.name}") from error
