"""What other processes do with the same database, and what this one must know of it.

A cancel that was stored elsewhere reaches the attempt, a run that became ready is claimed, readers and those who wait
learn of runs that another process drives. While others are there the database is asked whether it has changed, many
times a second; where it has not, that is all.
"""

from collections.abc import Callable, Mapping, Set
from typing import Protocol

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.states import RunState
from musterd.engine.attempt import Attempt
from musterd.engine.broadcaster import Broadcaster
from musterd.engine.heartbeat import HeartbeatObserver
from musterd.store import probes
from musterd.store.database import Database, Tx
from musterd.store.probes import RunSnapshot

log = structlog.get_logger("musterd.engine")

LOCK_LOOKS_EVERY = 5


class Driving(Protocol):
    """Who drives runs here."""

    def live(self) -> Mapping[str, Attempt]:
        """The attempts at work, by run."""
        ...

    def claimable(self) -> list[str]:
        """The components whose runs can be claimed now."""
        ...

    def lost(self, root_id: str) -> None:
        """Another attempt has the run that is driven here."""

    def wake(self) -> None:
        """A run may be ready."""


class PeerWatcher:
    """Watches what other processes do.

    :param look_after_the_dead: called when a lock says that a worker has died.
    """

    def __init__(
        self,
        database: Database,
        broadcaster: Broadcaster,
        observer: HeartbeatObserver,
        driving: Driving,
        look_after_the_dead: Callable[[], object],
    ) -> None:
        self._database = database
        self._broadcaster = broadcaster
        self._observer = observer
        self._driving = driving
        self._look_after_the_dead = look_after_the_dead
        self._seen: dict[str, RunSnapshot] = {}
        """Where runs that are waited for stood, when their readers were sent to the store last."""

    async def repeat(self, period_seconds: float, alone_seconds: float) -> None:
        """Look again and again, until cancelled: every ``period_seconds``, or less often while nobody else is there."""
        count = 0
        while True:
            await clock.sleep(period_seconds if self._observer.others else alone_seconds)
            count += 1
            try:
                if self._observer.others and count % LOCK_LOOKS_EVERY == 0 and self._observer.has_freed_lock():
                    self._look_after_the_dead()
                if self._database.has_changed():
                    await self.look()
            except StoreUnavailable as error:
                log.debug("the database cannot be asked what changed", reason=error.message)
            except Exception as error:
                log.exception("looking at other processes' work failed", exc_info=error)

    async def look(self) -> None:
        """Take notice of what others did."""
        live = self._driving.live()
        waited_for = self._broadcaster.waited_for() - live.keys()
        components = self._driving.claimable()

        async def work(tx: Tx) -> tuple[dict[str, RunSnapshot], bool]:
            found = await probes.snapshots(tx, [*live, *waited_for])
            return found, await probes.is_ready(tx, components, clock.now())

        found, is_ready = await self._database.read(work)
        for root_id, attempt in live.items():
            self._heed(root_id, attempt, found.get(root_id))
        self._tell(waited_for, found)
        if is_ready:
            self._driving.wake()

    def _tell(self, waited_for: Set[str], found: Mapping[str, RunSnapshot]) -> None:
        """Send readers to the store where there is more, and those who wait where there is nothing to wait for."""
        seen, self._seen = self._seen, {}
        for root_id in waited_for:
            snapshot, last = found.get(root_id), seen.get(root_id)
            if snapshot is None or (last is not None and last.salt != snapshot.salt):  # another's run has its id now
                self._broadcaster.gone(root_id)
                continue
            self._seen[root_id] = snapshot
            if last is None or last.next_event != snapshot.next_event:
                self._broadcaster.look_up(root_id)
            if snapshot.state.is_settled:
                self._broadcaster.settled(root_id)

    def _heed(self, root_id: str, attempt: Attempt, snapshot: RunSnapshot | None) -> None:
        """Stop an attempt that is to be cancelled, or whose run another attempt has."""
        if snapshot is None or (snapshot.state.is_settled and snapshot.attempt == attempt.number):
            return  # it has just settled, and is about to say so
        if snapshot.attempt != attempt.number or snapshot.state is not RunState.RUNNING:
            self._driving.lost(root_id)
        elif snapshot.is_to_be_cancelled:
            attempt.cancel()
        else:
            attempt.signalled(snapshot.signals)
