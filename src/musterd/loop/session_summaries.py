"""Session summaries, written after a run's answer is final.

A summary is one model call and one journal step. The model reads the last summary and the conversations since. If the
call fails, the event reports no summary and the run completes anyway; the next summary covers the same conversations.
"""

import dataclasses
import json

from pydantic_ai.messages import ModelMessage, ModelRequest, SystemPromptPart, TextPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition

from musterd.core import clock
from musterd.core.error_logging import log_failure
from musterd.core.errors import BudgetSpent, ModelFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare import Component, SessionSummaryManager
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.conversation import NOTES, make_storable
from musterd.loop.delegation import prompt_text
from musterd.loop.history import Unsummarised, chat_messages
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.structured_answers import AnswerForm, AnswerInvalid
from musterd.models.call import ModelAnswer

PROMPT = (
    "Sum up the conversation between a user and an assistant for whoever goes on with it: what the user told and "
    "wants, what was decided, what is open. Be concise, make nothing up. Where there is an earlier summary, take over "
    "what still holds. Answer with a JSON object: summary (a text) and topics (a list of short texts)."
)
ROLE = "session_summary_model"
MESSAGE_CHARACTERS = 8000
"""The summary model reads this many characters of each message."""
_FORM = AnswerForm(
    name="SessionSummary",
    schema={
        "type": "object",
        "properties": {
            "summary": {"type": "string", "description": "The summary, concise; nothing made up."},
            "topics": {"type": "array", "items": {"type": "string"}, "description": "What was talked about."},
        },
        "required": ["summary", "topics"],
        "additionalProperties": False,
    },
)


def sums_up(run: Assignment) -> bool:
    """Whether the session is summarized after this run; only root runs do so."""
    return run.parent_id is None and run.component.spec.sums_up


def summarizer(component: Component) -> Component:
    """The component with the model that summarizes its sessions."""
    manager = component.spec.session_summary_manager
    if manager is None or manager.model is None:
        return component
    return dataclasses.replace(component, model=manager.model)


async def sum_up(tree: RunTree, run: Assignment, progress: Progress) -> None:
    """Summarize the session including this run, and put the summary into ``progress``."""
    emit = tree.emitter(run.run_id, run.at("summary"))
    emit(EventKind.SESSION_SUMMARY_STARTED, {}, "")
    step = fingerprint(StepKind.MODEL, run.component.id, "summary", None)
    try:
        info = tree.models.describe(summarizer(run.component))
        answer, _ = await tree.steps.model(run.at("summary/m"), step, info.model, lambda: _ask(tree, run, progress))
        progress.output.count_aside(ROLE, info.model, info.provider, answer.spent)
        progress.summary = {**_summary_in(answer), "run_id": run.run_id}
    except (ModelFailed, AnswerInvalid, BudgetSpent) as error:
        log_failure("session summary failed", error, run_id=run.run_id)
    emit(EventKind.SESSION_SUMMARY_COMPLETED, {"session_summary": progress.summary}, "")


async def _ask(tree: RunTree, run: Assignment, progress: Progress) -> ModelAnswer:
    # Take the time before reading. A run that finishes in between is then read again by the next summary; the other
    # way round, no summary would contain it.
    as_of = clock.now()
    earlier = await tree.history.unsummarised()
    component = summarizer(run.component)
    await tree.models.load(component)
    model = tree.models.aside(run.component, ROLE, component.model)
    manager = run.component.spec.session_summary_manager or SessionSummaryManager()
    answer = await tree.models.caller.stream(
        model,
        _messages(manager, earlier, run, progress),
        _parameters(model),
        None,
        on_text=lambda text, reasoning: None,
        on_retry=lambda failed_try, wait_seconds, reason, had_text: None,
    )
    make_storable(answer.response)
    notes: JsonObject = {"seconds": round(answer.seconds, 6), "as_of": as_of}
    answer.response.metadata = {**(answer.response.metadata or {}), NOTES: notes}
    return answer


def _parameters(model: Model) -> ModelRequestParameters:
    if not model.profile.get("supports_json_schema_output", False):
        return ModelRequestParameters()
    definition = OutputObjectDefinition(json_schema=_FORM.schema, name=_FORM.name)
    return ModelRequestParameters(output_mode="native", output_object=definition)


def _messages(
    manager: SessionSummaryManager, earlier: Unsummarised, run: Assignment, progress: Progress
) -> list[ModelMessage]:
    chat = [message for text in earlier.conversations for message in chat_messages(text)]
    chat.append({"role": "user", "content": prompt_text(run)})
    chat.append({"role": "assistant", "content": _as_text(progress.output.content)})
    parts = [manager.session_summary_prompt or PROMPT]
    if earlier.summary is not None:
        parts.append(f"<earlier_summary>\n{earlier.summary['summary']}\n</earlier_summary>")
    lines = [f"{message['role'].capitalize()}: {message['content'][:MESSAGE_CHARACTERS]}" for message in chat]
    conversation = "\n".join(lines)
    parts.append(f"<conversation>\n{conversation}\n</conversation>")
    system = SystemPromptPart("\n\n".join(parts))
    return [ModelRequest(parts=[system, UserPromptPart(manager.summary_request_message)])]


def _as_text(content: Json) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _summary_in(answer: ModelAnswer) -> JsonObject:
    """The summary in the model's answer: a JSON object, or plain text from a model that writes no JSON.

    :raises AnswerInvalid: if the answer is JSON that does not match the schema, or empty.
    """
    text = "".join(part.content for part in answer.response.parts if isinstance(part, TextPart)).strip()
    is_json = text.startswith(("{", "```"))
    summary: JsonObject = _FORM.parse(text) if is_json else {"summary": text, "topics": []}
    if not summary["summary"]:
        raise AnswerInvalid("The summary is empty.")
    notes: JsonObject = (answer.response.metadata or {}).get(NOTES) or {}
    return {**summary, "as_of": notes["as_of"]}
