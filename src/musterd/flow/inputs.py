"""What a step gets: the values so far, as a :class:`StepInput` for functions and as a message for agents and teams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic_ai.messages import UserContent

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import MEDIA_NAMES, Medium, missing
from musterd.core.step_contents import without_place
from musterd.core.threads import in_thread
from musterd.declare import Component
from musterd.declare.workflow.resolved import WorkflowComponent
from musterd.declare.workflow.step_io import StepInput, as_text, history_context
from musterd.declare.workflow.steps import Step
from musterd.flow.results import StepResult, as_json
from musterd.loop import state
from musterd.loop.media import as_read_by
from musterd.loop.produced_media import result_content

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

MAX_VIEWED = 10_000
"""The most characters of each content that a question to a person shows."""


@dataclass(slots=True, kw_only=True)
class Scope:
    """The values that the next step of a sequence gets.

    :param source: the step whose content the next one gets; None: there was none.
    :param initial: the content that the next step gets if there was none before it.
    :param results: the results of the steps before, by name, in their order.
    :param media: the media that the step before produced.
    :param state: the session state; steps change it in place.
    """

    state: JsonObject
    source: StepResult | None = None
    initial: Json = None
    results: dict[str, StepResult] = field(default_factory=dict)
    media: Sequence[Medium] = ()

    def note(self, result: StepResult) -> None:
        """Add the result of a step."""
        name = result.output.step_name or ""
        self.results.pop(name, None)  # so that it becomes the last one
        self.results[name] = result
        if (source := result.source) is not None:
            self.source, self.media = source, result.media

    @property
    def content(self) -> Json:
        """The content of the step before; None: there was none."""
        return self.initial if self.source is None else self.source.output.content

    @property
    def content_for_choices(self) -> Json:
        """The content that an evaluator or a selector gets: after a container, the container's own text.

        So does AgentOS, and of a ``Parallel`` this text has the contents of all branches.
        """
        last = next(reversed(self.results.values()), None)
        if last is None or last.has_content or last.output.steps is None:
            return self.content
        return last.output.content

    @property
    def every_result(self) -> list[StepResult | None]:
        """The results that a function may read."""
        return [*self.results.values(), self.source]

    def inner(self) -> "Scope":
        """The values for the first step of a container."""
        return replace(self, results=dict(self.results))

    def branch(self) -> "Scope":
        """The values for a branch, which runs beside others and so has a copy of the state."""
        branch = self.inner()
        branch.state = state.copied(self.state)
        return branch


async def read_contents(walk: "Walk", results: Iterable[StepResult | None]) -> None:
    """Read media of runs and large contents that earlier attempts stored, because a step gets these results now."""
    several = [result for result in results if result is not None]
    if hashes := {name for result in several if result.media for name in missing(result.media)}:
        loaded = await walk.tree.read_media(hashes)
        for result in several:
            result.fill_in_media(loaded)
    if not walk.tree.finished_steps:  # the first attempt has all contents
        return
    paths = {step.path for result in several for step in result.unread_steps()}
    texts = await walk.tree.read_contents(paths) if paths else {}
    for result in several:
        await in_thread(result.fill_in, texts)


def step_input(walk: "Walk", scope: Scope, user_input: JsonObject | None = None) -> StepInput:
    """What a function of the workflow gets.

    :param user_input: the values that a person filled in for this step.
    """
    data = dict(walk.additional_data)
    if user_input is not None:
        data["user_input"] = user_input
    media = {name: list(items) for name, items in walk.run.media.items()}
    for result in (result for result in scope.results.values() if result.media):
        for name in MEDIA_NAMES:
            media.setdefault(name, []).extend(getattr(result.output, name) or ())
    return StepInput(
        input=walk.input,
        previous_step_content=scope.content,
        previous_step_outputs={name: result.output for name, result in scope.results.items()},
        additional_data=data or None,
        workflow_session=walk.session,
        **{name: items for name, items in media.items() if items},
    )


def choice_input(walk: "Walk", scope: Scope) -> StepInput:
    """What an evaluator or a selector gets."""
    return replace(step_input(walk, scope), previous_step_content=scope.content_for_choices)


def message_of_step(walk: "Walk", step: Step, scope: Scope, user_input: JsonObject | None) -> str:
    """The message to the agent, the team or the workflow of a step: the content of the step before, or the input."""
    message = as_text(walk.input if scope.content is None else scope.content) or ""
    has_history = step.add_workflow_history
    if has_history is None:
        has_history = walk.component.spec.add_workflow_history_to_steps
    if has_history:
        count = walk.component.spec.num_history_runs if step.num_history_runs is None else step.num_history_runs
        message = f"{history_context(walk.session.get_workflow_history(count)) or ''}{message}"
    if user_input:
        lines = [f"- {name}: {as_text(value)}" for name, value in user_input.items()]
        message = "\n".join([message, "", "User preferences:", *lines])
    return message


def prompt_of_step(
    walk: "Walk", component: Component | WorkflowComponent, message: str, media: Sequence[Medium]
) -> str | Sequence[UserContent]:
    """The prompt of the run that a step starts: the message, the media of the step before, and those of the request."""
    prompt = walk.run.prompt
    of_request = [] if isinstance(prompt, str) else list(prompt[1:])
    if isinstance(component, WorkflowComponent):
        return [message, *of_request] if of_request else message
    if not component.spec.send_media_to_model:
        return message
    model = walk.tree.models.of(component)
    loaded = [medium for medium in media if medium.content is not None or "url" in medium.item]
    content = result_content(message, loaded, model) if loaded else message
    if not of_request:
        return content
    parts: list[UserContent] = [content] if isinstance(content, str) else content
    return [*parts, *(as_read_by(model, item) for item in of_request)]


def step_input_view(walk: "Walk", scope: Scope) -> JsonObject:
    """What a step gets, as the person sees it who is asked about the step. Long texts are cut."""
    return {
        "input": _view(as_text(walk.input) if walk.input is not None else None),
        "previous_step_outputs": {
            name: {**without_place(result.record), "content": _view(result.output.content), "steps": None}
            for name, result in scope.results.items()
        },
        "previous_step_content": _view(scope.content),
        "additional_data": dict(walk.additional_data) or None,
        "images": None,
        "videos": None,
        "audio": None,
        "files": None,
    }


def _view(content: Json) -> Json:
    text = as_text(content)
    return as_json(content) if text is None or len(text) <= MAX_VIEWED else f"{text[:MAX_VIEWED]}…"
