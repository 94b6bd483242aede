"""The records that rooms hand to each other: what the store keeps of a session, a run, a step.

They are what was stored, without the wire's names (:mod:`musterd.wire` has those) and without behaviour.
Times are unix seconds as floats. ``dict`` values are JSON objects as stored.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.scheduling import OnBusy
from musterd.core.states import RunState

ComponentKind = Literal["team", "agent"]


@dataclass(slots=True, kw_only=True)
class Usage:
    """Tokens that model calls used.

    :param estimated_tokens: of calls that a crash cut off, as far as a budget has to count them.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    estimated_tokens: int = 0

    def add(self, other: "Usage") -> None:
        """Count ``other`` in."""
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.cache_read_tokens += other.cache_read_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.estimated_tokens += other.estimated_tokens

    def subtract(self, other: "Usage") -> None:
        """Take ``other`` out."""
        self.input_tokens -= other.input_tokens
        self.output_tokens -= other.output_tokens
        self.reasoning_tokens -= other.reasoning_tokens
        self.cache_read_tokens -= other.cache_read_tokens
        self.cache_write_tokens -= other.cache_write_tokens

    def as_json(self) -> dict[str, int]:
        """The counts that are not zero, input and output always."""
        counts = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        for name in ("reasoning_tokens", "cache_read_tokens", "cache_write_tokens", "estimated_tokens"):
            if value := getattr(self, name):
                counts[name] = value
        return counts

    @classmethod
    def from_json(cls, counts: dict[str, int] | None) -> "Usage":
        """The usage that :meth:`as_json` wrote."""
        return cls(**(counts or {}))


@dataclass(slots=True, kw_only=True)
class ToolCall:
    """One tool call of a run, as it is stored and shown.

    :param id: the call's id, unique in the root run.
    :param args: the arguments as the model gave them.
    :param is_error: None before it ran; True when the tool raised or could not be run.
    :param result: what the model was told, as text.
    :param child_run_id: the member's run, for a delegation.
    :param asked: what a person was asked about the call first, and said: kind, fields, approval_type, approval_id,
        verdict, note.
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
    asked: JsonObject | None = None

    def as_json(self) -> JsonObject:
        """The call as a JSON object, keys named as the fields; ``asked`` only where somebody was."""
        value = {name: getattr(self, name) for name in _TOOL_CALL_FIELDS}
        return value if self.asked is None else {**value, "asked": self.asked}

    @classmethod
    def from_json(cls, value: JsonObject) -> "ToolCall":
        """The call that :meth:`as_json` wrote; unknown keys of newer versions are left out."""
        return cls(**{name: value[name] for name in _TOOL_CALL_FIELDS if name in value}, asked=value.get("asked"))


_TOOL_CALL_FIELDS = tuple(name for name in ToolCall.__slots__ if name != "asked")


@dataclass(slots=True, kw_only=True)
class Output:
    """What a run produced so far, or in the end. Stored as JSON in ``run_io.output``.

    :param content: the answer: text, or an object when ``content_type`` names a schema.
    :param content_type: "str" or the output schema's name.
    :param first_token_seconds: from the start of the run to the first text of its model.
    :param seconds: from the start of the run's first attempt to its end.
    :param session_state: the user's state after the run; None when there is none.
    :param error: why the run ended in ERROR: code, message, retryable.
    :param requirements: what a paused run waits for, each as ``core.requirements.Requirement.as_json``.
    :param cut_off: steps that were under way when the run was cancelled: path, kind, name, outcome (``StepOutcome``).
    :param cost: of the model calls of the run and its members in US dollars; None where one has no list price.
    :param budget: each ceiling that the run had, with what was spent of it and what is left.
    :param media: images, audio, videos, files that its tools and its model made: as an input's, by reference.
    :param reasoning_steps: steps of reasoning, in the peer's shape.
    :param asides: tokens of ``usage`` that are not the run's own model's, by who used them: role, model, provider,
        usage.
    """

    content: Json = None
    content_type: str = "str"
    reasoning: str = ""
    usage: Usage = field(default_factory=Usage)
    first_token_seconds: float | None = None
    seconds: float | None = None
    tools: list[ToolCall] = field(default_factory=list)
    session_state: JsonObject | None = None
    error: JsonObject | None = None
    requirements: list[JsonObject] = field(default_factory=list)
    cut_off: list[JsonObject] = field(default_factory=list)
    cost: float | None = None
    budget: JsonObject | None = None
    asides: list[JsonObject] = field(default_factory=list)
    reasoning_steps: list[JsonObject] = field(default_factory=list)
    media: dict[str, list[JsonObject]] = field(default_factory=dict)

    def count_aside(self, role: str, model: str, provider: str, usage: Usage) -> None:
        """Count the tokens of a model call that is not one of the run's turns."""
        self.usage.add(usage)
        for aside in self.asides:
            if (aside["role"], aside["model"], aside["provider"]) == (role, model, provider):
                whole = Usage.from_json(aside["usage"])
                whole.add(usage)
                aside["usage"] = whole.as_json()
                return
        self.asides.append({"role": role, "model": model, "provider": provider, "usage": usage.as_json()})

    def as_json(self) -> JsonObject:
        """The output as a JSON object; what is empty is left out."""
        value: JsonObject = {"content": self.content, "content_type": self.content_type}
        value["usage"] = self.usage.as_json()
        if self.tools:
            value["tools"] = [call.as_json() for call in self.tools]
        for name in ("reasoning", "first_token_seconds", "seconds", "session_state", "error", "budget", "cost"):
            if (item := getattr(self, name)) not in (None, ""):
                value[name] = item
        for name in ("requirements", "cut_off", "asides", "reasoning_steps", "media"):
            if item := getattr(self, name):
                value[name] = item
        return value

    @classmethod
    def from_json(cls, value: JsonObject) -> "Output":
        """The output that :meth:`as_json` wrote."""
        return cls(
            content=value.get("content"),
            content_type=value.get("content_type", "str"),
            reasoning=value.get("reasoning", ""),
            usage=Usage.from_json(value.get("usage")),
            first_token_seconds=value.get("first_token_seconds"),
            seconds=value.get("seconds"),
            tools=[ToolCall.from_json(item) for item in value.get("tools", ())],
            session_state=value.get("session_state"),
            error=value.get("error"),
            requirements=value.get("requirements", []),
            cut_off=value.get("cut_off", []),
            budget=value.get("budget"),
            asides=value.get("asides", []),
            reasoning_steps=value.get("reasoning_steps", []),
            media=value.get("media", {}),
            cost=value.get("cost"),
        )


