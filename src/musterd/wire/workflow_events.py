"""The events of a workflow's own run as AgentOS's: their names, and what is special to each kind.

The events of a step's agent or team keep their names; :class:`musterd.wire.events.EventRenderer` adds the step's head.
"""

from collections.abc import Callable, Mapping

from musterd.core.errors import RunFailed
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Output
from musterd.wire.requirements import waiting_lists
from musterd.wire.run_media import media_of

NAMES: Mapping[EventKind, str] = {
    EventKind.RUN_STARTED: "WorkflowStarted",
    EventKind.RUN_COMPLETED: "WorkflowCompleted",
    EventKind.RUN_ERROR: "WorkflowError",
    EventKind.RUN_CANCELLED: "WorkflowCancelled",
    EventKind.RUN_PAUSED: "WorkflowPaused",
    EventKind.RUN_CONTINUED: "WorkflowContinued",
    EventKind.STEP_STARTED: "StepStarted",
    EventKind.STEP_CONTENT: "RunContent",
    EventKind.STEP_OUTPUT: "StepOutput",
    EventKind.STEP_COMPLETED: "StepCompleted",
    EventKind.STEP_ERROR: "StepError",
    EventKind.STEP_PAUSED: "StepPaused",
    EventKind.CONDITION_PAUSED: "ConditionPaused",
    EventKind.ROUTER_PAUSED: "RouterPaused",
    EventKind.STEPS_STARTED: "StepsExecutionStarted",
    EventKind.STEPS_COMPLETED: "StepsExecutionCompleted",
    EventKind.PARALLEL_STARTED: "ParallelExecutionStarted",
    EventKind.PARALLEL_COMPLETED: "ParallelExecutionCompleted",
    EventKind.LOOP_STARTED: "LoopExecutionStarted",
    EventKind.LOOP_ITERATION_STARTED: "LoopIterationStarted",
    EventKind.LOOP_ITERATION_COMPLETED: "LoopIterationCompleted",
    EventKind.LOOP_COMPLETED: "LoopExecutionCompleted",
    EventKind.CONDITION_STARTED: "ConditionExecutionStarted",
    EventKind.CONDITION_COMPLETED: "ConditionExecutionCompleted",
    EventKind.ROUTER_STARTED: "RouterExecutionStarted",
    EventKind.ROUTER_COMPLETED: "RouterExecutionCompleted",
    EventKind.WORKFLOW_CALLED: "WorkflowStarted",
    EventKind.WORKFLOW_AGENT_COMPLETED: "WorkflowAgentCompleted",
}
"""The name of each kind that a workflow's run names in its own way; other kinds have the names of an agent's run."""


def name_of(event: Event) -> str | None:
    """The name of an event of a workflow's run; None: it has that of an agent's run."""
    if event.kind is EventKind.RUN_STARTED and event.data.get("has_agent"):
        return "WorkflowAgentStarted"
    return NAMES.get(event.kind)


_HEAD = ("step_id", "parent_step_id", "step_name", "step_index")
_MEDIA = ("images", "videos", "audio", "response_audio")


def step_head(step: JsonObject) -> JsonObject:
    """The fields that name a step in each event about it; only those that it has."""
    return {name: step[name] for name in _HEAD if step.get(name) is not None}


def content_type(content: Json) -> str:
    """How AgentOS names the type of a step's content."""
    return type(content).__name__ if isinstance(content, dict | list) else "str"


def _about_step(*names: str, **renamed: str) -> Callable[[Event], JsonObject]:
    """The body of an event about a step: its head, and these values of the event's data.

    :param renamed: the name in the data of each value that AgentOS names otherwise.
    """

    def body(event: Event) -> JsonObject:
        value, data = step_head(event.data["step"]), event.data
        value.update((name, data[name]) for name in names if data.get(name) is not None)
        value.update((name, data.get(source)) for name, source in renamed.items())
        return value

    return body


def _step_completed(event: Event) -> JsonObject:
    output = event.data["output"]
    content = output.get("content")
    value: JsonObject = {**step_head(event.data["step"]), "content": content, "content_type": content_type(content)}
    value.update((name, output[name]) for name in _MEDIA if output.get(name))
    return {**value, "step_response": output}


def _step_output(event: Event) -> JsonObject:
    return {**step_head(event.data["step"]), "step_output": {**event.data["output"], "steps": None}}


