"""A team's ``tool_hooks`` around its delegations.

To its hooks a delegation is a tool call like any other, except that the function inside the hooks drives the members.
Two things differ from an ordinary tool. A delegation can be interrupted, because a member waits for a person or the
process stops: the hooks then end, and are called again when the delegation resumes. And it happens only once, no
matter how often a hook calls it.
"""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from musterd.core.jsontypes import JsonObject
from musterd.declare import ToolContext
from musterd.declare.schema_tool import schema_tool
from musterd.declare.tool_errors import ToolFailed
from musterd.loop.assignment import Assignment
from musterd.loop.call_planning import PlannedCall
from musterd.loop.contained_exits import Interrupted
from musterd.loop.functions import call_function
from musterd.loop.run_tree import RunTree
from musterd.loop.steps import ToolStep
from musterd.loop.task_abandonment import is_cancelled

DriveMembers = Callable[[JsonObject, JsonObject], Coroutine[Any, Any, ToolStep]]
"""Drives the members, with the arguments and the session state as the hooks left them.

The change of the state that it returns includes what the hooks had changed before.
"""


def has_delegation_hooks(run: Assignment) -> bool:
    """Whether the delegations of ``run`` have hooks around them."""
    return bool(run.component.spec.tool_hooks)


async def delegate_in_hooks(
    tree: RunTree, run: Assignment, plan: PlannedCall, drive: DriveMembers, stop: Callable[[], None]
) -> ToolStep:
    """Make a delegation with the team's hooks around it.

    :param drive: called when the hooks let the call through, at most once.
    :param stop: stops the members; called if the hooks return before the members finish.
    """
    delegation = _Delegation(drive)
    tool = schema_tool(plan.call.name, "", {}, delegation.call, run.component.spec.declared_at)
    arguments = copy.deepcopy(plan.arguments)  # hooks may change them in place; the call keeps the model's
    try:
        try:
            step = await call_function(tree, run, tool, plan.call.id, plan.intent.path, arguments)
        except Interrupted:
            step = None
        if delegation.is_under_way:
            if is_cancelled():  # the hooks swallowed the cancel, so it has not reached the members
                raise asyncio.CancelledError
            stop()
        members_step = await delegation.outcome()
    finally:
        # This task may have been cancelled during the wait above; the members must not outlive the call.
        await delegation.cancel()
    assert step is not None, "an interrupted delegation raises in outcome()"
    if members_step is None:
        return replace(step, hook_effect="skipped")
    is_changed = (step.result, step.is_error) != (members_step.result, members_step.is_error)
    return replace(
        step,
        child_run_id=members_step.child_run_id,
        # What the members changed is kept if the call fails, as without hooks.
        state_delta=members_step.state_delta if step.is_error else step.state_delta,
        media=(*step.media, *(() if step.is_error else members_step.media)),
        hook_effect="changed" if is_changed else None,
    )


class _Delegation:
    """The function inside the hooks.

    The members run in a task of their own. A hook may call this function from a thread, or stop waiting for it, but
    the members are always awaited, so that their end is recorded before the result of the call.
    """

    def __init__(self, drive: DriveMembers) -> None:
        self._drive = drive
        self._task: asyncio.Task[ToolStep] | None = None

    async def call(self, arguments: JsonObject, context: ToolContext) -> str:
        """Drive the members, or wait for them if an earlier call has started them.

        :raises ToolFailed: they failed, or cannot be called with these arguments; the message says why.
        :raises Interrupted: the run cannot go on now. Not an Exception, so that hooks do not take it for a failure.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._drive(arguments, context.session_state))
        # Unlike `await`, this does not cancel the members if the hook gives up waiting.
        await asyncio.wait({self._task})
        if self._task.cancelled():
            raise Interrupted
        if (error := self._task.exception()) is not None:
            raise error if isinstance(error, ToolFailed) else Interrupted
        step = self._task.result()
        if step.is_error:
            raise ToolFailed(step.result)
        return step.result

    @property
    def is_under_way(self) -> bool:
        """Whether the members have started and not finished."""
        return self._task is not None and not self._task.done()

    async def outcome(self) -> ToolStep | None:
        """The members' result; None if they were never started. Raises the exception that interrupted them."""
        if self._task is None:
            return None
        try:
            return await self._task
        except ToolFailed:
            return None

    async def cancel(self) -> None:
        """Cancel the members and wait until they have recorded their end."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
