"""A run with everything that is stored of it, as one JSON object."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.step_views import StepView
from musterd.wire.approvals import ApprovalResponse
from musterd.wire.event_pages import RunEvent
from musterd.wire.run_details import AgentRunDetails, TeamRunDetails, WorkflowRunDetails
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


class EarlierRun(TypedDict):
    """An earlier run of the session."""

    run_id: str
    messages: Annotated[Json, Field(description="Its conversation as it is stored.")]


class EarlierTeamRun(TypedDict):
    """An earlier run of the team, of which its members are shown the message and the answer."""

    messages: Annotated[Json, Field(description="Its conversation as it is stored.")]
    output: Annotated[Json, Field(description="Its output as it is stored.")]


class ExportedQuestion(TypedDict):
    """A question to a person as it is stored, with the decision."""

    state: str
    requirement: JsonObject
    decision: JsonObject | None


class ReplayInput(TypedDict):
    """What a run began with, in the form in which it is stored."""

    user_id: str | None
    opens_session: Annotated[bool, Field(description="Whether it was the first run of its session.")]
    input: Annotated[JsonObject, Field(description="The message, its media by hash, and the options of the request.")]
    history: Annotated[list[EarlierRun], Field(description="The earlier runs that it was shown, oldest first.")]
    member_history: Annotated[
        dict[str, list[Json]],
        Field(description="Of each member that was shown its own earlier runs, their conversations."),
    ]
    team_history: Annotated[list[EarlierTeamRun], Field(description="The earlier runs that its members were shown.")]
    questions: Annotated[
        list[ExportedQuestion],
        Field(description="The last question about each call; of a fork, also of the runs that it continues."),
    ]


class RunExport(TypedDict):
    """A run with everything that is stored of it."""

    format: Annotated[int, Field(description="The version of the format. Additions do not change it.")]
    run: Annotated[TeamRunDetails | AgentRunDetails | WorkflowRunDetails, Field(description="The root run.")]
    members: Annotated[list[AnyRunOutput], Field(description="The members' runs, with their conversations.")]
    steps: Annotated[list[ExportedStep], Field(description="The steps, in the order of their start.")]
    events: list[RunEvent]
    messages: list[RunMessage]
    approvals: list[ApprovalResponse]
    replay: Annotated[ReplayInput, Field(description="What `musterd replay` needs in addition to the rest.")]
    contents: Annotated[
        dict[str, str],
        Field(description="The media of the run and of its history that are still stored: base64 by SHA-256."),
    ]


def exported_step(view: StepView, result: str | None) -> ExportedStep:
    """One step with its result.

    :param result: as JSON text.
    """
    step = view.step
    recorded = None if result is None else jsontext.loads(result)
    return {**step_object(view), "fingerprint": step.fingerprint, "codec": step.codec, "recorded": recorded}
