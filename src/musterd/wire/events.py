"""Neutral events as AgentOS's: a name and a JSON object with the peer's fields in the peer's order.

A team's events are named ``Team…``; an agent's, at the top or as a member, go without; a workflow's are in
:mod:`musterd.wire.workflow_events`. ``nested_depth``
(0 for the root, 1 for its members), ``at`` (unix seconds with fractions) and ``event_index`` are added.
``docs/reference/events.md`` lists them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.errors import RunFailed
from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import ComponentKind, Output, RunRow, RunView, ToolCall, Usage
from musterd.wire.memories import memory_object
from musterd.wire.metrics import run_metrics
from musterd.wire.requirements import requirement_objects
from musterd.wire.run_media import media_of
from musterd.wire.runs import cancel_reason, run_output
from musterd.wire.summary import session_summary
from musterd.wire.tools import tool_line, tool_object
from musterd.wire.workflow_events import BODIES as WORKFLOW_BODIES
from musterd.wire.workflow_events import NAMES as WORKFLOW_NAMES
from musterd.wire.workflow_events import name_of, step_head

AGENT_NAMES: dict[EventKind, str] = {
    EventKind.RUN_STARTED: "RunStarted",
    EventKind.MODEL_REQUEST_STARTED: "ModelRequestStarted",
    EventKind.MODEL_REQUEST_RETRIED: "ModelRequestRetried",
    EventKind.MODEL_LOADING_STARTED: "ModelLoadingStarted",
    EventKind.MODEL_LOADING_COMPLETED: "ModelLoadingCompleted",
    EventKind.MODEL_PROMPT_PROGRESS: "ModelPromptProgress",
    EventKind.CONTENT: "RunContent",
    EventKind.MODEL_REQUEST_COMPLETED: "ModelRequestCompleted",
    EventKind.TOOL_CALL_STARTED: "ToolCallStarted",
    EventKind.TOOL_CALL_COMPLETED: "ToolCallCompleted",
    EventKind.TOOL_CALL_ERROR: "ToolCallError",
    EventKind.ANSWER: "RunContent",
    EventKind.CONTENT_COMPLETED: "RunContentCompleted",
    EventKind.SESSION_SUMMARY_STARTED: "SessionSummaryStarted",
    EventKind.SESSION_SUMMARY_COMPLETED: "SessionSummaryCompleted",
    EventKind.MEMORY_UPDATE_STARTED: "MemoryUpdateStarted",
    EventKind.MEMORY_UPDATE_COMPLETED: "MemoryUpdateCompleted",
    EventKind.RUN_COMPLETED: "RunCompleted",
    EventKind.RUN_ERROR: "RunError",
    EventKind.RUN_CANCELLED: "RunCancelled",
    EventKind.RUN_PAUSED: "RunPaused",
    EventKind.RUN_CONTINUED: "RunContinued",
    EventKind.MESSAGE_RECEIVED: "MessageReceived",
    EventKind.INTERMEDIATE_CONTENT: "RunIntermediateContent",
    EventKind.REASONING_STARTED: "ReasoningStarted",
    EventKind.REASONING_CONTENT_DELTA: "ReasoningContentDelta",
    EventKind.REASONING_STEP: "ReasoningStep",
    EventKind.REASONING_COMPLETED: "ReasoningCompleted",
    EventKind.PARSER_MODEL_RESPONSE_STARTED: "ParserModelResponseStarted",
    EventKind.PARSER_MODEL_RESPONSE_COMPLETED: "ParserModelResponseCompleted",
    EventKind.OUTPUT_MODEL_RESPONSE_STARTED: "OutputModelResponseStarted",
    EventKind.OUTPUT_MODEL_RESPONSE_COMPLETED: "OutputModelResponseCompleted",
    EventKind.COMPRESSION_STARTED: "CompressionStarted",
    EventKind.COMPRESSION_COMPLETED: "CompressionCompleted",
    EventKind.TASK_ITERATION_STARTED: "TaskIterationStarted",
    EventKind.TASK_ITERATION_COMPLETED: "TaskIterationCompleted",
    EventKind.TASK_STATE_UPDATED: "TaskStateUpdated",
    EventKind.TASK_CREATED: "TaskCreated",
    EventKind.TASK_UPDATED: "TaskUpdated",
    EventKind.CUSTOM: "CustomEvent",
    EventKind.PRE_HOOK_STARTED: "PreHookStarted",
    EventKind.PRE_HOOK_COMPLETED: "PreHookCompleted",
    EventKind.POST_HOOK_STARTED: "PostHookStarted",
    EventKind.POST_HOOK_COMPLETED: "PostHookCompleted",
}
"""The name of each kind in an agent's run; a team's has ``Team`` before it, but for a tool's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Who an event's run is: the fields that every event of it repeats.

    :param step: the head of the step that the run is of, if a workflow started it.
    """

    component_kind: ComponentKind
    component_id: str
    component_name: str
    parent_run_id: str | None = None
    model: str = ""
    model_provider: str = ""
    step: JsonObject | None = None

    @classmethod
    def of(cls, row: RunRow) -> "RunIdentity":
        """The identity of the run in ``row``."""
        return cls(
            component_kind=row.component_kind,
            component_id=row.component_id,
            component_name=row.component_name,
            parent_run_id=row.parent_id,
            model=row.model,
            model_provider=row.model_provider,
            step=None if row.step is None else jsontext.loads(row.step),
        )

    @classmethod
    def started(cls, event: Event) -> "RunIdentity":
        """The identity that the event of a run's start tells."""
        data = event.data
        return cls(
            component_kind=data["component_kind"],
            component_id=data["component_id"],
            component_name=data["component_name"],
            parent_run_id=data.get("parent_id"),
            model=data.get("model", ""),
            model_provider=data.get("model_provider", ""),
            step=data.get("step"),
        )


