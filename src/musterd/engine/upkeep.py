"""Upkeep: once a second, what nobody else sees to.

Runs of dead workers are taken over, delayed runs join their line, what waited too long ends, runs of deleted sessions
are cancelled, and ready runs that nobody claims are pointed out. Rows of deleted sessions and of old runs go beside it.
Every process does it; what two do at once is done once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Protocol

import structlog

from musterd.core import clock, faults
from musterd.core.errors import StoreUnavailable
from musterd.engine.heartbeat import HeartbeatObserver
from musterd.engine.resources import Resources
from musterd.engine.retention import Retention
from musterd.engine.session_deletions import SessionDeletions
from musterd.engine.slices import Slices
from musterd.store import pauses, probes, schedule, session_deletion, workers
from musterd.store.cancels import Cancelled
from musterd.store.probes import Due
from musterd.store.schedule import Moved

log = structlog.get_logger("musterd.engine")


class Kept(Protocol):
    """Who is told what upkeep finds."""

    def wake(self) -> None:
        """A run may be ready."""

    def suspects_ready(self, *, is_any: bool) -> None:
        """Whether a run is ready that has to be driven on probation."""

    def cancelled(self, root_id: str, done: Cancelled) -> None:
        """A run ended without an attempt, or is to be cancelled."""


class Upkeep:
    """One process's upkeep.

    :param release_lock: clears away what a dead worker has left on this host.
    """

    def __init__(
        self,
        resources: Resources,
        observer: HeartbeatObserver,
        components: Sequence[str],
        kept: Kept,
        release_lock: Callable[[str], None],
    ) -> None:
        self._database = resources.database
        self._metrics = resources.metrics
        self._most_of_owner = resources.settings.user_concurrency
        slices = Slices(resources.database)
        self.retention = Retention(resources, slices)
        self.deletions = SessionDeletions(resources.database, slices)
        self._observer = observer
        self._components = components
        self._kept = kept
        self._release_lock = release_lock

    async def repeat(self, period_seconds: float) -> None:
        """Do it again and again, until cancelled. Removing rows may take long, so it has tasks of its own."""
        async with asyncio.TaskGroup() as duties:
            for once in (self.once, self.retention.once, self.deletions.once):
                duties.create_task(_repeat(once, period_seconds))

    async def once(self) -> None:
        """Do what there is to do."""
        own, most = self._observer.own, self._most_of_owner
        due = await self._database.scan(lambda tx: probes.due(tx, self._components, clock.now(), own, most))
        for step in (self._take_over, self._move_scheduled, self._expire, self._cancel_deleted):
            await step(due)
        if due.has_ready:
            self._kept.wake()
        self._kept.suspects_ready(is_any=due.has_suspect)

    async def _take_over(self, due: Due) -> None:
        for worker in self._observer.dead(due.beats):
            await self._take_runs_of(worker)

    async def _take_runs_of(self, worker: str) -> None:
        faults.point("taking_over")
        released = await self._database.write(lambda tx: workers.release_runs(tx, worker, clock.now(), crashed=True))
        faults.point("taken_over")
        self._release_lock(worker)
        for run in released.ready:
            self._metrics.recoveries.add()
            log.warning("run taken over", run_id=run.run_id, from_worker=worker, attempt=run.attempt)
        self._tell(released.ended)
        if released.ready:
            self._kept.wake()

    async def _move_scheduled(self, due: Due) -> None:
        if not due.has_scheduled:
            return
        self._moved(await self._database.write(lambda tx: schedule.due(tx, clock.now())))
        self._moved(await self._database.write(lambda tx: schedule.expire_pending(tx, clock.now())))

    def _moved(self, moved: Moved) -> None:
        self._tell(moved.stopped)
        if moved.has_ready:
            self._kept.wake()

    async def _expire(self, due: Due) -> None:
        if due.has_expired:
            self._moved(await self._database.write(lambda tx: pauses.expire(tx, clock.now())))

    async def _cancel_deleted(self, due: Due) -> None:
        for session_id in due.to_cancel:
            cancel = partial(session_deletion.cancel_live, session_id=session_id, now=clock.now())
            self._tell(await self._database.write(cancel))

    def _tell(self, done: Sequence[Cancelled]) -> None:
        for one in done:
            self._kept.cancelled(one.run.run_id, one)


async def _repeat(once: Callable[[], Coroutine[object, object, None]], period_seconds: float) -> None:
    while True:
        await clock.sleep(period_seconds)
        try:
            await once()
        except StoreUnavailable as error:
            log.warning("upkeep waits for the database", reason=error.message)
        except Exception as error:
            log.exception("upkeep failed", exc_info=error)
