"""A run as clients read it: the answers of POST (``stream=false``) and of GET.

The keys are AgentOS's, in AgentOS's order, followed by our own. Keys whose value is None are left out.
"""

from typing import Annotated, NotRequired, TypeAlias, cast

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from musterd.core.errors import RunFailed
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind, Output, RunRow, RunView, StepKind, StepOutcome
from musterd.core.states import RunState
from musterd.wire.budgets import BudgetUse
from musterd.wire.memories import ChangedMemories, changed_memories
from musterd.wire.messages import Message, agno_messages
from musterd.wire.metrics import RunMetrics, run_metrics
from musterd.wire.progress import RunActivity, RunTotals, activity_of, totals_of
from musterd.wire.references import RunReferences, run_references
from musterd.wire.requirements import RunRequirement, requirement_objects, waiting_lists
from musterd.wire.run_media import ProducedMedia, RunInput, input_object, media_of
from musterd.wire.shapes import UnixTime
from musterd.wire.states import STATUS, RunStatus
from musterd.wire.tools import ToolExecution, tool_object
from musterd.wire.workflow_runs import (
    PausedWorkflow,
    StepOutput,
    WorkflowMetrics,
    paused_workflow,
    step_id_of,
    workflow_input,
    workflow_metrics,
)

# --- shapes -------------------------------------------------------------------------------------------


class CutOffStep(TypedDict):
    """A step that was in progress when its run was cancelled."""

    path: Annotated[str, Field(description="Its position in the run tree.")]
    kind: StepKind
    name: Annotated[str | None, Field(description="The name of the tool.")]
    outcome: Annotated[
        StepOutcome,
        Field(
            description="stopped: it was cancelled. finished: it finished first. unknown: its end was not observed. "
            "abandoned: it ignored the cancellation."
        ),
    ]


class CancelRequest(TypedDict):
    """A request to cancel the run."""

    requested_at: UnixTime
    by: str | None
    steps: NotRequired[
        Annotated[list[CutOffStep], Field(description="The steps that were in progress; once the run is CANCELLED.")]
    ]


class RunError(TypedDict):
    """Why a run failed."""

    code: Annotated[str, Field(description="The kind of error, for programs.", examples=["model_error"])]
    message: str
    retryable: Annotated[bool, Field(description="Whether the same run may succeed another time.")]
    error_id: NotRequired[
        Annotated[str, Field(description="Why a hook rejected the run.", examples=["prompt_injection"])]
    ]
    additional_data: NotRequired[Annotated[JsonObject, Field(description="Further data of the hook.")]]
    partial: NotRequired[
        Annotated[str, Field(description="The text that the run had produced when its budget was spent.")]
    ]


class RunReceipt(TypedDict):
    """The status of a run."""

    run_id: str
    session_id: Annotated[str, Field(description="Required to poll the run.")]
    status: RunStatus


class CancelReceipt(RunReceipt):
    """The status of a run after a request to cancel it."""

    cancel: NotRequired[Annotated[CancelRequest, Field(description="Absent if the run had finished before.")]]


class _Parent(TypedDict, total=False):
    parent_run_id: Annotated[str, Field(description="The run of the team that delegated this one.")]


class _User(TypedDict, total=False):
    user_id: str


class _Answer(TypedDict):
    content: NotRequired[
        Annotated[
            Json,
            Field(
                description="The answer: text, or an object if `content_type` names a schema. The error message of a "
                "failed run; what a cancelled run had produced."
            ),
        ]
    ]
    content_type: Annotated[str, Field(description='"str", or the name of the schema of `content`.')]
    reasoning_content: NotRequired[str]
    reasoning_steps: NotRequired[list[JsonObject]]


class _SessionState(ChangedMemories, total=False):
    session_state: Annotated[JsonObject, Field(description="The session's state after the run.")]


class _Events(TypedDict, total=False):
    events: Annotated[
        list[JsonObject], Field(description="The event with which the run failed or paused; otherwise empty.")
    ]


class _Metadata(TypedDict, total=False):
    metadata: Annotated[JsonObject, Field(description="`metadata` of the request.")]


class _Conversation(ProducedMedia, RunReferences, _Metadata, total=False):
    messages: Annotated[list[Message], Field(description="The conversation with the model.")]
    requirements: Annotated[list[RunRequirement], Field(description="What a paused run waits for.")]
    tools: Annotated[list[ToolExecution], Field(description="The tool calls, in order.")]
    last_checkpoint_at_message_index: Annotated[int, Field(description="In a snapshot: the number of messages.")]


