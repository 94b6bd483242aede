"""Calling a tool's function, each try with its timeout. A plain function runs in a thread."""

import asyncio
import contextlib
import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
from musterd.loop.task_abandonment import OutOfTime, is_cancelled, run_user_code, run_within
from musterd.loop.tool_middleware import call_with_middleware, has_middleware
from musterd.loop.tool_results import ResultTooLarge, bounded_text, checked_change, error_text
from musterd.loop.user_functions import awaited, call_in_thread

_OF_STEPS = (RunFailed, RunRejected, Waits, LeaseLost, HandedOver)
"""How the steps of a run end that cannot go on now, or at all."""


class TimedOut(OutcomeUnknown):
    """The tool's function returned no result in time; it may have had its effect before it was stopped."""


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
    stops_run = False
    call = _Call(tree=tree, run=run, tool=tool, path=path, arguments=arguments, context=context)
    try:
        returned = await call.result()
        check_media(returned, tree.settings.media_bytes)
        returned, media = split_media(returned, tree.salt, path)
        result = jsontext.storable(await bounded_text(returned, tree.settings.tool_result_stored_bytes))
        change = checked_change(state.delta(run.state, working_state), tree.settings.state_bytes)
    except BaseException as error:
        # A tool of the loop may run steps. What keeps these from going on is not a result of the call.
        if tool.is_own and isinstance(error, _OF_STEPS):
            raise
        # Only a cancel of this task ends the call. A CancelledError that the tool itself raised is a failed result.
        if isinstance(error, Interrupted) or (isinstance(error, asyncio.CancelledError) and is_cancelled()):
            raise
        if isinstance(error, TimedOut) or not isinstance(error, Rejected | ToolFailed | OutcomeUnknown):
            log_failure("tool failed", error, tool=tool.name, run_id=run.run_id)
        message = error_text(_message_of(error), tree.settings.tool_result_stored_bytes)
        step_state = StepState.UNKNOWN if isinstance(error, OutcomeUnknown) else StepState.FAILED
        is_error, stops_run, media, result = True, isinstance(error, StopRun), (), jsontext.storable(message)
        change = _kept_change(error, run, tool, working_state, tree.settings.state_bytes)
    finally:
        reports.close()
    return ToolStep(
        result=result,
        is_error=is_error,
        started_at=started_at,
        seconds=clock.monotonic() - started,
        state=step_state,
        state_delta=change,
        media=media,
        details=_details(context, stops_run=stops_run),
    )


def _kept_change(
    error: BaseException, run: Assignment[BaseComponent], tool: Tool, working_state: JsonObject, max_bytes: int
) -> JsonObject | None:
    """What a failed call changed in the state, if the exception says that it counts."""
    if not (isinstance(error, ToolFailed) and error.keeps_state):
        return None
    try:
        return checked_change(state.delta(run.state, working_state), max_bytes)
    except (ResultTooLarge, TypeError, ValueError, RecursionError) as refusal:
        log_failure("the state that a failed tool left is not kept", refusal, tool=tool.name, run_id=run.run_id)
        return None


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


