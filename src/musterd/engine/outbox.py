"""The outbox of an attempt: it stores what the loop emits and records, and publishes the events.

The loop and its members add to one batch in memory. One transaction at a time, guarded by the attempt's number, stores
the batch; only then are its events published to subscribers. Text deltas are collected for a short window; steps and
results that the run depends on are committed as soon as the loop asks for it.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from musterd.core import faults
from musterd.core.events import Event, EventKind
from musterd.core.settings import Settings
from musterd.engine.activity import Activity
from musterd.engine.broadcaster import Broadcaster, Flush
from musterd.engine.database_retry import until_available
from musterd.engine.step_gate import StepGate
from musterd.engine.superseded_text import ModelCallStarts, add_void_indexes, note_model_calls
from musterd.store import attempt_writes
from musterd.store.attempt_writes import Batch, Lease, Settle, Settled
from musterd.store.database import Database, Work
from musterd.store.events import StoredFlush

T = TypeVar("T")
EventKey = tuple[str, str, str]

_NO_KEYS: frozenset[EventKey] = frozenset()  # one for all: there may be thousands of runs


class Outbox:
    """Stores the batches of an attempt in order, each in one transaction, and publishes their events.

    ``on_failed`` is called after a batch could not be stored; ``failure`` says why, and the loop need not go on.
    ``on_step`` is called after an ended step was stored, ``on_webhook_due`` after a webhook delivery was stored.

    :param gate: stops commits by the loop once it has to end.
    :param activity: what the run does now; stored with each batch.
    """

    def __init__(
        self,
        database: Database,
        broadcaster: Broadcaster,
        lease: Lease,
        settings: Settings,
        gate: StepGate,
        activity: Activity,
    ) -> None:
        self._database = database
        self._broadcaster = broadcaster
        self._lease = lease
        self._settings = settings
        self._gate = gate
        self._activity = activity
        self._emitted_keys = _NO_KEYS
        self._model_calls: ModelCallStarts = {}
        self._pending: Batch | None = None  # None while a run waits: there may be thousands
        self._open_deltas: dict[str, Event] = {}
        self._lock = asyncio.Lock()
        self._window_ends_at: float | None = None  # on the event loop's clock; None: no window is open
        self._timer: asyncio.TimerHandle | None = None
        self._timer_fires_at = 0.0
        self._window_commit: asyncio.Task[None] | None = None
        self._commits: list[asyncio.Task[None]] = []
        self._has_flushed = False
        self._is_sealed = False
        self.is_settling = False
        """Whether the run's end or pause is being stored, or is stored, by this attempt."""
        self.failure: Exception | None = None
        self.on_failed: Callable[[], object] = lambda: None
        self.on_webhook_due: Callable[[], object] = lambda: None
        self.on_step: Callable[[], object] | None = None

    def resume(self, emitted_keys: frozenset[EventKey], model_calls: ModelCallStarts) -> None:
        """Go on where earlier attempts stopped.

        :param emitted_keys: keys of the events that are stored; they are not emitted again.
        :param model_calls: the model calls whose start is stored.
        """
        self._emitted_keys, self._model_calls = emitted_keys, model_calls

    # --- collecting -------------------------------------------------------------------------------

    @property
    def batch(self) -> Batch:
        """The batch that the next transaction stores. Append to its lists, and do not keep it across an await."""
        if self._is_sealed:  # an abandoned loop still adds to it; this batch is never stored
            return Batch()
        if self._pending is None:
            self._pending = Batch()
        return self._pending

    def emit(self, event: Event) -> None:
        """Add an event, unless an earlier attempt emitted it. Text of a run is joined to the text just before it."""
        if event.is_delta:
            self._emit_delta(event)
        else:
            self._activity.note(event)
            if self._emitted_keys and event.key in self._emitted_keys:
                return
            self._open_deltas.pop(event.run_id, None)
            self.batch.events.append(event)
        if self._window_ends_at is None and not self._gate.is_stopped:
            self._open_window()

    def _emit_delta(self, event: Event) -> None:
        last = self._open_deltas.get(event.run_id)
        # Steps of a workflow that run beside each other write texts of their own.
        if last is None or last.kind is not event.kind or last.data.get("path") != event.data.get("path"):
            self._open_deltas[event.run_id] = event
            self.batch.events.append(event)
            self._activity.note_text(event)
        else:
            for name in ("text", "reasoning"):
                if text := event.data.get(name):
                    last.data[name] = last.data.get(name, "") + text

    def _take_batch(self) -> Batch:
        # Taken without an await: what the loop adds while the batch is written goes into the next one. Deltas are
        # closed, because text must not be joined to an event that is being written.
        batch, self._pending = self._pending or Batch(), None
        self._open_deltas.clear()
        batch.activity = self._activity.changed_text() or batch.activity
        if any(event.kind is EventKind.RUN_CONTINUED for event in batch.events):
            # The index from which a text is void may be that of an event in this batch, and is known only in the
            # transaction.
            batch.on_indexed = self._add_void_indexes
        return batch

    def _add_void_indexes(self, batch: Batch, first_index: int) -> None:
        add_void_indexes(self._model_calls, enumerate(batch.events, first_index))

    # --- the flush window -------------------------------------------------------------------------

    def flush_at(self) -> float | None:
        """When the pending batch will be stored and published, on the event loop's clock; None if no window is open."""
        return self._window_ends_at

    def _open_window(self) -> None:
        # The first text of a stream is stored sooner, because somebody is waiting to see it.
        is_first = not self._has_flushed and self._broadcaster.has_subscribers(self._lease.root_id)
        seconds = self._settings.first_delta_seconds if is_first else self._settings.delta_seconds
        self._window_ends_at = asyncio.get_running_loop().time() + seconds
        # Most windows end early, with a commit. The timer runs on for the next window, and is set again when it fires.
        if self._timer is None or self._timer_fires_at > self._window_ends_at:
            self._set_timer()

    def _set_timer(self) -> None:
        assert self._window_ends_at is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer_fires_at = self._window_ends_at
        self._timer = asyncio.get_running_loop().call_at(self._timer_fires_at, self._on_timer)

    def _stop_timer(self) -> None:
        self._window_ends_at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._window_ends_at is None:
            return
        if self._window_ends_at > self._timer_fires_at:  # it was set for an earlier window
            self._set_timer()
            return
        self._window_ends_at = None
        if self._window_commit is None:
            self._window_commit = self._start_commit()
        else:  # the previous window is still being stored: one at a time, or a slow database would collect a queue
            self._open_window()

    # --- storing ----------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Store everything that was added so far.

        :raises LeaseLost: the attempt is not the run's current one.
        """
        self._gate.require_open()
        # Shielded: if the loop is cancelled during the transaction, the stored events must still be published.
        await asyncio.shield(self._start_commit())

    def _start_commit(self) -> "asyncio.Task[None]":
        batch = None if self._pending is None or self._pending.is_empty else self._pending
        task = asyncio.create_task(self._commit(batch))
        self._commits.append(task)
        task.add_done_callback(self._on_committed)
        return task

    def _on_committed(self, task: "asyncio.Task[None]") -> None:
        self._commits.remove(task)
        if task is self._window_commit:
            self._window_commit = None
        # Nothing awaits the commit of a window, so its failure has to stop the loop from here.
        if not task.cancelled() and task.exception() is not None:
            self.on_failed()

    async def _commit(self, batch: Batch | None) -> None:
        """Wait for the transaction under way, then store ``batch``, unless that transaction has stored it."""
        # One transaction at a time: events get their indexes, and steps are stored, in the order in which they were
        # added. So even a commit without a batch of its own waits: what was added before it may be under way.
        async with self._lock:
            self._raise_failure()
            if batch is None or batch is not self._pending:
                return
            try:
                await self._flush()
            except Exception as error:
                self.failure = error  # nothing may be stored after it: subscribers and later attempts would see a gap
                raise

    async def _flush(self) -> None:
        self._window_ends_at = None
        batch = self._take_batch()
        faults.point("flushing")
        first_index = await self._write(lambda tx: attempt_writes.append(tx, self._lease, batch))
        # After the commit and not before it: subscribers must never see an event that a crash could undo.
        faults.point("flushed")
        self._publish(batch, first_index)

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
            self._activity.note(event)
            batch = self._take_batch()
            batch.events.append(event)
            faults.point("settling")
            # Before the transaction: from its commit on, a look may find the end.
            self.is_settling = True
            try:
                settled = await self._write(lambda tx: store(tx, self._lease, batch))
            except attempt_writes.TransitionRefused:
                self.is_settling = False  # the loop may go on; after any other error it does not
                batch.events.pop()  # the event of this end; the rest goes back and is stored with the next one
                self._pending = batch
                raise
            # A crash from here on loses nothing: the end is stored, and subscribers read it there.
            faults.point("settled")
            self._publish(batch, settled.first_index)
            if self._lease.webhooks:
                self.on_webhook_due()
            return settled

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def _write(self, work: Work[T]) -> T:
        return await until_available(lambda: self._database.write(work), self._lease.root_id)

    def _publish(self, batch: Batch, first_index: int) -> None:
        self._has_flushed = True
        note_model_calls(self._model_calls, enumerate(batch.events, first_index))
        if self.on_step is not None and batch.has_ended_steps:
            self.on_step()
        if batch.opened and self._lease.webhooks:
            self.on_webhook_due()
        if batch.events:
            stored = StoredFlush(self._lease.salt, first_index, batch.events_text)
            self._broadcaster.publish(self._lease.root_id, Flush(first_index, batch.events), stored)

    # --- the end of the attempt -------------------------------------------------------------------

    def seal(self) -> None:
        """Take nothing more from the loop: it was abandoned, and the run ends without it."""
        self._is_sealed = True
        self._open_deltas.clear()  # late text would be joined to an event that is still to be stored

    def discard(self) -> None:
        """Drop the pending batch, which could not be stored."""
        self._pending = None
        self._open_deltas.clear()
        self._window_commit = self.failure = None

    def close(self) -> None:
        """Store nothing more: commits that have not reached the database are cancelled."""
        # The loop may still add events until its task ends. Without this each of them would start the timer again.
        self._gate.is_stopped = True
        self._stop_timer()
        for task in self._commits:
            task.cancel()
