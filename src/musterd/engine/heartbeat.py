"""Heartbeats: each process advances a counter in the database, and observes the counters of the others.

The counter is advanced by a thread with a connection of its own, so that a blocked event loop, or a tool that never
yields, does not count as death. An observer uses its own clock and never compares a stored time, because clocks differ
between hosts and may jump.
"""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.store import workers
from musterd.store.database import Database

log = structlog.get_logger("musterd.engine")

# Half of the default `dead_seconds`: at least two looks have to find the counter unchanged.
LONGEST_LOOK_SECONDS = 2.0
"""The most that one look counts. An observer that stood still itself does not know what happened in that time."""


class Heartbeat:
    """Advances this worker's counter until it is stopped. A beat of an idle worker that is alone writes nothing.

    ``last_beat_at`` is the time at which the last stored beat began, on this process's monotonic clock.

    :param on_beat: called in the thread after each beat, with the counters of all announced workers.
    :param on_lost: called in the thread after a beat that finds this worker's row gone, so its runs were reassigned.
    :param answer_seconds: how long a beat waits for an answer of the database's server, to an attempt to connect or to
        a statement. If none comes, the next beat follows at once on a new connection.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        period_seconds: float,
        on_beat: Callable[[Mapping[str, int]], object],
        on_lost: Callable[[], object],
        answer_seconds: float | None = None,
    ) -> None:
        self._database = database
        self._worker = worker
        self._period_seconds = period_seconds
        self._on_beat = on_beat
        self._on_lost = on_lost
        self._answer_seconds = answer_seconds
        self._is_stopped = threading.Event()
        self.last_beat_at = clock.monotonic()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="musterd-beats", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the beat that is under way."""
        self._is_stopped.set()

    def join(self) -> None:
        """Wait until the thread has ended and closed its connection."""
        self._thread.join()

    def _beat_until_stopped(self) -> None:
        connection = self._database.thread_connection(self._answer_seconds)
        pause_seconds = self._period_seconds
        try:
            while not self._is_stopped.wait(pause_seconds):
                began_at, pause_seconds = clock.monotonic(), self._period_seconds
                try:
                    beats = connection.do(lambda tx: workers.beat(tx, self._worker, clock.now()))
                except StoreUnavailable as error:
                    log.warning("heartbeat could not be stored", worker=self._worker, reason=error.message)
                    # A beat that waited for its answer has used up the pause. Other processes wait for the next one.
                    pause_seconds = max(began_at + self._period_seconds - clock.monotonic(), 0.0)
                else:
                    # A stop removes the row itself, so a beat that was under way must not report a loss.
                    if self._is_stopped.is_set():
                        return
                    if self._worker in beats:
                        self.last_beat_at = began_at
                        self._on_beat(beats)
                    else:
                        self._on_lost()
        finally:
            connection.close()


@dataclass(slots=True)
class _Seen:
    beat: int | None
    at: float
    still_seconds: float = 0.0


class HeartbeatObserver:
    """Finds the silent workers, which seem to be dead.

    Time in which this process stored no heartbeat does not count: the database may have refused those of the others for
    the same reason.

    :param own: the id of this process's worker, which is not observed.
    :param own_beat_at: when this process's last stored heartbeat began, on ``monotonic``.
    :param has_free_lock: whether a worker's lock is free, so the worker is dead. Never true if workers may be on other
        hosts.
    :param dead_seconds: how long a counter may stand still before its worker is silent.
    :param beat_seconds: the interval of this process's heartbeats.
    """

    def __init__(
        self,
        own: str,
        own_beat_at: Callable[[], float],
        has_free_lock: Callable[[str], bool],
        dead_seconds: float,
        beat_seconds: float,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self.own = own
        self._own_beat_at = own_beat_at
        self._has_free_lock = has_free_lock
        self._dead_seconds = dead_seconds
        # Shorter than `dead_seconds` by the age that another worker's counter can have when the database stops storing.
        self._cut_off_seconds = max(dead_seconds / 2, 2 * beat_seconds)
        self._noted_own_beat_at = own_beat_at()
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}
        self._silent: dict[str, float] = {}

    @property
    def others(self) -> list[str]:
        """The other workers that were not silent at the last look."""
        return [worker for worker in self._seen if worker not in self._silent]

    def silent_seconds(self, worker: str) -> float | None:
        """How long another worker's counter has stood still; None if the worker is unknown."""
        seen = self._seen.get(worker)
        return None if seen is None else seen.still_seconds + self._monotonic() - seen.at

    def has_freed_lock(self) -> bool:
        """Whether a lock shows that one of the other workers has died since the last look."""
        return any(self._has_free_lock(worker) for worker in self.others)

    def look(self, beats: Mapping[str, int | None]) -> dict[str, float]:
        """Note the counters of all workers, and return the silent workers. Workers that are gone are forgotten.

        :return: how long the counter of each has stood still, in seconds; infinite if its lock is free.
        """
        for gone in self._seen.keys() - beats.keys():  # including workers that held runs without being announced
            del self._seen[gone]
        self.note(beats)
        still = {
            worker: math.inf if self._has_free_lock(worker) else seen.still_seconds
            for worker, seen in self._seen.items()
        }
        self._silent = {worker: seconds for worker, seconds in still.items() if seconds >= self._dead_seconds}
        return self._silent

    def note(self, beats: Mapping[str, int | None]) -> None:
        """Note the counters of all announced workers, and forget workers that are no longer announced.

        A worker that holds runs but has no row in ``workers`` has no counter (None). It counts as standing still from
        the first look on, so its runs are released as well.
        """
        now, own_beat_at = self._monotonic(), self._own_beat_at()
        # Cut off from the database, now or since the last look. Then every counter starts again from 0, so that the
        # other workers have time to store a heartbeat when the database stores them again.
        is_cut_off = max(now - own_beat_at, own_beat_at - self._noted_own_beat_at) > self._cut_off_seconds
        self._noted_own_beat_at = own_beat_at
        announced = {worker for worker, seen in self._seen.items() if seen.beat is not None}
        for gone in announced - beats.keys():
            del self._seen[gone]
        for worker, beat in beats.items():
            if worker == self.own:
                continue
            previous, current = self._seen.get(worker), _Seen(beat, now)
            if previous is not None and previous.beat == beat and not is_cut_off:
                # Bounded: if this process stood still, the other one may have stood still with it, as on a suspended
                # host.
                current.still_seconds = previous.still_seconds + min(now - previous.at, LONGEST_LOOK_SECONDS)
            self._seen[worker] = current

    def forget(self, worker: str) -> None:
        """Observe a worker anew: if it lives after all, it announces itself again and counts from 0."""
        self._seen.pop(worker, None)
