"""Model calls of a run in addition to its turns: parser model, output model, reasoning, compression, memories.

Each call is a journal step under its own path. It is reported in events and counted like a turn, and never repeated
once it is stored. It may use another model than the run; :func:`musterd.declare.models_of` lists all of them, so that
they are prepared before the run starts.
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
from musterd.loop.argument_limits import final_arguments, refuse_unusable_arguments
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import NOTES, make_storable
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.structured_answers import CORRECTIONS, FINAL_TOOL, AnswerForm, AnswerInvalid, invalid_output
from musterd.loop.tool_set import form_parameters
from musterd.loop.unanswered import require_answer, require_no_refusal
from musterd.models.call import ModelAnswer, OnText
from musterd.models.call_progress import CallProgress
from musterd.models.names import ModelInfo, describe, model_in_use

if TYPE_CHECKING:
    from pydantic_ai.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCall:
    """A model call between a run's turns.

    :param place: its place in the run, such as ``parse`` for the step ``parse/m``; unique within the run.
    :param role: Agno's name for the role under which its tokens are counted, such as ``parser_model``.
    :param model: a name or a pydantic-ai model, as declared.
    :param messages: the conversation that the model reads.
    :param parameters: the schema of its answer, or its tools.
    :param on_text: called with text and reasoning as the answer arrives.
    :param on_void: called if the text so far is void.
    :param emits_events: whether events report the call. Of concurrent calls in one run at most one may set it.
    """

    place: str
    role: str
    model: "str | Model"
    messages: Sequence[ModelMessage]
    parameters: ModelRequestParameters = field(default_factory=ModelRequestParameters)
    on_text: OnText | None = None
    on_void: Callable[[], object] | None = None
    emits_events: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallEvents:
    """Emits the events of one model call of a run."""

    tree: RunTree
    run: Assignment
    info: ModelInfo
    path: str

    @property
    def _model_fields(self) -> JsonObject:
        """The model's name and provider, and the run whose text this is if that is another run."""
        fields: JsonObject = {"model": self.info.model, "model_provider": self.info.provider}
        return fields if self.run.speaks_for is None else {**fields, "voice": self.run.voice}

    def started(self) -> None:
        """Emit that the model is called."""
        self._emit(EventKind.MODEL_REQUEST_STARTED, self._model_fields, self.path)

    def progressed(self, progress: CallProgress) -> None:
        """Emit what the call of a model of this process does before its answer."""
        if progress.stage == "reading":
            data = {"read_tokens": progress.read_tokens, "prompt_tokens": progress.prompt_tokens}
            self._emit(EventKind.MODEL_PROMPT_PROGRESS, {**self._model_fields, **data}, self.path)
        else:
            is_loaded = progress.stage == "loaded"
            kind = EventKind.MODEL_LOADING_COMPLETED if is_loaded else EventKind.MODEL_LOADING_STARTED
            self._emit(kind, self._model_fields, self.path)

    def retried(self, failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
        """Emit that a try failed and another follows; text that had arrived is void."""
        place = f"{self.path}/r{failed_try}"
        data: JsonObject = {"try": failed_try, "wait_seconds": round(wait_seconds, 3), "reason": reason}
        self._emit(EventKind.MODEL_REQUEST_RETRIED, data, place)
        if had_text:
            superseded = [{"run_id": self.run.voice, "path": self.run.path}]
            self._emit(EventKind.RUN_CONTINUED, {"reason": "model_retry", "superseded": superseded}, place)
            self.started()

    def completed(self, answer: ModelAnswer) -> None:
        """Emit that the model has answered."""
        data: JsonObject = {**self._model_fields, "usage": answer.usage.as_json()}
        if answer.first_token_seconds is not None:
            data["first_token_seconds"] = answer.first_token_seconds
        self._emit(EventKind.MODEL_REQUEST_COMPLETED, data, self.path)

    def _emit(self, kind: EventKind, data: JsonObject, place: str) -> None:
        self.tree.emit_now(kind, self.run.run_id, data, place)


async def ask(tree: RunTree, run: Assignment, progress: Progress, side_call: SideCall) -> tuple[ModelResponse, str]:
    """Make a side call, or read its stored answer.

    :return: the answer, and its message as JSON text.
    :raises ModelFailed: if there is no answer, and not even a thought.
    """
    path, info = run.at(f"{side_call.place}/m"), describe(model_in_use(side_call.model, tree.settings))
    events = ModelCallEvents(tree=tree, run=run, info=info, path=path)
    if side_call.emits_events:
        events.started()

    async def call() -> ModelAnswer:
        return await _call(tree, run, side_call, events)

    step = fingerprint(StepKind.MODEL, run.component.id, side_call.role, side_call.place)
    answer, text = await tree.steps.model(path, step, info.model, call)
    tree.note_call_ids(answer.response)
    progress.output.count_aside(side_call.role, info.model, info.provider, answer.spent)
    if side_call.emits_events:
        events.completed(answer)
    require_answer(answer.response, takes_thoughts=True)
    return answer.response, text


async def ask_for_form(
    tree: RunTree, run: Assignment, progress: Progress, side_call: SideCall, form: AnswerForm
) -> tuple[Json, ModelResponse, str]:
    """Make a side call whose answer must match a schema, and let the model correct an answer that does not.

    :return: the value, the answer, and its message as JSON text.
    :raises RunFailed: if the last correction does not match either.
    """
    messages, model = list(side_call.messages), model_of(tree, run, side_call)
    parameters = form_parameters(form, model, in_json_mode=run.component.spec.use_json_mode)
    correction = 0
    while True:
        place = f"{side_call.place}/{correction}" if correction else side_call.place
        # Each correction is a step of its own, at its own place, so a replay takes the same corrections again.
        attempt = replace(side_call, place=place, messages=list(messages), parameters=parameters)
        response, text = await ask(tree, run, progress, attempt)
        require_answer(response)
        try:
            return form.parse(answer_text(response)), response, text
        except AnswerInvalid as problem:
            require_no_refusal(response)
            correction += 1
            if correction > CORRECTIONS:
                raise invalid_output(problem) from problem
            messages += [response, _correction_request(response, str(problem))]
            if side_call.on_void is not None:
                side_call.on_void()


def model_of(tree: RunTree, run: Assignment, side_call: SideCall) -> "Model":
    """The model that a side call is made to."""
    return tree.models.aside(run.component, side_call.role, side_call.model)


def prompt_messages(system: str, text: str) -> list[ModelMessage]:
    """A conversation of a system message and a user message."""
    return [ModelRequest(parts=[SystemPromptPart(system), UserPromptPart(text)])]


def answer_text(response: ModelResponse) -> str:
    """The answer as text: the arguments of the tool for the final answer, else the text parts.

    :raises AnswerInvalid: if the arguments were refused.
    """
    for part in response.parts:
        if isinstance(part, ToolCallPart) and part.tool_name == FINAL_TOOL:
            return final_arguments(response, part)
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def thinking_text(response: ModelResponse) -> str:
    """The model's thoughts, if it reveals them."""
    return "".join(part.content for part in response.parts if isinstance(part, ThinkingPart) and part.content)


async def _call(tree: RunTree, run: Assignment, side_call: SideCall, events: ModelCallEvents) -> ModelAnswer:
    def on_retry(failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
        is_void = had_text and side_call.on_text is not None
        if is_void and side_call.on_void is not None:
            side_call.on_void()
        if side_call.emits_events:
            events.retried(failed_try, wait_seconds, reason, is_void)

    answer = await tree.models.caller.stream(
        model_of(tree, run, side_call),
        list(side_call.messages),
        side_call.parameters,
        None,
        on_text=side_call.on_text or _ignore_text,
        on_retry=on_retry,
        on_progress=events.progressed if side_call.emits_events else None,
    )
    response = answer.response
    make_storable(response)
    notes: JsonObject = {"seconds": round(answer.seconds, 6), "aside": side_call.role}
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    # Fix ids and arguments before the answer is stored, so that a later attempt reads the same ones from the journal.
    for number, part in enumerate(calls):
        part.tool_call_id = tree.claim_call_id(part.tool_call_id, run.at(f"{side_call.place}/c{number}"))
    notes.update(refuse_unusable_arguments(calls, tree.settings))
    response.metadata = {**(response.metadata or {}), NOTES: notes}
    return answer


def _ignore_text(text: str, reasoning: str) -> None:
    """Ignore the text of a call that streams to no subscriber."""


def _correction_request(response: ModelResponse, problem: str) -> ModelRequest:
    feedback = f"{problem}\nCorrect the answer so that it has the requested format."
    calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
    if not calls:
        return ModelRequest(parts=[RetryFeedbackPart(content=feedback, retry=RetryInfo(cause="model_retry"))])
    return ModelRequest(
        parts=[
            ToolReturnPart(
                tool_name=call.tool_name, content=feedback, tool_call_id=call.tool_call_id, outcome="retried"
            )
            for call in calls
        ]
    )
