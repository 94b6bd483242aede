"""One attempt of a run in three steps: load, drive, settle.

Every failure of a run becomes, here, an end that clients can see.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from musterd.core import clock, flush_window
from musterd.core.errors import HandedOver, LeaseLost, LimitReached, RunFailed
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output, RunRow
from musterd.core.requirements import Requirement
from musterd.core.states import RunState
from musterd.engine.journal import Journal
from musterd.engine.loading import load
from musterd.engine.outbox import Outbox
from musterd.engine.resources import Resources
from musterd.engine.steering_inbox import SteeringInbox
from musterd.engine.step_gate import StepGate
from musterd.engine.tracing import traced
from musterd.loop import state
from musterd.loop.assignment import Progress
from musterd.loop.budget import Budgets, Spending
from musterd.loop.dynamic_members import with_dynamic_members
from musterd.loop.hooks import message_of
from musterd.loop.loop import Loop
from musterd.loop.member_stops import MemberStops
from musterd.loop.members import end_event, pause_event
from musterd.loop.pausing import Waits
from musterd.loop.task_abandonment import STOP_SECONDS, is_cancelled, stop_within
from musterd.store import attempts, pauses
from musterd.store.attempts import CancelStored, End, Lease, Settled
from musterd.store.pauses import DecisionStored, Pause

if TYPE_CHECKING:
    from musterd.engine.spans import AttemptSpan, Spans

log = structlog.get_logger("musterd.engine")

DRIVE_STOP_SECONDS = STOP_SECONDS + 1.0
"""How long the loop may take to end after it was cancelled. Longer than user code may take, whose end it records."""
INTERNAL = "The run failed inside the server. Its log has the details under this run's id."


@dataclass(slots=True)
class DriveResult:
    """How driving the loop ended."""

    state: RunState
    error: RunFailed | None = None
    requirements: list[Requirement] = field(default_factory=list)


class Attempt:
    """One attempt of a root run.

    :param run: the run's row as it was claimed; it holds this attempt's number.
    """

    def __init__(self, resources: Resources, run: RunRow) -> None:
        self._resources = resources
        self._run = run
        component = resources.component(run.component_kind, run.component_id)
        drops_media = component is not None and not component.spec.store_media
        lease = Lease(run.run_id, run.attempt, drops_media, run.webhooks)
        self._gate = StepGate()
        self._outbox = Outbox(resources.database, resources.broadcaster, lease, resources.settings, self._gate)
        self._outbox.on_failed, self._outbox.on_webhook_due = self._request_stop, resources.webhooks.wake
        self._loop: Loop | None = None
        self._budgets: Budgets | None = None
        self._timeout = asyncio.timeout(None)
        self._journal: Journal | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._is_cancelled = self._is_stop_requested = run.cancel_requested_at is not None
        self.is_handed_over = False
        self._state_before: JsonObject = {}
        self._is_resumed = False
        self._stops = MemberStops()
        self._steering_inbox: SteeringInbox | None = None
        self._limit_error = LimitReached()
        self._span: AttemptSpan | None = None

    @property
    def number(self) -> int:
        """The number of this attempt among those of its run, from 1."""
        return self._run.attempt

    def cancel(self) -> None:
        """Stop the loop where it is and keep what it has produced. The cancel is stored already."""
        if self._is_cancelled:
            return
        self._is_cancelled = True
        self._request_stop()

    def _request_stop(self) -> None:
        self._gate.is_stopped = True  # first: a loop that swallows the cancel begins no further step
        self._is_stop_requested = True
        self._wake()

    def _wake(self, _: object = None) -> None:
        """End the wait for the loop: it has ended, or has to."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def on_step_stored(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` each time that the outbox has stored an ended step."""
        self._outbox.on_step = callback

    def signalled(self, count: int) -> None:
        """Note that the run has ``count`` signals now: messages to it or its members, and members' cancels."""
        # Kept in the row as well: the inbox may not exist yet, and a resumed loop reads the messages if there are any.
        self._run.signals = max(self._run.signals, count)
        if self._steering_inbox is not None:
            self._steering_inbox.signalled(count)

    def hand_over(self) -> None:
        """Give the run up at its next step. Steps under way finish and are stored; another attempt continues."""
        self._gate.is_handing_over = True

    def execute(self) -> Awaitable[Settled | None]:
        """Drive the run until it ends or pauses.

        Cancelling the caller gives the attempt up: nothing more is written.

        :return: None if another attempt owns the run, or is to go on with it (``is_handed_over``).
        """
        spans = self._resources.spans
        return self._execute() if spans is None else self._traced(spans)

    async def _traced(self, spans: "Spans") -> Settled | None:
        with spans.attempt(self._run) as self._span:
            settled = await self._execute()
            if settled is None:
                self._span.leave("handed_over" if self.is_handed_over else "lease_lost")
            return settled

    async def _execute(self) -> Settled | None:
        try:
            while True:
                result = await self._drive()
                try:
                    return await self._settle(result)
                except DecisionStored:
                    # The transaction of the pause found a decision that nothing acted on yet. If the run paused anyway,
                    # the decision would never be acted on. So the loop runs again, over what is stored.
                    self._loop, self._is_resumed = None, True
        except LeaseLost:
            log.warning("attempt lost its run", run_id=self._run.run_id, attempt=self._run.attempt)
            self._resources.metrics.leases_lost.add()
            return None
        except HandedOver:
            self.is_handed_over = True
            return None
        finally:
            self._outbox.close()
            if self._steering_inbox is not None:
                self._steering_inbox.close()

    # --- load -------------------------------------------------------------------------------------

    async def _load(self) -> Loop:
        run, resources = self._run, self._resources
        if self._steering_inbox is None:
            self._steering_inbox = SteeringInbox(resources.database, run.run_id, run.signals, self._stops.stop)
        loaded = await load(
            resources,
            run,
            self._outbox,
            self._gate,
            self._steering_inbox,
            self._stops,
            is_resumed=self._is_resumed,
        )
        self._journal, self._budgets, self._state_before = loaded.journal, loaded.budgets, loaded.state_before
        tree = loaded.tree if self._span is None else traced(loaded.tree, self._span)
        return Loop(tree, await with_dynamic_members(tree, loaded.assignment))

    # --- drive ------------------------------------------------------------------------------------

    async def _drive(self) -> DriveResult:
        seconds, self._limit_error = self._time_limit()
        timeout = self._timeout = asyncio.timeout(seconds)
        loop_task = self._loop_task = asyncio.create_task(self._drive_loop())
        # The loop's task is not awaited itself: it may not end when it is cancelled. One future for its end and for a
        # stop takes a kilobyte less than asyncio.wait, for each run that waits for its model.
        self._wakeup = asyncio.get_running_loop().create_future()
        loop_task.add_done_callback(self._wake)
        try:
            # A stop that came before the future existed has woken nothing, hence the flag.
            if not self._is_stop_requested:
                async with timeout:
                    await self._wakeup
            if not loop_task.done():
                raise asyncio.CancelledError  # every kind of stop is handled in one place, below
            loop_task.result()
            return DriveResult(RunState.COMPLETED)
        except Waits as waits:
            return DriveResult(RunState.PAUSED, requirements=waits.requirements)
        except RunFailed as error:
            return DriveResult(RunState.ERROR, error)
        except (LeaseLost, HandedOver):
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever was raised, the run ends visibly
            return await self._result_without_answer(error)

    async def _result_without_answer(self, error: BaseException) -> DriveResult:
        """Stop the loop, and decide how the run ends without its answer.

        :raises LeaseLost: another attempt owns the run.
        :raises CancelledError: the attempt was given up.
        """
        is_given_up = is_cancelled()  # the attempt itself was cancelled, and not only the loop that it drives
        if is_given_up:
            # First: how the loop and its members react to the cancel must not be stored as their end.
            self._outbox.close()
        await self._end_loop()
        failure = self._outbox.failure
        # The order matters if several causes came together. A lost lease comes before a cancel, because nothing can be
        # written any more. A stored cancel comes before a time limit.
        if is_given_up:
            raise error
        if isinstance(failure, LeaseLost):
            raise failure from error
        if self._is_cancelled:
            return DriveResult(RunState.CANCELLED)
        if self._timeout.expired() and failure is None:
            return self._result_of_timeout(self._limit_error)
        log.error("run failed inside the server", run_id=self._run.run_id, exc_info=failure or error)
        return DriveResult(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))

    def _result_of_timeout(self, limit_error: LimitReached) -> DriveResult:
        """How a run ends whose time is over. It completes if only the summary of its session was still to be made."""
        is_answered = self._loop is not None and self._loop.progress.is_answered
        return DriveResult(RunState.COMPLETED) if is_answered else DriveResult(RunState.ERROR, limit_error)

    def _time_limit(self) -> tuple[float, LimitReached]:
        """How many seconds this attempt may take, and the error that ends a run which takes longer."""
        seconds, deadline_at = self._resources.settings.run_seconds, self._run.deadline_at
        seconds_left = seconds if deadline_at is None else max(deadline_at - clock.now(), 0.0)
        if seconds_left < seconds:
            return seconds_left, LimitReached("The run's deadline was reached.", "deadline")
        return seconds, LimitReached(f"The run's time limit of {seconds:g} s was reached.", "time_limit")

    async def _drive_loop(self) -> None:
        flush_window.next_flush_at.set(self._outbox.flush_at)
        self._loop = await self._load()
        if self._budgets is not None:
            self._apply_budget_seconds(self._budgets.root)
        await self._loop.drive()

    def _apply_budget_seconds(self, spending: Spending) -> None:
        """Have the attempt end when its budget's time is over, if that is sooner than its limit."""
        if (seconds_left := spending.seconds_left) is None:
            return
        ends_at, timeout_at = asyncio.get_running_loop().time() + seconds_left, self._timeout.when()
        if timeout_at is None or ends_at < timeout_at:
            self._timeout.reschedule(ends_at)
            self._limit_error = spending.out_of_time()

    async def _end_loop(self) -> None:
        """End the loop. A loop that does not end is abandoned, and the run takes nothing from it any more."""
        self._gate.is_stopped = True
        if self._loop_task is None:
            return
        if not self._loop_task.done() and not await stop_within(
            self._loop_task, DRIVE_STOP_SECONDS, run_id=self._run.run_id
        ):
            # Without the seal its late events and steps would be stored with the run's end.
            self._outbox.seal()
        elif not self._loop_task.cancelled():
            # Retrieved, so that asyncio does not log it: the attempt ends for another reason.
            self._loop_task.exception()

    # --- settle -----------------------------------------------------------------------------------

    async def _settle(self, result: DriveResult) -> Settled:
        progress = self._loop.progress if self._loop is not None else Progress()  # it may have failed while it loaded
        try:
            return await self._store_end_or_cancel(result, progress)
        except (LeaseLost, DecisionStored):
            raise
        except Exception as error:
            # The database refused the content. A second try would meet the same error, so the end is stored without it.
            log.exception("the result of a run could not be stored", run_id=self._run.run_id, exc_info=error)
            self._outbox.discard()
            failed = DriveResult(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))
            return await self._store_end_or_cancel(failed, Progress())

    async def _store_end_or_cancel(self, result: DriveResult, progress: Progress) -> Settled:
        """Store the end. If a cancel was stored first, it wins: the run ends as cancelled."""
        try:
            return await self._store_end(result, progress)
        except CancelStored:
            return await self._store_end(DriveResult(RunState.CANCELLED), progress)

    async def _store_end(self, result: DriveResult, progress: Progress) -> Settled:
        run, loop = self._run, self._loop
        if result.state is RunState.PAUSED:
            return await self._store_pause(result, progress)
        output, at = progress.output, clock.now()
        kind, data = end_event(run.run_id, progress, result.state, result.error)
        if output.seconds is None or run.attempt > 1:  # the loop's own clock does not count earlier attempts
            output.seconds = self._seconds_so_far(at)
        is_from_loop = loop is not None and progress is loop.progress
        output.budget = self._budget_report()
        output.cost = self._journal.cost_below("") if self._journal is not None else None
        state_after = loop.run.state if loop is not None and is_from_loop else self._state_before
        output.session_state = state_after or None
        if result.state is RunState.CANCELLED and self._journal is not None:
            output.cut_off = self._journal.cut_off
        if kind is EventKind.RUN_COMPLETED:
            data["output"] = output.as_json()
        end = End(
            state=result.state,
            at=at,
            session_id=run.session_id,
            output=output,
            messages=progress.messages,
            state_delta=state.changed_keys(self._state_before, state_after),
            summary=progress.summary if result.state is RunState.COMPLETED else None,
            first_message=self._first_message(),
        )
        event = Event(kind, run.run_id, at, data)
        settled = await self._outbox.settle(lambda tx, lease, batch: attempts.settle(tx, lease, batch, end), event)
        self._count(result.state, output, self._seconds_so_far(at))
        return settled

    async def _store_pause(self, result: DriveResult, progress: Progress) -> Settled:
        run, loop, at = self._run, self._loop, clock.now()
        data = pause_event(run.component_kind, result.requirements)
        output = replace(  # a copy: the loop may go on with its own, or a cancel that comes first may store it
            progress.output,
            content=data["content"],
            requirements=data["requirements"],
            budget=self._budget_report(),
            cost=self._journal.cost_below("") if self._journal is not None else None,
            seconds=self._seconds_so_far(at),
            session_state=(loop.run.state if loop is not None else self._state_before) or None,
        )
        pause = Pause(
            at=at,
            expires_at=self._expires_at(result.requirements, at),
            session_id=run.session_id,
            output=output,
            messages=progress.messages,
        )
        event = Event(EventKind.RUN_PAUSED, run.run_id, at, data, f"attempt {run.attempt}")
        settled = await self._outbox.settle(lambda tx, lease, batch: pauses.pause(tx, lease, batch, pause), event)
        self._count(result.state, output, None)
        return settled

    def _count(self, state: RunState, output: Output, seconds: float | None) -> None:
        metrics, run = self._resources.metrics, self._run
        metrics.run_ended(run.component_kind, run.component_id, state.value, seconds)
        if seconds is not None and output.first_token_seconds is not None:
            metrics.first_text_seconds.observe(output.first_token_seconds, run.component_kind, run.component_id)
        if self._span is not None:
            self._span.ended(state, output)

    def _first_message(self) -> str | None:
        """The session's name, if this is its first run and hooks may have changed the input that it is named after."""
        loop = self._loop
        if loop is None or self._run.seq != 0 or not loop.run.component.spec.pre_hooks:
            return None
        return message_of(loop.run.prompt)[:200]

    def _budget_report(self) -> JsonObject | None:
        return None if self._budgets is None else self._budgets.as_json("")

    def _expires_at(self, requirements: Sequence[Requirement], at: float) -> float:
        """When the first of these requirements takes its default decision, or the run ends without a decision."""
        declared = [requirement.expires_at for requirement in requirements if requirement.expires_at is not None]
        return min([at + self._resources.settings.pause_seconds, *declared])

    def _seconds_so_far(self, at: float) -> float:
        """How long the run has taken so far, in seconds from the start of its first attempt."""
        return max(at - (self._run.started_at or at), 0.0)
