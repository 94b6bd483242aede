"""Stored records of sessions, runs and journal steps, as the packages pass them to each other.

They mirror what is stored and have no behaviour; :mod:`musterd.wire` translates them into the names of the API.
Times are unix seconds as floats. ``dict`` values are JSON objects as stored.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from musterd.core import long_json
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.queueing import OnBusy
from musterd.core.states import RunState

ComponentKind = Literal["team", "agent", "workflow"]
COMPONENT_KINDS: tuple[ComponentKind, ...] = ("agent", "team", "workflow")


@dataclass(slots=True, kw_only=True)
class Usage:
    """Tokens that model calls used.

    :param estimated_tokens: tokens of calls that a crash interrupted, estimated so that a budget can count them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated_tokens: int = 0

    def add(self, other: "Usage") -> None:
        """Add ``other`` to these counts."""
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.cache_read_tokens += other.cache_read_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.estimated_tokens += other.estimated_tokens

    def subtract(self, other: "Usage") -> None:
        """Subtract ``other`` from these counts."""
        self.input_tokens -= other.input_tokens
        self.output_tokens -= other.output_tokens
        self.reasoning_tokens -= other.reasoning_tokens
        self.cache_read_tokens -= other.cache_read_tokens
        self.cache_write_tokens -= other.cache_write_tokens

    def as_json(self) -> dict[str, int]:
        """The counts that are not zero; input and output tokens always."""
        counts = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        for name in ("reasoning_tokens", "cache_read_tokens", "cache_write_tokens", "estimated_tokens"):
            if value := getattr(self, name):
                counts[name] = value
        return counts

    @classmethod
    def from_json(cls, counts: dict[str, int] | None) -> "Usage":
        """Parse what :meth:`as_json` wrote."""
        return cls(**(counts or {}))


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """One tool call of a run, as it is stored and returned to clients.

    :param id: unique in the root run.
    :param args: the arguments as the model sent them.
    :param is_error: None before the call; True if the tool raised or could not be run.
    :param result: the text that the model received.
    :param child_run_id: the member's run, for a delegation.
    :param approval: if the call needed one: kind, fields, approval_type, approval_id, verdict, note.
    """

    id: str
    name: str
    args: JsonObject
    created_at: float
    is_error: bool | None = None
    result: str | None = None
    started_at: float | None = None
    seconds: float | None = None
    child_run_id: str | None = None
    stops_run: bool = False
    approval: JsonObject | None = None

    def as_json(self) -> JsonObject:
        """The call as a JSON object with the field names as keys; ``approval`` only if it needed one."""
        value = {name: getattr(self, name) for name in _TOOL_CALL_FIELDS}
        return value if self.approval is None else {**value, "approval": self.approval}

    @classmethod
    def from_json(cls, value: JsonObject) -> "ToolCall":
        """Parse what :meth:`as_json` wrote, and ignore unknown keys of newer versions."""
        fields = {name: value[name] for name in _TOOL_CALL_FIELDS if name in value}
        return cls(**fields, approval=value.get("approval"))


_TOOL_CALL_FIELDS = tuple(name for name in ToolCall.__slots__ if name != "approval")