def event_name(kind: EventKind, component_kind: ComponentKind) -> str:
    """The peer's name for ``kind`` in a run of a component."""
    if component_kind == "workflow" and kind in WORKFLOW_NAMES:
        return WORKFLOW_NAMES[kind]
    has_team = component_kind == "team" and kind is not EventKind.CUSTOM
    return f"Team{AGENT_NAMES[kind]}" if has_team else AGENT_NAMES[kind]


def member_ids(event: Event) -> list[str]:
    """The member runs whose outputs this event carries: those of a delegating run that completed."""
    if event.kind is not EventKind.RUN_COMPLETED:
        return []
    return list(event.data.get("members") or ())


def is_content_only(event: Event, root_id: str, root_kind: ComponentKind = "team") -> bool:
    """Whether a stream with ``stream_events=false`` shows this event.

    It shows the root's text and end with its members' events; of a workflow its start and end, the outputs of its
    functions, and the texts of its steps' runs.
    """
    is_of_root = event.run_id == root_id
    if root_kind == "workflow":
        kinds = _WORKFLOW_CONTENT if is_of_root else _CONTENT
        return event.kind in kinds
    return not is_of_root or event.kind in _ANSWERS or event.kind in END_EVENTS


_ANSWERS = frozenset({EventKind.CONTENT, EventKind.ANSWER})
_CONTENT = _ANSWERS | {EventKind.STEP_CONTENT}
_WORKFLOW_CONTENT = (
    END_EVENTS
    | _CONTENT
    | {
        EventKind.RUN_STARTED,
        EventKind.WORKFLOW_CALLED,
        EventKind.WORKFLOW_AGENT_COMPLETED,
        EventKind.STEP_OUTPUT,
    }
)


