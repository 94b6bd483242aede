"""The form that a person fills in before a call: its fields as they are shown, and the schema of what is given."""

from musterd.core.jsontypes import JsonObject
from musterd.declare import Tool

_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}
_JSON_TYPES = {name: kind for kind, name in _TYPES.items()}


def form_of(tool: Tool, args: JsonObject) -> tuple[list[JsonObject], JsonObject]:
    """Fields and schema: of the tool's own arguments, or of what the model asks in the call."""
    if tool.asks_for == "fields":
        return _asked_fields(args["user_input_fields"])
    if tool.asks_for == "questions":
        return _asked_questions(args["questions"])
    properties: JsonObject = tool.parameters.get("properties", {})
    fields = [
        _field(name, _type_of(part), part.get("description"), args.get(name)) for name, part in properties.items()
    ]
    return fields, tool.parameters


def _asked_fields(asked: list[JsonObject]) -> tuple[list[JsonObject], JsonObject]:
    kinds = {one["field_name"]: one.get("field_type", "str") for one in asked}
    described = {one["field_name"]: one.get("field_description") or None for one in asked}
    fields = [_field(name, kind, described[name], None) for name, kind in kinds.items()]
    return fields, _schema({name: {"type": _JSON_TYPES[kind]} for name, kind in kinds.items()})


def _asked_questions(asked: list[JsonObject]) -> tuple[list[JsonObject], JsonObject]:
    fields, properties = [], {}
    for one in asked:
        options = [{"label": found["label"], "description": found.get("description")} for found in one["options"]]
        shown = {"header": one.get("header"), "options": options, "multi_select": bool(one.get("multi_select"))}
        fields.append({"name": one["question"], "value": None, **shown})
        chosen: JsonObject = {"type": "array", "items": {"enum": [found["label"] for found in options]}, "minItems": 1}
        properties[one["question"]] = chosen if shown["multi_select"] else {**chosen, "maxItems": 1}
    return fields, _schema(properties)


def _field(name: str, field_type: str, description: str | None, value: object) -> JsonObject:
    return {"name": name, "field_type": field_type, "description": description, "value": value}


def _schema(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _type_of(schema: JsonObject) -> str:
    """The peer's word for a field's type; a text where it has none."""
    kinds = [schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ()))]
    return next((_TYPES[kind] for kind in kinds if kind in _TYPES), "str")
