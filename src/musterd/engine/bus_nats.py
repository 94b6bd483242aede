"""The bus on NATS. Hints are messages that name a run, and wake only the processes that they concern.

A ready run is a message in a stream, which is delivered to one process that drives its component and has a free slot.
That process claims the run by its id, and then acknowledges the message. Everything else is core NATS: a process gets
messages about the runs that it drives, and the stored events of runs that its clients await.

A process shows in the database that it is alive. If its heartbeat is late, it is asked over NATS before its runs are
reassigned. One process at a time does upkeep.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from musterd.core import clock
from musterd.core.errors import StartError, StoreUnavailable
from musterd.core.records import RunRow
from musterd.core.settings import Settings
from musterd.engine.bus import BusListener, Findings, ReadyHints
from musterd.engine.membership import Membership
from musterd.engine.nats_connection import NatsServers
from musterd.engine.nats_flushes import flush_in, message_of
from musterd.engine.nats_questions import Questions
from musterd.engine.nats_ready import ReadyRuns
from musterd.engine.nats_stream import ReadyStream
from musterd.engine.nats_subjects import Subjects
from musterd.engine.nats_subscriptions import Subscriptions
from musterd.engine.nats_upkeep import UpkeepTurns
from musterd.engine.row_watch import RowWatch
from musterd.engine.wakeup import Wakeup
from musterd.store.database import Database
from musterd.store.events import StoredFlush

log = structlog.get_logger("musterd.engine")

CUT_OFF_PERIODS = 5
"""After this many times ``dead_seconds`` without a heartbeat, a process is dead even if it answers: it cannot reach the
database, so its runs cannot continue."""
PING_SECONDS = 2
"""How often the connection is checked."""
LOST_PINGS = 2
"""The connection counts as lost when the next check finds so many without an answer. TCP would need a quarter of an
hour to notice a server that is gone without a word."""
CHANGES_SECONDS = 0.1
"""Changes of runs within this time are one message to the readers of all runs."""
SEND_SECONDS = 1.0
"""How long a stopping process waits for its last hints to be sent."""


class NatsBus:
    """The bus of one process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._look_soon = Wakeup()
        self.membership = Membership(database, settings, self._look_soon.ring)
        self._database = database
        self._settings = settings
        self._row_watch = RowWatch(database, settings, self.membership, self._look_soon, lambda: self.is_connected)
        self._listener: BusListener | None = None
        self._is_stopping = False
        self._servers = NatsServers(settings)
        self._subjects = Subjects(settings.bus_prefix)
        self._connection = self._servers.client()
        self._questions = Questions(self._connection, self._subjects)
        self._turns = UpkeepTurns(self._connection, self._subjects, self.membership.worker_id)
        self._answering: set[str] = set()
        """The silent workers that answered in the last turn of upkeep."""
        self._has_connected = False
        self._stream = ReadyStream(self._connection, self._subjects, settings.bus_replicas)
        self._ready: ReadyRuns | None = None
        self._subscriptions = Subscriptions(self._connection, self._send)
        self._changed_runs: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._change_count = 0
        self._change_timer: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        """Whether NATS can be reached now."""
        return self._connection.is_connected

    # --- from start to stop -----------------------------------------------------------------------

    async def join(self, listener: BusListener, announce: Callable[[], Awaitable[None]]) -> None:
        """Connect, and show that this process is alive."""
        await self._connect(listener)
        self._listener = listener
        # Before the row is written, because others may ask from then on.
        await self._questions.answer_for(self.membership.worker_id)
        await self.membership.join(announce, listener.read_changed_rows)
        self._row_watch.start(listener)
        await self._connection.subscribe(self._subjects.worker(self.membership.worker_id), cb=self._on_signal)
        await self._turns.open(listener.instance_id, self._on_upkeep_done)
        ready = ReadyRuns(self._connection, self._subjects, self._stream, listener, self._send)
        try:
            await ready.open()
        except (TimeoutError, NatsError) as error:
            problem = f"NATS cannot create or open the stream {self._subjects.stream} ({error})"
            raise StartError(f"{problem} — enable JetStream") from error
        self._ready = ready
        self._subscriptions.open()

    async def _connect(self, listener: BusListener) -> None:
        places = self._servers.places

        async def reconnected() -> None:
            log.info("NATS connection restored", servers=places)
            self._send(self._after_gap(listener))

        async def disconnected() -> None:
            if not self._is_stopping:
                log.warning("NATS connection lost; polling the database until it is back", servers=places)
                self._look_soon.ring()  # and often from now on

        async def failed(error: Exception) -> None:
            log.debug("NATS reported an error", servers=places, error=str(error))

        await self._servers.connect(
            self._connection,
            name=f"musterd {self.membership.worker_id}",
            no_echo=True,  # this process knows what it stores itself
            max_reconnect_attempts=-1,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=LOST_PINGS,
            disconnected_cb=disconnected,
            reconnected_cb=reconnected,
            error_cb=failed,
        )
        self._has_connected = True

    async def _after_gap(self, listener: BusListener) -> None:
        """Look for all changes, because hints were lost with the connection."""
        listener.wake()
        self._count_change()
        if self._ready is not None:
            self._ready.reopen()
        try:
            await listener.read_changed_rows()
        except StoreUnavailable as error:
            log.debug("rows could not be read after a reconnection", reason=error.message)

    def begin_stop(self) -> None:
        """Stop calling the listener, and leave upkeep to another process."""
        if not self._is_stopping and self._connection.is_connected:
            self._send(self._turns.say_stopping())
        self._is_stopping = True
        self.membership.begin_stop()
        self._row_watch.stop()
        if self._ready is not None:
            self._ready.close()

    async def leave(self, release: Callable[[], Awaitable[None]]) -> None:
        """Release the runs of this process, send the hints about them, and disconnect."""
        self.begin_stop()
        await self._row_watch.stopped()
        await self.membership.leave(release)
        if self._change_timer is not None:
            self._change_timer.cancel()
            self._send_change_now()
        if self._sending:
            await asyncio.wait(set(self._sending), timeout=SEND_SECONDS)
        if self._looking is not None:
            self._looking.cancel()
        if not self._has_connected:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._connection.close()
        # close() writes the rest even if NATS cannot be reached. uvloop raises RuntimeError for a lost connection.
        except (NatsError, OSError, TimeoutError, RuntimeError) as error:
            log.debug("NATS connection could not be closed cleanly", error=str(error))

    # --- hints ------------------------------------------------------------------------------------

    def send_ready(self, run: RunRow) -> None:
        """Publish a message that names the run. If NATS cannot be reached, this process looks for ready runs itself."""
        self.send_change()
        if self._ready is not None and self._connection.is_connected:
            self._send(self._stream.publish(run))
        elif self._listener is not None:
            self._listener.wake()

    async def take_ready(self, limit: int) -> ReadyHints | None:
        """The ready runs that messages name; None if NATS cannot be reached."""
        if self._ready is None or not self._connection.is_connected:
            return None
        try:
            return await self._ready.take(limit)
        except NatsError as error:
            log.debug("hints could not be taken", error=str(error))
            return None

    def send_signal(self, run: RunRow) -> None:
        """Make the process that drives the run read its row."""
        self.send_change()
        if run.worker is not None:
            self._publish(self._subjects.worker(run.worker), run.run_id.encode())

    def send_events(self, root_id: str, flush: StoredFlush) -> None:
        """Send the events to the processes in which the run is awaited."""
        self.send_change()
        if self._connection.is_connected:
            self._publish(self._subjects.run(root_id), message_of(flush, self._connection.max_payload))

    def follow_run(self, root_id: str) -> None:
        """Receive the events of the run that other processes store from now on."""
        on_message, on_known = partial(self._on_stored, root_id), partial(self._look_unless_driven, root_id)
        self._subscriptions.subscribe(self._subjects.run(root_id), on_message, on_known)

    def unfollow_run(self, root_id: str) -> None:
        """Stop receiving events of the run."""
        self._subscriptions.unsubscribe(self._subjects.run(root_id))

    def _on_stored(self, root_id: str, message: Msg) -> None:
        if self._is_stopping or self._listener is None:
            return
        flush = flush_in(message.data)
        if flush is None or not self._listener.events_received(root_id, flush):
            self._look_at(root_id)

    def _look_unless_driven(self, root_id: str) -> None:
        if self._listener is not None and not self._listener.drives(root_id):
            self._look_at(root_id)

    def send_session_change(self, session_id: str) -> None:
        """Make the processes in which the session is watched look for new runs."""
        self.send_change()
        self._publish(self._subjects.session(session_id), b"")

    def follow_session(self, session_id: str) -> None:
        """Receive a message whenever another process changes the session from now on."""
        look = partial(self._look_at_session, session_id)
        self._subscriptions.subscribe(self._subjects.session(session_id), look, look)

    def unfollow_session(self, session_id: str) -> None:
        """Stop receiving messages about the session."""
        self._subscriptions.unsubscribe(self._subjects.session(session_id))

    def _look_at_session(self, session_id: str, _: Msg | None = None) -> None:
        if self._listener is not None and not self._is_stopping:
            self._listener.session_changed(session_id)

    def send_change(self) -> None:
        """Make the readers of all runs look. Other processes get one message for several changes."""
        self._change_count += 1
        if self._change_timer is None:
            self._change_timer = asyncio.get_running_loop().call_later(CHANGES_SECONDS, self._send_change_now)

    def _send_change_now(self) -> None:
        self._change_timer = None
        self._publish(self._subjects.changes, b"")

    def follow_changes(self) -> None:
        """Receive a message whenever another process changes runs from now on."""
        self._subscriptions.subscribe(self._subjects.changes, self._count_change, self._count_change)

    def unfollow_changes(self) -> None:
        """Stop receiving messages about changes."""
        self._subscriptions.unsubscribe(self._subjects.changes)

    def _count_change(self, _: Msg | None = None) -> None:
        self._change_count += 1

    async def change_count(self) -> int:
        """A number that changes when any process changes runs, unless a message was lost."""
        if self._connection.is_connected:
            return self._change_count
        return self._change_count + await self._database.change_count()

    async def _on_signal(self, message: Msg) -> None:
        self._look_at(message.data.decode())

    def _look_at(self, root_id: str) -> None:
        if self._is_stopping or self._listener is None:
            return
        self._changed_runs.add(root_id)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_at_changed(self._listener))

    async def _look_at_changed(self, listener: BusListener) -> None:
        # There is no await between the last check and the end of the task, so _look_at() leaves nothing behind.
        while self._changed_runs:
            # Taken before the read, so that runs that change during it are read again.
            root_ids, self._changed_runs = self._changed_runs, set()
            try:
                await listener.read_changed_rows(root_ids)
            except StoreUnavailable as error:
                # The attempts and readers notice the changes when the database answers again, or with the next hint.
                log.debug("changed rows could not be read", reason=error.message)

    # --- upkeep -----------------------------------------------------------------------------------

    async def upkeep_turn(self, period_seconds: float) -> None:
        """Wait for a period, and then until no other process does upkeep."""
        await clock.sleep(period_seconds)
        while self._turns.is_left_to_another(period_seconds):
            await clock.sleep(period_seconds)

    def send_upkeep_done(self, findings: Findings) -> None:
        """Tell the other processes. A process that stops has told them not to wait for it, and keeps to that."""
        if self._connection.is_connected and not self._is_stopping:
            self._send(self._turns.say_done(findings))

    def _on_upkeep_done(self, findings: Findings) -> None:
        if self._listener is not None and not self._is_stopping:
            self._listener.upkeep_done_elsewhere(findings)

    async def find_dead(self, workers: Mapping[str, int | None]) -> list[str]:
        """The silent workers that do not answer, or that have been cut off from the database for too long.

        If NATS cannot be reached, these are all silent workers: then only heartbeats count, as without NATS.
        """
        silent = self.membership.silent(workers)
        if not silent or not self._connection.is_connected:
            return list(silent)
        cut_off_seconds = CUT_OFF_PERIODS * self._settings.dead_seconds
        may_live = [worker for worker, seconds in silent.items() if seconds < cut_off_seconds]
        answered_before, self._answering = self._answering, await self._questions.answering(may_live)
        for worker in self._answering - answered_before:
            log.warning("a worker's heartbeat is late, but it answers", worker=worker, seconds=silent[worker])
        return [worker for worker in silent if worker not in self._answering]

    # --- sending ----------------------------------------------------------------------------------

    def _publish(self, subject: str, message: bytes) -> None:
        if self._connection.is_connected:
            self._send(self._connection.publish(subject, message))

    def _send(self, sending: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(self._sent(sending))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _sent(self, sending: Coroutine[object, object, None]) -> None:
        try:
            await sending
        except (NatsError, TimeoutError, OSError) as error:  # upkeep or a later look finds the change without the hint
            log.debug("hint could not be sent", error=str(error) or type(error).__name__)