@dataclass(slots=True, kw_only=True)
class Output:
    """The output of a run, partial until the run finishes. Stored as JSON in ``run_io.output``.

    :param content: the answer: text, or an object if ``content_type`` names a schema.
    :param content_type: "str" or the name of the output schema.
    :param first_token_seconds: from the start of the run to the first text of its model.
    :param seconds: from the start of the run's first attempt to its end.
    :param session_state: the session state after the run, if there is one.
    :param state_changes: of a paused run, its changes to the session's state so far: {"set": {…}, "removed": […]}. They
        count if it ends without a further attempt.
    :param error: why the run finished in ERROR: code, message, retryable.
    :param requirements: what a paused run waits for, each as ``core.requirements.Requirement.as_json``.
    :param cut_off: steps that were in progress when the run was cancelled: path, kind, name, outcome
        (``StepOutcome``).
    :param cost: cost of the model calls of the run and its members in US dollars; None if a model has no list price.
    :param budget: each ceiling of the run, with the amounts spent and left.
    :param media: images, audio, videos and files that its tools and its model produced, by reference like an input's.
    :param reasoning_steps: the reasoning steps, in AgentOS's shape.
    :param references: what its searches of knowledge bases found: query, references, time of each.
    :param step_results: of a workflow, the StepOutputs of its own steps so far, as JSON with the keys of AgentOS. Large
        contents are in the journal (``core.step_contents``).
    :param content_at: of a workflow, where in the journal its content is, if it is large.
    :param is_agent_answer: of a workflow, whether its agent answered without running it.
    :param memories: the ids of memories of its user that the run added, updated and removed, in lists by these names.
    :param asides: the part of ``usage`` that other models than the run's own used: role, model, provider, usage.
    """

    content: Json = None
    content_type: str = "str"
    reasoning: str = ""
    usage: Usage = field(default_factory=Usage)
    first_token_seconds: float | None = None
    seconds: float | None = None
    tools: list[ToolCall] = field(default_factory=list)
    session_state: JsonObject | None = None
    state_changes: JsonObject | None = None
    error: JsonObject | None = None
    requirements: list[JsonObject] = field(default_factory=list)
    cut_off: list[JsonObject] = field(default_factory=list)
    cost: float | None = None
    budget: JsonObject | None = None
    asides: list[JsonObject] = field(default_factory=list)
    reasoning_steps: list[JsonObject] = field(default_factory=list)
    references: list[JsonObject] = field(default_factory=list)
    media: dict[str, list[JsonObject]] = field(default_factory=dict)
    step_results: list[JsonObject] = field(default_factory=list)
    content_at: JsonObject | None = None
    is_agent_answer: bool = False
    memories: JsonObject = field(default_factory=dict)

    def count_aside(self, role: str, model: str, provider: str, usage: Usage) -> None:
        """Add the tokens of a model call that is not one of the run's turns."""
        self.usage.add(usage)
        for aside in self.asides:
            if (aside["role"], aside["model"], aside["provider"]) == (role, model, provider):
                total = Usage.from_json(aside["usage"])
                total.add(usage)
                aside["usage"] = total.as_json()
                return
        self.asides.append({"role": role, "model": model, "provider": provider, "usage": usage.as_json()})

    def count_asides(self, asides: Iterable[JsonObject]) -> None:
        """Add the tokens of model calls that another output has counted."""
        for aside in asides:
            self.count_aside(aside["role"], aside["model"], aside["provider"], Usage.from_json(aside["usage"]))

    def as_json(self) -> JsonObject:
        """The output as a JSON object, without empty fields."""
        value: JsonObject = {"content": self.content, "content_type": self.content_type}
        value["usage"] = self.usage.as_json()
        if self.tools:
            value["tools"] = [call.as_json() for call in self.tools]
        for name in ("reasoning", "first_token_seconds", "seconds", "session_state", "error", "budget", "cost"):
            if (field_value := getattr(self, name)) not in (None, ""):
                value[name] = field_value
        fields = (
            "requirements",
            "cut_off",
            "asides",
            "reasoning_steps",
            "references",
            "media",
            "step_results",
            "memories",
            "state_changes",
        )
        for name in fields:
            if field_value := getattr(self, name):
                value[name] = field_value
        if self.content is None and self.content_at is not None:
            value["content_at"] = self.content_at
        if self.is_agent_answer:
            value["is_agent_answer"] = True
        return value

    @property
    def characters(self) -> int:
        """About how long its JSON is."""
        parts = (self.content, self.session_state, self.step_results)
        return sum(long_json.characters_of(part) for part in parts if part) + sum(
            len(call.result or "") for call in self.tools
        )

    def as_event(self) -> JsonObject:
        """The output as an event of its run has it: the same, but a large content only as a reference."""
        return self.as_json() if self.content_at is None else replace(self, content=None).as_json()

    @classmethod
    def from_json(cls, value: JsonObject) -> "Output":
        """Parse what :meth:`as_json` wrote."""
        return cls(
            content=value.get("content"),
            content_type=value.get("content_type", "str"),
            reasoning=value.get("reasoning", ""),
            usage=Usage.from_json(value.get("usage")),
            first_token_seconds=value.get("first_token_seconds"),
            seconds=value.get("seconds"),
            tools=[ToolCall.from_json(item) for item in value.get("tools", ())],
            session_state=value.get("session_state"),
            state_changes=value.get("state_changes"),
            error=value.get("error"),
            requirements=value.get("requirements", []),
            cut_off=value.get("cut_off", []),
            budget=value.get("budget"),
            asides=value.get("asides", []),
            reasoning_steps=value.get("reasoning_steps", []),
            references=value.get("references", []),
            media=value.get("media", {}),
            step_results=value.get("step_results", []),
            content_at=value.get("content_at"),
            is_agent_answer=value.get("is_agent_answer", False),
            cost=value.get("cost"),
            memories=value.get("memories", {}),
        )


