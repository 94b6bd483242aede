"""A run with everything that is stored of it, as one JSON object."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.core.jsontypes import Json
from musterd.core.records import StepRow
from musterd.wire.approvals import ApprovalResponse
from musterd.wire.event_pages import RunEvent
from musterd.wire.run_details import AgentRunDetails, TeamRunDetails
from musterd.wire.runs import AnyRunOutput
from musterd.wire.steering import RunMessage
from musterd.wire.steps import RunStep, step_object

FORMAT = 1
"""The version of the format. Additions do not change it."""


class ExportedStep(RunStep):
    """A step with its result."""

    fingerprint: Annotated[str, Field(description="A hash of what was called, with its arguments.")]
    codec: Annotated[int, Field(description="The version of the encoding of the result.")]
    result: Annotated[Json, Field(description="The result; null: there is none.")]


class RunExport(TypedDict):
    """A run with everything that is stored of it."""

    format: Annotated[int, Field(description="The version of the format. Additions do not change it.")]
    run: Annotated[TeamRunDetails | AgentRunDetails, Field(description="The root run.")]
    members: Annotated[list[AnyRunOutput], Field(description="The members' runs, with their conversations.")]
    steps: Annotated[list[ExportedStep], Field(description="The steps, in the order of their paths.")]
    events: list[RunEvent]
    messages: list[RunMessage]
    approvals: list[ApprovalResponse]


def exported_step(step: StepRow) -> ExportedStep:
    """One step with its result."""
    result = None if step.result is None else jsontext.loads(step.result)
    return {**step_object(step), "fingerprint": step.fingerprint, "codec": step.codec, "result": result}
