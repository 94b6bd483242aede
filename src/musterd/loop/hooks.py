"""Hooks around a run: each is called once, and what it changes is recorded as its step.

Hooks are called before anything else of a run is prepared, and after its answer. One that a crash cut off is called
again: it should do no harm twice.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from pydantic_ai.messages import BinaryContent, ImageUrl, UserContent
from pydantic_core import to_json

from musterd.core import jsontext
from musterd.core.error_logging import log_failure
from musterd.core.errors import InputCheckError, RunFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.declare import Agent, Component, Team
from musterd.declare.hooks import hook_function, hook_name, wanted_by
from musterd.guards.given import RunContext, RunInput, RunOutput
from musterd.loop import state
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.structured_answers import Answer
from musterd.loop.user_functions import call


async def before(world: RunTree, run: Assignment) -> Assignment:
    """Call the hooks of a run that begins; the run as they leave it.

    :raises RunFailed: one refuses, or fails.
    """
    hooks = run.component.spec.pre_hooks or ()
    hidden = max((number for number, hook in enumerate(hooks) if getattr(hook, "hides_input", False)), default=-1)
    for number, hook in enumerate(hooks):
        run = await _before(world, run, number, hook, hidden)
    return run


async def _before(world: RunTree, run: Assignment, number: int, hook: Json, hidden: int) -> Assignment:
    """Call one hook.

    :param hidden: the number of the last one before which events must not show the input.
    """
    place, text = run.at(f"pre{number}"), message_of(run.prompt)
    told: JsonObject = {"hook": hook_name(hook), "input": text if number > hidden else ""}
    world.tell(EventKind.PRE_HOOK_STARTED, run.run_id, told, place)
    asked = RunInput(input_content=text, **_media(run.prompt))

    async def look() -> JsonObject:
        changed = await _called(world, run, hook, {"run_input": asked})
        left = jsontext.storable(asked.input_content_string())
        if left != text:
            world.steps.input_changed(run.run_id, left)
        return {"input": None if left == text else left, "state_delta": changed}

    done = await _recorded(world, run, hook, place, look)
    if done["input"] is not None:
        run = replace(run, prompt=_replaced(run.prompt, done["input"]))
    if number >= hidden:
        told = {**told, "input": message_of(run.prompt)}
    world.tell(EventKind.PRE_HOOK_COMPLETED, run.run_id, told, place)
    return run


async def checked(threads: Executor, component: Component, text: str, context: RunContext) -> str:
    """A message to a run at work, as the hooks of whom it is for leave it. What they change in the state is not kept.

    :raises RunFailed: one refuses, or fails.
    """
    asked = RunInput(input_content=text)
    for hook in component.spec.pre_hooks or ():
        await _call(threads, hook, {"run_input": asked, **_offered(component.spec, context)}, context.run_id)
    return jsontext.storable(asked.input_content_string())


async def after(world: RunTree, run: Assignment, progress: Progress, answer: Answer) -> Answer:
    """Call the hooks of a run that has its answer; the answer as they leave it.

    :raises RunFailed: one refuses, or fails.
    """
    for number, hook in enumerate(run.component.spec.post_hooks or ()):
        place = run.at(f"post{number}")
        told: JsonObject = {"hook": hook_name(hook)}
        shown = RunOutput(
            run_id=run.run_id,
            session_id=world.session_id,
            content=answer.content,
            content_type=answer.content_type,
            tools=[call.as_json() for call in progress.output.tools],
        )
        world.tell(EventKind.POST_HOOK_STARTED, run.run_id, told, place)
        done = await _recorded(world, run, hook, place, functools.partial(_after, world, run, hook, shown))
        answer = replace(answer, content=done["content"])
        world.tell(EventKind.POST_HOOK_COMPLETED, run.run_id, told, place)
    return answer


async def _after(world: RunTree, run: Assignment, hook: Json, shown: RunOutput) -> JsonObject:
    changed = await _called(world, run, hook, {"run_output": shown})
    return {"content": shown.content, "state_delta": changed}


async def _recorded(
    world: RunTree, run: Assignment, hook: Json, place: str, look: Callable[[], Awaitable[JsonObject]]
) -> JsonObject:
    asked = fingerprint(StepKind.HOOK, run.component.id, hook_name(hook), None)
    done = await world.steps.once(StepKind.HOOK, place, asked, look)
    state.merge(run.state, done["state_delta"])
    return done


async def _called(world: RunTree, run: Assignment, hook: Json, seen: JsonObject) -> JsonObject | None:
    """Call one hook with what it wants; what it changed in the state.

    :raises RunFailed: it refuses, or fails.
    """
    given = state.copied(run.state)
    await _call(world.threads, hook, {**seen, **_context(world, run, given)}, run.run_id)
    changed = state.delta(run.state, given)
    try:
        jsontext.dumps([changed, *(one.content for one in seen.values() if isinstance(one, RunOutput))])
    except Exception as error:
        raise _failure(hook, run.run_id, error) from error
    return changed


async def _call(threads: Executor, hook: Json, offered: JsonObject, run_id: str) -> None:
    """Call one hook with what it wants.

    :raises RunFailed: it refuses, or fails.
    """
    function, values = hook_function(hook), wanted_by(hook, offered)
    try:
        await call(threads, function, values)
    except RunFailed as error:
        if isinstance(error, InputCheckError) and error.additional_data is not None:
            error.additional_data = json.loads(to_json(error.additional_data, fallback=str))
        raise
    except Exception as error:
        raise _failure(hook, run_id, error) from error


def _failure(hook: Json, run_id: str, error: Exception) -> RunFailed:
    name = hook_name(hook)
    log_failure("hook failed", error, hook=name, run_id=run_id)
    return RunFailed(f"The hook '{name}' failed. The server's log has the details under this run's id.", "hook_failed")


def _context(world: RunTree, run: Assignment, given: JsonObject) -> JsonObject:
    """What every hook may ask for."""
    spec = run.component.spec
    context = RunContext(
        run_id=run.run_id,
        session_id=world.session_id,
        user_id=world.user_id,
        session_state=given,
        dependencies={**(spec.dependencies or {}), **world.dependencies},
        metadata={**(spec.metadata or {}), **world.metadata},
    )
    return _offered(spec, context)


def _offered(spec: Agent | Team, context: RunContext) -> JsonObject:
    return {
        "run_context": context,
        "session": context,
        "session_state": context.session_state,
        "dependencies": context.dependencies,
        "metadata": context.metadata,
        "user_id": context.user_id,
        "debug_mode": False,
        spec.kind: spec,
    }


Prompt = str | Sequence[UserContent]


def message_of(prompt: Prompt) -> str:
    """The message: what stands first; the texts behind it are of its media."""
    first = prompt if isinstance(prompt, str) else next(iter(prompt), "")
    return first if isinstance(first, str) else ""


def _replaced(prompt: Prompt, text: str) -> Prompt:
    return text if isinstance(prompt, str) else [text, *prompt[1:]]


def _media(prompt: Prompt) -> dict[str, list[UserContent]]:
    """What came with the message, by kind; the text of files stands among the files."""
    found: dict[str, list[UserContent]] = {}
    for item in () if isinstance(prompt, str) else prompt[1:]:
        kind = "files"
        if isinstance(item, ImageUrl):
            kind = "images"
        elif isinstance(item, BinaryContent):
            names = {"image": "images", "video": "videos", "audio": "audios"}
            kind = names.get(item.media_type.partition("/")[0], "files")
        found.setdefault(kind, []).append(item)
    return found