@dataclass(slots=True, kw_only=True)
class Input:
    """The input of a run. Stored as JSON in ``run_io.input``.

    :param message: the user's message, or the task of a member, verbatim.
    :param media: images, audio, videos, files: lists of objects (url or content, mime_type, id, filename).
    :param options: the options that the request set: session_state, dependencies, metadata, output_schema,
        knowledge_filters, add_history_to_context, stream_events.
    """

    message: str
    media: dict[str, list[JsonObject]] = field(default_factory=dict)
    options: JsonObject = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        """The input as a JSON object, without empty fields."""
        value: JsonObject = {"message": self.message}
        if self.media:
            value["media"] = self.media
        if self.options:
            value["options"] = self.options
        return value

    @classmethod
    def from_json(cls, value: JsonObject) -> "Input":
        """Parse what :meth:`as_json` wrote."""
        return cls(message=value["message"], media=value.get("media", {}), options=value.get("options", {}))


@dataclass(slots=True, kw_only=True)
class RunRow:
    """One row of ``runs``: a root run, or the run of a member inside it. Each field is a column.

    :param forked_from: the finished run of its session that it continues.
    :param copied_from: the run that it is a copy of, if it was copied by a fork of the session; a copy never executed.
    :param totals: of a root run, what its tree has used so far: JSON text of ``core.totals.Totals``.
    :param activity: of a root run, what it does now: JSON text with kind, run_id, member, tool and since.
    :param step: of a run that a step of a workflow started, the step: JSON text with step_id, step_name, step_index and
        parent_step_id.
    """

    run_id: str
    root_id: str
    parent_id: str | None
    session_id: str
    owner: str | None = None
    user_id: str | None
    component_kind: ComponentKind
    component_id: str
    component_name: str
    model: str
    model_provider: str
    state: RunState
    path: str = ""
    lane: str | None = None
    seq: int | None = None
    holder: str | None = None
    on_busy: OnBusy = OnBusy.ENQUEUE
    priority: int = 0
    hold_paused: bool = False
    attempt: int = 0
    crashes: int = 0
    worker: str | None = None
    next_event: int = 0
    version: int = 0
    salt: str | None = None
    definition_hash: str = ""
    is_background: bool = False
    cancel_on_disconnect: int = 0
    created_at: float = 0.0
    queued_at: float | None = None
    started_at: float | None = None
    first_token_at: float | None = None
    ended_at: float | None = None
    not_before: float | None = None
    deadline_at: float | None = None
    cancel_requested_at: float | None = None
    cancel_by: str | None = None
    error_code: str | None = None
    totals: str | None = None
    activity: str | None = None
    signals: int = 0
    forked_from: str | None = None
    webhooks: str | None = None
    copied_from: str | None = None
    trace_id: str | None = None
    traceparent: str | None = None
    step: str | None = None


class AttemptOutcome(StrEnum):
    """How an attempt of a run ended, if its run went on."""

    LOST = "lost"  # its process died
    HANDED_OVER = "handed_over"  # its process was stopped
    PAUSED = "paused"  # the run waits for a person
    END_NOT_STORED = "released"  # its end could not be stored; the run is retried


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAttempt:
    """One row of ``run_attempts``.

    :param worker: the process that drove the run.
    :param outcome: None while it is at work, and if it ended its run.
    """

    attempt: int
    worker: str | None
    started_at: float
    ended_at: float | None = None
    outcome: AttemptOutcome | None = None


@dataclass(slots=True, kw_only=True)
class RunView:
    """A run as a client reads it: its row and its payload.

    :param messages: the conversation in pydantic-ai's JSON form, or None while it runs.
    :param queue_position: how many runs of its session are ahead of a pending run; None if it is not pending.
    :param members: views of the member runs, if they were requested.
    :param budget: the budget of an unfinished run, in the form that :class:`Output` has when the run finishes.
    :param characters: about how long its output and its conversation are, with the contents that were filled in.
    :param is_cut: whether these texts were too long for the read, so ``output`` and ``messages`` are None.
    :param has_history: whether the conversation is shown with the messages of earlier runs that it begins with.
    """

    row: RunRow
    input: Input
    output: Output | None = None
    messages: list[JsonObject] | None = None
    queue_position: int | None = None
    members: "list[RunView]" = field(default_factory=list)
    budget: JsonObject | None = None
    characters: int = 0
    is_cut: bool = False
    has_history: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringMessage:
    """A message to one run of a tree.

    :param run_id: the run whose model is to read it.
    :param taken_path: the path of the model call that read it, once one did.
    :param next_run_id: the run that it started, if no model call of its own run read it.
    """

    id: str
    run_id: str
    text: str
    sent_by: str
    created_at: float
    taken_at: float | None = None
    taken_path: str | None = None
    next_run_id: str | None = None


