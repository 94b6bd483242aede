"""The loop without a database: steps are kept in memory, and tests script the model turn by turn."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelRequest, RetryPromptPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from musterd import Agent, Settings, Team
from musterd.core.daemon_threads import DaemonThreads
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, StepKind
from musterd.core.requirements import Requirement, RequirementKind
from musterd.declare import Registry
from musterd.loop.assignment import Assignment
from musterd.loop.conversation import message_text
from musterd.loop.loop import Loop
from musterd.loop.pausing import Waits
from musterd.loop.run_tree import Models, RunTree
from musterd.loop.steps import Intent, MemberEnd, MemberStart, ToolStep
from musterd.models.call import ModelAnswer, ModelCaller
from musterd.models.names import describe
from musterd.models.resolve import resolve

SALT = "6b0c3a52-0d0e-4b4e-9f0e-5f1f6f6f0a11"


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes; ``args`` as text are sent unchanged."""

    name: str
    args: dict[str, Any] | str = field(default_factory=dict)
    id: str | None = None


Turn = str | Call | Exception | Sequence[Call | str | Exception]


class TurnModel(FunctionModel):
    """Returns its turns one after the other, one for each call.

    If it has a function, the function receives the conversation and returns the turn.
    """

    def __init__(self, *turns: Turn, ask: Callable[[list[ModelMessage]], Turn] | None = None) -> None:
        self._turns = list(turns)
        self._ask = ask
        self.seen: list[list[ModelMessage]] = []
        self.offered: list[AgentInfo] = []
        super().__init__(stream_function=self._stream)

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        self.seen.append(list(messages))
        self.offered.append(info)
        turn = self._ask(messages) if self._ask is not None else self._turns.pop(0)
        for place, said in enumerate([turn] if isinstance(turn, str | Call | Exception) else turn):
            if isinstance(said, Exception):
                raise said
            if isinstance(said, str):
                yield said
            else:
                args = said.args if isinstance(said.args, str) else json.dumps(said.args)
                yield {place: DeltaToolCall(name=said.name, json_args=args, tool_call_id=said.id)}

    def tool_results(self, turn: int = -1) -> list[Any]:
        """The results of tool calls that the model saw last in one of its turns."""
        last = self.seen[turn][-1]
        assert isinstance(last, ModelRequest)
        return [part.content for part in last.parts if isinstance(part, ToolReturnPart | RetryPromptPart)]


def failure(status: int) -> ModelHTTPError:
    """An HTTP error of the provider."""
    return ModelHTTPError(status, "m", {"error": {"message": f"no {status}"}})


@dataclass
class MemorySteps:
    """Steps that are recorded in a list, in the order of storage."""

    log: list[tuple[str, str]] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    taken: dict[str, JsonObject] = field(default_factory=dict)
    results: dict[str, ToolStep] = field(default_factory=dict)
    started: list[MemberStart] = field(default_factory=list)
    ended: list[MemberEnd] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Keep what was taken."""
        self._note("prepare", path, fingerprint)
        self.taken[path] = taken
        return taken

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """The steering messages of a test."""
        return self.said.pop(run_id, [])

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Take it."""
        return self.prepared(path, fingerprint, await look())

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make the call."""
        answer = await call()
        self._note("model", path, fingerprint)
        return answer, message_text(answer.response)

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Keep the intents."""
        for intent in intents:
            self._note("intent", intent.path, intent.fingerprint)
        self.started.extend(members)

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Make the call."""
        assert ("intent", intent.path) in self.log, "no effect without an intent"
        if intent.asks is not None:
            raise Waits([intent.asks])
        done = await call()
        self.log.append(("result", intent.path))
        self.results[intent.path] = done
        return done

    def abandoned(self, path: str) -> None:
        """Nothing is kept of it."""

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
        """Do it."""
        done = await call()
        self._note(kind.value, path, fingerprint)
        return done

    def input_changed(self, run_id: str, text: str) -> None:
        """Keep the text."""
        self.inputs[run_id] = text

    def member_ended(self, end: MemberEnd) -> None:
        """Keep the end."""
        self.ended.append(end)

    def first_token(self, at: float) -> None:
        """Keep the time."""
        self.first_tokens.append(at)

    def _note(self, what: str, path: str, fingerprint: str) -> None:
        assert (what, path) not in self.log, "a step is recorded once"
        self.log.append((what, path))
        self.fingerprints[path] = fingerprint


class LoopHarness:
    """One run that is driven without a database."""

    def __init__(self, spec: Agent | Team, prompt: str = "hello", **options: Any) -> None:
        if isinstance(spec, Team):
            component = Registry.of(teams=[spec]).teams[spec.id]
        else:
            component = Registry.of(agents=[spec]).agents[spec.id]
        settings = Settings(**{"model_retry_seconds": 0, **options.pop("settings", {})})
        self.events: list[Event] = []
        self.steps = MemorySteps()
        self.threads = DaemonThreads(4, "test-tool")
        self.tree = RunTree(
            root_id="root",
            session_id="s1",
            user_id="somebody",
            salt=SALT,
            steps=self.steps,
            emit=self.events.append,
            models=Models(
                caller=ModelCaller(settings),
                load=_nothing,
                of=lambda component: component.model,  # type: ignore[arg-type,return-value]
                describe=lambda component: describe(component.model),  # type: ignore[attr-defined]
                aside=lambda component, role, model: resolve(model, settings),
            ),
            settings=settings,
            threads=self.threads,
            dependencies=options.pop("dependencies", {}),
            metadata=options.pop("metadata", {}),
            **options.pop("tree", {}),
        )
        options = {"state": {}, "path": "", **options}
        self.run = Assignment(component=component, run_id="root", parent_id=None, prompt=prompt, **options)
        self.loop = Loop(self.tree, self.run)

    async def drive(self) -> Output:
        """Drive the run to its answer."""
        return await self.loop.drive()

    def kinds(self, run_id: str = "root") -> list[EventKind]:
        """The kinds of a run's events, without text."""
        return [event.kind for event in self.events if event.run_id == run_id and event.kind is not EventKind.CONTENT]


async def _nothing(component: object) -> None:
    pass
