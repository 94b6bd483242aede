"""Reasoning before a run's first turn: a model reasons about the request, and the run's own model reads the result.

A model with native thinking is called once, and its thoughts are streamed as events. Any other model is called for
steps in Agno's shape until it marks one as the final answer. Each call is a journal step. If a call fails, the run
fails, because a later attempt must find the same reasoning.
"""

from typing import TYPE_CHECKING

from pydantic_ai.messages import ModelMessage, ModelRequest, SystemPromptPart, UserPromptPart

from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.declare import Agent, Component
from musterd.loop import reasoning_steps
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.media import readable_by
from musterd.loop.run_tree import RunTree
from musterd.loop.side_calls import SideCall, answer_text, ask, ask_for_form, thinking_text
from musterd.loop.structured_answers import AnswerForm

if TYPE_CHECKING:
    from pydantic_ai.models import Model

PLACE = "reason"
ROLE = "reasoning_model"
PROMPT = (
    "You think a request through before somebody else answers it. Say what is asked and what has to be known. Break it "
    "into parts, weigh at least two ways to go, choose one and say why. Go through it step by step: what you do, what "
    "comes of it, what you take for granted. Check the result in another way before you call it the final "
    "answer; where it does not hold, begin anew. You cannot call tools: where one is needed, say which and what for."
)
GO_ON = "Go on with the steps that are missing."
_FORM = AnswerForm(name="ReasoningSteps", schema=reasoning_steps.STEPS)


async def reason(tree: RunTree, run: Assignment, progress: Progress) -> None:
    """Reason about the request, and add the reasoning to the conversation of the run's model.

    :raises RunFailed: if the reasoning model fails, or its answer does not match the schema of steps.
    """
    model = _model(run.component)
    reasoning_steps.begin(tree, run, progress, run.at(PLACE))
    think = _think_natively if _has_native_thinking(tree, run, model) else _think_in_steps
    thoughts = await think(tree, run, progress, model)
    reasoning_steps.end(tree, run, progress, run.at(PLACE))
    assert progress.conversation is not None, "a run has a conversation once it is prepared"
    text = (
        f"<reasoning>\n{thoughts.strip()}\n</reasoning>\nThe request was thought through as above. "
        "Use it for the answer; do what it asks for first, and do not repeat it."
    )
    # Add it as a system message: it is then not part of the history, and the user's message stays the last of its kind.
    progress.conversation.add_request([SystemPromptPart(text)])


def _model(component: Component) -> "str | Model":
    """The model that reasons: ``reasoning_model``, else the model of ``reasoning_agent``, else the component's."""
    spec = component.spec
    agent = spec.reasoning_agent
    model: str | Model | None = spec.reasoning_model or (agent.model if isinstance(agent, Agent) else None)
    return model or component.model


def _has_native_thinking(tree: RunTree, run: Assignment, model: "str | Model") -> bool:
    profile = tree.models.aside(run.component, ROLE, model).profile
    return bool(profile.get("thinking_always_enabled") or profile.get("thinking_enabled_by_default"))


async def _think_natively(tree: RunTree, run: Assignment, progress: Progress, model: "str | Model") -> str:
    """The thoughts of a model with native thinking, or its answer if it does not reveal its thoughts."""

    def on_text(text: str, reasoning: str) -> None:
        if reasoning:
            tree.emit_now(EventKind.REASONING_CONTENT_DELTA, run.voice, {"reasoning": reasoning})

    messages = _messages(tree, run, progress, prompt=None)
    side_call = SideCall(place=f"{PLACE}/0", role=ROLE, model=model, messages=messages, on_text=on_text)
    response, _ = await ask(tree, run, progress, side_call)
    thoughts = thinking_text(response) or answer_text(response)
    output = progress.output
    output.reasoning_steps.append(reasoning_steps.step_of({"result": thoughts}))
    output.reasoning = f"{thoughts}\n\n"
    return thoughts


async def _think_in_steps(tree: RunTree, run: Assignment, progress: Progress, model: "str | Model") -> str:
    """The reasoning steps of a model without native thinking, as text."""
    spec = run.component.spec
    most, least = spec.reasoning_max_steps, min(spec.reasoning_min_steps, spec.reasoning_max_steps)
    steps: list[JsonObject] = []
    messages = _messages(
        tree, run, progress, prompt=f"{_prompt(spec.reasoning_agent)}\nTake {least} to {most} steps in all."
    )
    calls = 0
    while len(steps) < most and calls < most:
        side_call = SideCall(place=f"{PLACE}/{calls}", role=ROLE, model=model, messages=list(messages))
        value, response, _ = await ask_for_form(tree, run, progress, side_call, _FORM)
        for fields in value["reasoning_steps"][: most - len(steps)]:
            step = reasoning_steps.step_of(fields)
            reasoning_steps.add(tree, run, progress, step, run.at(f"{PLACE}/s{len(steps)}"))
            steps.append(step)
        if steps[-1]["next_action"] not in ("continue", "validate", "reset") and len(steps) >= least:
            break
        messages += [response, ModelRequest(parts=[UserPromptPart(GO_ON)])]
        calls += 1
    return reasoning_steps.as_text(steps)


def _prompt(agent: Agent | None) -> str:
    """The system prompt of the reasoning model: that of the reasoning agent if it has one, else :data:`PROMPT`."""
    if agent is None:
        return PROMPT
    instructions = () if callable(agent.instructions) else agent.instructions or ()
    lines = [agent.description, *([instructions] if isinstance(instructions, str) else instructions)]
    return "\n".join(line for line in lines if line) or PROMPT


def _messages(tree: RunTree, run: Assignment, progress: Progress, prompt: str | None) -> list[ModelMessage]:
    """The conversation for the reasoning model.

    :param prompt: replaces the run's own system message, which it then quotes; None: the conversation as it is.
    """
    assert progress.conversation is not None, "a run has a conversation once it is prepared"
    model = tree.models.aside(run.component, ROLE, _model(run.component))
    messages = readable_by(model, progress.conversation.messages)
    if prompt is None:
        return messages
    first = messages[0]
    assert isinstance(first, ModelRequest), "a conversation begins with what the model is told"
    system_texts = [part.content for part in first.parts if isinstance(part, SystemPromptPart)]
    system = "\n\n".join([prompt, *(f"<who_answers>\n{text}\n</who_answers>" for text in system_texts)])
    rest = [part for part in first.parts if not isinstance(part, SystemPromptPart)]
    return [ModelRequest(parts=[SystemPromptPart(system), *rest], timestamp=first.timestamp), *messages[1:]]
