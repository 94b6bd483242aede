"""Runs in lists: in AgentOS's formats for lists, as previews, and as runs without their conversation.

``/teams/{id}/runs`` and ``/agents/{id}/runs`` keep keys whose value is null; ``/sessions/{id}/runs`` leaves them out.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NotRequired, TypeAlias, cast

from pydantic import Field, WithJsonSchema
from typing_extensions import TypeAliasType, TypedDict

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import RunRow, RunView
from musterd.core.states import RunState
from musterd.wire.messages import Message
from musterd.wire.metrics import RunMetrics
from musterd.wire.references import References, references_of
from musterd.wire.run_media import InputMedia, MediaItem, input_media, media_of
from musterd.wire.runs import (
    AnyRunOutput,
    RunOutput,
    TeamRunOutput,
    WorkflowRunOutput,
    agent_run_output,
    content_of,
    last_event,
    messages_of,
    metrics_of,
    run_output,
    step_executor_runs,
    team_run_output,
    tools_of,
    workflow_run_output,
)
from musterd.wire.shapes import Time, UnixTime, without_nulls
from musterd.wire.states import STATUS, RunStatus
from musterd.wire.times import iso_seconds
from musterd.wire.tools import ToolExecution
from musterd.wire.workflow_runs import StepOutput, WorkflowMetrics, workflow_metrics

PREVIEW_CHARACTERS = 280
"""The length of a text in a preview."""

# --- shapes -------------------------------------------------------------------------------------------

_ParentRunId = Annotated[str, Field(description='The run of the team that delegated this one; "" for a root run.')]
_ResponseFormat = Literal["text", "json"]


class _ListedMedia(TypedDict):
    images: list[MediaItem]
    videos: list[MediaItem]
    audio: list[MediaItem]
    files: list[MediaItem]


class _ListedRun(_ListedMedia):
    run_id: str
    parent_run_id: _ParentRunId
    status: RunStatus
    run_input: Annotated[str, Field(description="The message.")]
    content: Annotated[Json, Field(description='The answer; "" until the run has finished or paused.')]
    run_response_format: _ResponseFormat
    reasoning_content: str
    reasoning_steps: list[JsonObject]
    metrics: RunMetrics
    messages: NotRequired[list[Message] | None]
    tools: NotRequired[list[ToolExecution] | None]
    events: NotRequired[list[JsonObject] | None]
    created_at: Time
    references: list[References]
    citations: NotRequired[JsonObject | None]
    reasoning_messages: list[JsonObject]
    session_state: NotRequired[JsonObject | None]
    input_media: InputMedia
    response_audio: NotRequired[JsonObject | None]


class TeamRunSchema(_ListedRun):
    """A run in the list of a team."""

    team_id: Annotated[str, Field(description='"" for a run of an agent.')]


class RunSchema(_ListedRun):
    """A run in the list of an agent."""

    agent_id: Annotated[str, Field(description='"" for a run of a team.')]
    user_id: NotRequired[str | None]


class WorkflowRunSchema(TypedDict):
    """A run in the list of a workflow."""

    run_id: str
    parent_run_id: _ParentRunId
    run_input: Annotated[str, Field(description="The message.")]
    events: list[JsonObject]
    workflow_id: str
    workflow_name: str
    user_id: str | None
    content: Annotated[Json, Field(description='The answer; "" until the run has finished or paused.')]
    content_type: str
    status: RunStatus
    step_results: list[StepOutput]
    step_executor_runs: Annotated[
        list[JsonObject], Field(description="The runs (RunOutput, TeamRunOutput) that its steps started.")
    ]
    metrics: WorkflowMetrics
    created_at: Time
    session_state: JsonObject | None
    metadata: JsonObject | None
    input_media: InputMedia
    images: list[MediaItem]
    videos: list[MediaItem]
    audio: list[MediaItem]
    files: list[MediaItem]


class _Owner(TypedDict, total=False):
    team_id: str
    agent_id: str
    workflow_id: str
    user_id: str


class SessionRunPreviewSchema(_Owner):
    """A run with the start of its message and answer."""

    run_id: str
    parent_run_id: _ParentRunId
    status: RunStatus
    run_input: Annotated[str, Field(description="The start of the message.")]
    content_preview: Annotated[
        str, Field(description='The start of the answer; "" until the run has finished or paused.')
    ]
    created_at: Time


class RunPause(TypedDict):
    """The pause of a run."""

    expires_at: Annotated[UnixTime, Field(description="Unix time at which it ends without a decision.")]


class _ActiveState(TypedDict):
    state: Annotated[
        str,
        WithJsonSchema({"type": "string", "enum": [state.value for state in RunState if not state.is_final]}),
    ]
    pause: NotRequired[RunPause]


class ActiveTeamRun(TeamRunOutput, _ActiveState):
    """A run of a team that has not finished."""


class ActiveAgentRun(RunOutput, _ActiveState):
    """A run of an agent that has not finished."""


class ActiveWorkflowRun(WorkflowRunOutput, _ActiveState):
    """A run of a workflow that has not finished."""


ActiveRun = TypeAliasType("ActiveRun", ActiveTeamRun | ActiveAgentRun | ActiveWorkflowRun)
AnyRunSchema: TypeAlias = TeamRunSchema | RunSchema | WorkflowRunSchema


class RunPageInfo(TypedDict):
    """The position of a page of runs."""

    limit: int
    next_cursor: Annotated[str | None, Field(description="`cursor` of the next page; null on the last page.")]


class RunPage(TypedDict):
    """A page of runs, without their conversations."""

    data: list[AnyRunOutput]
    meta: RunPageInfo


_NO_MEDIA: _ListedMedia = {"images": [], "videos": [], "audio": [], "files": []}

# --- answers ------------------------------------------------------------------------------------------


def members_first(views: Iterable[RunView]) -> list[RunView]:
    """All runs in one list, each after its members.

    :param views: runs in order of acceptance. Members may be nested in ``members``, or in the sequence itself.
    """
    flat: dict[str, RunView] = {}
    waiting = list(views)
    for view in waiting:
        flat.setdefault(view.row.run_id, view)
        waiting.extend(view.members)
    children: dict[str | None, list[RunView]] = {}
    for view in flat.values():
        parent = view.row.parent_id if view.row.parent_id in flat else None
        children.setdefault(parent, []).append(view)
    ordered: list[RunView] = []

    def append_below(parent: str | None) -> None:
        for view in children.get(parent, ()):
            append_below(view.row.run_id)
            ordered.append(view)

    append_below(None)
    return ordered


def team_runs(views: Iterable[RunView]) -> list[TeamRunSchema]:
    """The answer of ``GET /teams/{id}/runs``. Runs of agents have the ``team_id`` ""."""
    return [team_run_schema(view) for view in members_first(views)]


def agent_runs(views: Iterable[RunView]) -> list[RunSchema]:
    """The answer of ``GET /agents/{id}/runs``. Runs of teams have the ``agent_id`` ""."""
    return [agent_run_schema(view) for view in members_first(views)]


def workflow_runs(views: Iterable[RunView]) -> list[WorkflowRunSchema]:
    """The answer of ``GET /workflows/{id}/runs``: the runs that steps started are in the runs of the workflow."""
    return [workflow_run_schema(view) for view in _steps_nested(members_first(views))]


def session_runs(views: Iterable[RunView]) -> list[AnyRunSchema]:
    """The answer of ``GET /sessions/{id}/runs``: each run in the format of its kind, without nulls.

    The runs that steps of a workflow started are in the runs of the workflow.
    """
    return [without_nulls(session_run(view)) for view in _steps_nested(members_first(views))]


def _steps_nested(views: Iterable[RunView]) -> list[RunView]:
    """Runs in the order of ``views``, with those below a workflow's run in its ``members`` in place of the list."""
    by_id = {view.row.run_id: view for view in views}
    listed: list[RunView] = []
    for view in by_id.values():
        parent = by_id.get(view.row.parent_id or "")
        root = by_id.get(view.row.root_id)
        if root is None or root is view or root.row.component_kind != "workflow":
            listed.append(view)
        elif parent is not None and parent.row.component_kind == "workflow":
            parent.members.append(view)
    return listed


