"""The output model, which words a run's answer, and the parser model, which converts it to the requested schema."""

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, SystemPromptPart

from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.declare import Component
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import Conversation
from musterd.loop.media import readable_by
from musterd.loop.run_tree import RunTree
from musterd.loop.side_calls import SideCall, answer_text, ask, ask_for_form, prompt_messages
from musterd.loop.structured_answers import AnswerForm, RunAnswer
from musterd.loop.tool_results import as_text
from musterd.loop.unanswered import require_answer

PARSER_PROMPT = "Bring what the user gives you into the form asked for. Add nothing that does not stand there."
OUTPUT_STEP = "output"
PARSER_STEP = "parse"


def has_output_model(component: Component) -> bool:
    """Whether an output model words the answer. The text of the run's own model is then intermediate."""
    return component.spec.output_model is not None


def answers_in_form(component: Component) -> bool:
    """Whether the run's own model must answer in the requested schema."""
    return component.spec.output_model is None and component.spec.parser_model is None


async def apply_answer_models(
    tree: RunTree, run: Assignment, progress: Progress, answer: RunAnswer, form: AnswerForm | None
) -> RunAnswer:
    """Pass the answer through the component's output model and its parser model, if it has them.

    :raises RunFailed: a model gives no answer, or its answer does not match the schema.
    """
    spec = run.component.spec
    if spec.output_model is not None:
        answer = await _answer_of_output_model(tree, run, progress, form if spec.parser_model is None else None)
    if spec.parser_model is not None and form is not None:
        answer = await _parsed_answer(tree, run, progress, answer, form)
    return answer


async def _answer_of_output_model(
    tree: RunTree, run: Assignment, progress: Progress, form: AnswerForm | None
) -> RunAnswer:
    """The output model's answer to the run's conversation."""
    spec, conversation = run.component.spec, _conversation(progress)
    model = tree.models.aside(run.component, "output_model", spec.output_model)
    emit = tree.emitter(run.run_id, run.at(OUTPUT_STEP))
    emit(EventKind.OUTPUT_MODEL_RESPONSE_STARTED, {}, "")
    progress.partial.clear()

    def on_text(text: str, reasoning: str) -> None:
        data: JsonObject = {}
        if text:
            progress.partial.append(text)
            data["text"] = text
        if reasoning:
            data["reasoning"] = reasoning
        tree.emit_now(EventKind.CONTENT if form is None else EventKind.INTERMEDIATE_CONTENT, run.voice, data)

    side_call = SideCall(
        place=OUTPUT_STEP,
        role="output_model",
        model=spec.output_model,
        messages=readable_by(model, _without_answer(conversation.messages_for_model, spec.output_model_prompt)),
        on_text=on_text,
        on_void=progress.partial.clear,
    )
    content: Json
    if form is None:
        response, text = await ask(tree, run, progress, side_call)
        require_answer(response)
        content = answer_text(response)
    else:
        content, response, text = await ask_for_form(tree, run, progress, side_call, form)
    conversation.add_answer(response, text)
    emit(EventKind.OUTPUT_MODEL_RESPONSE_COMPLETED, {}, "")
    return RunAnswer(content, "str" if form is None else form.name)


async def _parsed_answer(
    tree: RunTree, run: Assignment, progress: Progress, answer: RunAnswer, form: AnswerForm
) -> RunAnswer:
    """The answer as the parser model converts it to the schema."""
    spec, emit = run.component.spec, tree.emitter(run.run_id, run.at(PARSER_STEP))
    emit(EventKind.PARSER_MODEL_RESPONSE_STARTED, {}, "")
    side_call = SideCall(
        place=PARSER_STEP,
        role="parser_model",
        model=spec.parser_model,
        messages=prompt_messages(spec.parser_model_prompt or PARSER_PROMPT, as_text(answer.content)),
    )
    content, response, text = await ask_for_form(tree, run, progress, side_call, form)
    _conversation(progress).add_answer(response, text)
    emit(EventKind.PARSER_MODEL_RESPONSE_COMPLETED, {}, "")
    return RunAnswer(content, form.name)


def _conversation(progress: Progress) -> Conversation:
    assert progress.conversation is not None, "a run has a conversation once it is prepared"
    return progress.conversation


def _without_answer(messages: list[ModelMessage], prompt: str | None) -> list[ModelMessage]:
    """The conversation for an output model: without the last answer, and with the model's own system prompt if set."""
    remaining = list(messages)
    if remaining and isinstance(remaining[-1], ModelResponse):
        remaining.pop()
    if prompt is None:
        return remaining
    first = remaining[0]
    assert isinstance(first, ModelRequest), "a conversation begins with a request"
    parts = [part for part in first.parts if not isinstance(part, SystemPromptPart)]
    return [ModelRequest(parts=[SystemPromptPart(prompt), *parts], timestamp=first.timestamp), *remaining[1:]]