class EventRenderer:
    """Renders the events of one root run.

    :param session_id: the session of the run.
    :param runs: who the runs of the tree are, by run id; a member whose start is rendered may be missing.
    """

    def __init__(self, session_id: str, runs: Mapping[str, RunIdentity]) -> None:
        self._session_id = session_id
        self._runs = dict(runs)
        self._heads: dict[str, dict[str, Any]] = {}

    def can_place(self, event: Event) -> bool:
        """Whether it is known whose the event is, and where in the tree."""
        if event.run_id in self._runs:
            return True
        return event.kind is EventKind.RUN_STARTED and event.data.get("parent_id") in self._runs

    def identity(self, run_id: str) -> RunIdentity:
        """Who the run is. Raises KeyError for a run that nobody told of."""
        return self._runs[run_id]

    def is_workflow_agent(self, run_id: str) -> bool:
        """Whether the run is that of a workflow's agent, which none of its steps started."""
        who = self.identity(run_id)
        parent = self._parent(who)
        return parent is not None and parent.component_kind == "workflow" and who.step is None

    def learn(self, runs: Mapping[str, RunIdentity]) -> None:
        """Take in who further runs of the tree are."""
        self._runs.update(runs)

    def head(self, run_id: str) -> dict[str, Any]:
        """The fields between ``event`` and what is special to a kind: who, which run, where in the tree."""
        head = self._heads.get(run_id)
        if head is None:
            head = self._heads[run_id] = self._make_head(run_id)
        return head

    def render(self, event: Event, index: int, members: Sequence[RunView] = ()) -> tuple[str, dict[str, Any]]:
        """The name and the JSON object of ``event``.

        :param index: the event's index in the root run.
        :param members: views of the runs that :func:`member_ids` names, for ``member_responses``.
        """
        if event.kind is EventKind.RUN_STARTED and event.run_id not in self._runs:
            self._runs[event.run_id] = RunIdentity.started(event)
        who = self.identity(event.run_id)
        own_name = name_of(event) if who.component_kind == "workflow" else None
        name = own_name or event_name(event.kind, who.component_kind)
        value: dict[str, Any] = {"created_at": int(event.at), "event": name, **self.head(event.run_id)}
        if who.component_kind == "workflow" and event.kind in WORKFLOW_BODIES:
            value.update(WORKFLOW_BODIES[event.kind](event))
        else:
            value.update(_BODIES[event.kind](event, who))
        if "workflow_agent" in value and self.is_workflow_agent(event.run_id):
            value["workflow_agent"] = True
        if members:
            _add_members(value, members)
        value["at"] = round(event.at, 3)
        value["event_index"] = index
        return name, value

    def _make_head(self, run_id: str) -> dict[str, Any]:
        who = self.identity(run_id)
        kind = who.component_kind
        head: dict[str, Any] = {
            f"{kind}_id": who.component_id,
            f"{kind}_name": who.component_name,
            "run_id": run_id,
        }
        if who.parent_run_id:
            head["parent_run_id"] = who.parent_run_id
        head["session_id"] = self._session_id
        if kind != "workflow":
            head.update(self._step_of(who))
        head["nested_depth"] = self._depth(who)
        return head

    def _step_of(self, who: RunIdentity) -> dict[str, Any]:
        """The step that the run, or the run that it is a member of, is of; nothing outside a workflow."""
        parent = self._parent(who)
        while who.step is None and parent is not None:
            who, parent = parent, self._parent(parent)
        if who.step is None or parent is None:
            return {}
        head = {"workflow_id": parent.component_id, "workflow_run_id": who.parent_run_id, **step_head(who.step)}
        head.pop("parent_step_id", None)
        return head

    def _parent(self, who: RunIdentity) -> RunIdentity | None:
        return None if who.parent_run_id is None else self._runs.get(who.parent_run_id)

    def _depth(self, who: RunIdentity) -> int:
        depth = 0
        while (parent := self._parent(who)) is not None:
            who = parent
            depth += 1
        return depth


def _add_members(value: dict[str, Any], members: Sequence[RunView]) -> None:
    """Put the members' outputs where the peer has them: before the metrics."""
    metrics = value.pop("metrics")
    value["member_responses"] = [run_output(view, is_post=True) for view in members]
    value["metrics"] = metrics


