"""The outbox of an attempt: it collects the loop's events and records, and stores them.

The loop and its members append in memory. One transaction at a time, guarded by the attempt's number, stores all that
was collected; only then are the events published to subscribers. Text deltas are collected for a short window; steps
and results that the run depends on are committed as soon as the loop asks for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from musterd.core import faults
from musterd.core.errors import HandedOver
from musterd.core.events import Event, EventKind
from musterd.core.metrics import Metrics
from musterd.core.records import StepRow
from musterd.core.requirements import Requirement
from musterd.core.settings import Settings
from musterd.engine.broadcaster import Broadcaster, Flush
from musterd.engine.database_retry import until_available
from musterd.engine.superseded_text import ModelCallStarts, add_void_indexes, note_model_calls
from musterd.loop.task_abandonment import is_cancelled
from musterd.store import attempts
from musterd.store.attempts import Batch, Lease, MemberRecord, Settle, Settled
from musterd.store.database import Database

T = TypeVar("T")
EventKey = tuple[str, str, str]

_NO_KEYS: frozenset[EventKey] = frozenset()  # one for all: there may be thousands of runs


class Outbox:
    """Collects what an attempt has to store, and stores it.

    ``on_failed`` is called after a batch could not be stored; ``failure`` says why, and the loop need not go on.
    ``on_step`` is called after an ended step was stored, ``on_webhook_due`` after a webhook delivery was stored.
    """

    def __init__(
        self, database: Database, broadcaster: Broadcaster, lease: Lease, settings: Settings, metrics: Metrics
    ) -> None:
        self.metrics = metrics
        self._database = database
        self._broadcaster = broadcaster
        self._lease = lease
        self._settings = settings
        self._emitted_keys = _NO_KEYS
        self._pending: Batch | None = None  # None while a run waits: there may be thousands
        self._open_deltas: dict[str, Event] = {}
        self._added_count = 0
        self._stored_count = 0
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._window_ends_at = 0.0
        self._window_commit: asyncio.Task[None] | None = None
        self._commits: list[asyncio.Task[None]] = []
        self._has_flushed = False
        self._is_stopped = False
        self._is_sealed = False
        self._is_handing_over = False
        self._model_calls: ModelCallStarts = {}
        self._taken_count = 0
        self.failure: Exception | None = None
        self.on_failed: Callable[[], object] = lambda: None
        self.on_webhook_due: Callable[[], object] = lambda: None
        self.on_step: Callable[[], object] | None = None

    # --- called by the loop -----------------------------------------------------------------------

    def resume(self, emitted_keys: frozenset[EventKey], model_calls: ModelCallStarts) -> None:
        """Go on where earlier attempts stopped.

        :param emitted_keys: keys of the events that are stored; they are not emitted again.
        :param model_calls: the model calls whose start is stored.
        """
        self._emitted_keys, self._model_calls = emitted_keys, model_calls

    def emit(self, event: Event) -> None:
        """Add an event, unless an earlier attempt emitted it. Text of a run is joined to the text just before it."""
        if event.is_delta:
            self._emit_delta(event)
        elif self._emitted_keys and event.key in self._emitted_keys:
            return
        else:
            self._open_deltas.pop(event.run_id, None)
            self._batch.events.append(event)
            self._added_count += 1
        if self._timer is None and not self._is_stopped:
            self._start_timer()

    def _emit_delta(self, event: Event) -> None:
        last = self._open_deltas.get(event.run_id)
        if last is None or last.kind is not event.kind:
            self._open_deltas[event.run_id] = event
            self._batch.events.append(event)
        else:
            for name in ("text", "reasoning"):
                if text := event.data.get(name):
                    last.data[name] = last.data.get(name, "") + text
        self._added_count += 1

    def record(self, step: StepRow) -> None:
        """Add a journal step."""
        self._batch.steps.append(step)
        self._added_count += 1

    def add_content(self, content: bytes) -> None:
        """Add media content that a step refers to."""
        self._batch.contents.append(content)
        self._added_count += 1

    def member_started(self, member: MemberRecord) -> None:
        """Add a member's run that begins."""
        self._batch.started.append(member)
        self._added_count += 1

    def member_ended(self, member: MemberRecord) -> None:
        """Add a member's run that has ended."""
        self._batch.ended.append(member)
        self._added_count += 1

    def input_changed(self, run_id: str, text: str) -> None:
        """Add a run's new input, which replaces the one it began with."""
        self._batch.inputs[run_id] = text
        self._added_count += 1

    def requirement_opened(self, requirement: Requirement) -> None:
        """Add a question to a person, for which a tool call begins to wait."""
        self._batch.opened.append(requirement)
        self._added_count += 1

    def decision_consumed(self, path: str) -> None:
        """Add that the decision about the call at ``path`` is acted on."""
        self._batch.consumed.append(path)
        self._added_count += 1

    def message_taken(self, message_id: str, path: str) -> None:
        """Add that the model call at ``path`` saw a message."""
        self._batch.taken.append((message_id, path))
        self._added_count += 1

    def first_token(self, at: float) -> None:
        """Note when the root's model gave its first text."""
        if self._batch.first_token_at is None:
            self._batch.first_token_at = at

    @property
    def is_stopped(self) -> bool:
        """Whether the loop has to end, or only the calling part of it: a member may be stopped alone."""
        return self._is_stopped or is_cancelled()

    def stop(self) -> None:
        """Have the loop end at its next step, even if the code that it waits for swallows the cancel."""
        self._is_stopped = True

    def seal(self) -> None:
        """Take nothing more from the loop: it was abandoned, and the run ends without it."""
        self.stop()
        self._is_sealed = True
        self._open_deltas.clear()  # late text would be joined to an event that is still to be stored

    def hand_over(self) -> None:
        """Have the loop end at its next step. Steps under way finish and are stored; no further step begins."""
        self._is_handing_over = True

    def flush_at(self) -> float | None:
        """When the pending batch will be stored and published, on the event loop's clock; None if no window is open."""
        return None if self._timer is None else self._window_ends_at

    async def begin_step(self) -> None:
        """Check that a step may begin.

        :raises CancelledError: the loop has to end.
        :raises HandedOver: another attempt goes on from here; everything done so far is stored.
        """
        self.require_not_stopped()
        if self._is_handing_over:
            # Model steps have no commit of their own: without this one, the next attempt would make the calls again.
            await self.commit()
            raise HandedOver

    def require_not_stopped(self) -> None:
        """Raise CancelledError if the loop has to end, so that no further step begins."""
        if self.is_stopped:
            raise asyncio.CancelledError

    async def commit(self) -> None:
        """Store everything that was added so far.

        :raises LeaseLost: the attempt is not the run's current one.
        """
        self.require_not_stopped()
        # Shielded: if the loop is cancelled during the transaction, the stored events must still be published.
        await asyncio.shield(self._commit_soon())

    async def settle(self, store: Settle, event: Event) -> Settled:
        """Store the pending batch together with the run's end or pause, and the event that reports it.

        :param store: the store function that ends or pauses the run.
        :raises LeaseLost: the attempt is not the run's current one.
        :raises TransitionRefused: the run cannot end or pause in this way now; the batch is kept for another end.
        """
        self._stop_timer()
        # Waits for a flush under way, so that the end event gets the last index.
        async with self._lock:
            self._raise_failure()
            batch = self._take_batch()
            batch.events.append(event)
            faults.point("settling")
            try:
                settled = await self._until_stored(
                    lambda: self._database.write(lambda tx: store(tx, self._lease, batch))
                )
            except attempts.TransitionRefused:
                batch.events.pop()  # the event of this end; the rest goes back and is stored with the next one
                self._pending = batch
                raise
            # A crash from here on loses nothing: the end is stored, and subscribers read it there.
            faults.point("settled")
            self._publish(batch, settled.first_index)
            if self._lease.webhooks:
                self.on_webhook_due()
            return settled

    def discard(self) -> None:
        """Drop the pending batch, which could not be stored."""
        self._pending = None
        self._open_deltas.clear()
        self._window_commit = self.failure = None

    def close(self) -> None:
        """Store nothing more: commits that have not reached the database are cancelled."""
        self.stop()
        self._stop_timer()
        for task in self._commits:
            task.cancel()

    @property
    def _batch(self) -> Batch:
        if self._is_sealed:  # an abandoned loop still adds to it; this batch is never stored
            return Batch()
        if self._pending is None:
            self._pending = Batch()
        return self._pending

    # --- inside -----------------------------------------------------------------------------------

    def _start_timer(self) -> None:
        # The first text of a stream is stored sooner, because somebody is waiting to see it.
        is_first = not self._has_flushed and self._broadcaster.has_subscribers(self._lease.root_id)
        seconds = self._settings.first_delta_seconds if is_first else self._settings.delta_seconds
        loop = asyncio.get_running_loop()
        self._window_ends_at = loop.time() + seconds
        self._timer = loop.call_later(seconds, self._on_window_end)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_window_end(self) -> None:
        self._timer = None
        if self._window_commit is None:
            self._window_commit = self._commit_soon()
        else:  # the previous window is still being stored: one at a time, or a slow database would collect a queue
            self._start_timer()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _commit_soon(self) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._commit_to(self._added_count))
        self._commits.append(task)
        task.add_done_callback(self._on_committed)
        return task

    def _on_committed(self, task: "asyncio.Task[None]") -> None:
        self._commits.remove(task)
        if task is self._window_commit:
            self._window_commit = None
        if not task.cancelled() and task.exception() is not None:
            self.on_failed()

    async def _commit_to(self, added_count: int) -> None:
        # One transaction at a time: events get their indexes, and steps are stored, in the order in which they were
        # added.
        async with self._lock:
            self._raise_failure()
            if self._stored_count >= added_count:  # an earlier commit stored it too, while this one waited for the lock
                return
            try:
                await self._flush()
            except Exception as error:
                self.failure = error  # nothing may be stored after it: subscribers and later attempts would see a gap
                raise

    async def _flush(self) -> None:
        self._stop_timer()
        batch = self._take_batch()
        faults.point("flushing")
        first_index = await self._until_stored(
            lambda: self._database.write(lambda tx: attempts.append(tx, self._lease, batch))
        )
        # After the commit and not before it: subscribers must never see an event that a crash could undo.
        faults.point("flushed")
        self._publish(batch, first_index)

    def _take_batch(self) -> Batch:
        # Taken without an await: what the loop adds while the batch is written goes into the next one. Deltas are
        # closed, because text must not be joined to an event that is being written.
        batch, self._pending = self._pending or Batch(), None
        self._open_deltas.clear()
        self._taken_count = self._added_count
        if any(event.kind is EventKind.RUN_CONTINUED for event in batch.events):
            batch.on_indexed = self._add_void_indexes
        return batch

    def _add_void_indexes(self, batch: Batch, first_index: int) -> None:
        add_void_indexes(self._model_calls, enumerate(batch.events, first_index))

    def _publish(self, batch: Batch, first_index: int) -> None:
        self._stored_count = self._taken_count
        self._has_flushed = True
        note_model_calls(self._model_calls, enumerate(batch.events, first_index))
        if self.on_step is not None and batch.has_ended_steps:
            self.on_step()
        if batch.opened and self._lease.webhooks:
            self.on_webhook_due()
        if batch.events:
            self._broadcaster.publish(self._lease.root_id, Flush(first_index, batch.events))

    async def _until_stored(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write, and retry while the database is unavailable. Giving up would mean that the steps have to run again."""
        return await until_available(write, self._lease.root_id)
