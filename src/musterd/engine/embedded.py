"""The embedded engine: the runs table is the queue, this process its worker."""

import asyncio
import os
import socket
from dataclasses import dataclass

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.records import ComponentKind, RunRow
from musterd.core.states import RunState
from musterd.engine.attempt import Attempt
from musterd.engine.hub import Flush
from musterd.engine.resources import Resources
from musterd.store import attempts, sessions, workers
from musterd.store.cancels import Cancelled
from musterd.store.locks import WorkerLocks

log = structlog.get_logger("musterd.engine")

RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Live:
    attempt: Attempt
    task: "asyncio.Task[None]"


class EmbeddedEngine:
    """Claims runs of the components that this process serves, and drives them.

    :param locks: tells which workers of this host are alive.
    """

    def __init__(self, resources: Resources, locks: WorkerLocks, version: str) -> None:
        self.worker = clock.new_id()
        self._resources = resources
        self._locks = locks
        self._version = version
        self._live: dict[str, _Live] = {}
        self._early_cancels: set[str] = set()
        self._reserved = 0
        self._has_backlog = True
        self._wake = asyncio.Event()
        self._claimer: asyncio.Task[None] | None = None
        self._sweeping: set[asyncio.Task[None]] = set()
        self.is_ready = False
        self.instance_id = ""

    @property
    def _components(self) -> list[str]:
        registry = self._resources.registry
        return [component_key("team", found) for found in registry.teams] + [
            component_key("agent", found) for found in registry.agents
        ]

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Announce this worker, take over the runs of dead ones, and begin to claim."""
        self._locks.hold(self.worker)
        database, now = self._resources.database, clock.now()
        self.instance_id = await database.write(lambda tx: workers.instance(tx, clock.new_id(), self._version, now))
        await database.write(
            lambda tx: workers.add(tx, self.worker, self._components, socket.gethostname(), os.getpid(), now)
        )
        await self._take_over_the_dead()
        for session_id in await database.scan(sessions.buried):
            await self._remove_session(session_id)
        self._claimer = asyncio.create_task(self._claim_forever())
        self._wake.set()
        self.is_ready = True

    async def stop(self) -> None:
        """Claim nothing more and hand over what runs: it is ready again for whoever comes."""
        self.is_ready = False
        if self._claimer is not None:
            self._claimer.cancel()
            await asyncio.wait([self._claimer])
        tasks = {live.task for live in self._live.values()}
        for task in tasks:
            task.cancel()
        if waiting := tasks | self._sweeping:
            _, stuck = await asyncio.wait(waiting, timeout=self._resources.settings.drain_seconds)
            if stuck:
                log.warning("some tools do not stop; their runs are handed over all the same", tasks=len(stuck))
        try:
            await self._resources.database.write(
                lambda tx: workers.release_runs(tx, self.worker, clock.now(), crashed=False)
            )
        except StoreUnavailable:
            log.warning("runs could not be handed over; the next start takes them", worker=self.worker)
        self._locks.release(self.worker)

    async def _take_over_the_dead(self) -> None:
        database = self._resources.database
        for worker in await database.scan(workers.known):
            if worker == self.worker or not self._locks.is_free(worker):
                continue
            await self._take_over(worker)

    async def _take_over(self, dead: str) -> None:
        ready, _ = await self._resources.database.write(
            lambda tx: workers.release_runs(tx, dead, clock.now(), crashed=True)
        )
        self._locks.release(dead)
        for run in ready:
            log.warning("run taken over", run_id=run.run_id, from_worker=dead, attempt=run.attempt)

    async def check_database(self) -> None:
        """Read something. Raises StoreUnavailable when the database cannot be read."""
        await self._resources.database.read(workers.known)

    # --- acceptance and claims --------------------------------------------------------------------

    def reserve(self) -> str | None:
        """Keep a slot for a run that is about to be accepted; the worker's name, or None when it has to wait."""
        if not self.is_ready or self._has_backlog or self._free <= 0:
            return None
        self._reserved += 1
        return self.worker

    def unreserve(self) -> None:
        """Give a kept slot back: the run was not accepted as running."""
        self._reserved -= 1
        if self._has_backlog:
            self._wake.set()

    def launch(self, run: RunRow) -> None:
        """Drive a run that was accepted as running in a kept slot. An engine that stops hands it over instead."""
        self._reserved -= 1
        if self.is_ready:
            self._begin(run)

    def wake(self) -> None:
        """A run may be ready."""
        self._wake.set()

    @property
    def _free(self) -> int:
        return self._resources.settings.concurrency - len(self._live) - self._reserved

    async def _claim_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._claim()
            except Exception as error:  # whatever it was, claims must go on
                if not isinstance(error, StoreUnavailable):
                    log.exception("claiming failed", worker=self.worker, exc_info=error)
                await clock.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _claim(self) -> None:
        """Claim as long as there are free slots and ready runs."""
        while (free := self._free) > 0:
            self._reserved += free  # what acceptance must not promise meanwhile
            try:
                runs = await self._claim_up_to(free)
            finally:
                self._reserved -= free
            for run in runs:
                self._begin(run)
            if len(runs) < free:
                self._has_backlog = False
                return
        self._has_backlog = True

    async def _claim_up_to(self, limit: int) -> list[RunRow]:
        return await self._resources.database.write(
            lambda tx: attempts.claim(tx, self.worker, self._components, limit, clock.now())
        )

    def _begin(self, run: RunRow) -> None:
        attempt = Attempt(self._resources, run)
        if run.run_id in self._early_cancels:
            self._early_cancels.discard(run.run_id)
            attempt.cancel()
        self._live[run.run_id] = _Live(attempt, asyncio.create_task(self._execute(run, attempt)))

    async def _execute(self, run: RunRow, attempt: Attempt) -> None:
        settled = None
        try:
            settled = await attempt.execute()
        except Exception as error:  # its end cannot be stored: the next worker that takes it over tries again
            log.exception("a run was left without an end", run_id=run.run_id, exc_info=error)
        finally:
            del self._live[run.run_id]
            if self._has_backlog:
                self._wake.set()
            self._resources.hub.settled(run.run_id)
        if settled is None:
            return
        if settled.promoted is not None:
            self._wake.set()
        if settled.is_session_deleted:
            await self._remove_session(run.session_id)

    # --- cancel and removal -----------------------------------------------------------------------

    def cancelled(self, root_id: str, done: Cancelled) -> None:
        """Tell what a stored cancel means here: the attempt stops, readers learn of an end, the next run starts."""
        if done.end_event is not None:
            index, event = done.end_event
            self._resources.hub.publish(root_id, Flush(index, [event]))
            self._resources.hub.settled(root_id)
        elif (live := self._live.get(root_id)) is not None:
            live.attempt.cancel()
        elif done.run.state is RunState.RUNNING and done.run.worker == self.worker:
            self._early_cancels.add(root_id)  # claimed, and not begun yet
        if done.promoted is not None:
            self._wake.set()

    def session_deleted(self, session_id: str) -> None:
        """A session was deleted: remove its rows once none of its runs lives."""
        task = asyncio.create_task(self._remove_session(session_id))
        self._sweeping.add(task)
        task.add_done_callback(self._sweeping.discard)

    async def _remove_session(self, session_id: str) -> None:
        try:
            await self._resources.database.write(lambda tx: sessions.remove_if_over(tx, session_id))
        except StoreUnavailable:
            log.warning("a deleted session is removed at the next start", session_id=session_id)


def component_key(kind: ComponentKind, component_id: str) -> str:
    """A component as workers announce it: ids of teams and agents are separate."""
    return f"{kind}:{component_id}"
