"""What the document says of one operation, and the words to say it with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
Answers = dict[str, Schema]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One operation as OpenAPI has it, but for path, method and id.

    :param answers: every status that it answers, each with what its answer holds.
    :param is_open: whether it is answered without a key.
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
        found: Schema = {
            "tags": list(self.tags),
            "summary": self.summary,
            "description": self.description,
            "operationId": operation_id,
        }
        if self.parameters:
            found["parameters"] = list(self.parameters)
        if self.body:
            found["requestBody"] = self.body
        found["responses"] = dict(sorted(self.answers.items()))
        if not self.is_open:
            found["security"] = [{"HTTPBearer": []}]
        return found


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
    """An object of these keys, which are always there but for the ``optional`` ones; there may be further keys."""
    required = [name for name in properties if name not in optional]
    found: Schema = {"title": title, "type": "object", "properties": dict(properties)}
    if required:
        found["required"] = required
    return {**found, **more}


def _typed(kind: str, description: str, more: Mapping[str, Any]) -> Schema:
    return {"type": kind, **({"description": description} if description else {}), **more}
