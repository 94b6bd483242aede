"""What is made of a leader's answer: another model words it, another brings it into the form that is asked for."""

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, SystemPromptPart

from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import Component
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import Conversation
from musterd.loop.media import readable_by
from musterd.loop.run_tree import RunTree
from musterd.loop.side_calls import SideCall, ask, ask_for_form, said_in, told
from musterd.loop.structured_answers import Answer, AnswerForm
from musterd.loop.tool_results import as_text
from musterd.models.resolve import resolve

PARSE = "Bring what the user gives you into the form asked for. Add nothing that does not stand there."
WORD = "output"
FORM = "parse"


def has_output_model(component: Component) -> bool:
    """Whether another model words the answer: what the run's own model says is on the way to it."""
    return component.spec.output_model is not None


def answers_in_form(component: Component) -> bool:
    """Whether the run's own model gives the answer its form."""
    return component.spec.output_model is None and component.spec.parser_model is None


async def finished(
    world: RunTree, run: Assignment, progress: Progress, answer: Answer, form: AnswerForm | None
) -> Answer:
    """The answer as the component's output model words it, and as its parser model brings it into the form.

    :raises RunFailed: one of them gives no answer, or none that has the form.
    """
    spec = run.component.spec
    if spec.output_model is not None:
        answer = await _worded(world, run, progress, form if spec.parser_model is None else None)
    if spec.parser_model is not None and form is not None:
        answer = await _parsed(world, run, progress, answer, form)
    return answer


async def _worded(world: RunTree, run: Assignment, progress: Progress, form: AnswerForm | None) -> Answer:
    """The answer that the output model gives to what the run was asked and found out."""
    spec, conversation = run.component.spec, _conversation(progress)
    model = resolve(spec.output_model, world.settings)
    tell = world.teller(run.run_id, run.at(WORD))
    tell(EventKind.OUTPUT_MODEL_RESPONSE_STARTED, {}, "")
    progress.partial.clear()

    def on_text(text: str, reasoning: str) -> None:
        data: JsonObject = {}
        if text:
            progress.partial.append(text)
            data["text"] = text
        if reasoning:
            data["reasoning"] = reasoning
        world.tell(EventKind.CONTENT, run.voice, data)

    aside = SideCall(
        place=WORD,
        role="output_model",
        model=spec.output_model,
        messages=readable_by(model, _without_answer(conversation.shown, spec.output_model_prompt)),
        on_text=on_text,
        on_void=progress.partial.clear,
    )
    content: Json
    if form is None:
        response, text = await ask(world, run, progress, aside)
        content = said_in(response)
    else:
        content, response, text = await ask_for_form(world, run, progress, aside, form)
    conversation.answered(response, text)
    tell(EventKind.OUTPUT_MODEL_RESPONSE_COMPLETED, {}, "")
    return Answer(content, "str" if form is None else form.name)


async def _parsed(world: RunTree, run: Assignment, progress: Progress, answer: Answer, form: AnswerForm) -> Answer:
    """The answer as the parser model brings it into its form."""
    spec, tell = run.component.spec, world.teller(run.run_id, run.at(FORM))
    tell(EventKind.PARSER_MODEL_RESPONSE_STARTED, {}, "")
    aside = SideCall(
        place=FORM,
        role="parser_model",
        model=spec.parser_model,
        messages=told(spec.parser_model_prompt or PARSE, as_text(answer.content)),
    )
    content, response, text = await ask_for_form(world, run, progress, aside, form)
    _conversation(progress).answered(response, text)
    tell(EventKind.PARSER_MODEL_RESPONSE_COMPLETED, {}, "")
    return Answer(content, form.name)


def _conversation(progress: Progress) -> Conversation:
    assert progress.conversation is not None, "a run has a conversation once it is prepared"
    return progress.conversation


def _without_answer(messages: list[ModelMessage], prompt: str | None) -> list[ModelMessage]:
    """What an output model is shown: the conversation without the answer, under the prompt that it has of its own."""
    shown = list(messages)
    if shown and isinstance(shown[-1], ModelResponse):
        shown.pop()
    if prompt is None:
        return shown
    first = shown[0]
    assert isinstance(first, ModelRequest), "a conversation begins with what the model is told"
    parts = [part for part in first.parts if not isinstance(part, SystemPromptPart)]
    return [ModelRequest(parts=[SystemPromptPart(prompt), *parts], timestamp=first.timestamp), *shown[1:]]
