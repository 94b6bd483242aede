"""The execution of an attempt. Its phases stand in this file in the order in which they happen:

- ``execute``: drive and settle; again, if the run cannot pause yet; then close.
- ``drive``: run the loop in a task of its own, until it ends, has to stop, or its time is over.
- ``load_and_drive``, in that task: load the run, apply the time of its budget, drive the loop: hooks, turns, tools.
- ``result_without_answer``: stop the loop, and decide how the run ends without its answer.
- ``settle``: store the end or the pause, together with everything that is not stored yet.
- ``store``: one transaction, then the report to metrics and spans.
- ``close``: end what is left of the attempt.

What can happen, and how the run goes on:

=============================  =====================================================================================
the loop has its answer        COMPLETED
the run fails (``RunFailed``)  ERROR, with the failure's code
a person rejects a step that   CANCELLED
the run needs
every branch waits (``Waits``) PAUSED; if a decision was stored meanwhile, the loop is driven again
a cancel is stored             ``Attempt.cancel`` stops the loop: CANCELLED. If it was stored just before the end or
                               the pause, that transaction is refused, and the run is CANCELLED too
the time is over               ERROR; COMPLETED if the answer was final
an error of our own            ERROR ``internal_error``: every failure becomes an end that clients can see
the end cannot be stored       ERROR ``internal_error`` without content; if not even that can be stored, the exception
                               reaches the worker, which counts a crash and releases the run
a commit finds no lease        the run is another attempt's: nothing more is written (``Unsettled.LEASE_LOST``)
the process drains             ``Attempt.hand_over``: the next step raises ``HandedOver``, everything before it is
                               stored, and the worker releases the run (``Unsettled.HANDED_OVER``)
the drain is over, or the run  the worker cancels the task of the attempt: nothing more is written, and the
was reassigned                 CancelledError passes
the process dies               nothing of this file runs: other processes reassign the run, and the next attempt's
                               ``load`` restores it from the journal
=============================  =====================================================================================
"""

import asyncio
from collections.abc import Awaitable
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from musterd.core import clock, flush_window
from musterd.core.errors import HandedOver, LeaseLost, RunFailed, RunRejected
from musterd.core.states import RunState
from musterd.engine.attempt import Attempt
from musterd.engine.loading import load
from musterd.engine.settlement import DriveResult, Settlement, memory_outcome, settlement_of
from musterd.engine.time_limit import TimeLimit
from musterd.loop.assignment import Progress
from musterd.loop.pausing import Waits
from musterd.loop.task_abandonment import STOP_SECONDS, is_cancelled, stop_within
from musterd.store.attempt_writes import CancelStored, Settled
from musterd.store.pauses import DecisionStored

if TYPE_CHECKING:
    from musterd.engine.spans import Spans

log = structlog.get_logger("musterd.engine")

LOOP_STOP_SECONDS = STOP_SECONDS + 1.0
"""How long the loop may take to end after it was cancelled. Longer than user code may take, whose end it records."""
SHORT_DRIVE_SECONDS = 1.0
SHORT_DRIVES_AT_ONCE = 5
MAX_RESUME_WAIT_SECONDS = 5.0
INTERNAL = "The run failed inside the server. Its log has the details under this run's id."


class Unsettled(StrEnum):
    """Why an attempt left its run at work."""

    HANDED_OVER = "handed_over"
    """The run is to be released: another attempt goes on with it."""
    LEASE_LOST = "lease_lost"
    """Another attempt owns the run already."""


def execute(attempt: Attempt) -> Awaitable[Settled | Unsettled]:
    """Drive a run until it ends or pauses, or until another attempt is to go on with it.

    Cancelling the caller gives the attempt up: nothing more is written.
    """
    spans = attempt.resources.spans
    # No coroutine around the other one: each that waits takes memory, and thousands of runs may wait.
    return drive_and_settle(attempt) if spans is None else execute_traced(attempt, spans)


async def execute_traced(attempt: Attempt, spans: "Spans") -> Settled | Unsettled:
    """Execute the attempt in a span of its own."""
    with spans.attempt(attempt.run) as attempt.span:
        end = await drive_and_settle(attempt)
        if isinstance(end, Unsettled):
            attempt.span.leave(end.value)
        return end