@dataclass(slots=True, kw_only=True)
class _Call:
    """One call of a tool: its function, tried once or more often, and what its declaration puts around that.

    :param arguments: the validated arguments; hooks may pass others on.
    :param is_abandoned: whether code of the call did not stop when it was cancelled.
    :param timed_out: how the last try ended, if its time was over.
    """

    tree: RunTree
    run: Assignment[BaseComponent]
    tool: Tool
    path: str
    arguments: JsonObject
    context: ToolContext | ToolCallContext
    is_abandoned: bool = False
    timed_out: TimedOut | None = None

    async def result(self) -> Json:
        """Call the function. User code gets a task of its own, which can be abandoned."""
        if self.tool.is_own:
            return await self._in_middleware()
        try:
            about = {"tool": self.tool.name, "run_id": self.run.run_id}
            result = await run_user_code(self._in_middleware(), self._note_abandoned, **about)
        except Exception as error:
            unsettled = self._unsettled()
            if unsettled is None or unsettled is error:
                raise
            raise unsettled from error
        if (unsettled := self._unsettled()) is not None:
            raise unsettled
        return result

    def _unsettled(self) -> TimedOut | None:
        """A last try without a result that only a decision settles: hooks see it, but cannot answer in its place."""
        return None if self.tool.retry_safe else self.timed_out

    def _note_abandoned(self) -> None:
        self.is_abandoned = True
        self.tree.steps.abandoned(self.path)

    async def _in_middleware(self) -> Json:
        """Call the function, with its hooks, cache and retries around it."""
        task, context = asyncio.current_task(), self.context
        assert task is not None
        if isinstance(context, ToolCallContext) or not has_middleware(self.run, self.tool):
            return await self._try(task, self.arguments)
        max_bytes = self.tree.settings.tool_result_stored_bytes
        return await call_with_middleware(
            self.run,
            self.tool,
            self.arguments,
            context,
            lambda changed: self._try(task, changed),
            lambda result: bounded_text(result, max_bytes),
        )

    async def _try(self, task: "asyncio.Task[Any]", arguments: JsonObject) -> Json:
        """Call the function once.

        :param task: the task of the tool call.
        """
        # A hook may call the function after the tool call was cancelled or has ended: from a thread, from another task,
        # or because it swallowed the cancel. The run may have finished by then, or another process may drive it, so the
        # function must not run. The hook may call from any task, so the state of the current task does not tell.
        if task.done() or task.cancelling() > 0:
            raise asyncio.CancelledError
        if self.tool.timeout_seconds is None:
            return await self._call_function(arguments, self.context)
        return await self._call_in_time(arguments, self.tool.timeout_seconds)

    async def _call_in_time(self, arguments: JsonObject, seconds: float) -> Json:
        """Call the function, and stop it when its time is over. What it does after that is void."""
        self.timed_out, context = None, cast("CallContext", self.context)
        # The function may run on after its time, beside hooks and the next try, so it works on a copy of the state.
        before, reports = state.copied(context.session_state), context.reports.of_try()
        own_context = dataclasses.replace(context, reports=reports, session_state=state.copied(before))
        # A plain function's time begins when it has a thread.
        limit = asyncio.timeout(seconds if self.tool.is_async else None)

        async def call() -> Json:
            try:
                return await self._call_function(arguments, own_context, partial(_begin, limit, seconds))
            finally:
                if reports.is_open:
                    state.merge(context.session_state, state.delta(before, own_context.session_state))

        try:
            return await run_within(limit, call(), self._note_abandoned, tool=self.tool.name, run_id=self.run.run_id)
        except OutOfTime as error:
            reports.close()
            message = f"No result after {seconds} s; its outcome is unknown."
            self.timed_out = TimedOut(message + " It did not stop and was left running." * self.is_abandoned)
            raise self.timed_out from error

    async def _call_function(
        self, arguments: JsonObject, context: ToolContext | ToolCallContext, begin: Callable[[], object] | None = None
    ) -> Json:
        """Call the function itself.

        :param begin: called on the event loop when a plain function begins in its thread.
        """
        bound = self.tool.bind(arguments, context)
        if self.tool.is_async:
            with exits_contained:
                return await bound()
        loop = asyncio.get_running_loop()

        def in_thread() -> Json:
            if begin is not None:
                loop.call_soon_threadsafe(begin)
            return bound()

        returned = await call_in_thread(self.tree.threads, in_thread)
        return await awaited(returned) if inspect.isawaitable(returned) else returned


def _begin(limit: asyncio.Timeout, seconds: float) -> None:
    with contextlib.suppress(RuntimeError):  # the call was cancelled in the meantime
        limit.reschedule(asyncio.get_running_loop().time() + seconds)


def _message_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):  # a cancel of the run never gets here; it is raised
        return "The tool cancelled its own call."
    return exception_message(error)
