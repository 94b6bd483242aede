"""One run to drive, and what it has produced so far."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_ai.messages import ModelMessage, TextPart, UserContent

from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium
from musterd.core.records import Output
from musterd.declare import Component
from musterd.declare.tool_result import Media
from musterd.loop.conversation import Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One run to drive.

    :param path: its place in the tree; "" for the root.
    :param prompt: the user's message or the task, verbatim: text, or text and media.
    :param history: messages of earlier runs of the session.
    :param state: the session's state as this run sees it; the run changes it.
    :param history_runs: the runs that ``history`` is of.
    :param session_state: the session's state before this run; a root's alone.
    :param depth: teams above it.
    :param output_schema: the form of the answer that the request asked for, above the component's own.
    :param context: what else its system message tells.
    :param resolved: what the component's functions gave for its dependencies, by name.
    :param inherited_dependencies: those of its leader; they stand above its own.
    :param inherited_metadata: that of its leader; it stands above its own.
    :param opens_session: whether it is the first of its session.
    :param session_summary: what was said in the session before, summed up.
    :param asked: what the request says of the context, above the component's own options.
    :param media: what came with the root's request, for tools.
    :param speaks_for: the run as whose text its own is told: that of a leader that routed to it.
    """

    component: Component
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
    asked: JsonObject = field(default_factory=dict)
    speaks_for: str | None = None
    media: Mapping[str, list[Media]] = field(default_factory=dict)

    @property
    def voice(self) -> str:
        """The run as whose text its own is told."""
        return self.speaks_for or self.run_id

    @property
    def dependencies(self) -> JsonObject:
        """Its dependencies without the request's, which stand above them."""
        return {**(self.component.spec.dependencies or {}), **self.resolved, **self.inherited_dependencies}

    @property
    def metadata(self) -> JsonObject:
        """Its metadata without the request's, which stand above it."""
        return {**(self.component.spec.metadata or {}), **self.inherited_metadata}

    def at(self, step: str) -> str:
        """The path of one of its steps."""
        return f"{self.path}/{step}" if self.path else step


@dataclass(slots=True)
class Progress:
    """What a run has produced so far; kept when it is cut off.

    :param shown: results of tools that begin its answer.
    :param is_answered: whether the answer stands, and what follows cannot change it.
    :param summary: what was said in the session, summed up anew: summary, topics, as_of, and the run that did it.
    """

    output: Output = field(default_factory=Output)
    partial: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    conversation: Conversation | None = None
    is_answered: bool = False
    summary: JsonObject | None = None
    is_reasoning: bool = False

    def add_media(self, media: Iterable[Medium]) -> None:
        """Show media among what the run has produced."""
        for medium in media:
            self.output.media.setdefault(medium.name, []).append(medium.item)

    @property
    def messages(self) -> list[str]:
        """The conversation as JSON texts."""
        return self.conversation.texts if self.conversation is not None else []

    @property
    def partial_text(self) -> str:
        """What the model has said of the answer it was cut off in, or of its last turn."""
        return "".join(self.partial)

    @property
    def said_so_far(self) -> str:
        """What the model is saying, or what it said last."""
        messages = self.conversation.messages if self.conversation is not None else ()
        said = ("".join(part.content for part in one.parts if isinstance(part, TextPart)) for one in reversed(messages))
        return self.partial_text or next((text for text in said if text), "")