def _model(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {
        "model": event.data.get("model", who.model),
        "model_provider": event.data.get("model_provider", who.model_provider),
    }


def _prompt_progress(event: Event, who: RunIdentity) -> dict[str, Any]:
    counts = {name: event.data[name] for name in ("read_tokens", "prompt_tokens")}
    return {**_model(event, who), **counts}


def _retried(event: Event, who: RunIdentity) -> dict[str, Any]:
    data = event.data
    return {"try": data.get("try"), "wait_seconds": data.get("wait_seconds"), "reason": data.get("reason")}


def _content(event: Event, who: RunIdentity) -> dict[str, Any]:
    value: dict[str, Any] = {"content": event.data.get("text") or ""}
    if who.component_kind == "agent":
        value["workflow_agent"] = False
    value["content_type"] = "str"
    value["reasoning_content"] = event.data.get("reasoning") or ""
    return value


def _answer(event: Event, who: RunIdentity) -> dict[str, Any]:
    value: dict[str, Any] = {"content": event.data["content"]}
    if who.component_kind == "agent":
        value["workflow_agent"] = False
    value["content_type"] = event.data["content_type"]
    return value


def _intermediate(event: Event, who: RunIdentity) -> dict[str, Any]:
    value: dict[str, Any] = {"content": event.data.get("text") or "", "content_type": "str"}
    if reasoning := event.data.get("reasoning"):
        value["reasoning_content"] = reasoning
    return value


def _reasoning_delta(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {"reasoning_content": event.data.get("reasoning") or ""}


def _model_completed(event: Event, who: RunIdentity) -> dict[str, Any]:
    usage = Usage.from_json(event.data.get("usage"))
    value = _model(event, who)
    value["input_tokens"] = usage.input_tokens
    value["output_tokens"] = usage.output_tokens
    value["total_tokens"] = usage.input_tokens + usage.output_tokens
    if (seconds := event.data.get("first_token_seconds")) is not None:
        value["time_to_first_token"] = seconds
    value["reasoning_tokens"] = usage.reasoning_tokens
    value["cache_read_tokens"] = usage.cache_read_tokens
    value["cache_write_tokens"] = usage.cache_write_tokens
    return value


def _tool_started(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {"tool": tool_object(ToolCall.from_json(event.data["tool"]))}


def _tool_completed(event: Event, who: RunIdentity) -> dict[str, Any]:
    call = ToolCall.from_json(event.data["tool"])
    value: dict[str, Any] = {"content": tool_line(call), "tool": tool_object(call)}
    if references := event.data.get("references"):
        value["references"] = references
    for medium in event.data.get("media") or ():
        value.setdefault(medium["name"], []).append(medium["item"])
    return value


def _tool_error(event: Event, who: RunIdentity) -> dict[str, Any]:
    call = ToolCall.from_json(event.data["tool"])
    return {"error": call.result or "", "tool": tool_object(call)}


def _nothing(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {}


def _summed_up(event: Event, who: RunIdentity) -> dict[str, Any]:
    summary = session_summary(event.data.get("session_summary"))
    return {} if summary is None else {"session_summary": summary}


def _memories_updated(event: Event, who: RunIdentity) -> dict[str, Any]:
    data = event.data
    value: dict[str, Any] = {"memories": [memory_object(memory, data["user_id"]) for memory in data["memories"]]}
    value.update((name, data[name]) for name in ("added", "updated", "removed", "skipped") if name in data)
    if error := data.get("error"):
        value.update({"error": error["message"], "error_type": error["code"]})
    return value


def _completed(event: Event, who: RunIdentity) -> dict[str, Any]:
    output = Output.from_json(event.data["output"])
    value: dict[str, Any] = {} if output.content is None else {"content": output.content}
    value["content_type"] = output.content_type
    if output.reasoning:
        value["reasoning_content"] = output.reasoning
    value.update(media_of(output))
    if output.reasoning_steps:
        value["reasoning_steps"] = output.reasoning_steps
    if output.references:
        value["references"] = output.references
    if output.session_state:
        value["session_state"] = output.session_state
    if output.memories:
        value["memories"] = output.memories
    value["metrics"] = run_metrics(output, who.model, who.model_provider)
    if output.cost:
        value["cost"] = output.cost
    return value


def _error(event: Event, who: RunIdentity) -> dict[str, Any]:
    error = event.data.get("error") or {}
    value: dict[str, Any] = {"content": event.data.get("content") or error.get("message") or RunFailed().message}
    if code := error.get("code"):
        value["error_type"] = code
    value.update((name, error[name]) for name in ("error_id", "additional_data") if name in error)
    return value


def _cancelled(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {"reason": event.data.get("reason") or cancel_reason(event.run_id)}


_BY_KIND = {
    "tools_requiring_confirmation": "requires_confirmation",
    "tools_requiring_user_input": "requires_user_input",
    "tools_awaiting_external_execution": "external_execution_required",
}
"""What a person is asked for, and the calls that wait for it. Never an empty list: agno-client takes the first that is
there, and an empty one is there too."""


def _paused(event: Event, who: RunIdentity) -> dict[str, Any]:
    requirements = requirement_objects(event.data.get("requirements") or (), event.run_id)
    tools = [requirement["tool_execution"] for requirement in requirements]
    value = {"content": event.data.get("content") or "", "tools": tools, "requirements": requirements}
    for name, flag in _BY_KIND.items():
        if waiting := [tool for tool in tools if tool.get(flag)]:
            value[name] = waiting
    return value


def _continued(event: Event, who: RunIdentity) -> dict[str, Any]:
    value = {name: event.data[name] for name in ("attempt", "reason") if event.data.get(name) is not None}
    return {**value, "superseded": event.data.get("superseded") or []}


def _pre_hook(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {"pre_hook_name": event.data["hook"], "run_input": {"input_content": event.data["input"]}}


def _post_hook(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {"post_hook_name": event.data["hook"]}


def _event_data(event: Event, who: RunIdentity) -> dict[str, Any]:
    return {name: value for name, value in event.data.items() if value is not None}


_BODIES: dict[EventKind, Callable[[Event, RunIdentity], dict[str, Any]]] = {
    EventKind.RUN_STARTED: _model,
    EventKind.MODEL_REQUEST_STARTED: _model,
    EventKind.MODEL_REQUEST_RETRIED: _retried,
    EventKind.MODEL_LOADING_STARTED: _model,
    EventKind.MODEL_LOADING_COMPLETED: _model,
    EventKind.MODEL_PROMPT_PROGRESS: _prompt_progress,
    EventKind.CONTENT: _content,
    EventKind.MODEL_REQUEST_COMPLETED: _model_completed,
    EventKind.TOOL_CALL_STARTED: _tool_started,
    EventKind.TOOL_CALL_COMPLETED: _tool_completed,
    EventKind.TOOL_CALL_ERROR: _tool_error,
    EventKind.ANSWER: _answer,
    EventKind.CONTENT_COMPLETED: _nothing,
    EventKind.SESSION_SUMMARY_STARTED: _nothing,
    EventKind.SESSION_SUMMARY_COMPLETED: _summed_up,
    EventKind.MEMORY_UPDATE_STARTED: _nothing,
    EventKind.MEMORY_UPDATE_COMPLETED: _memories_updated,
    EventKind.RUN_COMPLETED: _completed,
    EventKind.RUN_ERROR: _error,
    EventKind.RUN_CANCELLED: _cancelled,
    EventKind.RUN_PAUSED: _paused,
    EventKind.RUN_CONTINUED: _continued,
    EventKind.MESSAGE_RECEIVED: lambda event, who: {"content": event.data["text"]},
    EventKind.INTERMEDIATE_CONTENT: _intermediate,
    EventKind.REASONING_STARTED: _nothing,
    EventKind.REASONING_CONTENT_DELTA: _reasoning_delta,
    EventKind.REASONING_STEP: _event_data,
    EventKind.REASONING_COMPLETED: _event_data,
    EventKind.PARSER_MODEL_RESPONSE_STARTED: _nothing,
    EventKind.PARSER_MODEL_RESPONSE_COMPLETED: _nothing,
    EventKind.OUTPUT_MODEL_RESPONSE_STARTED: _nothing,
    EventKind.OUTPUT_MODEL_RESPONSE_COMPLETED: _nothing,
    EventKind.COMPRESSION_STARTED: _nothing,
    EventKind.COMPRESSION_COMPLETED: _event_data,
    EventKind.TASK_ITERATION_STARTED: _event_data,
    EventKind.TASK_ITERATION_COMPLETED: _event_data,
    EventKind.TASK_STATE_UPDATED: _event_data,
    EventKind.TASK_CREATED: _event_data,
    EventKind.TASK_UPDATED: _event_data,
    EventKind.CUSTOM: _event_data,
    EventKind.PRE_HOOK_STARTED: _pre_hook,
    EventKind.PRE_HOOK_COMPLETED: _pre_hook,
    EventKind.POST_HOOK_STARTED: _post_hook,
    EventKind.POST_HOOK_COMPLETED: _post_hook,
}
