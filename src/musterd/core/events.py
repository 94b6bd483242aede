"""The events that a run emits.

They do not depend on a protocol; :mod:`musterd.wire.events` translates them into the names and shapes of AgentOS.
``docs/reference/events.md`` lists them.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from musterd.core.jsontypes import JsonObject


class EventKind(StrEnum):
    """The kinds of event, with the keys of their ``data``."""

    RUN_STARTED = "run_started"  # model, model_provider; has_agent of a workflow with an agent
    MODEL_REQUEST_STARTED = "model_request_started"  # model, model_provider
    MODEL_REQUEST_RETRIED = "model_request_retried"  # try, wait_seconds, reason
    MODEL_LOADING_STARTED = "model_loading_started"  # model, model_provider; a model that runs in this process
    MODEL_LOADING_COMPLETED = "model_loading_completed"  # model, model_provider
    MODEL_PROMPT_PROGRESS = "model_prompt_progress"  # model, model_provider, read_tokens, prompt_tokens
    CONTENT = "content"  # text, reasoning (a delta)
    MODEL_REQUEST_COMPLETED = "model_request_completed"  # model, model_provider, usage, first_token_seconds
    TOOL_CALL_STARTED = "tool_call_started"  # tool: ToolCall
    TOOL_CALL_COMPLETED = "tool_call_completed"  # tool: ToolCall; references of a search
    TOOL_CALL_ERROR = "tool_call_error"  # tool: ToolCall
    ANSWER = "answer"  # content, content_type: a structured answer as a whole
    CONTENT_COMPLETED = "content_completed"  # -
    SESSION_SUMMARY_STARTED = "session_summary_started"  # -
    SESSION_SUMMARY_COMPLETED = "session_summary_completed"  # session_summary: {summary, topics, as_of, run_id} or None
    MEMORY_UPDATE_STARTED = "memory_update_started"  # -
    MEMORY_UPDATE_COMPLETED = (
        "memory_update_completed"  # memories, user_id; ids: added, updated, removed, skipped; error
    )
    RUN_COMPLETED = "run_completed"  # output: Output, members: [member run ids in order]
    RUN_ERROR = "run_error"  # content, error: ErrorInfo
    RUN_CANCELLED = "run_cancelled"  # reason
    RUN_PAUSED = "run_paused"  # content, requirements
    RUN_CONTINUED = "run_continued"  # attempt, reason, superseded: [{run_id, path, from_event_index}]
    MESSAGE_RECEIVED = "message_received"  # text
    INTERMEDIATE_CONTENT = "intermediate_content"  # text, reasoning (a delta); see RunIntermediateContent
    REASONING_STARTED = "reasoning_started"  # -
    REASONING_CONTENT_DELTA = "reasoning_content_delta"  # reasoning (a delta)
    REASONING_STEP = "reasoning_step"  # content: a step, content_type, reasoning_content: all so far (the end)
    REASONING_COMPLETED = "reasoning_completed"  # content: {reasoning_steps}, content_type
    PARSER_MODEL_RESPONSE_STARTED = "parser_model_response_started"  # -
    PARSER_MODEL_RESPONSE_COMPLETED = "parser_model_response_completed"  # -
    OUTPUT_MODEL_RESPONSE_STARTED = "output_model_response_started"  # -
    OUTPUT_MODEL_RESPONSE_COMPLETED = "output_model_response_completed"  # -
    COMPRESSION_STARTED = "compression_started"  # -
    COMPRESSION_COMPLETED = "compression_completed"  # tool_results_compressed, original_size, compressed_size
    TASK_ITERATION_STARTED = "task_iteration_started"  # iteration, max_iterations
    TASK_ITERATION_COMPLETED = "task_iteration_completed"  # iteration, max_iterations, task_summary
    TASK_STATE_UPDATED = "task_state_updated"  # task_summary, goal_complete, tasks: [task]
    TASK_CREATED = "task_created"  # task_id, title, description, assignee, status, dependencies
    PRE_HOOK_STARTED = "pre_hook_started"  # hook, input
    PRE_HOOK_COMPLETED = "pre_hook_completed"  # hook, input
    POST_HOOK_STARTED = "post_hook_started"  # hook
    POST_HOOK_COMPLETED = "post_hook_completed"  # hook
    TASK_UPDATED = "task_updated"  # task_id, title, status, previous_status, assignee, result
    CUSTOM = "custom"  # tool_call_id, tool_name, content, and the details that the tool reported

    # Of a workflow. ``place`` is the path of the step; ``step`` is its head: step_id, step_name, step_index (a number,
    # or a list of two below a container), parent_step_id (below a container). ``output`` is a StepOutput as JSON, with
    # the keys of AgentOS; ``outputs`` is a list of them. The run of a step's agent, team or workflow has the head in
    # ``step`` of RUN_STARTED.
    STEP_STARTED = "step_started"  # step
    STEP_CONTENT = "step_content"  # step, path, text (a delta): what the generator of a step yields
    STEP_OUTPUT = "step_output"  # step, output; of a function that is a step of the workflow itself
    STEP_COMPLETED = "step_completed"  # step, output
    STEP_ERROR = "step_error"  # step, error, error_type, try (from 1), will_retry
    STEP_PAUSED = "step_paused"  # step, requirement: core.requirements.Requirement.step
    CONDITION_PAUSED = "condition_paused"  # step, requirement
    ROUTER_PAUSED = "router_paused"  # step, requirement
    STEPS_STARTED = "steps_started"  # step, steps_count
    STEPS_COMPLETED = "steps_completed"  # step, steps_count, executed_steps, outputs
    PARALLEL_STARTED = "parallel_started"  # step, parallel_step_count
    PARALLEL_COMPLETED = "parallel_completed"  # step, parallel_step_count, outputs
    LOOP_STARTED = "loop_started"  # step, max_iterations
    LOOP_ITERATION_STARTED = "loop_iteration_started"  # step, iteration (from 1), max_iterations
    LOOP_ITERATION_COMPLETED = "loop_iteration_completed"  # step, iteration, max_iterations, outputs, should_continue
    LOOP_COMPLETED = "loop_completed"  # step, total_iterations, max_iterations, outputs: a list for each iteration
    CONDITION_STARTED = "condition_started"  # step, condition_result
    CONDITION_COMPLETED = "condition_completed"  # step, condition_result, branch, executed_steps, outputs
    ROUTER_STARTED = "router_started"  # step, selected_steps
    ROUTER_COMPLETED = "router_completed"  # step, selected_steps, executed_steps, outputs
    WORKFLOW_CALLED = "workflow_called"  # -; the agent of the workflow runs it
    WORKFLOW_AGENT_COMPLETED = "workflow_agent_completed"  # content


END_EVENTS = frozenset({EventKind.RUN_COMPLETED, EventKind.RUN_ERROR, EventKind.RUN_CANCELLED, EventKind.RUN_PAUSED})

DELTAS = frozenset(
    {
        EventKind.CONTENT,
        EventKind.INTERMEDIATE_CONTENT,
        EventKind.REASONING_CONTENT_DELTA,
        EventKind.STEP_CONTENT,
    }
)
"""Kinds that carry a piece of a streamed text. Deltas are not deduplicated, and adjacent ones may be joined."""


@dataclass(slots=True)
class Event:
    """One event of one run in a tree.

    :param kind: the kind of event.
    :param run_id: the run that emitted it: the root or a member.
    :param at: unix seconds.
    :param data: details, by kind; JSON values only.
    :param place: the path of the step that it is about; "" for events about the run as a whole.
    """

    kind: EventKind
    run_id: str
    at: float
    data: JsonObject = field(default_factory=dict)
    place: str = ""

    @property
    def is_delta(self) -> bool:
        """Whether it is a piece of a streamed text. A text event with a place is complete and is emitted once."""
        return self.kind in DELTAS and not self.place

    @property
    def voice(self) -> str:
        """The run that clients see as the author of a text: the leader, if it routed the user to a member."""
        voice: str = self.data.get("voice", self.run_id)
        return voice

    @property
    def key(self) -> tuple[str, str, str]:
        """Identifies the event in its run tree, so that later attempts do not emit it again. Not unique for deltas."""
        return (self.run_id, self.kind.value, self.place)