async def drive_and_settle(attempt: Attempt) -> Settled | Unsettled:
    """Drive the run, and store its end or pause."""
    short_drives = 0
    try:
        while True:
            began_at = clock.monotonic()
            result = await drive(attempt)
            try:
                return await settle(attempt, result)
            except DecisionStored:
                # The transaction of the pause found a decision that nothing acted on yet. If the run paused anyway,
                # the decision would never be acted on. So the loop runs again, over what is stored.
                attempt.loop = None
                attempt.resumes += 1
                short_drives = short_drives + 1 if clock.monotonic() - began_at < SHORT_DRIVE_SECONDS else 0
                await wait_before_resume(attempt, short_drives)
    except LeaseLost:
        log.warning("attempt lost its run", run_id=attempt.run.run_id, attempt=attempt.number)
        attempt.resources.metrics.leases_lost.add()
        return Unsettled.LEASE_LOST
    except HandedOver:
        return Unsettled.HANDED_OVER
    finally:
        close(attempt)


async def wait_before_resume(attempt: Attempt, short_drives: int) -> None:
    """Wait before the loop runs again because of a decision, if it has run for short times only.

    Decisions that come one after another cause a few short drives. A decision that the loop never acts on, by a fault,
    causes them without end, and must not use up the processor.
    """
    if short_drives > SHORT_DRIVES_AT_ONCE:
        seconds = min(0.01 * 2 ** (short_drives - SHORT_DRIVES_AT_ONCE), MAX_RESUME_WAIT_SECONDS)
        log.warning("a decision keeps the run from pausing", run_id=attempt.run.run_id, drives=short_drives)
        await clock.sleep(seconds)


async def drive(attempt: Attempt) -> DriveResult:
    """Run the loop until it ends, has to stop, or its time is over.

    :raises LeaseLost: another attempt owns the run.
    :raises HandedOver: another attempt is to go on.
    :raises CancelledError: the attempt was given up.
    """
    limit = TimeLimit(attempt.resources.settings.run_seconds, attempt.run.deadline_at)
    loop_task = asyncio.create_task(load_and_drive(attempt, limit))
    # The loop's task is not awaited itself: it may not end when it is cancelled. One future for its end and for a stop
    # takes a kilobyte less than asyncio.wait, for each run that waits for its model.
    attempt.wakeup = asyncio.get_running_loop().create_future()
    loop_task.add_done_callback(attempt.wake)
    try:
        # A stop that came before the future existed has woken nothing, hence the look at the gate.
        if not attempt.gate.is_stopped:
            async with limit.timeout:
                await attempt.wakeup
        if not loop_task.done():
            raise asyncio.CancelledError  # every kind of stop is handled in one place, below
        loop_task.result()
        return DriveResult(RunState.COMPLETED)
    except Waits as waits:
        return DriveResult(RunState.PAUSED, requirements=waits.requirements)
    except RunFailed as error:
        return DriveResult(RunState.ERROR, error)
    except RunRejected as rejection:
        if attempt.loop is not None:
            attempt.loop.progress.cancel_reason = rejection.message
        return DriveResult(RunState.CANCELLED)
    except (LeaseLost, HandedOver):
        raise
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever was raised, the run ends visibly
        return await result_without_answer(attempt, loop_task, limit, error)


async def load_and_drive(attempt: Attempt, limit: TimeLimit) -> None:
    """Load the run and drive its loop. This is all that happens in the loop's task."""
    # Set in the loop's own task, so that each run has its own value: the clients of model providers leave text unread
    # until shortly before the run's next flush.
    flush_window.next_flush_at.set(attempt.outbox.flush_at)
    attempt.loop = await load(attempt)
    if attempt.budgets is not None:
        limit.shorten(attempt.budgets.root)
    await attempt.loop.drive()