class _History(TypedDict, total=False):
    attempts: Annotated[int, Field(description="How often the run was started.")]
    forked_from: Annotated[str, Field(description="The finished run that this one continues.")]
    copied_from: Annotated[
        str, Field(description="The run of another session that this is a copy of, if the session was forked.")
    ]
    queued_at: UnixTime
    started_at: UnixTime
    first_token_at: UnixTime
    ended_at: UnixTime


class _Progress(TypedDict, total=False):
    queue_position: Annotated[int, Field(description="The number of runs ahead of this one, while PENDING.")]
    cancel: CancelRequest
    cost: Annotated[
        float, Field(description="US dollars for the model calls of the run and its members; absent if unknown.")
    ]
    budget: Annotated[dict[str, BudgetUse], Field(description="The run's limits, by name.")]
    error: RunError
    totals: Annotated[RunTotals, Field(description="What the run and its members have used so far.")]
    activity: Annotated[RunActivity, Field(description="What the run does now; absent once it has ended.")]


class _Run(_Parent, _User, _Answer, _SessionState, _Events, _Conversation, _History, _Progress):
    run_id: str
    session_id: Annotated[str, Field(description="Required to poll the run.")]
    input: RunInput
    model: Annotated[str, Field(description="The provider's name of the model.")]
    model_provider: str
    created_at: Annotated[int, Field(description="Unix time at which the run was accepted.")]
    metrics: RunMetrics
    status: RunStatus


class RunOutput(_Run):
    """A run of an agent. Keys without a value are left out."""

    agent_id: str
    agent_name: str


class TeamRunOutput(_Run):
    """A run of a team. Keys without a value are left out.

    The run of a member that is an agent has `agent_id` and `agent_name` in place of the team's, and no members.
    """

    team_id: NotRequired[str]
    team_name: NotRequired[str]
    member_responses: NotRequired[
        Annotated[
            list["TeamRunOutput | RunOutput"],
            WithJsonSchema(  # without references: a schema that contains itself cannot be resolved as a whole
                {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": True},
                    "description": "The members' runs (RunOutput or TeamRunOutput) if the team stores them; "
                    "otherwise empty.",
                }
            ),
        ]
    ]


class _StepRuns(TypedDict, total=False):
    step_executor_runs: Annotated[
        list[JsonObject],
        Field(
            description="The runs that its steps started (RunOutput, TeamRunOutput or WorkflowRunOutput), each with "
            "`workflow_step_id`."
        ),
    ]
    workflow_agent_run: Annotated[RunOutput, Field(description="The run of its agent, if it has one.")]


class _Workflow(_Parent, _User, _Answer, _SessionState, _Events, ProducedMedia, _Metadata, _History, _Progress):
    """What a workflow's run shares with other runs."""


class WorkflowRunOutput(_Workflow, _StepRuns, PausedWorkflow):
    """A run of a workflow. Keys without a value are left out."""

    input: Annotated[Json, Field(description="The message; an object if the workflow declares `input_schema`.")]
    workflow_id: str
    workflow_name: str
    run_id: str
    session_id: Annotated[str, Field(description="Required to poll the run.")]
    created_at: Annotated[int, Field(description="Unix time at which the run was accepted.")]
    status: RunStatus
    step_results: Annotated[
        list[StepOutput],
        Field(description="Those of its own steps that have ended; of a long run only at its end or pause."),
    ]
    metrics: WorkflowMetrics


AnyRunOutput: TypeAlias = TeamRunOutput | RunOutput | WorkflowRunOutput

_NO_ANSWER: _Answer = {"content_type": "str"}
_NO_STATE: _SessionState = {}
_NO_CONVERSATION: _Conversation = {}
_NO_MEDIA: ProducedMedia = {}
_EMPTY_MEDIA: ProducedMedia = {"images": [], "videos": [], "audio": [], "files": []}

# --- answers ------------------------------------------------------------------------------------------


def run_output(view: RunView, *, is_post: bool = False, with_members: bool = False) -> AnyRunOutput:
    """A run of a team, an agent or a workflow.

    :param is_post: whether this answers the POST that started the run. As in AgentOS, it has ``tools: []``, which GET
        leaves out, and no ``events: []``.
    :param with_members: whether ``member_responses`` contains the outputs of ``view.members``, for teams that declare
        ``store_member_responses``. Otherwise it is empty.
    """
    kind = view.row.component_kind
    if kind == "workflow":
        return workflow_run_output(view, is_post=is_post)
    if kind == "agent":
        return agent_run_output(view, is_post=is_post)
    return team_run_output(view, is_post=is_post, with_members=with_members)


