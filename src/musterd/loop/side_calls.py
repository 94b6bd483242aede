"""A model call of a run that is not one of its turns: its parser's, its reasoner's, the one that sums a session up.

It is a step of its own under its own path, told of and counted as a turn is, and never made again once it is stored.
Its model need not be the run's; :func:`musterd.declare.models_of` names them all, so that they are made ready.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters

from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import NOTES, make_storable
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.structured_answers import CORRECTIONS, FINAL_TOOL, AnswerForm, AnswerInvalid, never_of_the_form
from musterd.loop.tool_arguments import final_arguments, refuse_unfit
from musterd.loop.tool_set import form_parameters
from musterd.models.call import ModelAnswer, OnText
from musterd.models.names import ModelInfo, describe
from musterd.models.resolve import resolve

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCall:
    """What a model is asked between a run's turns.

    :param place: where it stands in the run, such as ``parse``: the step's path is ``parse/m``, once in a run.
    :param role: what its tokens are counted as, in the peer's words: ``parser_model``.
    :param model: who is asked: a name or a pydantic-ai model, as declared.
    :param messages: the conversation that it is shown.
    :param parameters: the form of its answer; it has no tools.
    :param on_text: told its answer as it comes: text, reasoning. None: nobody is.
    :param on_void: told when what came so far does not count.
    :param is_told: whether readers are told of the call; of calls of one run that are made at once, one may be.
    """

    place: str
    role: str
    model: "str | Model"
    messages: Sequence[ModelMessage]
    parameters: ModelRequestParameters = field(default_factory=ModelRequestParameters)
    on_text: OnText | None = None
    on_void: Callable[[], object] | None = None
    is_told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Tells readers of one model call of a run."""

    world: RunTree
    run: Assignment
    info: ModelInfo
    path: str

    @property
    def asked(self) -> JsonObject:
        """Of which model, and as whose text where that is another run's."""
        told: JsonObject = {"model": self.info.model, "model_provider": self.info.provider}
        return told if self.run.speaks_for is None else {**told, "voice": self.run.voice}

    def started(self) -> None:
        """The model is asked."""
        self._tell(EventKind.MODEL_REQUEST_STARTED, self.asked, self.path)

    def retried(self, failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
        """A try failed, and there is another; text that had come is void."""
        place = f"{self.path}/r{failed_try}"
        data: JsonObject = {"try": failed_try, "wait_seconds": round(wait_seconds, 3), "reason": reason}
        self._tell(EventKind.MODEL_REQUEST_RETRIED, data, place)
        if had_text:
            superseded = [{"run_id": self.run.voice, "path": self.run.path}]
            self._tell(EventKind.RUN_CONTINUED, {"reason": "model_retry", "superseded": superseded}, place)
            self.started()

    def completed(self, answer: ModelAnswer) -> None:
        """The model has answered."""
        data: JsonObject = {**self.asked, "usage": answer.usage.as_json()}
        if answer.first_token_seconds is not None:
            data["first_token_seconds"] = answer.first_token_seconds
        self._tell(EventKind.MODEL_REQUEST_COMPLETED, data, self.path)

    def _tell(self, kind: EventKind, data: JsonObject, place: str) -> None:
        self.world.tell(kind, self.run.run_id, data, place)


async def ask(world: RunTree, run: Assignment, progress: Progress, aside: SideCall) -> tuple[ModelResponse, str]:
    """Ask a model something beside the run's turns; its answer, and that as JSON text.

    :raises ModelFailed: there is no answer.
    """
    path, info = run.at(f"{aside.place}/m"), describe(aside.model)
    telling = Telling(world=world, run=run, info=info, path=path)
    if aside.is_told:
        telling.started()

    async def call() -> ModelAnswer:
        return await _call(world, run, aside, telling)

    step = fingerprint(StepKind.MODEL, run.component.id, aside.role, aside.place)
    answer, text = await world.steps.model(path, step, call)
    world.note_call_ids(answer.response)
    progress.output.count_aside(aside.role, info.model, info.provider, answer.usage)
    if aside.is_told:
        telling.completed(answer)
    return answer.response, text


async def ask_for_form(
    world: RunTree, run: Assignment, progress: Progress, aside: SideCall, form: AnswerForm
) -> tuple[Json, ModelResponse, str]:
    """Ask a model for a value of a form, and let it correct what has not; the value, the answer, that as JSON text.

    :raises RunFailed: what it says does not have the form.
    """
    messages, model = list(aside.messages), resolve(aside.model, world.settings)
    parameters = form_parameters(form, model, in_json_mode=run.component.spec.use_json_mode)
    correction = 0
    while True:
        place = f"{aside.place}/{correction}" if correction else aside.place
        one = replace(aside, place=place, messages=list(messages), parameters=parameters)
        response, text = await ask(world, run, progress, one)
        try:
            return form.parse(said_in(response)), response, text
        except AnswerInvalid as problem:
            correction += 1
            if correction > CORRECTIONS:
                raise never_of_the_form(problem) from problem
            messages += [response, _corrected(response, str(problem))]
            if aside.on_void is not None:
                aside.on_void()


def told(system: str, text: str) -> list[ModelMessage]:
    """A conversation of a system message and what the user says."""
    return [ModelRequest(parts=[SystemPromptPart(system), UserPromptPart(text)])]


def said_in(response: ModelResponse) -> str:
    """What a model said: the arguments of the tool for the final answer, else its text.

    :raises AnswerInvalid: the arguments are not taken.
    """
    for part in response.parts:
        if isinstance(part, ToolCallPart) and part.tool_name == FINAL_TOOL:
            return final_arguments(response, part)
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def thought_in(response: ModelResponse) -> str:
    """What a model thought on the way, where it says so."""
    return "".join(part.content for part in response.parts if isinstance(part, ThinkingPart) and part.content)


async def _call(world: RunTree, run: Assignment, aside: SideCall, telling: Telling) -> ModelAnswer:
    def on_retry(failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
        is_void = had_text and aside.on_text is not None
        if is_void and aside.on_void is not None:
            aside.on_void()
        if aside.is_told:
            telling.retried(failed_try, wait_seconds, reason, is_void)

    answer = await world.models.caller.stream(
        resolve(aside.model, world.settings),
        list(aside.messages),
        aside.parameters,
        None,
        on_text=aside.on_text or _unheard,
        on_retry=on_retry,
    )
    response = answer.response
    make_storable(response)
    notes: JsonObject = {"seconds": round(answer.seconds, 6), "aside": aside.role}
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    for number, part in enumerate(calls):
        part.tool_call_id = world.claim_call_id(part.tool_call_id, run.at(f"{aside.place}/c{number}"))
    notes.update(refuse_unfit(calls, world.settings))
    response.metadata = {**(response.metadata or {}), NOTES: notes}
    return answer


def _unheard(text: str, reasoning: str) -> None:
    """Nobody hears it."""


def _corrected(response: ModelResponse, problem: str) -> ModelRequest:
    said = f"{problem}\nCorrect the answer: it must have the form asked for."
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if not calls:
        return ModelRequest(parts=[RetryFeedbackPart(content=said, retry=RetryInfo(cause="model_retry"))])
    return ModelRequest(
        parts=[
            ToolReturnPart(tool_name=call.tool_name, content=said, tool_call_id=call.tool_call_id, outcome="retried")
            for call in calls
        ]
    )