@dataclass(slots=True, kw_only=True)
class Input:
    """What a run was asked. Stored as JSON in ``run_io.input``.

    :param message: the user's message, or a member's task, verbatim.
    :param media: images, audio, videos, files: lists of objects (url or content, mime_type, id, filename).
    :param options: what was asked beside the message: session_state, dependencies, metadata, output_schema,
        knowledge_filters, add_history_to_context, stream_events; only what was given.
    """

    message: str
    media: dict[str, list[JsonObject]] = field(default_factory=dict)
    options: JsonObject = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        """The input as a JSON object; what is empty is left out."""
        value: JsonObject = {"message": self.message}
        if self.media:
            value["media"] = self.media
        if self.options:
            value["options"] = self.options
        return value

    @classmethod
    def from_json(cls, value: JsonObject) -> "Input":
        """The input that :meth:`as_json` wrote."""
        return cls(message=value["message"], media=value.get("media", {}), options=value.get("options", {}))


@dataclass(slots=True, kw_only=True)
class RunRow:
    """One row of ``runs``: a root run, or a member's run inside it. Field by field the narrow columns.

    :param forked_from: the failed run of its session that it goes on from.
    :param copied_from: the run that it is a copy of, made when the session was forked: nothing was done for it.
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
    signals: int = 0
    forked_from: str | None = None
    webhooks: str | None = None
    copied_from: str | None = None
    trace_id: str | None = None
    traceparent: str | None = None


@dataclass(slots=True, kw_only=True)
class RunView:
    """A run as a reader sees it: its row and its payload.

    :param messages: the conversation in pydantic-ai's JSON form, or None while it runs.
    :param queue_position: runs of its session that are ahead, while the run is pending; else None.
    :param members: views of the member runs, where the reader asked for them.
    :param budget: of a run that has not ended, as :class:`Output` has it at the end.
    """

    row: RunRow
    input: Input
    output: Output | None = None
    messages: list[JsonObject] | None = None
    queue_position: int | None = None
    members: "list[RunView]" = field(default_factory=list)
    budget: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to one run of a tree.

    :param run_id: whose model is to read it.
    :param taken_path: the model call that saw it, once one did.
    :param next_run_id: the run that it began, where no call of its own run saw it.
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

    :param owner: the user that a token proved when the session began, else None. Isolation goes by this.
    :param user_id: what its first client called the user: a label.
    :param name: the name a person gave, else None: then the first message is shown (``first_message``).
    :param next_seq: the sequence number the next accepted run gets.
    :param deleted_at: when it was deleted; ahead of now while it is being made, and nobody sees it yet.
    :param summary: what was said in it so far: summary, topics, as_of (a time), run_id (who summed it up, or "").
    :param forked_from: the session whose ended runs it began with.
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


class StepKind(StrEnum):
    """What a journal step did."""

    PREPARE = "prepare"  # took from the world what the run needs: instructions, time, state, history
    MODEL = "model"  # one model call
    TOOL = "tool"  # one tool call
    DELEGATE = "delegate"  # one member's run
    HOOK = "hook"  # one hook before or after a run


class StepState(StrEnum):
    """Where a journal step stands."""

    STARTED = "started"  # the intent is stored, the effect may have happened
    COMPLETED = "completed"  # the result is stored
    FAILED = "failed"  # the tool itself raised, or refused before sending
    UNKNOWN = "unknown"  # nobody can say whether the effect happened
    WAITING = "waiting"  # a person must decide first


class StepOutcome(StrEnum):
    """What became of a step that was under way when its run was cancelled."""

    STOPPED = "stopped"  # it was ended where it was
    FINISHED = "finished"  # it came to its own end first; its result is stored
    UNKNOWN = "unknown"  # it goes on in its thread, or nobody was there to see
    ABANDONED = "abandoned"  # it did not end when it was cancelled, and was left running; its result is void


CODEC = 1
"""How results of steps are written; one more where older programs could not read it. Older ways stay readable."""


@dataclass(slots=True, kw_only=True)
class StepRow:
    """One row of ``journal``.

    :param path: the step's place in the run tree, relative to the root.
    :param fingerprint: hash of what was asked (kind, component, tool, canonical arguments); never the request.
    :param result: JSON text, or None before there is one.
    :param cost: of a model call in US dollars; None where its model has no list price.
    :param codec: how the result is written.
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
    usage: Usage | None = None
    cost: float | None = None
    codec: int = CODEC
