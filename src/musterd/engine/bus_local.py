"""The bus of processes that share only their database.

Hints need no messages: while other workers are announced, a process asks the database many times a second whether it
has changed. If it has not, nothing more is read. On SQLite that is a counter of the file; on Postgres it is a snapshot,
which shows whether a transaction has ended.

A process shows that it is alive by a counter in its row of ``workers`` and, if all processes are on this host, by an OS
lock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.records import RunRow
from musterd.core.settings import Settings
from musterd.engine.bus import BusListener, Findings, Hints
from musterd.engine.heartbeat import Heartbeat, HeartbeatObserver
from musterd.engine.wakeup import Wakeup
from musterd.store.database import Database
from musterd.store.events import StoredFlush

log = structlog.get_logger("musterd.engine")

# With the 20 ms between two polls of SQLite, a process that died on this host is noticed after a tenth of a second.
LOCK_LOOKS_EVERY = 5
"""After how many polls the locks of the other workers are checked."""
CUT_SECONDS = 1.0
"""How long the heartbeat's thread may take to end."""


class LocalBus:
    """The bus of one process.

    :ivar worker_id: the id under which this process is known to the others.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.worker_id = clock.new_id()
        self._database = database
        self._settings = settings
        self._locks = database.locks()
        self._observer = HeartbeatObserver(self.worker_id, self._locks.is_free, settings.dead_seconds)
        self._heartbeat: Heartbeat | None = None
        self._listener: BusListener | None = None
        self._announce: Callable[[], Awaitable[None]] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._has_company = Wakeup()
        self._seen_count: int | None = None

    # --- from start to stop -----------------------------------------------------------------------

    async def join(self, listener: BusListener, announce: Callable[[], Awaitable[None]]) -> None:
        """Show that this process is alive, until :meth:`leave`, and call the listener from now on."""
        self._listener, self._announce = listener, announce
        # Locked before the row is written: an observer that sees a row whose lock is free takes the worker for dead.
        self._locks.hold(self.worker_id)
        # Announced before the heartbeat starts: a beat that does not find the row reports that the heartbeat was lost.
        await announce()
        self._heartbeat = self._new_heartbeat()
        self._heartbeat.start()
        if not self._is_stopping:  # a stop may have begun while the row was being stored
            self._watching = asyncio.create_task(self._watch(listener))

    def _new_heartbeat(self) -> Heartbeat:
        loop = asyncio.get_running_loop()

        # The heartbeat's thread calls these two, and what they call has to run on the event loop.
        def on_beat(beats: Mapping[str, int]) -> None:
            loop.call_soon_threadsafe(self._note, beats)

        def on_lost() -> None:
            loop.call_soon_threadsafe(self._on_heartbeat_lost)

        return Heartbeat(self._database, self.worker_id, self._settings.beat_seconds, on_beat, on_lost)

    def begin_stop(self) -> None:
        """Stop calling the listener. The process still shows that it is alive."""
        self._is_stopping = True
        if self._watching is not None:
            self._watching.cancel()

    async def leave(self, release: Callable[[], Awaitable[None]]) -> None:
        """Stop showing that this process is alive, and call ``release`` in between."""
        self.begin_stop()
        # Before the row is removed: a beat that misses it would announce this worker again.
        await self._stop_heartbeat()
        if tasks := [task for task in (self._watching, self._rejoining) if task is not None]:
            await asyncio.wait(tasks, timeout=CUT_SECONDS)
        await release()
        # Last: with the lock free and the row still there, another process would count these runs as crashed.
        self._locks.release(self.worker_id)

    async def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
            joined = asyncio.get_running_loop().run_in_executor(None, self._heartbeat.join)
            await asyncio.wait([joined], timeout=CUT_SECONDS)  # tools may occupy every thread of the executor

    def _on_heartbeat_lost(self) -> None:
        log.warning("heartbeat lost; runs were reassigned to other workers", worker=self.worker_id)
        # A stopping process must not announce itself again.
        if not self._is_stopping and (self._rejoining is None or self._rejoining.done()):
            self._rejoining = asyncio.create_task(self._rejoin())

    async def _rejoin(self) -> None:
        """Announce this worker again, and stop the attempts whose runs were reassigned."""
        assert self._listener is not None
        assert self._announce is not None
        # Held again before the row is written, as in join(): the process that reassigned the runs removed the lock.
        self._locks.hold(self.worker_id)
        try:
            await self._announce()
            # The fence refuses what those attempts write, but only this stops the calls that they make.
            await self._listener.look()
        except StoreUnavailable:
            # The next beat finds no row either, and calls _on_heartbeat_lost() again.
            log.warning("the worker could not register again; retrying", worker=self.worker_id)

    # --- hints ------------------------------------------------------------------------------------

    def ready(self, run: RunRow) -> None:
        """Have this process look for ready runs. Others find the run when they see that the database has changed."""
        if self._listener is not None:
            self._listener.wake()

    async def take(self, limit: int) -> Hints | None:
        """No hints: the worker looks for any ready run."""
        return None

    def tell(self, run: RunRow) -> None:
        """Do nothing: the process that drives the run sees that the database has changed."""

    def stored(self, root_id: str, flush: StoredFlush) -> None:
        """Do nothing: the processes in which the run is awaited see that the database has changed."""

    def hear(self, root_id: str) -> None:
        """Do nothing, because each look reads the rows of all runs that are awaited here."""

    def forget(self, root_id: str) -> None:
        """Do nothing."""

    def session_changed(self, session_id: str) -> None:
        """Do nothing, because the processes in which the session is watched see that the database has changed."""

    def hear_session(self, session_id: str) -> None:
        """Do nothing, because each look reads the rows of all sessions that are watched here."""

    def forget_session(self, session_id: str) -> None:
        """Do nothing."""

    def changed(self) -> None:
        """Do nothing: the others see that the database has changed."""

    def hear_changes(self) -> None:
        """Do nothing: the database counts changes in any case."""

    def forget_changes(self) -> None:
        """Do nothing."""

    async def change_count(self) -> int:
        """A number that changes when any process writes. Cheap."""
        return await self._database.change_count()

    async def _watch(self, listener: BusListener) -> None:
        """Call the listener whenever the database has changed; seldom while there is no other worker."""
        count = 0
        while True:
            await self._has_company.wait(self._watch_seconds)
            count += 1
            try:
                if self._observer.others and count % LOCK_LOOKS_EVERY == 0 and self._observer.has_freed_lock():
                    listener.worker_died()
                if await self._has_changed():
                    await listener.look()
            except StoreUnavailable as error:
                self._seen_count = None  # asking has consumed the change, but the look has not seen it
                log.debug("database cannot be polled for changes", reason=error.message)
            except Exception as error:
                self._seen_count = None
                log.exception("checking other processes failed", exc_info=error)

    @property
    def _watch_seconds(self) -> float:
        """How long to wait before the next look at the other processes."""
        return self._database.poll_seconds if self._observer.others else self._settings.upkeep_seconds

    async def _has_changed(self) -> bool:
        """Whether any process may have written since the last call."""
        # Noted before the caller looks, so that a change during its look leads to another one.
        before, self._seen_count = self._seen_count, await self._database.change_count()
        return self._seen_count != before

    @property
    def is_connected(self) -> bool:
        """Always true, because there is nothing to connect to."""
        return True

    # --- upkeep and liveness ----------------------------------------------------------------------

    async def turn(self, period_seconds: float) -> None:
        """Wait for a period. Every process does upkeep; the transactions make sure that each thing is done once."""
        await clock.sleep(period_seconds)

    def upkeep_done(self, findings: Findings) -> None:
        """Do nothing, because every process does upkeep."""

    async def dead(self, workers: Mapping[str, int | None]) -> list[str]:
        """The workers among these whose lock is free, or whose counter has stood still for too long."""
        self._note(workers)
        return await self._dead_among(self._observer.look(workers))

    def _note(self, beats: Mapping[str, int | None]) -> None:
        """Note the workers' counters, and begin to watch at once when the first other worker appears."""
        was_alone = not self._observer.others
        self._observer.note(beats)
        if was_alone and self._observer.others:
            self._has_company.ring()

    async def _dead_among(self, silent: Mapping[str, float]) -> list[str]:
        """All silent workers, because only the database shows whether a worker is alive."""
        return list(silent)

    def bury(self, worker: str) -> None:
        """Remove the lock that a dead worker left on this host."""
        self._locks.release(worker)
        self._observer.forget(worker)

    @property
    def silent_seconds(self) -> float:
        """How long ago the heartbeat was last stored."""
        return 0.0 if self._heartbeat is None else clock.monotonic() - self._heartbeat.last_beat_at

    def last_beat_at(self, worker: str) -> float | None:
        """When a worker's heartbeat last advanced, as far as this process knows, in unix seconds."""
        seconds = self.silent_seconds if worker == self.worker_id else self._observer.silent_seconds(worker)
        return None if seconds is None else clock.now() - seconds
