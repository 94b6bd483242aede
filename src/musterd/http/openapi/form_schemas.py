"""The schema of a form, made from the schema of the same body as JSON."""

from collections.abc import Mapping
from typing import Any

from musterd.http.openapi.described import Schema

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"

_UPLOADS: Schema = {
    "type": "array",
    "items": {"type": "string", "contentMediaType": "application/octet-stream"},
    "description": "Uploads: png jpeg webp heic heif, wav mp3, flv mov mpeg mp4 webm wmv 3gpp, pdf csv docx xlsx pptx "
    "txt md json.",
}


def form_schema(schema: Schema, named: Mapping[str, Schema], *, takes_uploads: bool) -> Schema:
    """The schema of the form in which objects and lists are JSON text, and no value is null.

    :param schema: the schema of the JSON object.
    :param named: the schemas that it may refer to.
    :param takes_uploads: whether the field ``files`` contains uploads in place of text.
    """
    json_object = _definition(schema, named)
    properties = {name: _field(value, named) for name, value in json_object["properties"].items()}
    if takes_uploads:
        properties["files"] = _UPLOADS
    required = {"required": json_object["required"]} if "required" in json_object else {}
    return {"type": "object", "properties": properties, **required}


def _field(schema: Schema, named: Mapping[str, Schema]) -> Schema:
    shared = {name: value for name, value in schema.items() if name != "anyOf"}
    options = [{**option, **shared} for option in schema.get("anyOf", [{}]) if option.get("type") != "null"]
    if all(_definition(option, named).get("type") in ("object", "array") for option in options):
        return {"type": "string", "contentMediaType": "application/json", **_description(options[0])}
    (field,) = options
    return field


def _description(schema: Schema) -> dict[str, Any]:
    return {"description": f"JSON text: {schema['description']}"} if "description" in schema else {}


def _definition(schema: Schema, named: Mapping[str, Schema]) -> Schema:
    """The schema itself, or the one that it refers to."""
    return named[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
