"""The schemas of answers about runs, derived from the TypedDicts that stand next to their renderers."""

from typing import Any

from pydantic import TypeAdapter

from musterd.http.openapi.described import Schema
from musterd.wire.checkpoints import ForkedSession, RunCheckpoints, RunSnapshot
from musterd.wire.event_pages import RunEventsPage
from musterd.wire.lists import ActiveRun, RunPage, RunSchema, SessionRunPreviewSchema, TeamRunSchema
from musterd.wire.runs import CancelReceipt, RunOutput, RunReceipt, TeamRunOutput
from musterd.wire.sse import ResumedStreamEvent, SessionStreamEvent, StreamEvent
from musterd.wire.steering import RunMessage, StoredRunMessage
from musterd.wire.steps import RunStep

_ANSWERS: tuple[Any, ...] = (
    RunOutput,
    TeamRunOutput,
    RunReceipt,
    CancelReceipt,
    TeamRunSchema,
    RunSchema,
    SessionRunPreviewSchema,
    ActiveRun,
    RunPage,
    RunStep,
    RunMessage,
    StoredRunMessage,
    RunCheckpoints,
    RunSnapshot,
    ForkedSession,
    RunEventsPage,
    StreamEvent,
    ResumedStreamEvent,
    SessionStreamEvent,
)


def run_schemas() -> dict[str, Schema]:
    """The schemas by name, with all that they refer to."""
    _, definitions = TypeAdapter.json_schemas(
        [(answer.__name__, "serialization", TypeAdapter(answer)) for answer in _ANSWERS],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Schema] = definitions["$defs"]
    return schemas
