"""Notices what other processes store, as far as it concerns this one.

A cancel that was stored elsewhere must reach the attempt, a run that became ready must be claimed, and subscribers and
waiters must learn of runs that another process drives. While other workers are announced, the watcher asks the database
many times a second whether it has changed. If it has not, nothing more is read.
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

# With 20 ms between polls, a process that died on this host is noticed after a tenth of a second.
LOCK_LOOKS_EVERY = 5
"""After how many polls the locks of the other workers are checked."""


class LocalAttempts(Protocol):
    """The attempts of this process; implemented by its worker."""

    def live_attempts(self) -> Mapping[str, Attempt]:
        """The attempts that this process drives, by root run id."""
        ...

    def claimable_components(self) -> list[str]:
        """The components whose runs can be claimed now."""
        ...

    def lease_lost(self, root_id: str) -> None:
        """Stop the attempt that drives this run here: another attempt owns the run now."""

    def wake(self) -> None:
        """Look for ready runs soon."""


class PeerWatcher:
    """Watches the database for what other processes do.

    :param on_lock_freed: called when a lock shows that a worker of this host has died.
    """

    def __init__(
        self,
        database: Database,
        broadcaster: Broadcaster,
        observer: HeartbeatObserver,
        local: LocalAttempts,
        on_lock_freed: Callable[[], object],
    ) -> None:
        self._database = database
        self._broadcaster = broadcaster
        self._observer = observer
        self._local = local
        self._on_lock_freed = on_lock_freed
        self._seen: dict[str, RunSnapshot] = {}
        """The state of awaited runs at the last look."""

    async def repeat(self, period_seconds: float, alone_seconds: float) -> None:
        """Look until cancelled: every ``period_seconds``, or every ``alone_seconds`` while there is no other worker."""
        count = 0
        while True:
            await clock.sleep(period_seconds if self._observer.others else alone_seconds)
            count += 1
            try:
                if self._observer.others and count % LOCK_LOOKS_EVERY == 0 and self._observer.has_freed_lock():
                    self._on_lock_freed()
                # Asking consumes the change. If the look fails, another one follows within about a second: on SQLite
                # the next heartbeat of a worker is a change, and on Postgres this is true once a second in any case.
                if self._database.has_changed():
                    await self.look()
            except StoreUnavailable as error:
                log.debug("database cannot be polled for changes", reason=error.message)
            except Exception as error:
                log.exception("checking other processes failed", exc_info=error)

    async def look(self) -> None:
        """Act on what other processes have stored."""
        live = self._local.live_attempts()
        # Runs that this process drives are left out: their subscribers get each flush from the outbox.
        awaited = self._broadcaster.awaited_runs() - live.keys()
        components = self._local.claimable_components()

        async def work(tx: Tx) -> tuple[dict[str, RunSnapshot], bool]:
            # Read without locks, so only a hint: the fence and the claims decide again in their own transactions.
            snapshots = await probes.snapshots(tx, [*live, *awaited])
            return snapshots, await probes.is_ready(tx, components, clock.now())

        snapshots, is_ready = await self._database.read(work)
        for root_id, attempt in live.items():
            self._update_attempt(root_id, attempt, snapshots.get(root_id))
        self._notify_subscribers(awaited, snapshots)
        if is_ready:
            self._local.wake()

    def _notify_subscribers(self, awaited: Set[str], snapshots: Mapping[str, RunSnapshot]) -> None:
        """Send subscribers to the store if more is stored, and wake waiters whose run has settled or is gone."""
        previous, self._seen = self._seen, {}
        for root_id in awaited:
            snapshot, last = snapshots.get(root_id), previous.get(root_id)
            # Another salt: the run was deleted, and a new run has its id.
            if snapshot is None or (last is not None and last.salt != snapshot.salt):
                self._broadcaster.run_removed(root_id)
                continue
            self._seen[root_id] = snapshot
            if last is None or last.next_event != snapshot.next_event:
                self._broadcaster.send_to_store(root_id)
            if snapshot.state.is_settled:
                self._broadcaster.wake_waiters(root_id)

    def _update_attempt(self, root_id: str, attempt: Attempt, snapshot: RunSnapshot | None) -> None:
        """Stop an attempt that lost its run or is to be cancelled, or pass new signals on to it."""
        if snapshot is None or (snapshot.state.is_settled and snapshot.attempt == attempt.number):
            return  # the attempt has stored the end (the run may be deleted since), and is about to report it
        if snapshot.attempt != attempt.number or snapshot.state is not RunState.RUNNING:
            # Reassigned. The fence refuses the attempt's writes anyway; this also stops its model and tool calls.
            self._local.lease_lost(root_id)
        elif snapshot.is_to_be_cancelled:
            attempt.cancel()
        else:
            attempt.signalled(snapshot.signals)
