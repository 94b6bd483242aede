"""The outbox of an attempt: what the loop said and did, on its way into the store.

The loop and its members append in memory; one transaction at a time stores what has come together, behind the
attempt's guard, and only then are readers told. Deltas of text are collected for a window; everything that a promise
hangs on is committed when the loop asks for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, repeat
from typing import TypeVar

import structlog

from musterd.core import clock, faults
from musterd.core.errors import HandedOver, StoreUnavailable
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.metrics import Metrics
from musterd.core.records import StepRow
from musterd.core.requirements import Requirement
from musterd.core.settings import Settings
from musterd.engine.broadcaster import Broadcaster, Flush
from musterd.loop.task_abandonment import is_cancelled
from musterd.store import attempts
from musterd.store.attempts import Batch, Lease, MemberRecord, Settle, Settled
from musterd.store.database import Database

log = structlog.get_logger("musterd.engine")

T = TypeVar("T")
EventKey = tuple[str, str, str]
Requests = dict[str, list[tuple[str, int]]]
"""The model calls that were told, by the run as whose text: the step's place, the event's index."""
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


_NONE: frozenset[EventKey] = frozenset()  # one for all: there may be thousands of runs


class Outbox:
    """Collects what an attempt has to store, and stores it.

    ``on_failed`` is called when something could not be stored, and ``failure`` says why: the loop need not go on.
    ``on_told`` is called once webhooks have something to be told.
    """

    def __init__(
        self, database: Database, broadcaster: Broadcaster, lease: Lease, settings: Settings, metrics: Metrics
    ) -> None:
        self.metrics = metrics
        self._database = database
        self._broadcaster = broadcaster
        self._lease = lease
        self._settings = settings
        self._told = _NONE
        self._collected: Batch | None = None  # none while a run waits: there may be thousands
        self._open_delta: dict[str, Event] = {}
        self._added = 0
        self._stored = 0
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._window_ends_at = 0.0
        self._window: asyncio.Task[None] | None = None
        self._commits: list[asyncio.Task[None]] = []
        self._has_flushed = False
        self._is_stopped = False
        self._is_sealed = False
        self._is_handing_over = False
        self._requests: Requests = {}
        self._taken = 0
        self.failure: Exception | None = None
        self.on_failed: Callable[[], object] = lambda: None
        self.on_told: Callable[[], object] = lambda: None
        self.on_step: Callable[[], object] | None = None

    # --- what the loop calls ----------------------------------------------------------------------

    def resume(self, told: frozenset[EventKey], requests: Requests) -> None:
        """Go on where earlier attempts stopped: events with these keys are told already, these models were asked."""
        self._told, self._requests = told, requests

    def emit(self, event: Event) -> None:
        """Add an event that was not told before; text of one run that follows its own text is joined to it."""
        if event.is_delta:
            self._emit_delta(event)
        elif self._told and event.key in self._told:
            return
        else:
            self._open_delta.pop(event.run_id, None)
            self._batch.events.append(event)
            self._added += 1
        if self._timer is None and not self._is_stopped:
            self._start_timer()

    def _emit_delta(self, event: Event) -> None:
        last = self._open_delta.get(event.run_id)
        if last is None or last.kind is not event.kind:
            self._open_delta[event.run_id] = event
            self._batch.events.append(event)
        else:
            for name in ("text", "reasoning"):
                if more := event.data.get(name):
                    last.data[name] = last.data.get(name, "") + more
        self._added += 1

    def record(self, step: StepRow) -> None:
        """Add a journal step."""
        self._batch.steps.append(step)
        self._added += 1

    def content(self, content: bytes) -> None:
        """Add the content of something that a step refers to."""
        self._batch.contents.append(content)
        self._added += 1

    def member_started(self, member: MemberRecord) -> None:
        """Add a member's run that begins."""
        self._batch.started.append(member)
        self._added += 1

    def member_ended(self, member: MemberRecord) -> None:
        """Add a member's run that has ended."""
        self._batch.ended.append(member)
        self._added += 1

    def input_changed(self, run_id: str, text: str) -> None:
        """Add what a run is asked in place of what it was asked."""
        self._batch.inputs[run_id] = text
        self._added += 1

    def requirement_opened(self, requirement: Requirement) -> None:
        """Add a tool call that begins to wait for a person."""
        self._batch.opened.append(requirement)
        self._added += 1

    def decision_consumed(self, path: str) -> None:
        """Add that the decision about the call at ``path`` is acted on."""
        self._batch.consumed.append(path)
        self._added += 1

    def message_taken(self, message_id: str, path: str) -> None:
        """Add that the model call at ``path`` saw a message."""
        self._batch.taken.append((message_id, path))
        self._added += 1

    def first_token(self, at: float) -> None:
        """Note when the root's model gave its first text."""
        if self._batch.first_token_at is None:
            self._batch.first_token_at = at

    @property
    def is_stopped(self) -> bool:
        """Whether the loop is to end, or the part of it that asks: a member may be stopped alone."""
        return self._is_stopped or is_cancelled()

    def stop(self) -> None:
        """Have the loop end at its next step, where what it waits for does not pass a cancel on."""
        self._is_stopped = True

    def seal(self) -> None:
        """Take nothing more from the loop: it was abandoned, and the run ends without it."""
        self.stop()
        self._is_sealed = True
        self._open_delta.clear()  # text would be joined to an event that is still to be stored

    def hand_over(self) -> None:
        """Have the loop end at its next step: what is in flight is finished and stored, nothing more begins."""
        self._is_handing_over = True

    def told_at(self) -> float | None:
        """When what is collected will be stored and told, on the event loop's clock; None: nothing is."""
        return None if self._timer is None else self._window_ends_at

    async def begin_step(self) -> None:
        """Pass where a step may begin.

        :raises CancelledError: the loop is to end.
        :raises HandedOver: another attempt goes on from here; what was done so far is stored.
        """
        self.require_going()
        if self._is_handing_over:
            await self.commit()
            raise HandedOver

    def require_going(self) -> None:
        """Raise CancelledError once the loop is to end: no further step begins."""
        if self.is_stopped:
            raise asyncio.CancelledError

    async def commit(self) -> None:
        """Store everything that was added so far.

        :raises LeaseLost: the attempt is not the run's current one.
        """
        self.require_going()
        # Shielded: a cancelled loop must not leave a flush half told to the readers.
        await asyncio.shield(self._commit_soon())

    async def settle(self, store: Settle, event: Event) -> Settled:
        """Store what is left together with the run's end or pause, and the event that tells of it.

        :param store: the store function that does it.
        :raises LeaseLost: the attempt is not the run's current one.
        :raises NotSo: the run cannot end or pause in this way now; what is left can be stored with another end.
        """
        self._stop_timer()
        async with self._lock:
            self._raise_failure()
            batch = self._take()
            batch.events.append(event)
            faults.point("settling")
            try:
                settled = await self._until_stored(
                    lambda: self._database.write(lambda tx: store(tx, self._lease, batch))
                )
            except attempts.TransitionRefused:
                batch.events.pop()
                self._collected = batch
                raise
            faults.point("settled")
            self._published(batch, settled.first_index)
            if self._lease.webhooks:
                self.on_told()
            return settled

    def discard(self) -> None:
        """Give up what was added and could not be stored."""
        self._collected = None
        self._open_delta.clear()
        self._window = self.failure = None

    def close(self) -> None:
        """Nothing more will be stored."""
        self.stop()
        self._stop_timer()
        for task in self._commits:
            task.cancel()

    @property
    def _batch(self) -> Batch:
        if self._is_sealed:  # for what an abandoned loop adds; it is never stored
            return Batch()
        if self._collected is None:
            self._collected = Batch()
        return self._collected

    # --- inside -----------------------------------------------------------------------------------

    def _start_timer(self) -> None:
        is_first = not self._has_flushed and self._broadcaster.has_readers(self._lease.root_id)
        seconds = self._settings.first_delta_seconds if is_first else self._settings.delta_seconds
        loop = asyncio.get_running_loop()
        self._window_ends_at = loop.time() + seconds
        self._timer = loop.call_later(seconds, self._window_over)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _window_over(self) -> None:
        self._timer = None
        if self._window is None:
            self._window = self._commit_soon()
        else:  # the last window is still being stored
            self._start_timer()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _commit_soon(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._commit_to(self._added))
        self._commits.append(task)
        task.add_done_callback(self._committed)
        return task

    def _committed(self, task: "asyncio.Task[None]") -> None:
        self._commits.remove(task)
        if task is self._window:
            self._window = None
        if not task.cancelled() and task.exception() is not None:
            self.on_failed()

    async def _commit_to(self, goal: int) -> None:
        async with self._lock:
            self._raise_failure()
            if self._stored >= goal:
                return
            try:
                await self._flush()
            except Exception as error:
                self.failure = error  # what follows would leave a gap
                raise

    async def _flush(self) -> None:
        self._stop_timer()
        batch = self._take()
        faults.point("flushing")
        first_index = await self._until_stored(
            lambda: self._database.write(lambda tx: attempts.append(tx, self._lease, batch))
        )
        faults.point("flushed")
        self._published(batch, first_index)

    def _take(self) -> Batch:
        batch, self._collected = self._collected or Batch(), None
        self._open_delta.clear()
        self._taken = self._added
        if any(event.kind is EventKind.RUN_CONTINUED for event in batch.events):
            batch.on_indexed = self._place_superseded
        return batch

    def _place_superseded(self, batch: Batch, first_index: int) -> None:
        """Name, in events that void earlier text, the index from which on it is void."""
        requests = {voice: list(found) for voice, found in self._requests.items()}  # the transaction may be tried twice
        for index, event in enumerate(batch.events, first_index):
            note_request(requests, index, event)
            for item in event.data.get("superseded", ()):
                item.setdefault("from_event_index", _void_from(requests.get(item["run_id"], ()), index, event, item))

    def _note_requests(self, batch: Batch, first_index: int) -> None:
        for index, event in enumerate(batch.events, first_index):
            note_request(self._requests, index, event)

    def _published(self, batch: Batch, first_index: int) -> None:
        self._stored = self._taken
        self._has_flushed = True
        self._note_requests(batch, first_index)
        if self.on_step is not None and batch.has_ended_steps:
            self.on_step()
        if batch.opened and self._lease.webhooks:
            self.on_told()
        if batch.events:
            self._broadcaster.publish(self._lease.root_id, Flush(first_index, batch.events))

    async def _until_stored(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write, again and again while the database is not there: what was done must not be done twice."""
        return await until_available(write, self._lease.root_id)


async def until_available(use: Callable[[], Awaitable[T]], root_id: str) -> T:
    """Use the database for a run, again and again while it is not there."""
    for wait in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
        try:
            return await use()
        except StoreUnavailable:
            log.warning("waiting for the database", run_id=root_id, seconds=wait)
            await clock.sleep(wait)
    raise AssertionError("unreachable")


def note_request(requests: Requests, index: int, event: Event) -> None:
    """Note the event where it tells that a model is asked."""
    if event.kind is EventKind.MODEL_REQUEST_STARTED:
        requests.setdefault(event.voice, []).append((event.place, index))


def _void_from(requests: Sequence[tuple[str, int]], index: int, event: Event, item: JsonObject) -> int:
    """From where on text is void: of a model call, since it was asked; of a member, all that it said."""
    if event.data.get("reason") in ("member_failed", "hook_changed"):
        return next((asked for place, asked in requests if place.startswith(f"{item['path']}/")), index)
    return requests[-1][1] if requests else 0
