"""What the loop needs of the world: steps that are recorded once, and somebody to tell what happens.

:mod:`musterd.engine.journal` implements this over the store; tests implement it in a few lines.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic_ai.messages import ModelResponse

from musterd.core.events import Event
from musterd.core.records import Output, StepKind, Usage

Emit = Callable[[Event], None]
JsonValue = object


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the run tree: a path relative to the root, and the run that it belongs to."""

    path: str
    run_id: str

    def at(self, step: str) -> str:
        """The path of ``step`` here."""
        return f"{self.path}/{step}" if self.path else step


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A tool call that is about to happen, stored before it does."""

    path: str
    kind: StepKind
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStep:
    """One finished model call."""

    response: ModelResponse
    usage: Usage
    seconds: float
    first_token_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStep:
    """One finished tool call or delegation.

    :param result: what the model is told, as text.
    :param is_error: whether the tool itself failed or was refused.
    :param seconds: how long it took.
    """

    result: str
    is_error: bool
    started_at: float
    seconds: float
    child_run_id: str | None = None
    stops_run: bool = False


@dataclass(slots=True, kw_only=True)
class MemberStart:
    """A member's run that is about to begin: everything its row needs."""

    path: str
    run_id: str
    parent_id: str
    component_kind: str
    component_id: str
    component_name: str
    model: str
    model_provider: str
    task: str
    at: float


@dataclass(slots=True, kw_only=True)
class MemberEnd:
    """How a member's run ended: its state, what it produced, its conversation as JSON texts."""

    run_id: str
    state: str
    at: float
    output: Output
    messages: list[str] = field(default_factory=list)


class Steps(Protocol):
    """Steps of one attempt. Each is stored under its path; what is stored is never done again.

    Every method raises :class:`musterd.core.errors.LeaseLost` when the attempt is not the run's current one.
    """

    def prepared(self, path: str, fingerprint: str, result: str) -> None:
        """Record what ``prepare`` took from the world; stored with the next commit."""

    async def model(
        self, path: str, fingerprint: str, call: Callable[[], Awaitable[ModelStep]]
    ) -> ModelStep:
        """Make one model call and record its result; stored with the next commit."""
        ...

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Commit what is recorded so far together with the intents of the tool calls that follow."""
        ...

    async def tool(self, intent: Intent, call: Callable[[], Awaitable[ToolStep]]) -> ToolStep:
        """Do one tool call whose intent is stored, and commit its result."""
        ...

    async def member(
        self, intent: Intent, call: Callable[[], Awaitable[tuple[ToolStep, MemberEnd]]]
    ) -> ToolStep:
        """Drive one member's run whose intent is stored, and commit its end and its result."""
        ...
