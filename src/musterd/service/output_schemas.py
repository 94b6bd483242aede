"""The form that a request asks its answer to have, and the one that its message must have: checked before the run is
accepted."""

import json
from dataclasses import replace
from urllib.parse import unquote

from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Input
from musterd.declare import Component, named_schema
from musterd.loop.structured_answers import AnswerInvalid, message_form

LARGEST_SCHEMA = 20_000
_WHERE = ("body", "output_schema")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def require_output_schema(asked: Input) -> None:
    """Check that what is asked for is a JSON schema that stands by itself: nothing is fetched, no file is read.

    :raises InvalidInput: it is none.
    """
    declared = asked.options.get("output_schema")
    if declared is None:
        return
    import jsonschema_rs

    try:
        _, schema = named_schema(declared)
        _require_small(schema)
        linear = jsonschema_rs.RegexOptions()  # others may take hours for a text that is made for them
        jsonschema_rs.validator_for(schema, offline=True, pattern_options=linear)
    except jsonschema_rs.ValidationError as error:
        raise InvalidInput.at(_WHERE, "json_schema", f"Input should be a JSON schema: {error.message}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput.at(_WHERE, "json_schema", "Input should be a JSON schema") from error


def with_formed_message(component: Component, asked: Input) -> Input:
    """The request with its message as the model reads it: where the component declares a form, JSON of that form.

    A pydantic model class brings the message into its own order, with its defaults.

    :raises InvalidInput: the message does not have the form.
    """
    form = message_form(component)
    if form is None:
        return asked
    try:
        value = form.parse(asked.message)
        if form.model_class is None:
            return asked
        return replace(asked, message=json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
    except AnswerInvalid as problem:
        said = str(problem).removeprefix("The answer is not JSON: ")
        raise InvalidInput.at(
            ("body", "message"), "input_schema", f"Input should be JSON of {form.name}: {said}"
        ) from problem
    except (ValueError, RecursionError) as error:
        raise InvalidInput.at(("body", "message"), "input_schema", f"Input should be JSON of {form.name}") from error


def _require_small(schema: JsonObject) -> None:
    """Check how many parts the schema has once each reference stands for what it refers to.

    A kilobyte of references to references can unfold to gigabytes when an answer is held against it.

    :raises InvalidInput: too many, or a reference leads to no place in the schema: nobody knows how much it stands for.
    """
    whole = {name: value for name, value in schema.items() if name != "$id"}
    known: dict[str, int] = {}
    looked_at = 0

    def count(part: Json) -> int:
        nonlocal looked_at
        looked_at += 1  # each part that is looked at is one of them: the look ends where they are too many
        _require_few(looked_at)
        if isinstance(part, list):
            return 1 + sum(map(count, part))
        if not isinstance(part, dict):
            return 1
        if isinstance(part.get("$id"), str):  # its references lead to places in itself
            raise _no_place(f"$id {part['$id']}")
        references = [part[name] for name in _REFERENCES if isinstance(part.get(name), str)]
        return 1 + sum(map(count, part.values())) + sum(map(referred, references))

    def referred(reference: str) -> int:
        if reference not in known:
            known[reference] = 0  # what refers to itself is counted once
            known[reference] = count(_at(whole, reference))
        return known[reference]

    # What nothing refers to is never held against an answer.
    _require_few(count({name: value for name, value in whole.items() if name not in ("$defs", "definitions")}))


def _require_few(parts: int) -> None:
    if parts > LARGEST_SCHEMA:
        problem = f"Input should have at most {LARGEST_SCHEMA} parts with its references put in place"
        raise InvalidInput.at(_WHERE, "too_long", problem)


def _at(schema: JsonObject, reference: str) -> Json:
    """The place in the schema that a reference leads to.

    :raises InvalidInput: there is none.
    """
    part: Json = schema
    root, *names = unquote(reference).split("/")
    if root != "#":
        raise _no_place(reference)
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and key in part:
            part = part[key]
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            raise _no_place(reference)
    return part


def _no_place(reference: str) -> InvalidInput:
    words = "Input should be a JSON schema whose references lead to places in it, as #/$defs/name"
    return InvalidInput.at(_WHERE, "json_schema", words, reference[:200])
