"""A run to drive, and its output so far."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Generic

from pydantic_ai.messages import ModelMessage, TextPart, UserContent
from typing_extensions import TypeVar

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import Medium
from musterd.core.records import Output
from musterd.declare import Component, Tool
from musterd.declare.component import BaseComponent
from musterd.declare.tool_result import Media
from musterd.loop.conversation import Conversation

C_co = TypeVar("C_co", bound=BaseComponent, covariant=True, default=Component)
C = TypeVar("C", bound=BaseComponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(Generic[C_co]):
    """A run to drive: the root, or a member's.

    :param path: its place in the run tree; "" for the root.
    :param prompt: the user's message or the task, verbatim: text, or text and media.
    :param history: messages of earlier runs of the session.
    :param state: the run's working copy of the session state.
    :param history_runs: ids of the runs in ``history``.
    :param session_state: the session state before this run; only a root has it.
    :param depth: the number of teams above it.
    :param output_schema: the schema of the answer from the request; it overrides the component's own.
    :param context: additional paragraphs of the system message.
    :param resolved: dependencies that the component's functions returned, by name.
    :param inherited_dependencies: the leader's dependencies; they override its own.
    :param inherited_metadata: the leader's metadata; it overrides its own.
    :param opens_session: whether it is the first run of its session.
    :param session_summary: the summary of the session before this run.
    :param request_options: context options of the request; they override the component's own.
    :param media: media of the root's request, for tools.
    :param speaks_for: the run under whose id this run's text is emitted: a leader that routed to it.
    :param step: what identifies the step of a workflow that started it: step_id, step_name, step_index, parent_step_id.
    :param tools: the tools that it gets from the workflow whose agent it is the run of.
    :param leader_filters: the leader's ``knowledge_filters``, for a component that declares none.
    :param search_results: the results of its searches so far, by query and filter.
    """

    component: C_co
    run_id: str
    parent_id: str | None
    path: str
    prompt: str | Sequence[UserContent]
    state: JsonObject
    depth: int = 0
    history: Sequence[ModelMessage] = ()
    history_runs: Sequence[str] = ()
    session_state: JsonObject = field(default_factory=dict)
    output_schema: JsonObject | None = None
    context: Sequence[str] = ()
    resolved: JsonObject = field(default_factory=dict)
    inherited_dependencies: JsonObject = field(default_factory=dict)
    inherited_metadata: JsonObject = field(default_factory=dict)
    opens_session: bool = False
    session_summary: str = ""
    request_options: JsonObject = field(default_factory=dict)
    speaks_for: str | None = None
    step: JsonObject | None = None
    media: Mapping[str, list[Media]] = field(default_factory=dict)
    tools: Sequence[Tool] = ()
    leader_filters: Json = None
    search_results: dict[str, str] = field(default_factory=dict)

    def of(self, component: C) -> "Assignment[C]":
        """The same run of another component, or of its own with a more precise type."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "component"}
        return Assignment(component=component, **values)

    @property
    def voice(self) -> str:
        """The id of the run under which this run's text is emitted."""
        return self.speaks_for or self.run_id

    @property
    def dependencies(self) -> JsonObject:
        """Its dependencies, without the request's, which override them."""
        return {**(self.component.spec.dependencies or {}), **self.resolved, **self.inherited_dependencies}

    @property
    def metadata(self) -> JsonObject:
        """Its metadata, without the request's, which overrides it."""
        return {**(self.component.spec.metadata or {}), **self.inherited_metadata}

    def at(self, step: str) -> str:
        """The path of one of its steps."""
        return f"{self.path}/{step}" if self.path else step


@dataclass(slots=True)
class Progress:
    """The output of a run so far. It outlives an interrupted drive.

    :param partial: the text of the current model call, piece by piece.
    :param members: ids of the members' runs.
    :param results_in_answer: tool results that are shown at the start of the answer.
    :param is_answered: whether the answer is final; later failures do not change it.
    :param cancel_reason: why it ends as cancelled, if a person rejected a step that it needs.
    :param summary: the session's new summary: summary, topics, as_of, and the id of the run that made it.
    """

    output: Output = field(default_factory=Output)
    partial: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    results_in_answer: list[str] = field(default_factory=list)
    conversation: Conversation | None = None
    is_answered: bool = False
    cancel_reason: str | None = None
    summary: JsonObject | None = None
    is_reasoning: bool = False

    def add_media(self, media: Iterable[Medium]) -> None:
        """Add media to the run's output."""
        for medium in media:
            self.output.media.setdefault(medium.name, []).append(medium.item)

    @property
    def messages(self) -> list[str]:
        """The conversation as JSON texts."""
        return self.conversation.texts if self.conversation is not None else []

    @property
    def partial_text(self) -> str:
        """The text of the model call that is under way or was cut off, otherwise of the last turn."""
        return "".join(self.partial)

    @property
    def latest_text(self) -> str:
        """The partial text of the current model call, or the last text that this run's model said."""
        messages = self.conversation.own_messages if self.conversation is not None else ()
        texts = (
            "".join(part.content for part in message.parts if isinstance(part, TextPart))
            for message in reversed(messages)
        )
        return self.partial_text or next((text for text in texts if text), "")