@dataclass(slots=True, kw_only=True)
class SessionRow:
    """One row of ``sessions``.

    :param owner: the user that a token authenticated when the session was created, else None. Isolation uses this.
    :param user_id: the user id that the first request sent; only a label.
    :param name: the name that a person set; if None, clients see ``first_message`` instead.
    :param next_seq: the sequence number of the next accepted run.
    :param deleted_at: when it was deleted. A time in the future hides a session that is still being created.
    :param summary: the summary so far: summary, topics, as_of (a time), run_id (the run that made it, or "").
    :param forked_from: the session whose finished runs were copied into it.
    :param has_state: False in a list that leaves the state out because it is long; then ``state`` is empty.
    """

    session_id: str
    owner: str | None
    user_id: str | None
    component_kind: ComponentKind
    component_id: str
    name: str | None
    first_message: str
    state: JsonObject
    metadata: JsonObject | None
    next_seq: int
    created_at: float
    updated_at: float
    deleted_at: float | None = None
    summary: JsonObject | None = None
    forked_from: str | None = None
    has_state: bool = True


class StepKind(StrEnum):
    """The kind of a journal step."""

    PREPARE = "prepare"  # recorded the inputs of the run: instructions, time, state, history
    MODEL = "model"  # one model call
    LOAD = "load"  # loaded the model of a call into memory; stored with the call, and read by no attempt
    TOOL = "tool"  # one tool call
    DELEGATE = "delegate"  # one member's run
    RETRIEVE = "retrieve"  # one search of a knowledge base before the first turn
    HOOK = "hook"  # one hook before or after a run
    FUNCTION = "function"  # one call of a function that is a step of a workflow
    CHOICE = "choice"  # what an evaluator, a selector or an end condition of a workflow said
    ASK = "ask"  # a question to a person about a step of a workflow

    @property
    def has_effect(self) -> bool:
        """Whether the step calls a function that may have had its effect if it was cut off."""
        return self in (StepKind.TOOL, StepKind.FUNCTION)


class StepState(StrEnum):
    """The state of a journal step."""

    STARTED = "started"  # the intent is stored; the effect may have happened
    COMPLETED = "completed"  # the result is stored
    FAILED = "failed"  # the tool raised, or rejected the call before it had an effect
    UNKNOWN = "unknown"  # it is unknown whether the effect happened
    WAITING = "waiting"  # a person must decide first
    CANCELLED = "cancelled"  # a model call that was stopped, because its run was


class StepOutcome(StrEnum):
    """What happened to a step that was in progress when its run was cancelled."""

    STOPPED = "stopped"  # it was cancelled
    FINISHED = "finished"  # it finished first; its result is stored
    UNKNOWN = "unknown"  # it continues in its thread, or no process observed how it ended
    ABANDONED = "abandoned"  # it ignored the cancellation and was left running; its result is discarded


CODEC = 1
"""The encoding version of step results. Increase it if older programs cannot read the new encoding; keep reading old
versions."""


@dataclass(slots=True, kw_only=True)
class StepRow:
    """One row of ``journal``.

    :param path: the position of the step in the run tree, relative to the root.
    :param fingerprint: hash of the kind, component, tool and canonical arguments; the request itself is not stored.
    :param name: the tool's or the hook's name, or the name of the model.
    :param call_id: the id that the model gave to a tool call.
    :param tries: how often a model was called, with retries; 0 for other steps, and if a model of this process was not
        needed for the answer.
    :param result: JSON text, or None before there is a result.
    :param content: the text of the result of a workflow's step, if it is large; it is not part of ``result`` then. It
        is written with the step, and read only when it is needed.
    :param error: why a model call failed, as clients may read it: JSON text with code and message.
    :param cost: cost of a model call in US dollars; None if its model has no list price.
    :param codec: the encoding version of the result.
    :param earlier: earlier attempts of the step, oldest first: JSON text of a list of objects with attempt, started_at,
        ended_at and outcome.
    :param timing: why a model call took its time: JSON text with ``first_token_seconds``, from the start of the step to
        the first piece of the answer, and ``retries``: the tries that failed before the last one.
    """

    root_id: str
    path: str
    kind: StepKind
    state: StepState
    fingerprint: str
    attempt: int
    started_at: float
    ended_at: float | None = None
    result: str | None = None
    content: str | None = None
    usage: Usage | None = None
    cost: float | None = None
    codec: int = CODEC
    name: str | None = None
    call_id: str | None = None
    tries: int = 0
    error: str | None = None
    earlier: str | None = None
    timing: str | None = None

    @property
    def is_taken_over(self) -> bool:
        """Whether the step was copied from the run that this one was forked from."""
        return self.attempt == 0
