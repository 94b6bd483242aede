"""Scripted models: what each agent and team says, turn by turn, and what it was asked."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from musterd.core import clock, jsontext
from musterd.declare import Component
from musterd.loop.delegation import DELEGATE
from musterd.models.built_in import BuiltInStream
from musterd.models.names import SCRIPTED
from musterd.models.plain_messages import plain_messages, plain_tools
from musterd.models.scripted_plan import INPUT_TOKENS, OUTPUT_TOKENS, plan
from musterd.testing.declared_model import DeclaredModel


@dataclass(frozen=True, slots=True, init=False)
class Call:
    """A tool call that a scripted model makes: ``Call("get_weather", city="Oslo")``."""

    name: str
    arguments: Mapping[str, Any]

    def __init__(self, name: str, /, **arguments: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


def delegate(member_id: str, task: str) -> Call:
    """The call with which a leader gives a task to a member."""
    return Call(DELEGATE, member_id=member_id, task=task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer of a scripted model, with everything that may be set.

    :param text: the answer; with calls, what the model says in addition.
    :param calls: the tools that it calls.
    :param error_status: the HTTP status that the provider answers in place of the model, such as 503.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    input_tokens: int = INPUT_TOKENS
    output_tokens: int = OUTPUT_TOKENS
    error_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a scripted model was asked.

    :param component_id: the agent or team whose model it is.
    :param role: ``turn``, or of a call beside the turns its role, such as ``memory_model``.
    :param messages: the conversation in the format of OpenAI's chat completions.
    :param tools: the tools that it was offered, in the same format.
    """

    component_id: str
    role: str
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    tools: Sequence[Mapping[str, Any]] = field(repr=False)

    @property
    def instructions(self) -> str:
        """The system message."""
        return "\n\n".join(_text(item) for item in self.messages if item["role"] in ("system", "developer"))

    @property
    def message(self) -> str:
        """The last message in the user's role."""
        return next((_text(item) for item in reversed(self.messages) if item["role"] == "user"), "")

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools that it was offered."""
        return [tool["function"]["name"] for tool in self.tools]


Lines: TypeAlias = "Sequence[Turn] | Callable[[Request], object]"
"""The turns of a model in their order, or a function that is asked for each."""


class ScriptEnded(AssertionError):
    """A run needs more turns than the script of a model has."""


class Script:
    """What the models of a test say. ``requests`` has what they were asked, in order.

    :param lines: the turns of each agent and team by its id; of calls beside the turns by ``id/role``, such as
        ``desk/memory_model``. All others follow the model ``scripted``.
    :raises TypeError: something in it is no turn.
    """

    def __init__(self, lines: Mapping[str, object] | None = None) -> None:
        self._lines = {name: _lines_of(name, said) for name, said in (lines or {}).items()}
        self._used = dict.fromkeys(self._lines, 0)
        self.requests: list[Request] = []
        self.problem: ScriptEnded | None = None

    @property
    def component_ids(self) -> set[str]:
        """The ids of the agents and teams that it has turns of."""
        return {name.partition("/")[0] for name in self._lines}

    def model(self, component: Component) -> Model:
        """The model of a component's turns."""
        return ScriptModel(self, component.id, "turn", component.model)

    def aside(self, component: Component, role: str, declared: str | Model) -> Model:
        """The model of a component's calls beside its turns."""
        return ScriptModel(self, component.id, role, declared)

    def next_turn(self, request: Request) -> Turn:
        """The answer to a request.

        :raises ScriptEnded: the script has no more turns.
        """
        self.requests.append(request)
        name = request.component_id if request.role == "turn" else f"{request.component_id}/{request.role}"
        lines = self._lines.get(name)
        if lines is None:
            return _planned(request)
        if callable(lines):
            return _turn(lines(request))
        number = self._used[name]
        if number == len(lines):
            turns = "1 turn" if number == 1 else f"{number} turns"
            message = request.message if len(request.message) <= 200 else f"{request.message[:200]}…"
            problem = ScriptEnded(f'The script of "{name}" has {turns}, and the run asks for one more: {message}')
            self.problem = self.problem or problem  # the first one is the cause of those that follow
            raise problem
        self._used[name] += 1
        return lines[number]

    def require_enough(self) -> None:
        """Check that no run asked for more than the script has.

        :raises ScriptEnded: one did.
        """
        if (problem := self.problem) is not None:
            self.problem = None
            raise problem


def _lines_of(name: str, said: object) -> Lines:
    if callable(said):
        return said
    if isinstance(said, list | tuple):
        return [_turn(item) for item in said]
    raise TypeError(f'the script of "{name}" must be a list of turns or a function, not {said!r}')


def _turn(said: object) -> Turn:
    """A text, a call, several calls, or a turn with everything that may be set."""
    if isinstance(said, Turn):
        return said
    if isinstance(said, str):
        return Turn(text=said)
    calls: Sequence[Any] = said if isinstance(said, list | tuple) else [said]
    if any(not isinstance(call, Call) for call in calls):
        raise TypeError(f"a turn must be a text, a Call, a list of calls or a Turn, not {said!r}")
    return Turn(calls=calls)


def _planned(request: Request) -> Turn:
    """The turn of the model ``scripted``."""
    planned = plan(request.messages, request.tools)
    calls = [Call(call.name, **call.args) for call in planned.calls]
    return Turn(text="" if calls else planned.text, calls=calls, error_status=planned.error_status)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if "text" in part)
    return content or ""


class ScriptModel(DeclaredModel):
    """The model of one component, named as declared, so that its calls have the price of the declared model."""

    def __init__(self, script: Script, component_id: str, role: str, declared: str | Model) -> None:
        super().__init__(declared)
        self._script, self._component_id, self._role = script, component_id, role

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the next turn.

        :raises ModelHTTPError: the turn is an error, or the script has ended.
        """
        request = Request(
            component_id=self._component_id,
            role=self._role,
            messages=plain_messages(messages, model_request_parameters),
            tools=plain_tools(model_request_parameters),
        )
        try:
            turn = self._script.next_turn(request)
        except ScriptEnded as problem:
            # An error that is not retried; the test client raises the problem itself.
            raise ModelHTTPError(400, self.model_name, {"message": str(problem)}) from problem
        if turn.error_status is not None:
            message = {"message": f"scripted error {turn.error_status}"}
            raise ModelHTTPError(turn.error_status, self.model_name, message)
        yield _ScriptStream(model_request_parameters=model_request_parameters, turn=turn)


@dataclass
class _ScriptStream(BuiltInStream):
    """The stream of one turn."""

    name = SCRIPTED
    turn: Turn

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        parts, turn = self._parts_manager, self.turn
        self._usage = RequestUsage(input_tokens=turn.input_tokens, output_tokens=turn.output_tokens)
        if turn.text or not turn.calls:
            for event in parts.handle_text_delta(vendor_part_id="content", content=turn.text):
                yield event
        for index, call in enumerate(turn.calls):
            for event in parts.handle_tool_call_delta_events(
                vendor_part_id=index,
                tool_name=call.name,
                args=jsontext.dumps(call.arguments),
                tool_call_id=f"call_{clock.new_id()}",
            ):
                yield event
        self.finish_reason = "tool_call" if turn.calls else "stop"

    async def close_stream(self) -> None:
        """Do nothing: the stream holds no resources."""
