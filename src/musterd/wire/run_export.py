"""A run with everything that is stored of it, as one JSON object."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.core.jsontypes import Json
from musterd.core.records import StepView
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
    recorded: Annotated[Json, Field(description="The result as it is stored; null: there is none.")]


class RunExport(TypedDict):
    """A run with everything that is stored of it."""

    format: Annotated[int, Field(description="The version of the format. Additions do not change it.")]
    run: Annotated[TeamRunDetails | AgentRunDetails, Field(description="The root run.")]
    members: Annotated[list[AnyRunOutput], Field(description="The members' runs, with their conversations.")]
    steps: Annotated[list[ExportedStep], Field(description="The steps, in the order of their start.")]
    events: list[RunEvent]
    messages: list[RunMessage]
    approvals: list[ApprovalResponse]


def exported_step(view: StepView, result: str | None) -> ExportedStep:
    """One step with its result.

    :param result: as JSON text.
    """
    step = view.step
    recorded = None if result is None else jsontext.loads(result)
    return {**step_object(view), "fingerprint": step.fingerprint, "codec": step.codec, "recorded": recorded}
