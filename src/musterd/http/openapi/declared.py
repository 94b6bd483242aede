"""Descriptions of operations, made from their declarations."""

import inspect
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from musterd.http.forms import Form
from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Answers, Described, Schema
from musterd.http.openapi.form_schemas import MULTIPART, URLENCODED, form_schema
from musterd.http.operation import OPEN, Answer, Operation

EVENT_STREAM = "text/event-stream"
REF = "#/components/schemas/{model}"
_IN_PATH = re.compile(r"{(\w+)}")
_Mode = Literal["validation", "serialization"]
_Input = tuple[str, _Mode, TypeAdapter[Any]]


class _Schemas(GenerateJsonSchema):
    """JSON schemas in which an optional value is one that may be left out, not one that is null by default."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """The schema of a value with a default."""
        json_schema = super().default_schema(schema)
        if json_schema.get("default", "") is None:
            del json_schema["default"]
        return json_schema


def described(operations: Sequence[Operation]) -> tuple[dict[str, Described], dict[str, Schema]]:
    """The descriptions of operations by their ids, and the named schemas that they refer to."""
    inputs: list[_Input] = []
    for operation in operations:
        if operation.body is not None:
            inputs.append((operation.operation_id, "validation", TypeAdapter(operation.body)))
        for status, answered in _own_answers(operation).items():
            for media_type, kind in _contents(answered):
                inputs.append((_key(operation, status, media_type), "serialization", TypeAdapter(kind)))
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=_Schemas)
    named: dict[str, Schema] = dict(definitions.get("$defs", {}))
    descriptions: dict[str, Described] = {}
    for operation in operations:
        parameters, enums = _parameters(operation)
        named.update(enums)
        descriptions[operation.operation_id] = Described(
            tags=(operation.tag,),
            summary=operation.summary,
            description=inspect.getdoc(operation.function) or "",
            parameters=parameters,
            body=_body(operation, schemas, named),
            answers=_answers(operation, schemas),
            is_open=operation.scope is OPEN,
        )
    return descriptions, named


def _body(
    operation: Operation, schemas: Mapping[tuple[str, _Mode], Schema], named: Mapping[str, Schema]
) -> Schema | None:
    body = operation.body
    if body is None:
        return None
    schema = schemas[operation.operation_id, "validation"]
    content = {"application/json": {"schema": schema}}
    if issubclass(body, Form):
        for media_type in (URLENCODED, MULTIPART):
            takes_uploads = body.takes_uploads and media_type == MULTIPART
            content[media_type] = {"schema": form_schema(schema, named, takes_uploads=takes_uploads)}
    return {"required": body.is_required, "content": content}


def _parameters(operation: Operation) -> tuple[list[Schema], dict[str, Schema]]:
    """The parameters in path, query and headers, and the schemas that they refer to."""
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(operation.parameters.get(name))}
        for name in _IN_PATH.findall(operation.path)
    ]
    named: dict[str, Schema] = {}
    for part, model in (("query", operation.query), ("header", operation.headers)):
        if model is None:
            continue
        schema = model.model_json_schema(ref_template=REF, schema_generator=_Schemas)
        named.update(schema.get("$defs", {}))
        for name, value in schema["properties"].items():
            about = {"description": value["description"]} if "description" in value else {}
            is_required = name in schema.get("required", ())
            parameters.append({"name": name, "in": part, "required": is_required, "schema": value, **about})
    return parameters, named


def _path_schema(kind: type[Any] | None) -> Schema:
    return {"type": "integer", "minimum": 0} if kind is int else {"type": "string"}


def _own_answers(operation: Operation) -> dict[int, Answer]:
    """The answers other than errors, by status."""
    tag = ["ETag"] if operation.is_tagged else []
    own = {} if operation.answer is None else {200: Answer(operation.answer, headers=tag)}
    if operation.is_tagged:
        own[304] = Answer(headers=tag)
    return {**own, **operation.other_answers} or {204: Answer()}


def _contents(answered: Answer) -> list[tuple[str, Any]]:
    """The media types of an answer with the types of their content."""
    contents = [(answered.media_type, answered.kind), (EVENT_STREAM, answered.event)]
    return [(media_type, kind) for media_type, kind in contents if kind is not None]


def _key(operation: Operation, status: int, media_type: str) -> str:
    return f"{operation.operation_id} {status} {media_type}"


def _answers(operation: Operation, schemas: Mapping[tuple[str, _Mode], Schema]) -> Answers:
    takes_input = any((operation.query, operation.headers, operation.body))
    statuses = ["401", "503"] if operation.scope is not OPEN else []
    statuses += ["422"] if takes_input or "{" in operation.path else []
    statuses += ["403", "413"] if operation.method != "GET" else []  # a body is read even if none is expected
    answers: Answers = {}
    for status, answered in _own_answers(operation).items():
        answers[str(status)] = answer(HTTPStatus(status).phrase, None, *map(header, answered.headers))
        if contents := _contents(answered):
            answers[str(status)]["content"] = {
                media_type: {"schema": schemas[_key(operation, status, media_type), "serialization"]}
                for media_type, _ in contents
            }
    own = {f"_{code}": words for code, words in operation.errors.items()}
    return {**errors(*statuses, **own), **answers}
