"""One operation in the OpenAPI document, and functions that build its schemas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
Answers = dict[str, Schema]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One operation of the document, without its path, method and id.

    :param answers: its answers by status.
    :param is_open: whether it needs no authentication.
    """

    tags: tuple[str, ...]
    summary: str
    description: str
    parameters: Sequence[Schema] = ()
    body: Schema | None = None
    answers: Answers = field(default_factory=dict)
    is_open: bool = False

    def as_openapi(self, operation_id: str) -> Schema:
        """The operation object."""
        entry: Schema = {
            "tags": list(self.tags),
            "summary": self.summary,
            "description": self.description,
            "operationId": operation_id,
        }
        if self.parameters:
            entry["parameters"] = list(self.parameters)
        if self.body:
            entry["requestBody"] = self.body
        entry["responses"] = dict(sorted(self.answers.items()))
        if not self.is_open:
            entry["security"] = [{"HTTPBearer": []}]
        return entry


def ref(name: str) -> Schema:
    """The schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str = "", **more: Any) -> Schema:
    """A text."""
    return _typed("string", description, more)


def many(items: Schema, description: str = "", **more: Any) -> Schema:
    """A list."""
    return _typed("array", description, {"items": items, **more})


def record(title: str, properties: Mapping[str, Schema], *, optional: Sequence[str] = (), **more: Any) -> Schema:
    """An object with these keys, all required except ``optional``. Further keys are allowed."""
    required = [name for name in properties if name not in optional]
    schema: Schema = {"title": title, "type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = required
    return {**schema, **more}


def _typed(kind: str, description: str, more: Mapping[str, Any]) -> Schema:
    return {"type": kind, **({"description": description} if description else {}), **more}