def team_run_output(view: RunView, *, is_post: bool = False, with_members: bool = False) -> TeamRunOutput:
    """A run of a team. See :func:`run_output`."""
    row, is_settled = view.row, view.row.state.is_settled  # read once: a poll of a running run does little else
    return {
        "run_id": row.run_id,
        "team_id": row.component_id,
        "team_name": row.component_name,
        "session_id": row.session_id,
        **_parent(row),
        **_user(row),
        "input": input_object(view.input),
        **(_answer(view) if is_settled else _NO_ANSWER),
        "model": row.model,
        "model_provider": row.model_provider,
        "member_responses": _member_responses(view) if with_members else [],
        **(_session_state(view) if is_settled else _NO_STATE),
        "created_at": int(row.created_at),
        **_events(view, is_post),
        "metrics": metrics_of(view),
        "status": STATUS[row.state],
        **(_conversation(view, is_post) if is_settled else _NO_CONVERSATION),
        **_history(row),
        **_progress(view),
    }


def _member_responses(view: RunView) -> list[TeamRunOutput | RunOutput]:
    return [cast(TeamRunOutput | RunOutput, run_output(member, is_post=True)) for member in view.members]


def agent_run_output(view: RunView, *, is_post: bool = False) -> RunOutput:
    """A run of an agent. See :func:`run_output`."""
    row, is_settled = view.row, view.row.state.is_settled
    return {
        "run_id": row.run_id,
        "agent_id": row.component_id,
        "agent_name": row.component_name,
        "session_id": row.session_id,
        **_user(row),
        **_parent(row),
        **(_answer(view) if is_settled else _NO_ANSWER),
        "model": row.model,
        "model_provider": row.model_provider,
        **(_session_state(view) if is_settled else _NO_STATE),
        "created_at": int(row.created_at),
        "status": STATUS[row.state],
        "metrics": metrics_of(view),
        **_events(view, is_post),
        **(_conversation(view, is_post) if is_settled else _NO_CONVERSATION),
        "input": input_object(view.input),
        **_history(row),
        **_progress(view),
    }


def workflow_run_output(view: RunView, *, is_post: bool = False) -> WorkflowRunOutput:
    """A run of a workflow, with ``view.members`` as the runs of its steps. See :func:`run_output`."""
    row, output, is_settled = view.row, view.output, view.row.state.is_settled
    return {
        "input": workflow_input(view.input),
        **(_answer(view) if is_settled else _NO_ANSWER),
        "workflow_id": row.component_id,
        "workflow_name": row.component_name,
        "run_id": row.run_id,
        "session_id": row.session_id,
        **_user(row),
        **_parent(row),
        "created_at": int(row.created_at),
        "status": STATUS[row.state],
        **(_EMPTY_MEDIA if is_post and row.state.is_final else _NO_MEDIA),
        **media_of(output),
        "step_results": cast(list[StepOutput], output.step_results) if output else [],
        **step_executor_runs(view),
        "metrics": workflow_metrics(output),
        **(_session_state(view) if is_settled else _NO_STATE),
        **_events(view, is_post),
        **_metadata(view),
        **paused_workflow(view),
        **_history(row),
        **_progress(view),
    }


def accepted_receipt(row: RunRow) -> RunReceipt:
    """The answer 202 to ``background=true``. Clients expect exactly these three keys, and PENDING."""
    return {"run_id": row.run_id, "session_id": row.session_id, "status": "PENDING"}


def state_receipt(row: RunRow) -> RunReceipt:
    """The current status of a run, for a request that could not wait for its end."""
    return {"run_id": row.run_id, "session_id": row.session_id, "status": STATUS[row.state]}


def cancel_receipt(view: RunView) -> CancelReceipt:
    """The answer to a request to cancel a run: its status, and what became of the steps that were in progress."""
    row = view.row
    receipt: CancelReceipt = {"run_id": row.run_id, "session_id": row.session_id, "status": STATUS[row.state]}
    if (cancel := _cancel_request(view)) is not None:
        receipt["cancel"] = cancel
    return receipt


# --- parts that lists and events share ------------------------------------------------------------------


