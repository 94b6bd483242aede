"""A step that runs a function, an agent, a team or another workflow: its question, its tries, its result."""

from functools import partial
from typing import TYPE_CHECKING

from musterd.core import clock
from musterd.core.errors import StepFailed
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind
from musterd.core.threads import in_thread
from musterd.declare.workflow.steps import Step
from musterd.flow import results
from musterd.flow.asking import ask_about_error, ask_before, unknown_outcome
from musterd.flow.functions import FunctionStep, call_step, executor_of
from musterd.flow.inputs import Scope, message_of_step, read_contents, step_input
from musterd.flow.position import Position, step_fingerprint
from musterd.flow.results import StepResult
from musterd.flow.step_runs import StepRun, drive_step_run
from musterd.loop import state
from musterd.loop.steps import Intent, ToolStep

if TYPE_CHECKING:
    from musterd.flow.walk import Walk

FIRST_WAIT_SECONDS = 0.1


async def run_step(walk: "Walk", position: Position, scope: Scope) -> StepResult | None:
    """Run a step; None: a person skipped it.

    :raises StepFailed: it failed, and that ends the run.
    :raises RunRejected: a person rejected it, and that ends the run.
    """
    spec = position.node.spec
    assert isinstance(spec, Step)
    answer = await ask_before(walk, position, scope)
    if not answer.is_approved:
        return None
    walk.emit(EventKind.STEP_STARTED, position)
    tried = await _tries(walk, position, scope, answer.values or None)
    if tried is None:
        return None
    path, step = tried
    # The result is recorded by now and its events are not. A crash in between leaves them to the next attempt, which
    # gets the stored result and emits what is not stored.
    result = _result(position, path, step)
    state.merge(scope.state, step.state_delta)
    if step.media:
        walk.progress.add_media(step.media)
    data: JsonObject = {"step": position.head, "output": result.record}
    if spec.executor is not None and len(position.index) == 1:
        # One object for both, so that it is stored once (store.attempt_writes.add_events).
        walk.tree.emit_now(EventKind.STEP_OUTPUT, walk.run.run_id, data, position.path)
    walk.tree.emit_now(EventKind.STEP_COMPLETED, walk.run.run_id, data, position.path)
    return result


async def _tries(
    walk: "Walk", position: Position, scope: Scope, user_input: JsonObject | None
) -> tuple[str, ToolStep] | None:
    """Try the step until it succeeds or no try is left; None: a person skipped it after it had failed.

    :return: the path of the last try, and its result.
    :raises StepFailed: the last try failed, and that ends the run.
    """
    spec, number, granted = position.node.spec, 0, 0
    assert isinstance(spec, Step)
    while True:
        path = position.path if number == 0 else f"{position.path}/r{number}"
        step = await _try(walk, position, path, scope, user_input)
        if not _is_failure(step):
            return path, step
        details = step.details or {}
        # A function that returned a failure has said all, and so has a run whose error says that trying is of no use. A
        # call whose outcome is unknown has no type of error: another try might have its effect twice.
        may_retry = step.is_error and details.get("error_type") is not None and not details.get("is_final")
        # The limit may be lower than in an earlier attempt, or a person granted the next try.
        is_next_begun = f"{position.path}/r{number + 1}" in walk.tree.stored_steps
        will_retry = may_retry and (number < spec.max_retries + granted or is_next_begun)
        error = step.result if step.is_error else details["error"]
        data: JsonObject = {"error": error, "try": number + 1, "will_retry": will_retry}
        if details.get("error_type") is not None:
            data["error_type"] = details["error_type"]
        walk.emit(EventKind.STEP_ERROR, position, data, f"r{number}")
        if not will_retry:
            if _is_stopped(step) or spec.on_error == "skip":
                return path, step
            if spec.on_error == "fail":
                is_unknown = step.is_error and "error_type" not in details and position.node.component is None
                failed_paths, unknown_paths = ([], [path]) if is_unknown else ([path], [])
                raise StepFailed(f"Step '{position.node.name}' failed: {error}", failed_paths, unknown_paths)
            if not await ask_about_error(walk, position, number, step):
                return None
            granted = number + 1 - spec.max_retries
        number += 1


def _result(position: Position, path: str, step: ToolStep) -> StepResult:
    if not step.is_error:
        return results.succeeded(position, path, step)
    name = position.node.name
    text = f"Step {name} was cancelled" if _is_stopped(step) else f"Step skipped due to error: {step.result}"
    return results.failed(position, step, text)


def _is_failure(step: ToolStep) -> bool:
    return step.is_error or (step.details or {}).get("success") is False


def _is_stopped(step: ToolStep) -> bool:
    return bool((step.details or {}).get("is_stopped"))


async def _try(walk: "Walk", position: Position, path: str, scope: Scope, user_input: JsonObject | None) -> ToolStep:
    node, spec = position.node, position.node.spec
    assert isinstance(spec, Step)
    if node.component is None:
        return await _call_executor(walk, position, path, scope, user_input)
    message = ""
    if path not in walk.tree.finished_steps:  # else its run is not driven again
        await read_contents(walk, [scope.source])
        message = await in_thread(message_of_step, walk, spec, scope, user_input)  # it may be long JSON
    step_run = StepRun(
        component=node.component,
        path=path,
        message=message,
        state=scope.state,
        media=scope.media,
        timeout_seconds=spec.timeout_seconds,
        is_strict=spec.strict_input_validation,
    )
    return await drive_step_run(walk, position, step_run)


async def _call_executor(
    walk: "Walk", position: Position, path: str, scope: Scope, user_input: JsonObject | None
) -> ToolStep:
    tree, node, spec = walk.tree, position.node, position.node.spec
    assert isinstance(spec, Step)
    function = executor_of(node)
    intent = Intent(
        path=path,
        kind=StepKind.FUNCTION,
        name=node.name,
        fingerprint=step_fingerprint(StepKind.FUNCTION, walk.run.component.id, node.name, node.place),
        is_retry_safe=spec.retry_safe,
        on_unknown=spec.on_unknown_effect,
        is_followed=position.is_followed,
        is_stoppable=function.is_stoppable,
        keeps_content_apart=True,
    )

    async def call() -> ToolStep:
        await read_contents(walk, scope.every_result)
        step = FunctionStep(
            function=function,
            first=(step_input(walk, scope, user_input),),
            on_text=partial(walk.emit_text, position.path, position.head),
        )
        if path != position.path:  # a further try: here, so that a replay does not wait
            await clock.sleep(clock.jitter(FIRST_WAIT_SECONDS))
        return await call_step(walk, step, path, scope.state)

    # The intent is committed before the call, in one commit with the result of the step before (`is_followed`). A crash
    # after it leaves a call that was cut off; the other way round, a call could have an effect that nothing knows of.
    await tree.steps.intend([intent], [])
    return await tree.steps.tool(intent, call, lambda kind: unknown_outcome(walk, position, path))
