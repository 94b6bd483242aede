"""A member's run: its start, its drive, its end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from musterd.core import clock
from musterd.core.errors import BudgetSpent, ReplayDiverged, RunFailed, RunRejected
from musterd.core.events import EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.media import media_in
from musterd.core.records import ComponentKind, Output, StepState
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.declare.component import BaseComponent
from musterd.loop import state
from musterd.loop.assignment import Assignment, C, Progress
from musterd.loop.budget import Spending
from musterd.loop.dynamic_members import with_dynamic_members
from musterd.loop.member_stops import MemberStopped
from musterd.loop.pausing import Waits, pause_text
from musterd.loop.run_tree import RunTree
from musterd.loop.steps import MemberEnd, MemberStart, ToolStep
from musterd.loop.tool_results import as_text


class Drivable(Protocol):
    """A run that can be driven."""

    progress: Progress

    async def drive(self) -> Output:
        """Drive the run to its answer."""
        ...


def member_start(
    tree: RunTree,
    leader: Assignment[BaseComponent],
    member: BaseComponent,
    path: str,
    task: str,
    step: JsonObject | None = None,
) -> MemberStart:
    """The values of the member's row, which is stored before its run begins.

    :param step: what identifies the step of a workflow that starts the run.
    """
    info = tree.models.describe(member)
    return MemberStart(
        path=path,
        # Derived from the path and not random, so that every attempt uses the same run id.
        run_id=tree.member_runs.get(path) or clock.derived_id(tree.salt, path),
        parent_id=leader.run_id,
        component_kind=member.kind,
        component_id=member.id,
        component_name=member.name,
        model=info.model,
        model_provider=info.provider,
        task=task,
        at=clock.now(),
        budget=None if member.spec.budget is None else member.spec.budget.as_json(),
        step=step,
    )


async def drive_member(
    tree: RunTree, run: Assignment[C], make_loop: Callable[[RunTree, Assignment[C]], Drivable]
) -> ToolStep:
    """Drive a member's run until it finishes. Its failure becomes a result that the leader reads."""
    started_at, started = clock.now(), clock.monotonic()
    # The drive changes the state in place; its leader gets the difference to this copy.
    initial_state = state.copied(run.state)
    step_state, is_error, progress = StepState.COMPLETED, False, Progress()
    try:
        # Inside the try, so that members that cannot be determined are a failure of this member only.
        loop = make_loop(tree, await with_dynamic_members(tree, run))
        progress = loop.progress
        with tree.stops.scope(run.run_id):
            output = await _driven(tree, run, loop)
    except MemberStopped:
        result, step_state, is_error = f"{run.component.name} was cancelled by a person.", StepState.FAILED, True
        _end(tree, run, progress, RunState.CANCELLED, is_stopped=True)
    except ReplayDiverged:  # not a failure of the member: the whole tree cannot go on
        raise
    except RunFailed as error:
        result, step_state, is_error = f"{run.component.name} failed: {error.message}", StepState.FAILED, True
        _end(tree, run, progress, RunState.ERROR, error)
        if isinstance(error, BudgetSpent) and error.path != run.path:  # the budget of a leader, or of the whole tree
            raise
    except RunRejected as rejection:  # the whole tree ends as cancelled, and this run with it
        progress.cancel_reason = rejection.message
        _end(tree, run, progress, RunState.CANCELLED)
        raise
    except Waits as waits:
        # The agent of a workflow has started steps that are not below it. If they wait, it does not.
        below = [question for question in waits.requirements if question.path.startswith(f"{run.path}/")]
        if below:
            ids = ",".join(requirement.id for requirement in below)
            # The ids are part of the event's key: a later pause for another requirement is a new event.
            tree.emit_now(EventKind.RUN_PAUSED, run.run_id, pause_event(run.component.kind, below), f"{ids}/paused")
        raise
    except asyncio.CancelledError:
        _end(tree, run, progress, RunState.CANCELLED)
        raise
    else:
        result = as_text(output.content)
        _end(tree, run, progress, RunState.COMPLETED)
    return ToolStep(
        result=result,
        is_error=is_error,
        started_at=started_at,
        seconds=clock.monotonic() - started,
        state=step_state,
        child_run_id=run.run_id,
        state_delta=state.delta(initial_state, run.state),
        media=() if is_error else media_in(progress.output.media),
    )


def _driven(tree: RunTree, run: Assignment[BaseComponent], loop: Drivable) -> Awaitable[Output]:
    """Drive the member to its answer, within the time of its own budget if it has one."""
    budget = None if tree.budgets is None else tree.budgets.own(run.path)
    # No coroutine around the other one: each that waits takes memory, and thousands of runs may wait.
    return loop.drive() if budget is None or budget.seconds_left is None else _drive_within(budget, loop)


async def _drive_within(budget: Spending, loop: Drivable) -> Output:
    """Drive the member, and interrupt it when the time of its budget is over.

    :raises BudgetSpent: the time is over.
    """
    limit = budget.time_limit()
    try:
        async with limit:
            output = await loop.drive()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise budget.out_of_time() from error
    if limit.expired():  # code of the member has swallowed the cancel
        raise budget.out_of_time()
    return output


def _end(
    tree: RunTree,
    run: Assignment[BaseComponent],
    progress: Progress,
    end_state: RunState,
    error: RunFailed | None = None,
    *,
    is_stopped: bool = False,
) -> None:
    """Emit the member's end event, and record its end."""
    kind, data = end_event(run.run_id, progress, end_state, error)
    tree.emit_now(kind, run.run_id, data)
    tree.steps.member_ended(
        MemberEnd(
            run_id=run.run_id,
            state=end_state,
            at=clock.now(),
            output=progress.output,
            messages=progress.messages,
            is_stopped=is_stopped,
        )
    )


def pause_event(kind: ComponentKind, requirements: Sequence[Requirement]) -> JsonObject:
    """The data of the event that a run of a team or an agent has paused."""
    return {
        "content": pause_text(kind, requirements),
        "requirements": [requirement.as_json() for requirement in requirements],
    }


def end_event(
    run_id: str, progress: Progress, end_state: RunState, error: RunFailed | None = None
) -> tuple[EventKind, JsonObject]:
    """The end event of a run. Also completes the run's output and conversation for that end."""
    output = progress.output
    if end_state is RunState.COMPLETED:
        return EventKind.RUN_COMPLETED, {"output": output.as_event(), "members": progress.members}
    if end_state is RunState.ERROR and error is not None:
        output.content = error.message
        output.error = {"code": error.code, "message": error.message, "retryable": error.retryable}
        output.error.update(error.details)
        if isinstance(error, BudgetSpent) and (text := progress.latest_text):
            output.error["partial"] = text
        return EventKind.RUN_ERROR, {"content": error.message, "error": output.error}
    if output.error is not None:  # it failed, but the cancel was stored before that end was, and wins
        output.content = output.error = None
    output.content = progress.cancel_reason or progress.partial_text or output.content
    if progress.conversation is not None:
        progress.conversation.add_interrupted_answer(progress.partial_text)
    return EventKind.RUN_CANCELLED, {"reason": progress.cancel_reason or f"Run {run_id} was cancelled"}