def content_of(view: RunView) -> Json:
    """The run's answer, its error message, or what a cancelled run had produced."""
    state, output = view.row.state, view.output
    content = output.content if output else None
    if state is RunState.ERROR:
        error = output.error if output else None
        return (error or {}).get("message") or content or RunFailed().message
    if state is RunState.CANCELLED and (content in (None, "") or (output and output.requirements)):
        return cancel_reason(view.row.run_id)
    return content


def cancel_reason(run_id: str) -> str:
    """The content of a cancelled run that had produced nothing."""
    return f"Run {run_id} was cancelled"


def messages_of(view: RunView) -> list[Message] | None:
    """The run's conversation, without earlier runs, which AgentOS does not store with it either. None: not stored."""
    if not view.messages:
        return None
    tools = view.output.tools if view.output else ()
    stopping = {call.id for call in tools if call.stops_run}
    messages = agno_messages(view.row.run_id, view.messages, int(view.row.created_at), stopping)
    return [message for message in messages if view.has_history or not message["from_history"]]


def metrics_of(view: RunView) -> RunMetrics:
    """The run's metrics; ``{}`` until it has finished or paused."""
    row = view.row
    return run_metrics(view.output, row.model, row.model_provider) if row.state.is_settled else {}


def tools_of(view: RunView) -> list[ToolExecution]:
    """The run's tool calls, in order. Those that a paused run waits for are as in its requirements."""
    if view.output is None:
        return []
    tools = [tool_object(call) for call in view.output.tools]
    if view.row.state is not RunState.PAUSED:
        return tools
    requirements = requirement_objects(view.output.requirements, view.row.run_id)
    waiting = {item["tool_execution"]["tool_call_id"]: item["tool_execution"] for item in requirements}
    return [waiting.get(tool["tool_call_id"], tool) for tool in tools]


def last_event(view: RunView) -> JsonObject | None:
    """The event with which the run finished or paused, for lists. None if it did neither.

    Lists of runs need it: agno-client takes a run that has content and no event for a run that failed early, and does
    not show its content.
    """
    match view.row.state:
        case RunState.ERROR:
            return error_event(view)
        case RunState.PAUSED:
            return paused_event(view)
        case RunState.CANCELLED:
            return {**_event(view, "Cancelled"), "reason": cancel_reason(view.row.run_id)}
        case RunState.COMPLETED:
            event = _event(view, "Completed")
            event["content"] = content_of(view)
            event["content_type"] = view.output.content_type if view.output else "str"
            return event
    return None


def error_event(view: RunView) -> JsonObject:
    """The event with which the run failed."""
    event = _event(view, "Error")
    event["error" if view.row.component_kind == "workflow" else "content"] = content_of(view)
    error = view.output.error if view.output else None
    if error:
        event["error_type"] = error["code"]
        event.update((name, error[name]) for name in ("error_id", "additional_data") if name in error)
    return event


def paused_event(view: RunView) -> JsonObject:
    """The event with which the run paused."""
    event = _event(view, "Paused")
    event["content"] = content_of(view) or ""
    if view.row.component_kind == "workflow":
        return {**event, **waiting_lists(view.output.requirements if view.output else (), view.row.run_id)}
    requirements = requirement_objects(view.output.requirements if view.output else (), view.row.run_id)
    event["tools"] = [requirement["tool_execution"] for requirement in requirements]
    event["requirements"] = requirements
    return event


_EVENT_PREFIXES: dict[ComponentKind, str] = {"agent": "Run", "team": "TeamRun", "workflow": "Workflow"}


def _event(view: RunView, name: str) -> JsonObject:
    row = view.row
    kind = row.component_kind
    event: JsonObject = {
        "created_at": int(row.ended_at or row.created_at),
        "event": f"{_EVENT_PREFIXES[kind]}{name}",
        f"{kind}_id": row.component_id,
        f"{kind}_name": row.component_name,
        "run_id": row.run_id,
    }
    if row.parent_id:
        event["parent_run_id"] = row.parent_id
    event["session_id"] = row.session_id
    return event


# --- parts of a run -----------------------------------------------------------------------------------


def _parent(row: RunRow) -> _Parent:
    return {"parent_run_id": row.parent_id} if row.parent_id else {}


def _user(row: RunRow) -> _User:
    return {} if row.user_id is None else {"user_id": row.user_id}


