"""Hooks around a run. Each is called once, and its changes are recorded as a journal step.

Pre-hooks are called before anything else of the run is prepared, post-hooks after its answer. A hook that was cut off
by a crash is called again, so it should be safe to repeat.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Sequence
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
from musterd.declare.hooks import hook_arguments, hook_function, hook_name
from musterd.guards.hook_types import RunContext, RunInput, RunOutput
from musterd.loop import state
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.context_functions import run_context
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.structured_answers import RunAnswer
from musterd.loop.user_functions import Threads, call


async def run_pre_hooks(tree: RunTree, run: Assignment) -> Assignment:
    """Call the pre-hooks of a run and return the run as they left it.

    :raises RunFailed: a hook rejects the run, or fails.
    """
    hooks = run.component.spec.pre_hooks or ()
    last_hiding = max((number for number, hook in enumerate(hooks) if getattr(hook, "hides_input", False)), default=-1)
    for number, hook in enumerate(hooks):
        run = await _run_pre_hook(tree, run, number, hook, last_hiding)
    return run


async def _run_pre_hook(tree: RunTree, run: Assignment, number: int, hook: Json, last_hiding: int) -> Assignment:
    """Call one pre-hook.

    :param last_hiding: the number of the last hook that hides the input; until it is done, events omit the input.
    """
    path, text = run.at(f"pre{number}"), message_of(run.prompt)
    data: JsonObject = {"hook": hook_name(hook), "input": text if number > last_hiding else ""}
    tree.emit_now(EventKind.PRE_HOOK_STARTED, run.run_id, data, path)
    run_input = RunInput(input_content=text, **_media(run.prompt))

    async def call_hook() -> JsonObject:
        state_delta = await _call_and_diff_state(tree, run, hook, {"run_input": run_input})
        new_text = jsontext.storable(run_input.input_content_string())
        if new_text != text:  # inside the step, so that the input is stored in the same commit as the step
            tree.steps.input_changed(run.run_id, new_text)
        return {"input": None if new_text == text else new_text, "state_delta": state_delta}

    changes = await _once(tree, run, hook, path, call_hook)
    if changes["input"] is not None:
        run = replace(run, prompt=_with_message(run.prompt, changes["input"]))
    if number >= last_hiding:
        data = {**data, "input": message_of(run.prompt)}
    tree.emit_now(EventKind.PRE_HOOK_COMPLETED, run.run_id, data, path)
    return run


async def check_message(threads: Threads, component: Component, text: str, context: RunContext) -> str:
    """Pass a message to an active run through the component's pre-hooks. Their changes to the state are discarded.

    :return: the message as the hooks left it.
    :raises RunFailed: a hook rejects the message, or fails.
    """
    run_input = RunInput(input_content=text)
    for hook in component.spec.pre_hooks or ():
        arguments = {"run_input": run_input, **_common_arguments(component.spec, context)}
        await _call(threads, hook, arguments, context.run_id)
    return jsontext.storable(run_input.input_content_string())


async def run_post_hooks(tree: RunTree, run: Assignment, progress: Progress, answer: RunAnswer) -> RunAnswer:
    """Call the post-hooks of a run that has its answer and return the answer as they left it.

    :raises RunFailed: a hook rejects the answer, or fails.
    """
    for number, hook in enumerate(run.component.spec.post_hooks or ()):
        path = run.at(f"post{number}")
        data: JsonObject = {"hook": hook_name(hook)}
        run_output = RunOutput(
            run_id=run.run_id,
            session_id=tree.session_id,
            input=RunInput(input_content=message_of(run.prompt), **_media(run.prompt)),
            content=answer.content,
            content_type=answer.content_type,
            tools=[call.as_json() for call in progress.output.tools],
        )
        tree.emit_now(EventKind.POST_HOOK_STARTED, run.run_id, data, path)
        call_hook = functools.partial(_call_post_hook, tree, run, hook, run_output)
        changes = await _once(tree, run, hook, path, call_hook)
        answer = replace(answer, content=changes["content"])
        tree.emit_now(EventKind.POST_HOOK_COMPLETED, run.run_id, data, path)
    return answer


async def _call_post_hook(tree: RunTree, run: Assignment, hook: Json, run_output: RunOutput) -> JsonObject:
    state_delta = await _call_and_diff_state(tree, run, hook, {"run_output": run_output})
    return {"content": run_output.content, "state_delta": state_delta}


async def _once(
    tree: RunTree, run: Assignment, hook: Json, path: str, call_hook: Callable[[], Awaitable[JsonObject]]
) -> JsonObject:
    """Call a hook as a journal step, or reuse the step of an earlier attempt; apply its changes to the run's state."""
    name = hook_name(hook)
    step = fingerprint(StepKind.HOOK, run.component.id, name, None)
    changes = await tree.steps.once(StepKind.HOOK, path, step, name, call_hook)
    state.merge(run.state, changes["state_delta"])
    return changes


async def _call_and_diff_state(tree: RunTree, run: Assignment, hook: Json, subject: JsonObject) -> JsonObject | None:
    """Call one hook and return its changes to the session state.

    :param subject: the run's input or output, by the name of the hook's parameter.
    :raises RunFailed: the hook rejects the run, fails, or leaves a value that is not JSON.
    """
    working_state = state.copied(run.state)
    await _call(tree.threads, hook, {**subject, **_run_arguments(tree, run, working_state)}, run.run_id)
    state_delta = state.delta(run.state, working_state)
    try:
        # Checked before the step is stored: here the error can still name the hook.
        if state_delta is not None:
            state_delta, _ = state.as_json(state_delta)
        jsontext.dumps([value.content for value in subject.values() if isinstance(value, RunOutput)])
    except Exception as error:
        raise _failure(hook, run.run_id, error) from error
    return state_delta


async def _call(threads: Threads, hook: Json, arguments: JsonObject, run_id: str) -> None:
    """Call one hook with those of the arguments that its parameters name.

    :raises RunFailed: the hook rejects the run, or fails.
    """
    function, own_arguments = hook_function(hook), hook_arguments(hook, arguments)
    try:
        await call(threads, function, own_arguments)
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


def _run_arguments(tree: RunTree, run: Assignment, working_state: JsonObject) -> JsonObject:
    """The arguments that are available to every hook of a run."""
    return _common_arguments(run.component.spec, run_context(tree, run, working_state))


def _common_arguments(spec: Agent | Team, context: RunContext) -> JsonObject:
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
    """The message itself, which comes first. Later texts belong to its media."""
    first = prompt if isinstance(prompt, str) else next(iter(prompt), "")
    return first if isinstance(first, str) else ""


def _with_message(prompt: Prompt, text: str) -> Prompt:
    return text if isinstance(prompt, str) else [text, *prompt[1:]]


def _media(prompt: Prompt) -> dict[str, list[UserContent]]:
    """The media of the message, by kind. Texts of files count as files."""
    media: dict[str, list[UserContent]] = {}
    for item in () if isinstance(prompt, str) else prompt[1:]:
        kind = "files"
        if isinstance(item, ImageUrl):
            kind = "images"
        elif isinstance(item, BinaryContent):
            names = {"image": "images", "video": "videos", "audio": "audios"}
            kind = names.get(item.media_type.partition("/")[0], "files")
        media.setdefault(kind, []).append(item)
    return media
