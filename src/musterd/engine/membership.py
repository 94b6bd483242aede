"""The membership of this process among the processes on a database: it shows that it is alive, and observes the others.

A process shows that it is alive by a counter in its row of ``workers`` and, if all processes are on this host, by an OS
lock. The database alone decides who is silent, with every bus.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.settings import Settings
from musterd.engine.heartbeat import Heartbeat, HeartbeatObserver
from musterd.store.database import Database

log = structlog.get_logger("musterd.engine")

CUT_SECONDS = 1.0
"""How long the heartbeat's thread may take to end."""

Call = Callable[[], Awaitable[None]]


class Membership:
    """The membership of one process.

    :ivar worker_id: the id under which this process is known to the others.
    :param on_first_other: called when the first other worker appears.
    """

    def __init__(self, database: Database, settings: Settings, on_first_other: Callable[[], None]) -> None:
        self.worker_id = clock.new_id()
        self._database = database
        self._beat_seconds = settings.beat_seconds
        # Half of the time, so that the next heartbeat is stored before this process is silent.
        self._answer_seconds = max(settings.dead_seconds / 2, settings.beat_seconds)
        self._late_seconds = max(settings.dead_seconds, 2 * settings.beat_seconds)
        self._on_first_other = on_first_other
        self._locks = database.locks()
        self._heartbeat: Heartbeat | None = None
        self._observer = HeartbeatObserver(
            self.worker_id,
            lambda: clock.monotonic() if self._heartbeat is None else self._heartbeat.last_beat_at,
            self._locks.is_free,
            settings.dead_seconds,
            settings.beat_seconds,
        )
        self._announce: Call | None = None
        self._on_rejoined: Call | None = None
        self._rejoining: asyncio.Task[None] | None = None
        self._is_stopping = False

    # --- this process -----------------------------------------------------------------------------

    async def join(self, announce: Call, on_rejoined: Call) -> None:
        """Announce this worker, and show that it is alive until :meth:`leave`.

        :param announce: stores the row of this worker. It is called again if other processes considered this one dead
            and removed the row.
        :param on_rejoined: called after that: this worker's runs were reassigned.
        :raises StoreUnavailable: the row could not be stored.
        """
        self._announce, self._on_rejoined = announce, on_rejoined
        # Locked before the row is written: an observer that sees a row whose lock is free takes the worker for dead.
        self._locks.hold(self.worker_id)
        # Announced before the heartbeat starts: a beat that does not find the row reports that the heartbeat was lost.
        await announce()
        self._heartbeat = self._new_heartbeat()
        self._heartbeat.start()

    def _new_heartbeat(self) -> Heartbeat:
        loop = asyncio.get_running_loop()

        # The heartbeat's thread calls these two, and what they call has to run on the event loop.
        def on_beat(beats: Mapping[str, int]) -> None:
            loop.call_soon_threadsafe(self._note, beats)

        def on_lost() -> None:
            loop.call_soon_threadsafe(self._on_heartbeat_lost)

        return Heartbeat(self._database, self.worker_id, self._beat_seconds, on_beat, on_lost, self._answer_seconds)

    def begin_stop(self) -> None:
        """Do not announce this worker again. It still shows that it is alive."""
        self._is_stopping = True

    async def leave(self, release: Call) -> None:
        """Stop showing that this process is alive, and call ``release`` in between."""
        self.begin_stop()
        # Before the row is removed: a beat that misses it would announce this worker again.
        await self._stop_heartbeat()
        if self._rejoining is not None:
            await asyncio.wait([self._rejoining], timeout=CUT_SECONDS)
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
        assert self._announce is not None
        assert self._on_rejoined is not None
        # Held again before the row is written, as in join(): the process that reassigned the runs removed the lock.
        self._locks.hold(self.worker_id)
        try:
            await self._announce()
            await self._on_rejoined()
        except StoreUnavailable:
            # The next beat finds no row either, and calls _on_heartbeat_lost() again.
            log.warning("the worker could not register again; retrying", worker=self.worker_id)

    @property
    def silent_seconds(self) -> float:
        """The time since this process last stored that it is alive."""
        return 0.0 if self._heartbeat is None else clock.monotonic() - self._heartbeat.last_beat_at

    @property
    def is_late(self) -> bool:
        """Whether the last heartbeat of this process is older than those of a live process."""
        return self.silent_seconds > self._late_seconds

    @property
    def may_seem_dead(self) -> bool:
        """Whether other processes may consider this one dead. They would reassign a run that it begins, as crashed."""
        return self.is_late and self.has_others

    # --- the others -------------------------------------------------------------------------------

    @property
    def has_others(self) -> bool:
        """Whether other workers are announced that were not silent at the last look."""
        return bool(self._observer.others)

    def has_freed_lock(self) -> bool:
        """Whether a lock on this host shows that another worker has died since the last look."""
        return self.has_others and self._observer.has_freed_lock()

    def silent(self, workers: Mapping[str, int | None]) -> Mapping[str, float]:
        """The workers among these whose lock is free, or whose counter has stood still for too long.

        It is called once in each turn of upkeep.

        :param workers: all that are announced or hold runs, with the counters of their rows.
        :return: for how many seconds each has been silent; infinite if its lock is free.
        """
        self._note(workers)
        return self._observer.look(workers)

    def _note(self, beats: Mapping[str, int | None]) -> None:
        was_alone = not self.has_others
        self._observer.note(beats)
        if was_alone and self.has_others:
            self._on_first_other()

    def remove(self, worker: str) -> None:
        """Remove the lock that a dead worker left on this host, after its runs were released."""
        self._locks.release(worker)
        self._observer.forget(worker)

    def last_beat_at(self, worker: str) -> float | None:
        """When a worker's heartbeat last advanced, as far as this process knows, in unix seconds."""
        seconds = self.silent_seconds if worker == self.worker_id else self._observer.silent_seconds(worker)
        return None if seconds is None else clock.now() - seconds
