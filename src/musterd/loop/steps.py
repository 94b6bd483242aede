"""The interface between the loop and the outside world: steps that are recorded once, and a function for events.

:mod:`musterd.engine.journal` implements it on top of the store. Tests implement it in a few lines, so the loop runs
without a database.
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

MEMORY = "memory"
"""The first part of the path, below its run, of the steps of the memory manager that works beside the turns."""
NOTED = "noted"
"""The last part of the path of a step that records changes of memories. The end of the run stores them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A tool call that is about to be made. It is stored before the call, so a crash cannot hide that it happened.

    :param path: its place in the run tree; it never contains a run id or a time.
    :param name: the tool's name.
    :param call_id: the id of the call, from the model.
    :param fingerprint: hash of component, tool and canonical arguments.
    :param is_retry_safe: whether the call may be made again if its outcome is unknown.
    :param on_unknown: what happens otherwise if its outcome is unknown: pause, retry or fail.
    :param is_stoppable: whether the call stops when it is cancelled; a plain function runs on in its thread.
    :param is_followed: whether the caller stores something else as soon as it has the result, which then needs no
        commit of its own.
    :param ends_if_failed: whether its failure ends the run at once, and so needs no commit of its own either.
    :param asks: the question to a person before the call; None if the call needs no decision.
    :param keeps_content_apart: whether a large text of its result is stored apart. A later attempt reads it only when
        a step gets it.
    """

    path: str
    kind: StepKind
    name: str
    fingerprint: str
    is_retry_safe: bool = False
    on_unknown: str = "pause"
    is_stoppable: bool = True
    is_followed: bool = False
    ends_if_failed: bool = False
    asks: Requirement | None = None
    call_id: str | None = None
    keeps_content_apart: bool = False

    def leaves_open(self, state: StepState) -> bool:
        """Whether the call needs a decision because its outcome is unknown and it is not retry-safe.

        :param state: the state in which the call ended.
        """
        return state is StepState.UNKNOWN and not self.is_retry_safe


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStep:
    """One finished tool call or delegation.

    :param result: the result as text.
    :param is_error: whether the tool failed, was refused, or has an unknown outcome.
    :param state: the state of the journal step.
    :param seconds: the duration.
    :param settled_at: when a person or a rule decided the outcome; None if the call finished by itself.
    :param state_delta: its change of the session's state: {"set": {…}, "removed": […]}.
    :param media: the media that it returned in addition to its text.
    :param hook_effect: whether hooks around a delegation ``changed`` the members' answer, or ``skipped`` the members.
    :param details: what the loop or a workflow knows of the result in addition to the text, such as a search's hits.
    :param unread_characters: the length of a text that an earlier attempt stored apart; ``result`` is empty then.
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
    details: JsonObject | None = None
    unread_characters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStart:
    """The values for the row of a member's run that is about to begin.

    :param budget: the limits that the member declares.
    :param step: of a run that a step of a workflow starts, what identifies the step.
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
    step: JsonObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEnd:
    """How a member's run finished: its state, its output, and its messages as JSON texts.

    :param is_stopped: whether only this member was cancelled; the root run goes on without it.
    """

    run_id: str
    state: RunState
    at: float
    output: Output
    messages: list[str] = field(default_factory=list)
    is_stopped: bool = False


class Steps(Protocol):
    """The steps of one attempt, each recorded once under its path.

    A later attempt gets the stored results of earlier attempts; no stored step is done again.

    :raises LeaseLost: from every method that stores, if the attempt is no longer the run's current one.
    :raises ReplayDiverged: from every method, if another step is stored under the path.
    """

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Record values that a run reads before its first turn, such as the time; stored with the next commit.

        :return: the values to use: ``taken``, or those that an earlier attempt recorded.
        """
        ...

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """The steering messages that the model call at ``path`` is the first to see.

        They are marked as taken in the transaction that stores the call's step. A crash before that leaves them to
        the next attempt.

        :return: the new messages, or those that the stored call saw.
        """
        ...

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Read something from the outside world and record it with the next commit, or return the stored value.

        ``look`` must have no side effects, because it is called again after a crash.
        """
        ...

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call and record it with the next commit, or return the stored answer.

        A call that fails is recorded as well, and made again by the next attempt that comes to it.

        :param name: the model's name.
        :return: the answer, and its message as JSON text.
        :raises ModelFailed: from ``call``.
        """
        ...

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Commit everything recorded so far, together with these tool calls and members' runs as begun or waiting."""

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Make one tool call whose intent is stored, and commit its result; or return the stored result.

        :param require: makes the question to a person if the call's outcome is unknown.
        :raises Waits: if a person has to decide first.
        """
        ...

    def abandoned(self, path: str) -> None:
        """Note that the tool call at ``path`` did not stop when it was cancelled, and was left running."""

    async def once(
        self,
        kind: StepKind,
        path: str,
        fingerprint: str,
        name: str,
        call: Callable[[], Awaitable[JsonObject]],
        *,
        is_followed: bool = False,
    ) -> JsonObject:
        """Run a step of the loop itself, such as a hook, and commit its result; or return the stored result.

        :param name: the name of the hook or of the step that chooses.
        :param is_followed: as of an :class:`Intent`.
        """
        ...

    def input_changed(self, run_id: str, text: str) -> None:
        """Record that a hook replaced a run's input with ``text``; stored with the next commit."""

    def member_ended(self, end: MemberEnd) -> None:
        """Record how a member's run finished; stored with the next commit, at the latest with the delegation's."""

    def first_token(self, at: float) -> None:
        """Note when the root's model produced its first text."""