def session_run(view: RunView) -> AnyRunSchema:
    """The answer of ``GET /sessions/{id}/runs/{run_id}``: a run in the format of its kind, with nulls."""
    if view.row.component_kind == "workflow":
        return workflow_run_schema(view)
    return team_run_schema(view) if view.row.component_kind == "team" else agent_run_schema(view)


def session_run_previews(views: Iterable[RunView]) -> list[SessionRunPreviewSchema]:
    """The answer of ``GET /sessions/{id}/run-previews``."""
    return [_preview(view) for view in members_first(views)]


def run_page(views: Sequence[RunView], next_cursor: str | None, limit: int) -> RunPage:
    """The answer of ``GET /runs``.

    :param next_cursor: the cursor of the next page; None on the last page.
    """
    data = [run_output(_without_conversation(view)) for view in views]
    return {"data": data, "meta": {"limit": limit, "next_cursor": next_cursor}}


def active_run(view: RunView, expires_at: float | None) -> ActiveRun:
    """An item of ``GET /sessions/{id}/active``: a run with its state.

    :param expires_at: when the run's pause ends; None if it has not paused.
    """
    state: _ActiveState = {"state": view.row.state.value}
    if expires_at is not None:
        state["pause"] = {"expires_at": expires_at}
    if view.row.component_kind == "workflow":
        return {**workflow_run_output(_without_conversation(view)), **state}
    if view.row.component_kind == "team":
        return {**team_run_output(_without_conversation(view)), **state}
    return {**agent_run_output(_without_conversation(view)), **state}