def _answer(view: RunView) -> _Answer:
    content, output = content_of(view), view.output
    content_type = output.content_type if output and content is output.content else "str"
    answer: _Answer = {"content": content, "content_type": content_type}
    if content is None:
        del answer["content"]
    if output and output.reasoning:
        answer["reasoning_content"] = output.reasoning
    if output and output.reasoning_steps:
        answer["reasoning_steps"] = output.reasoning_steps
    return answer


def _session_state(view: RunView) -> _SessionState:
    output = view.output
    state: _SessionState = {"session_state": output.session_state} if output and output.session_state else {}
    return {**state, **changed_memories(output)}


def _events(view: RunView, is_post: bool) -> _Events:
    state = view.row.state
    if state is RunState.ERROR:
        return {"events": [error_event(view)]}
    if state is RunState.PAUSED:
        return {"events": [paused_event(view)]}
    return {} if is_post and state.is_final else {"events": []}


def step_executor_runs(view: RunView) -> _StepRuns:
    """The runs that the steps of a workflow's run started, each with the id of its step; and that of its agent."""
    outputs = [(run.row, run_output(run, is_post=True)) for run in view.members]
    steps = [{**output, "workflow_step_id": step_id_of(row)} for row, output in outputs if row.step is not None]
    agent = next((output for row, output in outputs if row.step is None), None)
    runs = {"step_executor_runs": steps or None, "workflow_agent_run": agent}
    return cast(_StepRuns, {name: value for name, value in runs.items() if value is not None})


def _metadata(view: RunView) -> _Metadata:
    metadata = view.input.options.get("metadata")
    return {} if metadata is None else {"metadata": metadata}


def _conversation(view: RunView, is_post: bool) -> _Conversation:
    state, output = view.row.state, view.output
    conversation: _Conversation = {"messages": messages} if (messages := messages_of(view)) else {}
    conversation = {**conversation, **_metadata(view)}
    if state is RunState.PAUSED and output:
        conversation["requirements"] = requirement_objects(output.requirements, view.row.run_id)
    tools = tools_of(view)
    if tools or (is_post and state is RunState.COMPLETED):
        conversation["tools"] = tools
    return {**conversation, **run_references(output), **media_of(output)}


def _history(row: RunRow) -> _History:
    history: _History = {"attempts": row.attempt} if row.parent_id is None else {}
    if row.forked_from is not None:
        history["forked_from"] = row.forked_from
    if row.copied_from is not None:
        history["copied_from"] = row.copied_from
    if row.queued_at is not None:
        history["queued_at"] = row.queued_at
    if row.started_at is not None:
        history["started_at"] = row.started_at
    if row.first_token_at is not None:
        history["first_token_at"] = row.first_token_at
    if row.ended_at is not None:
        history["ended_at"] = row.ended_at
    return history


def _progress(view: RunView) -> _Progress:
    row, output = view.row, view.output
    progress: _Progress = {}
    if view.queue_position is not None and STATUS[row.state] == "PENDING":
        progress["queue_position"] = view.queue_position
    if (cancel := _cancel_request(view)) is not None:
        progress["cancel"] = cancel
    if output is not None and output.cost:
        progress["cost"] = output.cost
    if budget := view.budget or (output.budget if output is not None else None):
        progress["budget"] = budget
    if row.state is RunState.ERROR:
        progress["error"] = _error_object(row, output)
    if (totals := totals_of(row)) is not None:
        progress["totals"] = totals
    if (activity := activity_of(row)) is not None:
        progress["activity"] = activity
    return progress


def _cancel_request(view: RunView) -> CancelRequest | None:
    row = view.row
    if row.cancel_requested_at is None:
        return None
    cancel: CancelRequest = {"requested_at": row.cancel_requested_at, "by": row.cancel_by}
    if row.state is RunState.CANCELLED:
        cancel["steps"] = cast(list[CutOffStep], view.output.cut_off) if view.output else []
    return cancel


def _error_object(row: RunRow, output: Output | None) -> RunError:
    error = (output.error if output else None) or {}
    value: RunError = {
        "code": error.get("code") or row.error_code or RunFailed.run_code,
        "message": error.get("message") or RunFailed().message,
        "retryable": bool(error.get("retryable", False)),
    }
    if error_id := error.get("error_id"):
        value["error_id"] = error_id
    if additional_data := error.get("additional_data"):
        value["additional_data"] = additional_data
    if partial := error.get("partial"):
        value["partial"] = partial
    return value
