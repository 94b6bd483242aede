"""Calling a tool's function: plain ones in a thread, within the tool's time."""

import asyncio
import contextvars
import inspect
from typing import Any

from musterd.core import clock, jsontext
from musterd.core.error_logging import log_failure, words_of
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import Medium
from musterd.core.records import StepState
from musterd.declare import Tool, ToolContext
from musterd.declare.tool_errors import OutcomeUnknown, ToolFailed
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.builtin_tools import Rejected, ToolCallContext
from musterd.loop.contained_exits import Interrupted, exits_contained
from musterd.loop.produced_media import check_media, taken_apart
from musterd.loop.progress import CallContext, Reports
from musterd.loop.run_tree import RunTree, digest
from musterd.loop.steps import ToolStep
from musterd.loop.task_abandonment import is_cancelled, run_user_code
from musterd.loop.tool_middleware import call_around, is_surrounded
from musterd.loop.tool_results import bounded_text, check_state_change, error_text


async def call_function(
    world: RunTree, run: Assignment, tool: Tool, call_id: str, path: str, arguments: JsonObject
) -> ToolStep:
    """Call a tool; whatever it raises is a result that says so, for the model to read."""
    given = state.copied(run.state)
    context: ToolContext | ToolCallContext
    tell = world.teller(run.run_id, path)
    reports = Reports(tell, {"tool_call_id": call_id, "tool_name": tool.name})
    if tool.is_own:
        context = ToolCallContext(run=run, state=given, path=path, tell=tell, past=world.past)
    else:
        context = _context(world, run, call_id, path, given, reports)
    started_at, started = clock.now(), clock.monotonic()
    step_state, is_error, change, media = StepState.COMPLETED, False, None, tuple[Medium, ...]()
    limit, is_abandoned = asyncio.timeout(None), False

    def abandoned() -> None:
        nonlocal is_abandoned
        is_abandoned = True
        world.steps.abandoned(path)

    try:
        async with limit:
            answer = _answer(world, run, tool, arguments, context, limit)
            if tool.is_own:
                returned = await answer
            else:
                returned = await run_user_code(answer, abandoned, tool=tool.name, run_id=run.run_id)
        check_media(returned, world.settings.media_bytes)
        returned, media = taken_apart(returned, world.salt, path)
        result = jsontext.storable(await bounded_text(returned, world.settings.tool_result_stored_bytes))
        change = state.delta(run.state, given)
        check_state_change(change, world.settings.state_bytes)
    except BaseException as error:
        if isinstance(error, Interrupted) or (isinstance(error, asyncio.CancelledError) and is_cancelled()):
            raise
        if not isinstance(error, Rejected | ToolFailed | OutcomeUnknown):
            log_failure("tool failed", error, tool=tool.name, run_id=run.run_id)
        words = error_text(_words_of(error), world.settings.tool_result_stored_bytes)
        step_state, is_error, media, result = StepState.FAILED, True, (), jsontext.storable(words)
        if isinstance(error, OutcomeUnknown):
            step_state = StepState.UNKNOWN
        if limit.expired():
            step_state = StepState.UNKNOWN
            result = f"No result after {tool.timeout_seconds} s; whether it took effect is not known."
            if is_abandoned:
                result += " It did not stop and was left running."
    finally:
        reports.close()
    return ToolStep(
        result=result,
        is_error=is_error,
        started_at=started_at,
        seconds=clock.monotonic() - started,
        state=step_state,
        state_delta=None if is_error else change,
        media=media,
    )


def _context(
    world: RunTree, run: Assignment, call_id: str, path: str, given: JsonObject, reports: Reports
) -> ToolContext:
    return CallContext(
        reports=reports,
        run_id=run.run_id,
        root_run_id=world.root_id,
        session_id=world.session_id,
        user_id=world.user_id,
        agent_id=run.component.id,
        tool_call_id=call_id,
        idempotency_key=digest(world.root_id, path),
        session_state=given,
        dependencies={**run.dependencies, **world.dependencies},
        metadata={**run.metadata, **world.metadata},
        media={name: list(items) for name, items in run.media.items()},
    )


async def _answer(
    world: RunTree,
    run: Assignment,
    tool: Tool,
    arguments: JsonObject,
    context: ToolContext | ToolCallContext,
    limit: asyncio.Timeout,
) -> Json:
    """Call the function, with what stands around it."""
    task = asyncio.current_task()
    assert task is not None
    if isinstance(context, ToolCallContext) or not is_surrounded(run, tool):
        return await _call(world, tool, arguments, context, limit, task)
    most_bytes = world.settings.tool_result_stored_bytes
    return await call_around(
        run,
        tool,
        arguments,
        context,
        lambda given: _call(world, tool, given, context, limit, task),
        lambda result: bounded_text(result, most_bytes),
    )


async def _call(
    world: RunTree,
    tool: Tool,
    arguments: JsonObject,
    context: ToolContext | ToolCallContext,
    limit: asyncio.Timeout,
    task: "asyncio.Task[Any]",
) -> Json:
    """Call the function; its time begins when it does, not while it waits for a thread.

    :param task: makes the tool call.
    """
    # Hooks go on if they swallow the cancel, or if they have a thread. They may call from any task, so the current one
    # says nothing.
    if task.done() or task.cancelling() > 0:
        raise asyncio.CancelledError
    bound, loop, seconds = tool.bind(arguments, context), asyncio.get_running_loop(), tool.timeout_seconds
    if tool.is_async:
        limit.reschedule(None if seconds is None else loop.time() + seconds)
        with exits_contained:
            return await bound()

    def begun(seconds: float) -> None:
        if not waiting.done():  # not cancelled meanwhile
            limit.reschedule(loop.time() + seconds)

    def in_thread() -> Json:
        if seconds is not None:
            loop.call_soon_threadsafe(begun, seconds)
        return bound()

    waiting = loop.run_in_executor(world.threads, contextvars.copy_context().run, in_thread)
    with exits_contained:
        result: Json = await waiting
        # A plain wrapper around an async function gives back what is still to be awaited.
        return await result if inspect.isawaitable(result) else result


def _words_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):  # not the run's cancel: that one is raised
        return "The tool cancelled its own call."
    return words_of(error)
