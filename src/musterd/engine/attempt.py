"""One attempt: load → drive → settle, over one value.

The attempt is the border where every failure of a run becomes an end that a client can see.
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
"""How long the loop may take to end after it was cancelled: longer than the user code in it, whose end it records."""
INTERNAL = "The run failed inside the server. Its log has the details under this run's id."


@dataclass(slots=True)
class Drive:
    """How driving the loop ended."""

    state: RunState
    error: RunFailed | None = None
    requirements: list[Requirement] = field(default_factory=list)


class Attempt:
    """One attempt of a root run.

    :param run: its row as claimed: this attempt's number is in it.
    """

    def __init__(self, resources: Resources, run: RunRow) -> None:
        self._resources = resources
        self._run = run
        component = resources.component(run.component_kind, run.component_id)
        drops_media = component is not None and not component.spec.store_media
        lease = Lease(run.run_id, run.attempt, drops_media, run.webhooks)
        self._outbox = Outbox(resources.database, resources.broadcaster, lease, resources.settings, resources.metrics)
        self._outbox.on_failed, self._outbox.on_told = self._stop_loop, resources.webhooks.wake
        self._loop: Loop | None = None
        self._budgets: Budgets | None = None
        self._limit = asyncio.timeout(None)
        self._journal: Journal | None = None
        self._driving: asyncio.Task[None] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._is_cancelled = self._is_stop_requested = run.cancel_requested_at is not None
        self.is_handed_over = False
        self._state_before: JsonObject = {}
        self._is_again = False
        self._stops = MemberStops()
        self._post: SteeringInbox | None = None
        self._reached = LimitReached()
        self._span: AttemptSpan | None = None

    @property
    def number(self) -> int:
        """Which attempt of its run it is: 1 for the first."""
        return self._run.attempt

    def cancel(self) -> None:
        """Stop the loop where it is; what it produced is kept. The intent is stored already."""
        if self._is_cancelled:
            return
        self._is_cancelled = True
        self._stop_loop()

    def _stop_loop(self) -> None:
        self._outbox.stop()
        self._is_stop_requested = True
        self._wake()

    def _wake(self, _: object = None) -> None:
        """End the wait for the loop: it has ended, or is to."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def tell_of_step(self, told: Callable[[], object]) -> None:
        """Call this whenever a step that has ended was stored."""
        self._outbox.on_step = told

    def signalled(self, count: int) -> None:
        """So many times something was said to the run, or to one of its members."""
        self._run.signals = max(self._run.signals, count)  # what is driven again has heard what there was
        if self._post is not None:
            self._post.signalled(count)

    def hand_over(self) -> None:
        """Give the run up at its next step: what is in flight is finished and stored, and another attempt goes on."""
        self._outbox.hand_over()

    def execute(self) -> Awaitable[Settled | None]:
        """Drive the run to its end. None: another attempt owns the run, or is to go on with it (``is_handed_over``).

        Cancelling whoever waits for it gives the attempt up: nothing more is written.
        """
        spans = self._resources.spans
        return self._execute() if spans is None else self._traced(spans)

    async def _traced(self, spans: "Spans") -> Settled | None:
        with spans.attempt(self._run) as self._span:
            settled = await self._execute()
            if settled is None:
                self._span.left("handed_over" if self.is_handed_over else "lease_lost")
            return settled

    async def _execute(self) -> Settled | None:
        try:
            while True:
                how = await self._drive()
                try:
                    return await self._settle(how)
                except DecisionStored:  # what it waited for is decided meanwhile: go on
                    self._loop, self._is_again = None, True
        except LeaseLost:
            log.warning("attempt lost its run", run_id=self._run.run_id, attempt=self._run.attempt)
            self._resources.metrics.leases_lost.add()
            return None
        except HandedOver:
            self.is_handed_over = True
            return None
        finally:
            self._outbox.close()
            if self._post is not None:
                self._post.close()

    # --- load -------------------------------------------------------------------------------------

    async def _load(self) -> Loop:
        run, resources = self._run, self._resources
        if self._post is None:
            self._post = SteeringInbox(resources.database, run.run_id, run.signals, self._stops.stop)
        loaded = await load(resources, run, self._outbox, self._post, self._stops, is_again=self._is_again)
        self._journal, self._budgets, self._state_before = loaded.journal, loaded.budgets, loaded.state_before
        world = loaded.world if self._span is None else traced(loaded.world, self._span)
        return Loop(world, await with_dynamic_members(world, loaded.assignment))

    # --- drive ------------------------------------------------------------------------------------

    async def _drive(self) -> Drive:
        seconds, self._reached = self._time()
        limit = self._limit = asyncio.timeout(seconds)
        driving = self._driving = asyncio.create_task(self._drive_loop())
        # The loop is not awaited itself: it may not end when it is cancelled. One future for its end and for a stop,
        # in place of asyncio.wait, is a kilobyte less for each run that waits for its model.
        self._wakeup = asyncio.get_running_loop().create_future()
        driving.add_done_callback(self._wake)
        try:
            if not self._is_stop_requested:
                async with limit:
                    await self._wakeup
            if not driving.done():
                raise asyncio.CancelledError  # every stop goes the same way, below
            driving.result()
            return Drive(RunState.COMPLETED)
        except Waits as waits:
            return Drive(RunState.PAUSED, requirements=waits.requirements)
        except RunFailed as error:
            return Drive(RunState.ERROR, error)
        except (LeaseLost, HandedOver):
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, the run ends visibly
            return await self._stopped(error)

    async def _stopped(self, error: BaseException) -> Drive:
        """Stop the loop, and decide how the run ends without its answer.

        :raises LeaseLost: another attempt owns the run.
        :raises CancelledError: the attempt was given up.
        """
        is_given_up = is_cancelled()  # this coroutine itself, and not only the loop that it drives
        if is_given_up:
            self._outbox.close()  # first: how the loop and its members take it is not how they end
        await self._stop_driving()
        failure = self._outbox.failure
        if is_given_up:
            raise error
        if isinstance(failure, LeaseLost):
            raise failure from error
        if self._is_cancelled:
            return Drive(RunState.CANCELLED)
        if self._limit.expired() and failure is None:
            return self._cut_short(self._reached)
        log.error("run failed inside the server", run_id=self._run.run_id, exc_info=failure or error)
        return Drive(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))

    def _cut_short(self, reached: LimitReached) -> Drive:
        """How the run ends whose time is over: an answer that stands only waited for its session to be summed up."""
        is_answered = self._loop is not None and self._loop.progress.is_answered
        return Drive(RunState.COMPLETED) if is_answered else Drive(RunState.ERROR, reached)

    def _time(self) -> tuple[float, LimitReached]:
        """How long this attempt may take, and what ends the run that takes longer."""
        seconds, deadline_at = self._resources.settings.run_seconds, self._run.deadline_at
        left = seconds if deadline_at is None else max(deadline_at - clock.now(), 0.0)
        if left < seconds:
            return left, LimitReached("The run's deadline was reached.", "deadline")
        return seconds, LimitReached(f"The run's time limit of {seconds:g} s was reached.", "time_limit")

    async def _drive_loop(self) -> None:
        flush_window.next_flush_at.set(self._outbox.told_at)
        self._loop = await self._load()
        if self._budgets is not None:
            self._hold_to_seconds(self._budgets.root)
        await self._loop.drive()

    def _hold_to_seconds(self, spending: Spending) -> None:
        """End the attempt when its budget's time is over, where that is sooner than its limit."""
        if (left := spending.seconds_left) is None:
            return
        when, limit = asyncio.get_running_loop().time() + left, self._limit.when()
        if limit is None or when < limit:
            self._limit.reschedule(when)
            self._reached = spending.out_of_time()

    async def _stop_driving(self) -> None:
        """End the loop. One that does not end is abandoned: from then on the run takes nothing from it."""
        self._outbox.stop()
        if self._driving is None:
            return
        if not self._driving.done() and not await stop_within(
            self._driving, DRIVE_STOP_SECONDS, run_id=self._run.run_id
        ):
            self._outbox.seal()
        elif not self._driving.cancelled():
            self._driving.exception()  # whatever it was, the attempt ends for another reason

    # --- settle -----------------------------------------------------------------------------------

    async def _settle(self, how: Drive) -> Settled:
        progress = self._loop.progress if self._loop is not None else Progress()  # it may have ended before it began
        try:
            return await self._store_end_or_cancel(how, progress)
        except (LeaseLost, DecisionStored):
            raise
        except Exception as error:
            log.exception("a run's end could not be stored as it was", run_id=self._run.run_id, exc_info=error)
            self._outbox.discard()
            failed = Drive(RunState.ERROR, RunFailed(INTERNAL, "internal_error"))
            return await self._store_end_or_cancel(failed, Progress())

    async def _store_end_or_cancel(self, how: Drive, progress: Progress) -> Settled:
        """Store the end; a cancelled one where a cancel was stored first."""
        try:
            return await self._store_end(how, progress)
        except CancelStored:
            return await self._store_end(Drive(RunState.CANCELLED), progress)

    async def _store_end(self, how: Drive, progress: Progress) -> Settled:
        run, loop = self._run, self._loop
        if how.state is RunState.PAUSED:
            return await self._store_pause(how, progress)
        output, at = progress.output, clock.now()
        kind, data = end_event(run.run_id, progress, how.state, how.error)
        if output.seconds is None or run.attempt > 1:  # its own clock knows nothing of earlier attempts
            output.seconds = self._seconds(at)
        is_loops = loop is not None and progress is loop.progress
        output.budget = self._budget_shown()
        output.cost = self._journal.cost_below("") if self._journal is not None else None
        after = loop.run.state if loop is not None and is_loops else self._state_before
        output.session_state = after or None
        if how.state is RunState.CANCELLED and self._journal is not None:
            output.cut_off = self._journal.cut_off
        if kind is EventKind.RUN_COMPLETED:
            data["output"] = output.as_json()
        end = End(
            state=how.state,
            at=at,
            session_id=run.session_id,
            output=output,
            messages=progress.messages,
            state_delta=state.changed_keys(self._state_before, after),
            summary=progress.summary if how.state is RunState.COMPLETED else None,
            first_message=self._first_message(),
        )
        event = Event(kind, run.run_id, at, data)
        settled = await self._outbox.settle(lambda tx, lease, batch: attempts.settle(tx, lease, batch, end), event)
        self._count(how.state, output, self._seconds(at))
        return settled

    async def _store_pause(self, how: Drive, progress: Progress) -> Settled:
        run, loop, at = self._run, self._loop, clock.now()
        data = pause_event(run.component_kind, how.requirements)
        output = replace(  # the loop's own goes on, or is what a cancel that comes first keeps
            progress.output,
            content=data["content"],
            requirements=data["requirements"],
            budget=self._budget_shown(),
            cost=self._journal.cost_below("") if self._journal is not None else None,
            seconds=self._seconds(at),
            session_state=(loop.run.state if loop is not None else self._state_before) or None,
        )
        pause = Pause(
            at=at,
            expires_at=self._expiry(how.requirements, at),
            session_id=run.session_id,
            output=output,
            messages=progress.messages,
        )
        event = Event(EventKind.RUN_PAUSED, run.run_id, at, data, f"attempt {run.attempt}")
        settled = await self._outbox.settle(lambda tx, lease, batch: pauses.pause(tx, lease, batch, pause), event)
        self._count(how.state, output, None)
        return settled

    def _count(self, state: RunState, output: Output, seconds: float | None) -> None:
        metrics, run = self._resources.metrics, self._run
        metrics.run_ended(run.component_kind, run.component_id, state.value, seconds)
        if seconds is not None and output.first_token_seconds is not None:
            metrics.first_text_seconds.observe(output.first_token_seconds, run.component_kind, run.component_id)
        if self._span is not None:
            self._span.ended(state, output)

    def _first_message(self) -> str | None:
        """What the session is called by, where this is its first run and hooks may have changed what that was asked."""
        loop = self._loop
        if loop is None or self._run.seq != 0 or not loop.run.component.spec.pre_hooks:
            return None
        return message_of(loop.run.prompt)[:200]

    def _budget_shown(self) -> JsonObject | None:
        return None if self._budgets is None else self._budgets.as_json("")

    def _expiry(self, requirements: Sequence[Requirement], at: float) -> float:
        """When the first of these is decided by default, or the run ends without a decision."""
        declared = [found.expires_at for found in requirements if found.expires_at is not None]
        return min([at + self._resources.settings.pause_seconds, *declared])

    def _seconds(self, at: float) -> float:
        """How long the run has taken so far, from its first attempt on."""
        return max(at - (self._run.started_at or at), 0.0)
