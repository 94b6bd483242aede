"""Reasoning before a run's first turn: a model thinks the request through, and the run's own model reads its thoughts.

A model that thinks by itself is asked once, and its thoughts are told as they come. Any other is asked for steps in the
peer's form, until it says that the last one is the final answer. Each call is a step of the journal; one that fails is
the run's failure, because a later attempt has to find the same thoughts.
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
from musterd.loop.side_calls import SideCall, ask, ask_for_form, said_in, thought_in
from musterd.loop.structured_answers import AnswerForm
from musterd.models.resolve import resolve

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


async def reason(world: RunTree, run: Assignment, progress: Progress) -> None:
    """Have the request thought through, and show the thoughts to the run's model.

    :raises RunFailed: the model that reasons fails, or does not keep to the form of steps.
    """
    model = _model(run.component)
    reasoning_steps.begin(world, run, progress, run.at(PLACE))
    found = await (_thought if _thinks_by_itself(model, world) else _stepwise)(world, run, progress, model)
    reasoning_steps.end(world, run, progress, run.at(PLACE))
    assert progress.conversation is not None, "a run has a conversation once it is prepared"
    shown = (
        f"<reasoning>\n{found.strip()}\n</reasoning>\nThe request was thought through as above. Use it for the answer; "
        "do what it asks for first, and do not repeat it."
    )
    progress.conversation.add_request([SystemPromptPart(shown)])


def _model(component: Component) -> "str | Model":
    """Who reasons: the reasoning model, the reasoning agent's, else the component's own."""
    spec = component.spec
    agent = spec.reasoning_agent
    found: str | Model | None = spec.reasoning_model or (agent.model if isinstance(agent, Agent) else None)
    return found or component.model


def _thinks_by_itself(model: "str | Model", world: RunTree) -> bool:
    profile = resolve(model, world.settings).profile
    return bool(profile.get("thinking_always_enabled") or profile.get("thinking_enabled_by_default"))


async def _thought(world: RunTree, run: Assignment, progress: Progress, model: "str | Model") -> str:
    """What a model that thinks by itself thinks, or says where it keeps its thoughts to itself."""

    def on_text(text: str, reasoning: str) -> None:
        if reasoning:
            world.tell(EventKind.REASONING_CONTENT_DELTA, run.voice, {"reasoning": reasoning})

    aside = SideCall(
        place=f"{PLACE}/0", role=ROLE, model=model, messages=_shown(world, run, progress, prompt=None), on_text=on_text
    )
    response, _ = await ask(world, run, progress, aside)
    found = thought_in(response) or said_in(response)
    output = progress.output
    output.reasoning_steps.append(reasoning_steps.step_of({"result": found}))
    output.reasoning = f"{found}\n\n"
    return found


async def _stepwise(world: RunTree, run: Assignment, progress: Progress, model: "str | Model") -> str:
    """The steps of a model that does not think by itself."""
    spec = run.component.spec
    most, least = spec.reasoning_max_steps, min(spec.reasoning_min_steps, spec.reasoning_max_steps)
    steps: list[JsonObject] = []
    messages = _shown(
        world, run, progress, prompt=f"{_prompt(spec.reasoning_agent)}\nTake {least} to {most} steps in all."
    )
    calls = 0
    while len(steps) < most and calls < most:
        aside = SideCall(place=f"{PLACE}/{calls}", role=ROLE, model=model, messages=list(messages))
        value, response, _ = await ask_for_form(world, run, progress, aside, _FORM)
        for said in value["reasoning_steps"][: most - len(steps)]:
            step = reasoning_steps.step_of(said)
            reasoning_steps.add(world, run, progress, step, run.at(f"{PLACE}/s{len(steps)}"))
            steps.append(step)
        if steps[-1]["next_action"] not in ("continue", "validate", "reset") and len(steps) >= least:
            break
        messages += [response, ModelRequest(parts=[UserPromptPart(GO_ON)])]
        calls += 1
    return reasoning_steps.in_words(steps)


def _prompt(agent: Agent | None) -> str:
    """What the model that reasons is told: the reasoning agent's own words, or ours."""
    if agent is None:
        return PROMPT
    said = () if callable(agent.instructions) else agent.instructions or ()
    lines = [agent.description, *([said] if isinstance(said, str) else said)]
    return "\n".join(line for line in lines if line) or PROMPT


def _shown(world: RunTree, run: Assignment, progress: Progress, prompt: str | None) -> list[ModelMessage]:
    """The conversation as the model that reasons sees it: what it is told in place of the run's own system message."""
    assert progress.conversation is not None, "a run has a conversation once it is prepared"
    messages = readable_by(resolve(_model(run.component), world.settings), progress.conversation.messages)
    if prompt is None:
        return messages
    first = messages[0]
    assert isinstance(first, ModelRequest), "a conversation begins with what the model is told"
    told = [part.content for part in first.parts if isinstance(part, SystemPromptPart)]
    system = "\n\n".join([prompt, *(f"<who_answers>\n{text}\n</who_answers>" for text in told)])
    rest = [part for part in first.parts if not isinstance(part, SystemPromptPart)]
    return [ModelRequest(parts=[SystemPromptPart(system), *rest], timestamp=first.timestamp), *messages[1:]]
