"""Who is alive: a counter that each process advances, and what the others make of it.

The counter is advanced by a thread with a connection of its own: a blocked event loop, or a tool that never yields, is
not death. An observer goes by its own clock and never compares a stored time: clocks may differ, and may jump.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.store import workers
from musterd.store.database import Database

log = structlog.get_logger("musterd.engine")

LONGEST_LOOK_SECONDS = 2.0
"""What one look counts at most: an observer that was stopped itself knows nothing of the time it missed."""


class Heartbeat:
    """Advances this worker's counter until it is stopped.

    ``shown_at`` is when it last did, on this process's clock.

    :param on_lost: called in the thread when others have taken this worker for dead, until it is announced again.
    """

    def __init__(self, database: Database, worker: str, period_seconds: float, on_lost: Callable[[], object]) -> None:
        self._database = database
        self._worker = worker
        self._period_seconds = period_seconds
        self._on_lost = on_lost
        self._is_stopped = threading.Event()
        self.shown_at = clock.monotonic()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="musterd-beats", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; a beat that is on its way ends by itself."""
        self._is_stopped.set()

    def join(self) -> None:
        """Wait until the thread has let go of the database."""
        self._thread.join()

    def _beat_until_stopped(self) -> None:
        connection = self._database.thread_connection()
        try:
            while not self._is_stopped.wait(self._period_seconds):
                try:
                    is_known = connection.do(lambda tx: workers.beat(tx, self._worker))
                except StoreUnavailable as error:
                    log.warning("this process could not show that it lives", worker=self._worker, reason=error.message)
                else:
                    self.shown_at = clock.monotonic()
                    if not is_known and not self._is_stopped.is_set():
                        self._on_lost()
        finally:
            connection.close()


@dataclass(slots=True)
class _Seen:
    beat: int | None
    at: float
    still_seconds: float = 0.0


class HeartbeatObserver:
    """Finds out which workers are dead.

    :param own: this process's worker, which is not looked at.
    :param has_free_lock: whether a worker's lock is there for anybody: it is dead, at once.
    :param dead_seconds: how long a counter must not have moved.
    """

    def __init__(
        self,
        own: str,
        has_free_lock: Callable[[str], bool],
        dead_seconds: float,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self.own = own
        self._has_free_lock = has_free_lock
        self._dead_seconds = dead_seconds
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}

    @property
    def others(self) -> list[str]:
        """The other workers that were there at the last look."""
        return list(self._seen)

    def has_freed_lock(self) -> bool:
        """Whether one of the others has died since the last look, as far as locks say."""
        return any(self._has_free_lock(worker) for worker in self._seen)

    def dead(self, beats: Mapping[str, int | None]) -> list[str]:
        """The dead among the workers, whose counters now stand at ``beats``."""
        now = self._monotonic()
        seen, dead = self._seen, []
        self._seen = {}
        for worker, beat in beats.items():
            if worker == self.own:
                continue
            before = seen.get(worker)
            found = _Seen(beat, now)
            if before is not None and before.beat == beat:
                found.still_seconds = before.still_seconds + min(now - before.at, LONGEST_LOOK_SECONDS)
            if self._has_free_lock(worker) or found.still_seconds >= self._dead_seconds:
                dead.append(worker)
            else:
                self._seen[worker] = found
        return dead
