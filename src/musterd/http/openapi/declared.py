"""Descriptions of operations, made from their declarations."""

import inspect
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from musterd.http.openapi.answers import answer, errors, header
from musterd.http.openapi.described import Answers, Described, Schema
from musterd.http.operation import OPEN, Answer, Operation

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
        for status, kind in _typed_answers(operation):
            inputs.append((f"{operation.operation_id} {status}", "serialization", TypeAdapter(kind)))
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=REF, schema_generator=_Schemas)
    named: dict[str, Schema] = dict(definitions.get("$defs", {}))
    descriptions: dict[str, Described] = {}
    for operation in operations:
        parameters, enums = _parameters(operation)
        named.update(enums)
        body = schemas.get((operation.operation_id, "validation"))
        descriptions[operation.operation_id] = Described(
            tags=(operation.tag,),
            summary=operation.summary,
            description=inspect.getdoc(operation.function) or "",
            parameters=parameters,
            body=_body(operation, body),
            answers=_answers(operation, schemas),
            is_open=operation.scope is OPEN,
        )
    return descriptions, named


def _body(operation: Operation, schema: Schema | None) -> Schema | None:
    if operation.body is None:
        return None
    return {"required": operation.body.is_required, "content": {"application/json": {"schema": schema}}}


def _parameters(operation: Operation) -> tuple[list[Schema], dict[str, Schema]]:
    """The parameters in path, query and headers, and the schemas that they refer to."""
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
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


def _typed_answers(operation: Operation) -> list[tuple[int, Any]]:
    """The statuses and types of the answers that are JSON."""
    own = [] if operation.answer is None else [(200, operation.answer)]
    others = ((status, other.kind) for status, other in operation.other_answers.items() if other.kind is not None)
    return [*own, *others]


def _answers(operation: Operation, schemas: Mapping[tuple[str, _Mode], Schema]) -> Answers:
    takes_input = any((operation.query, operation.headers, operation.body))
    statuses = ["401", "503"] if operation.scope is not OPEN else []
    statuses += ["422"] if takes_input or "{" in operation.path else []
    statuses += ["403", "413"] if operation.method != "GET" else []  # a body is read even if none is expected
    answers: Answers = {}
    for status, _ in _typed_answers(operation):
        schema = schemas[f"{operation.operation_id} {status}", "serialization"]
        other = operation.other_answers.get(status, Answer())
        answers[str(status)] = answer(HTTPStatus(status).phrase, schema, *map(header, other.headers))
        answers[str(status)]["content"] = {other.media_type: {"schema": schema}}
    for status, other in operation.other_answers.items():
        if other.kind is None:
            answers[str(status)] = answer(HTTPStatus(status).phrase, None, *map(header, other.headers))
    if not answers:
        answers["204"] = answer(HTTPStatus.NO_CONTENT.phrase)
    own = {f"_{code}": words for code, words in operation.errors.items()}
    return {**errors(*statuses, **own), **answers}
