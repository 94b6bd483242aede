"""The schemas of answers about runs that operations on sessions refer to by name."""

from typing import Any

from pydantic import TypeAdapter

from musterd.http.openapi.described import Schema
from musterd.wire.lists import ActiveRun, RunSchema, SessionRunPreviewSchema, TeamRunSchema
from musterd.wire.sse import SessionStreamEvent

_ANSWERS: tuple[Any, ...] = (TeamRunSchema, RunSchema, SessionRunPreviewSchema, ActiveRun, SessionStreamEvent)


def run_schemas() -> dict[str, Schema]:
    """The schemas by name, with all that they refer to."""
    _, definitions = TypeAdapter.json_schemas(
        [(answer.__name__, "serialization", TypeAdapter(answer)) for answer in _ANSWERS],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Schema] = definitions["$defs"]
    return schemas