def team_run_schema(view: RunView) -> TeamRunSchema:
    """A run in the list of a team, with nulls."""
    row = view.row
    return {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        "team_id": row.component_id if row.component_kind == "team" else "",
        "status": STATUS[row.state],
        "content": _content(view),
        "reasoning_content": _reasoning(view),
        "reasoning_steps": [],
        "run_input": view.input.message,
        "run_response_format": _response_format(view),
        "metrics": metrics_of(view),
        "tools": _tools(view),
        "messages": messages_of(view),
        "events": _events(view),
        "created_at": iso_seconds(row.created_at),
        "references": references_of(view.output) if row.state.is_settled else [],
        "citations": None,
        "reasoning_messages": [],
        "session_state": _session_state(view),
        "input_media": input_media(view.input),
        **_NO_MEDIA,
        **media_of(view.output),
        "response_audio": None,
    }


def agent_run_schema(view: RunView) -> RunSchema:
    """A run in the list of an agent, with nulls."""
    row = view.row
    return {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        "agent_id": row.component_id if row.component_kind == "agent" else "",
        "user_id": row.user_id,
        "status": STATUS[row.state],
        "run_input": view.input.message,
        "content": _content(view),
        "run_response_format": _response_format(view),
        "reasoning_content": _reasoning(view),
        "reasoning_steps": [],
        "metrics": metrics_of(view),
        "messages": messages_of(view),
        "tools": _tools(view),
        "events": _events(view),
        "created_at": iso_seconds(row.created_at),
        "references": references_of(view.output) if row.state.is_settled else [],
        "citations": None,
        "reasoning_messages": [],
        "session_state": _session_state(view),
        **_NO_MEDIA,
        **media_of(view.output),
        "response_audio": None,
        "input_media": input_media(view.input),
    }


def workflow_run_schema(view: RunView) -> WorkflowRunSchema:
    """A run in the list of a workflow, with nulls."""
    row, output = view.row, view.output
    return {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        "run_input": view.input.message,
        "events": _events(view) or [],
        "workflow_id": row.component_id,
        "workflow_name": row.component_name,
        "user_id": row.user_id,
        "content": _content(view),
        "content_type": "str" if output is None else output.content_type,
        "status": STATUS[row.state],
        "step_results": cast(list[StepOutput], output.step_results) if output else [],
        "step_executor_runs": step_executor_runs(view).get("step_executor_runs", []),
        "metrics": workflow_metrics(output),
        "created_at": iso_seconds(row.created_at),
        "session_state": _session_state(view),
        "metadata": view.input.options.get("metadata"),
        "input_media": input_media(view.input),
        **_NO_MEDIA,
        **media_of(output),
    }


# --- parts --------------------------------------------------------------------------------------------


def _without_conversation(view: RunView) -> RunView:
    view.messages = None
    return view


def _preview(view: RunView) -> SessionRunPreviewSchema:
    row, content = view.row, _content(view)
    return {
        "run_id": row.run_id,
        "parent_run_id": row.parent_id or "",
        **_owner(row),
        "status": STATUS[row.state],
        "run_input": view.input.message[:PREVIEW_CHARACTERS],
        "content_preview": (content if isinstance(content, str) else jsontext.dumps(content))[:PREVIEW_CHARACTERS],
        "created_at": iso_seconds(row.created_at),
    }


def _owner(row: RunRow) -> _Owner:
    owner = cast(_Owner, {f"{row.component_kind}_id": row.component_id})
    if row.user_id is not None:
        owner["user_id"] = row.user_id
    return owner


def _content(view: RunView) -> Json:
    content = content_of(view) if view.row.state.is_settled else None
    return "" if content is None else content


def _reasoning(view: RunView) -> str:
    return view.output.reasoning if view.output and view.row.state.is_settled else ""


def _response_format(view: RunView) -> _ResponseFormat:
    return "text" if view.output is None or view.output.content_type == "str" else "json"


def _tools(view: RunView) -> list[ToolExecution] | None:
    if not view.output or not view.output.tools or not view.row.state.is_settled:
        return None
    return tools_of(view)


def _events(view: RunView) -> list[JsonObject] | None:
    event = last_event(view)
    return None if event is None else [event]


def _session_state(view: RunView) -> JsonObject | None:
    return (view.output.session_state or None) if view.output and view.row.state.is_settled else None
