"""Checks the output schema that a request sets, and the request's message against the component's input schema.

Both are checked before the run is accepted.
"""

import json
from dataclasses import replace
from urllib.parse import unquote

from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Input
from musterd.declare import BaseComponent, named_schema
from musterd.loop.structured_answers import AnswerInvalid, message_form

LARGEST_SCHEMA = 20_000
_LOCATION = ("body", "output_schema")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def require_output_schema(run_input: Input) -> None:
    """Check that the request's output schema is a self-contained JSON schema. Nothing is fetched and no file is read.

    :raises InvalidInput: it is not.
    """
    output_schema = run_input.options.get("output_schema")
    if output_schema is None:
        return
    import jsonschema_rs

    try:
        _, schema = named_schema(output_schema)
        _require_small(schema)
        linear_time = jsonschema_rs.RegexOptions()  # backtracking patterns may take hours for a crafted text
        jsonschema_rs.validator_for(schema, offline=True, pattern_options=linear_time)
    except jsonschema_rs.ValidationError as error:
        raise InvalidInput.at(_LOCATION, "json_schema", f"Input should be a JSON schema: {error.message}") from error
    except (TypeError, ValueError, RecursionError) as error:
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


def _require_small(schema: JsonObject) -> None:
    """Check how many parts the schema has after each reference is replaced by its target.

    A kilobyte of nested references can unfold to gigabytes when an answer is validated.

    :raises InvalidInput: there are too many parts, or a reference cannot be resolved, so that its size is unknown.
    """
    root_schema = {name: value for name, value in schema.items() if name != "$id"}
    counts: dict[str, int] = {}
    visited = 0

    def count(part: Json) -> int:
        nonlocal visited
        visited += 1  # stop as soon as the visited parts alone are too many
        _require_few(visited)
        if isinstance(part, list):
            return 1 + sum(map(count, part))
        if not isinstance(part, dict):
            return 1
        if isinstance(part.get("$id"), str):  # references below it are relative to this part
            raise _unresolvable(f"$id {part['$id']}")
        references = [part[name] for name in _REFERENCES if isinstance(part.get(name), str)]
        return 1 + sum(map(count, part.values())) + sum(map(count_reference, references))

    def count_reference(reference: str) -> int:
        if reference not in counts:
            counts[reference] = 0  # counts a recursive reference once
            counts[reference] = count(_resolve(root_schema, reference))
        return counts[reference]

    # Definitions count only if they are referenced: the others are never used to validate an answer.
    _require_few(count({name: value for name, value in root_schema.items() if name not in ("$defs", "definitions")}))


def _require_few(parts: int) -> None:
    if parts > LARGEST_SCHEMA:
        message = f"Input should have at most {LARGEST_SCHEMA} parts after its references are resolved"
        raise InvalidInput.at(_LOCATION, "too_long", message)


def _resolve(schema: JsonObject, reference: str) -> Json:
    """The part of the schema that a reference points to.

    :raises InvalidInput: there is no such part.
    """
    part: Json = schema
    root, *names = unquote(reference).split("/")
    if root != "#":
        raise _unresolvable(reference)
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and key in part:
            part = part[key]
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            raise _unresolvable(reference)
    return part


def _unresolvable(reference: str) -> InvalidInput:
    message = "Input should be a JSON schema with internal references only, such as #/$defs/name"
    return InvalidInput.at(_LOCATION, "json_schema", message, reference[:200])
