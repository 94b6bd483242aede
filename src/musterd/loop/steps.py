"""What the loop needs of the world: steps that are recorded once, and somebody to tell what happens.

:mod:`musterd.engine.journal` implements this over the store; tests implement it in a few lines.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from musterd.core.events import Event
from musterd.core.jsontypes import JsonObject
from musterd.core.media import Medium
from musterd.core.records import ComponentKind, Output, StepKind, StepState
from musterd.core.requirements import Requirement, RequirementKind
from musterd.core.states import RunState
from musterd.models.call import ModelAnswer

Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A tool call that is about to happen, stored before it does.

    :param path: its place in the run tree: never a run id, never a time.
    :param name: the tool's.
    :param fingerprint: hash of component, tool and canonical arguments.
    :param is_retry_safe: whether it may be made again when nobody can say whether it happened.
    :param on_unknown: what is done then where it may not: pause, retry or fail.
    :param is_stoppable: whether it ends when it is cancelled; a plain function goes on in its thread.
    :param asks: what a person is asked before it happens; None: nobody is.
    """

    path: str
    kind: StepKind
    name: str
    fingerprint: str
    is_retry_safe: bool = False
    on_unknown: str = "pause"
    is_stoppable: bool = True
    asks: Requirement | None = None

    def leaves_open(self, state: StepState) -> bool:
        """Whether a call that ended so is a question: nobody can say whether it happened, and it matters."""
        return state is StepState.UNKNOWN and not self.is_retry_safe


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStep:
    """One finished tool call or delegation.

    :param result: what came of it, as text.
    :param is_error: whether the tool failed, was refused, or nobody can say.
    :param state: how the journal has it.
    :param seconds: how long it took.
    :param settled_at: when a person, or a rule, said what came of it; None: it ended by itself.
    :param state_delta: what it changed in the session's state: {"set": {…}, "removed": […]}.
    :param media: the media that it returned beside its text.
    :param hook_effect: what hooks around a delegation did: ``changed`` what the members said, or ``skipped`` them.
    """

    result: str
    is_error: bool
    started_at: float
    seconds: float
    state: StepState = StepState.COMPLETED
    child_run_id: str | None = None
    state_delta: JsonObject | None = None
    media: tuple[Medium, ...] = ()
    hook_effect: Literal["changed", "skipped"] | None = None
    settled_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStart:
    """A member's run that is about to begin: what its row needs.

    :param budget: the ceilings that the member declares.
    """

    path: str
    run_id: str
    parent_id: str
    component_kind: ComponentKind
    component_id: str
    component_name: str
    model: str
    model_provider: str
    task: str
    at: float
    budget: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEnd:
    """How a member's run ended: its state, what it produced, its conversation as JSON texts.

    :param is_stopped: it alone was cancelled; the run goes on without it.
    """

    run_id: str
    state: RunState
    at: float
    output: Output
    messages: list[str] = field(default_factory=list)
    is_stopped: bool = False


class Steps(Protocol):
    """Steps of one attempt, each recorded once under its path.

    A later attempt of a run finds what earlier ones stored: no stored step is done again.

    :raises LeaseLost: from every method that stores, when the attempt is not the run's current one.
    :raises ReplayDiverged: from every method, when what is stored under a path is another step.
    """

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Record what a run takes from the world before its first turn; stored with the next commit.

        :return: what counts: ``taken``, or what an earlier attempt took.
        """
        ...

    async def heard(self, path: str, run_id: str) -> Sequence[str]:
        """What was said to a run and no earlier model call of it saw; taken with the step of the call at ``path``.

        :return: what counts: what has come, or what the stored call saw.
        """
        ...

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Take something from the world and record it, stored with the next commit; or give what is stored already.

        ``look`` changes nothing out there, so it may be asked again after a crash.
        """
        ...

    async def model(
        self, path: str, fingerprint: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call and record it, stored with the next commit; or give what is stored already.

        :return: the answer, and its message as JSON text.
        """
        ...

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Commit what is recorded so far, and with it that these tool calls and members' runs begin, or wait."""

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Do one tool call whose intent is stored, and commit its result; or give the result that is stored.

        :param require: what a person is asked, where nobody can say whether the call happened.
        :raises Waits: a person has to decide first.
        """
        ...

    def abandoned(self, path: str) -> None:
        """Note that the tool call at ``path`` did not end when it was cancelled, and was left running."""

    async def once(
        self, kind: StepKind, path: str, fingerprint: str, call: Callable[[], Awaitable[JsonObject]]
    ) -> JsonObject:
        """Do something of the loop's own, and commit its result; or give the result that is stored."""
        ...

    def input_changed(self, run_id: str, text: str) -> None:
        """Record that a run is asked this in place of what it was asked; stored with the next commit."""

    def member_ended(self, end: MemberEnd) -> None:
        """Record how a member's run ended; stored with the next commit, the latest with its delegation's result."""

    def first_token(self, at: float) -> None:
        """Note when the root's model gave its first text."""
