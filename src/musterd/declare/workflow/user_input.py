"""The values that a step asks a person for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from musterd.declare.options import Kind
from musterd.declare.source_location import Place, declaration_error, describe_type, quoted_list

_ALIASES = {"text": "str"}  # in Agno's examples
FIELD_TYPES = ("str", "int", "float", "bool", "list", "dict")


@dataclass(frozen=True, kw_only=True)
class UserInputField:
    """One value that a step asks a person for.

    :param field_type: one of ``str``, ``int``, ``float``, ``bool``, ``list``, ``dict``.
    :param allowed_values: the accepted values, if only certain ones are.
    """

    name: str
    field_type: str = "str"
    description: str | None = None
    required: bool = True
    allowed_values: Sequence[Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The field as clients see it in ``user_input_schema``."""
        return {**asdict(self), "value": None}


USER_INPUT_SCHEMA = Kind(
    words='a list of fields like {"name": "color", "field_type": "str", "description": "…", "required": True}',
    accepts=lambda value: isinstance(value, list | tuple),
    yaml=list[dict[str, Any]],
)


def read_user_input_schema(value: Sequence[Any], label: str, place: Place) -> tuple[UserInputField, ...]:
    """The fields of a ``user_input_schema``.

    :raises DeclarationError: a field has no name, an unknown type or an unknown key.
    """
    schema = tuple(_read_field(item, label, place) for item in value)
    names = [field.name for field in schema]
    if twice := next((name for name in names if names.count(name) > 1), None):
        problem = f"{label}: user_input_schema has two fields named '{twice}'"
        raise declaration_error(place, problem, "give one of them another name")
    return schema


def _read_field(item: Any, label: str, place: Place) -> UserInputField:
    if isinstance(item, UserInputField):
        return item
    if not isinstance(item, Mapping):
        problem = f"{label}: user_input_schema contains {describe_type(item)}"
        raise declaration_error(place, problem, 'write each field as {"name": "…", "field_type": "str"}')
    known = [field.name for field in fields(UserInputField)]
    values = {name: value for name, value in item.items() if name != "value"}
    if unknown := [name for name in values if name not in known]:
        problem = f"{label}: a field of user_input_schema has the unknown key {quoted_list(map(str, unknown))}"
        raise declaration_error(place, problem, f"use {quoted_list(known)}")
    if not isinstance(values.get("name"), str) or not values["name"]:
        raise declaration_error(place, f"{label}: a field of user_input_schema has no name", 'add "name"')
    values["field_type"] = _ALIASES.get(values.get("field_type", "str"), values.get("field_type", "str"))
    if values["field_type"] not in FIELD_TYPES:
        problem = f"{label}: the field '{values['name']}' has the field_type {values['field_type']!r}"
        raise declaration_error(place, problem, f"use {quoted_list(FIELD_TYPES)}")
    return UserInputField(**values)
