"""Calling a tool's function, with its timeout. A plain function runs in a thread."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from musterd.core import clock, jsontext
from musterd.core.error_logging import exception_message, log_failure
from musterd.core.errors import HandedOver, LeaseLost, RunFailed, RunRejected
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import Medium
from musterd.core.records import StepState
from musterd.declare import BaseComponent, Tool, ToolContext
from musterd.declare.tool_errors import OutcomeUnknown, StopRun, ToolFailed
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.builtin_tools import Rejected, ToolCallContext
from musterd.loop.contained_exits import Interrupted, exits_contained
from musterd.loop.pausing import Waits
from musterd.loop.produced_media import check_media, split_media
from musterd.loop.progress import CallContext, Reports
from musterd.loop.run_tree import RunTree, digest
from musterd.loop.steps import ToolStep
from musterd.loop.task_abandonment import is_cancelled, run_user_code
from musterd.loop.tool_middleware import call_with_middleware, has_middleware
from musterd.loop.tool_results import bounded_text, check_state_change, error_text
from musterd.loop.user_functions import awaited, call_in_thread

_OF_STEPS = (RunFailed, RunRejected, Waits, LeaseLost, HandedOver)
"""How the steps of a run end that cannot go on now, or at all."""


async def call_function(
    tree: RunTree, run: Assignment[BaseComponent], tool: Tool, call_id: str, path: str, arguments: JsonObject
) -> ToolStep:
    """Call a tool. Any exception becomes a failed result that the model reads."""
    working_state = state.copied(run.state)
    reports = Reports(tree.emitter(run.run_id, path), {"tool_call_id": call_id, "tool_name": tool.name})
    context: ToolContext | ToolCallContext
    if tool.is_own:
        context = _own_context(tree, run, path, working_state)
    else:
        context = _context(tree, run, call_id, path, working_state, reports)
    started_at, started = clock.now(), clock.monotonic()
    step_state, is_error, change, media = StepState.COMPLETED, False, None, tuple[Medium, ...]()
    deadline, is_abandoned, stops_run = asyncio.timeout(None), False, False

    def on_abandoned() -> None:
        nonlocal is_abandoned
        is_abandoned = True
        tree.steps.abandoned(path)

    call = _Call(tree=tree, run=run, tool=tool, arguments=arguments, context=context, deadline=deadline)
    try:
        async with deadline:
            returned = await call.result(on_abandoned)
        check_media(returned, tree.settings.media_bytes)
        returned, media = split_media(returned, tree.salt, path)
        result = jsontext.storable(await bounded_text(returned, tree.settings.tool_result_stored_bytes))
        change = state.delta(run.state, working_state)
        check_state_change(change, tree.settings.state_bytes)
    except BaseException as error:
        # A tool of the loop may run steps. What keeps these from going on is not a result of the call.
        if tool.is_own and isinstance(error, _OF_STEPS):
            raise
        # Only a cancel of this task ends the call. A CancelledError that the tool itself raised is a failed result.
        if isinstance(error, Interrupted) or (isinstance(error, asyncio.CancelledError) and is_cancelled()):
            raise
        if not isinstance(error, Rejected | ToolFailed | OutcomeUnknown):
            log_failure("tool failed", error, tool=tool.name, run_id=run.run_id)
        message = error_text(_message_of(error), tree.settings.tool_result_stored_bytes)
        step_state = StepState.UNKNOWN if isinstance(error, OutcomeUnknown) else StepState.FAILED
        is_error, stops_run, media, result = True, isinstance(error, StopRun), (), jsontext.storable(message)
        if deadline.expired():  # the cancelled function may have had its effect before
            step_state = StepState.UNKNOWN
            result = f"No result after {tool.timeout_seconds} s; its outcome is unknown."
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
        details=_details(context, stops_run=stops_run),
    )


def _details(context: ToolContext | ToolCallContext, *, stops_run: bool) -> JsonObject | None:
    """What the journal keeps of a call in addition to its text."""
    details = context.details if isinstance(context, ToolCallContext) else {}
    return {**details, "stops_run": True} if stops_run else details or None


def _own_context(
    tree: RunTree, run: Assignment[BaseComponent], path: str, working_state: JsonObject
) -> ToolCallContext:
    """The context of a built-in tool, which only agents and teams have."""
    emit = tree.emitter(run.run_id, path)
    return ToolCallContext(tree=tree, run=cast("Assignment", run), state=working_state, path=path, emit=emit)


def _context(
    tree: RunTree, run: Assignment[BaseComponent], call_id: str, path: str, working_state: JsonObject, reports: Reports
) -> ToolContext:
    return CallContext(
        reports=reports,
        services=tree.services,
        run_id=run.run_id,
        root_run_id=tree.root_id,
        session_id=tree.session_id,
        user_id=tree.user_id,
        agent_id=run.component.id,
        tool_call_id=call_id,
        # The same on every attempt, so that a service can recognize a repeated call.
        idempotency_key=digest(tree.root_id, path),
        session_state=working_state,
        dependencies={**run.dependencies, **tree.dependencies},
        metadata={**run.metadata, **tree.metadata},
        media={name: list(items) for name, items in run.media.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call of a tool's function.

    :param arguments: the validated arguments; hooks may pass others on.
    :param deadline: the time limit, which begins when the function does.
    """

    tree: RunTree
    run: Assignment[BaseComponent]
    tool: Tool
    arguments: JsonObject
    context: ToolContext | ToolCallContext
    deadline: asyncio.Timeout

    async def result(self, on_abandoned: Callable[[], object]) -> Json:
        """Call the function; user code that runs on the event loop gets a task of its own, which can be abandoned."""

        async def as_user_code(code: Coroutine[Any, Any, Json]) -> Json:
            return await run_user_code(code, on_abandoned, tool=self.tool.name, run_id=self.run.run_id)

        if self.tool.is_own:
            return await self._in_middleware()
        if self.tool.is_async or has_middleware(self.run, self.tool):
            return await as_user_code(self._in_middleware())
        returned = await self._in_thread(self.arguments)
        # A plain wrapper around an async function returns an awaitable.
        return await as_user_code(awaited(returned)) if inspect.isawaitable(returned) else returned

    async def _in_middleware(self) -> Json:
        """Call the function, with its hooks, cache and retries around it."""
        task, context = asyncio.current_task(), self.context
        assert task is not None
        if isinstance(context, ToolCallContext) or not has_middleware(self.run, self.tool):
            return await self._in_task(task, self.arguments)
        max_bytes = self.tree.settings.tool_result_stored_bytes
        return await call_with_middleware(
            self.run,
            self.tool,
            self.arguments,
            context,
            lambda changed: self._in_task(task, changed),
            lambda result: bounded_text(result, max_bytes),
        )

    async def _in_task(self, task: "asyncio.Task[Any]", arguments: JsonObject) -> Json:
        """Call the function from a task of user code. Its time limit begins when the function does.

        :param task: the task of the tool call.
        """
        # A hook may call the function after the tool call was cancelled or has ended: from a thread, from another task,
        # or because it swallowed the cancel. The run may have finished by then, or another process may drive it, so the
        # function must not run. The hook may call from any task, so the state of the current task does not tell.
        if task.done() or task.cancelling() > 0:
            raise asyncio.CancelledError
        if self.tool.is_async:
            seconds = self.tool.timeout_seconds
            self.deadline.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)
            bound = self.tool.bind(arguments, self.context)
            with exits_contained:
                return await bound()
        returned = await self._in_thread(arguments)
        return await awaited(returned) if inspect.isawaitable(returned) else returned

    async def _in_thread(self, arguments: JsonObject) -> Json:
        """Call a plain function. Its time limit begins when it does, not while it waits for a thread."""
        bound, seconds = self.tool.bind(arguments, self.context), self.tool.timeout_seconds
        if seconds is None:
            return await call_in_thread(self.tree.threads, bound)
        loop, is_over = asyncio.get_running_loop(), False

        def start_timeout() -> None:
            if not is_over:  # the wait may have been cancelled in the meantime
                self.deadline.reschedule(loop.time() + seconds)

        def with_timeout() -> Json:
            # A timeout may be changed only in the event loop's thread.
            loop.call_soon_threadsafe(start_timeout)
            return bound()

        try:
            return await call_in_thread(self.tree.threads, with_timeout)
        finally:
            is_over = True


def _message_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):  # a cancel of the run never gets here; it is raised
        return "The tool cancelled its own call."
    return exception_message(error)
