"""The form that a person fills in before a tool call: its fields, and the schema of the values."""

from musterd.core.jsontypes import JsonObject
from musterd.declare import Tool

_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}
_JSON_TYPES = {name: json_type for json_type, name in _TYPES.items()}


def user_input_form(tool: Tool, args: JsonObject) -> tuple[list[JsonObject], JsonObject]:
    """The fields and the schema: of the tool's own arguments, or of the questions that the model asks in the call."""
    if tool.asks_for == "fields":
        return _form_of_fields(args["user_input_fields"])
    if tool.asks_for == "questions":
        return _form_of_questions(args["questions"])
    properties: JsonObject = tool.parameters.get("properties", {})
    fields = [
        _field(name, _type_of(schema), schema.get("description"), args.get(name)) for name, schema in properties.items()
    ]
    return fields, tool.parameters


def _form_of_fields(requested: list[JsonObject]) -> tuple[list[JsonObject], JsonObject]:
    types = {item["field_name"]: item.get("field_type", "str") for item in requested}
    descriptions = {item["field_name"]: item.get("field_description") or None for item in requested}
    fields = [_field(name, field_type, descriptions[name], None) for name, field_type in types.items()]
    return fields, _schema({name: {"type": _JSON_TYPES[field_type]} for name, field_type in types.items()})


def _form_of_questions(questions: list[JsonObject]) -> tuple[list[JsonObject], JsonObject]:
    fields, properties = [], {}
    for question in questions:
        options = [
            {"label": option["label"], "description": option.get("description")} for option in question["options"]
        ]
        is_multiple = bool(question.get("multi_select"))
        fields.append(
            {
                "name": question["question"],
                "value": None,
                "header": question.get("header"),
                "options": options,
                "multi_select": is_multiple,
            }
        )
        labels = [option["label"] for option in options]
        choice: JsonObject = {"type": "array", "items": {"enum": labels}, "minItems": 1}
        properties[question["question"]] = choice if is_multiple else {**choice, "maxItems": 1}
    return fields, _schema(properties)


def _field(name: str, field_type: str, description: str | None, value: object) -> JsonObject:
    return {"name": name, "field_type": field_type, "description": description, "value": value}


def _schema(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _type_of(schema: JsonObject) -> str:
    """Agno's name for a field's type; "str" if it has none."""
    json_types = [schema.get("type"), *(alternative.get("type") for alternative in schema.get("anyOf", ()))]
    return next((_TYPES[json_type] for json_type in json_types if json_type in _TYPES), "str")