async def result_without_answer(
    attempt: Attempt, loop_task: "asyncio.Task[None]", limit: TimeLimit, error: BaseException
) -> DriveResult:
    """Stop the loop, and decide how the run ends without its answer.

    :param error: what ended the wait for the loop, or the loop itself.
    :raises LeaseLost: another attempt owns the run.
    :raises CancelledError: the attempt was given up.
    """
    is_given_up = is_cancelled()  # the attempt itself was cancelled, and not only the loop that it drives
    if is_given_up:
        # First: how the loop and its members react to the cancel must not be stored as their end.
        attempt.outbox.close()
    await stop_loop(attempt, loop_task)
    failure = attempt.outbox.failure
    # The order matters if several causes came together. A lost lease comes before a cancel, because nothing can be
    # written any more. A stored cancel comes before a time limit.
    if is_given_up:
        raise error
    if isinstance(failure, LeaseLost):
        raise failure from error
    if attempt.is_cancelled:
        return DriveResult(RunState.CANCELLED)
    if limit.timeout.expired() and failure is None:
        # After the answer only the summary of the session was still to be made: the answer stands without it.
        is_answered = attempt.loop is not None and attempt.loop.progress.is_answered
        return DriveResult(RunState.COMPLETED) if is_answered else DriveResult(RunState.ERROR, limit.error())
    log.error("run failed inside the server", run_id=attempt.run.run_id, exc_info=failure or error)
    return DriveResult(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))


async def stop_loop(attempt: Attempt, loop_task: "asyncio.Task[None]") -> None:
    """End the loop. A loop that does not end is abandoned, and the run takes nothing from it any more."""
    attempt.gate.is_stopped = True
    if not loop_task.done() and not await stop_within(loop_task, LOOP_STOP_SECONDS, run_id=attempt.run.run_id):
        # Without the seal its late events and steps would be stored with the run's end.
        attempt.outbox.seal()
    elif not loop_task.cancelled():
        # Retrieved, so that asyncio does not log it: the attempt ends for another reason.
        loop_task.exception()


async def settle(attempt: Attempt, result: DriveResult) -> Settled:
    """Store the run's end or pause.

    :raises LeaseLost: another attempt owns the run.
    :raises DecisionStored: the run cannot pause, because there is a decision to act on.
    """
    progress = attempt.loop.progress if attempt.loop is not None else Progress()  # it may have failed while it loaded
    try:
        return await settle_or_cancel(attempt, result, progress)
    except (LeaseLost, DecisionStored):
        raise
    except Exception as error:
        # The database refused the content. A second try would meet the same error, so the end is stored without it.
        log.exception("the result of a run could not be stored", run_id=attempt.run.run_id, exc_info=error)
        attempt.outbox.discard()
        failed = DriveResult(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))
        return await settle_or_cancel(attempt, failed, Progress())


async def settle_or_cancel(attempt: Attempt, result: DriveResult, progress: Progress) -> Settled:
    """Store the end or pause. If a cancel was stored first, it wins: the run ends as cancelled."""
    try:
        return await store(attempt, settlement_of(attempt, result, progress))
    except CancelStored:
        return await store(attempt, settlement_of(attempt, DriveResult(RunState.CANCELLED), progress))


async def store(attempt: Attempt, settlement: Settlement) -> Settled:
    """Store a settlement together with the last batch of the outbox, and report it to metrics and spans."""
    settled = await attempt.outbox.settle(settlement.store, settlement.event)
    run, metrics, output = attempt.run, attempt.resources.metrics, settlement.output
    metrics.run_ended(run.component_kind, run.component_id, settlement.state.value, settlement.seconds)
    if settlement.seconds is not None and output.first_token_seconds is not None:
        metrics.first_text_seconds.observe(output.first_token_seconds, run.component_kind, run.component_id)
    if settlement.state is RunState.COMPLETED and attempt.journal is not None:
        for noted in attempt.journal.noted.values():
            metrics.memory_updates.add(memory_outcome(noted))
    if attempt.span is not None:
        attempt.span.ended(settlement.state, output)
    return settled


def close(attempt: Attempt) -> None:
    """End what is left of the attempt: commits that nothing waits for any more, and reads of messages."""
    attempt.outbox.close()
    attempt.inbox.close()