def _step_content(event: Event) -> JsonObject:
    """The text as that of the run of a step's agent, whose events name the workflow and the step too."""
    head = step_head(event.data.get("step") or {})
    return {"workflow_run_id": event.run_id, **head, "content": event.data.get("text") or "", "content_type": "str"}


_PAUSES: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.STEP_PAUSED: (
        *("requires_confirmation", "confirmation_message"),
        *("requires_user_input", "user_input_message", "user_input_schema", "error_message", "error_type"),
    ),
    EventKind.CONDITION_PAUSED: ("requires_confirmation", "confirmation_message"),
    EventKind.ROUTER_PAUSED: (
        *("requires_confirmation", "confirmation_message"),
        *("available_choices", "user_input_message", "allow_multiple_selections"),
    ),
}


def _step_paused(event: Event) -> JsonObject:
    requirement = event.data["requirement"]
    names = (name for name in _PAUSES[event.kind] if requirement.get(name) is not None)
    return {**step_head(event.data["step"]), **{name: requirement[name] for name in names}}


def _completed(event: Event) -> JsonObject:
    output = Output.from_json(event.data["output"])
    value: JsonObject = {} if output.content is None else {"content": output.content}
    value["content_type"] = output.content_type
    value["step_results"] = output.step_results
    if output.is_agent_answer:
        value["metadata"] = {"agent_direct_response": True}
    value.update(media_of(output))
    if output.session_state:
        value["session_state"] = output.session_state
    if output.cost:
        value["cost"] = output.cost
    return value


def _error(event: Event) -> JsonObject:
    error = event.data.get("error") or {}
    value: JsonObject = {"error": error.get("message") or event.data.get("content") or RunFailed().message}
    if code := error.get("code"):
        value["error_type"] = code
    value.update((name, error[name]) for name in ("error_id", "additional_data") if name in error)
    return value


def _paused(event: Event) -> JsonObject:
    waiting = waiting_lists(event.data.get("requirements") or (), event.run_id)
    return {"content": event.data.get("content") or "", **waiting}


def _nothing(event: Event) -> JsonObject:
    return {}


BODIES: Mapping[EventKind, Callable[[Event], JsonObject]] = {
    EventKind.RUN_STARTED: _nothing,
    EventKind.RUN_COMPLETED: _completed,
    EventKind.RUN_ERROR: _error,
    EventKind.RUN_PAUSED: _paused,
    EventKind.STEP_STARTED: _about_step(),
    EventKind.STEP_CONTENT: _step_content,
    EventKind.STEP_OUTPUT: _step_output,
    EventKind.STEP_COMPLETED: _step_completed,
    EventKind.STEP_ERROR: _about_step("error", "error_type", "try", "will_retry"),
    EventKind.STEP_PAUSED: _step_paused,
    EventKind.CONDITION_PAUSED: _step_paused,
    EventKind.ROUTER_PAUSED: _step_paused,
    EventKind.STEPS_STARTED: _about_step("steps_count"),
    EventKind.STEPS_COMPLETED: _about_step("steps_count", "executed_steps", step_results="outputs"),
    EventKind.PARALLEL_STARTED: _about_step("parallel_step_count"),
    EventKind.PARALLEL_COMPLETED: _about_step("parallel_step_count", step_results="outputs"),
    EventKind.LOOP_STARTED: _about_step("max_iterations"),
    EventKind.LOOP_ITERATION_STARTED: _about_step("iteration", "max_iterations"),
    EventKind.LOOP_ITERATION_COMPLETED: _about_step(
        "iteration", "max_iterations", iteration_results="outputs", should_continue="should_continue"
    ),
    EventKind.LOOP_COMPLETED: _about_step("total_iterations", "max_iterations", all_results="outputs"),
    EventKind.CONDITION_STARTED: _about_step("condition_result"),
    EventKind.CONDITION_COMPLETED: _about_step("condition_result", "executed_steps", "branch", step_results="outputs"),
    EventKind.ROUTER_STARTED: _about_step("selected_steps"),
    EventKind.ROUTER_COMPLETED: _about_step("selected_steps", "executed_steps", step_results="outputs"),
    EventKind.WORKFLOW_CALLED: _nothing,
    EventKind.WORKFLOW_AGENT_COMPLETED: lambda event: {"content": event.data.get("content") or ""},
}
"""What follows the head of each kind, where it differs from an agent's run."""
