"""The embedded engine: the runs table is the queue, this process its worker."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial

import structlog

from musterd.core import clock, faults
from musterd.core.errors import StoreUnavailable
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.engine.attempt import Attempt
from musterd.engine.broadcaster import Flush
from musterd.engine.heartbeat import Heartbeat, HeartbeatObserver
from musterd.engine.log_context import context_of
from musterd.engine.model_imports import ModelImports
from musterd.engine.peer_watcher import PeerWatcher
from musterd.engine.probation import Probation
from musterd.engine.process_role import ProcessRole, component_key
from musterd.engine.resources import Resources
from musterd.engine.slots import Slots
from musterd.engine.upkeep import Upkeep
from musterd.store import attempts, suspects, workers
from musterd.store.cancels import Cancelled
from musterd.store.database import Locks
from musterd.store.upgrade import OLDEST_WRITER

log = structlog.get_logger("musterd.engine")

RETRY_SECONDS = 1.0
LOOK_SECONDS = 0.02
CUT_SECONDS = 1.0
"""How long what is cut off may take to let go."""
CLAIMED_AT_ONCE = 32
"""Runs that one transaction claims."""


@dataclass(slots=True)
class _Live:
    attempt: Attempt
    task: "asyncio.Task[None]"


class Worker:
    """Claims runs of the components that this process serves, and drives them.

    :param locks: tells which workers of this host are alive.
    """

    def __init__(self, resources: Resources, locks: Locks, duties: ProcessRole | None = None) -> None:
        self.worker = clock.new_id()
        self._resources = resources
        self._locks = locks
        self._duties = duties or ProcessRole()
        self._slots = Slots(resources.settings.concurrency)
        self._probation = Probation(self._slots, resources.database, self._spawn, self.wake)
        self._live: dict[str, _Live] = {}
        self._early_cancels: set[str] = set()
        self._early_signals: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._leave = asyncio.Event()
        self._claimer: asyncio.Task[None] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._beats: Heartbeat | None = None
        self._is_stopping = False
        self._drain_ends_at = 0.0
        driven = self._duties.driven(resources.registry)
        self._components = [component_key(component.kind, component.id) for component in driven]
        self._imports = ModelImports(resources, driven)
        self.is_ready = False
        self.instance_id = ""
        settings, database = resources.settings, resources.database
        self._observer = HeartbeatObserver(self.worker, locks.is_free, settings.dead_seconds)
        self.upkeep = Upkeep(resources, self._observer, self._components, self, locks.release)
        self.elsewhere = PeerWatcher(database, resources.broadcaster, self._observer, self, self._look_after_the_dead)

    async def start(self) -> None:
        """Announce this worker, take over the runs of dead ones, and begin to claim."""
        settings, database, now = self._resources.settings, self._resources.database, clock.now()
        self._locks.hold(self.worker)
        self.instance_id = await database.write(lambda tx: workers.instance(tx, clock.new_id(), OLDEST_WRITER, now))
        await self._announce()
        tell = partial(asyncio.get_running_loop().call_soon_threadsafe, self._taken_for_dead)
        self._beats = Heartbeat(database, self.worker, settings.beat_seconds, tell)
        self._beats.start()
        if self._duties.recovers:
            await self.upkeep.once()
            self._watching.append(asyncio.create_task(self.upkeep.repeat(settings.upkeep_seconds)))
        self._watching.append(asyncio.create_task(self.elsewhere.repeat(LOOK_SECONDS, settings.upkeep_seconds)))
        self.is_ready = not self._is_stopping
        self._claimer = asyncio.create_task(self._claim_until_stopped())
        self._wake.set()

    async def _announce(self) -> None:
        host, pid, now = socket.gethostname(), os.getpid(), clock.now()
        await self._resources.database.write(lambda tx: workers.add(tx, self.worker, self._components, host, pid, now))

    def begin_stop(self) -> None:
        """Claim nothing more, and have every run handed over at its next step."""
        if not self._is_stopping:
            self._drain_ends_at = clock.monotonic() + self._resources.settings.drain_seconds
        self.is_ready, self._is_stopping = False, True
        self._wake.set()
        for task in self._watching:
            task.cancel()
        for live in self._live.values():
            live.attempt.hand_over()

    def leave_now(self) -> None:
        """Wait for no step any more: what is under way is cut off."""
        self._leave.set()

    async def stop(self) -> None:
        """Let steps under way finish, as long as they may, and hand over what runs: it is ready for whoever comes."""
        self.begin_stop()
        await self._wait_for_steps()
        await self._stop_beats()  # before the row is removed: a beat that misses it would announce this worker again
        tasks = {live.task for live in self._live.values()}
        for task in tasks:
            task.cancel()
        if self._claimer is not None:
            tasks.add(self._claimer)
        if rest := {*tasks, *self._tasks, *self._watching}:
            _, stuck = await asyncio.wait(rest, timeout=CUT_SECONDS)
            if stuck:
                log.warning("some tools do not stop; their runs are handed over all the same", tasks=len(stuck))
        try:
            await self._resources.database.write(
                lambda tx: workers.release_runs(tx, self.worker, clock.now(), crashed=False)
            )
        except StoreUnavailable:
            log.warning("runs could not be handed over; the next start takes them", worker=self.worker)
        self._locks.release(self.worker)

    async def _stop_beats(self) -> None:
        if self._beats is not None:
            self._beats.stop()
            joined = asyncio.get_running_loop().run_in_executor(None, self._beats.join)
            await asyncio.wait([joined], timeout=CUT_SECONDS)  # tools may occupy every thread of the executor

    async def _wait_for_steps(self) -> None:
        async def last_step() -> None:
            if self._claimer is not None:
                await asyncio.wait([self._claimer])
            while self._live:
                await asyncio.wait([live.task for live in self._live.values()])

        ways = {asyncio.ensure_future(way) for way in (last_step(), self._leave.wait())}
        seconds = max(self._drain_ends_at - clock.monotonic(), 0.0)
        _, late = await asyncio.wait(ways, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for way in late:
            way.cancel()

    async def _hand_over(self, run: RunRow, *, crashed: bool = False) -> None:
        faults.point("handing_over")
        try:
            released = await self._resources.database.write(
                lambda tx: workers.hand_over(tx, run.run_id, run.attempt, clock.now(), crashed=crashed)
            )
        except StoreUnavailable:
            log.warning("a run could not be handed over; the next start takes it", run_id=run.run_id)
            return
        faults.point("handed_over")
        self._resources.metrics.handovers.add()
        for done in released.ended:
            self.cancelled(run.run_id, done)

    # --- others -----------------------------------------------------------------------------------

    @property
    def is_claiming(self) -> bool:
        """Whether this process claims runs, or has no part in driving them."""
        return not self._components or (self._claimer is not None and not self._claimer.done())

    @property
    def silent_seconds(self) -> float:
        """How long ago this process last showed that it lives."""
        return 0.0 if self._beats is None else clock.monotonic() - self._beats.shown_at

    async def unserved(self) -> list[str]:
        """The components that runs are ready of and that no process drives."""
        return await self._resources.database.scan(workers.unserved)

    def _look_after_the_dead(self) -> None:
        if self._duties.recovers:
            self._spawn(self._upkeep_now())

    async def _upkeep_now(self) -> None:
        try:
            await self.upkeep.once()
        except StoreUnavailable:
            log.warning("upkeep waits for the database", worker=self.worker)

    def _taken_for_dead(self) -> None:
        log.warning("this process was taken for dead: its runs are others' now", worker=self.worker)
        if not self._is_stopping:  # a stopping process must not announce itself again
            self._spawn(self._come_back())

    async def _come_back(self) -> None:
        """Announce this worker again, and give up what others have taken."""
        self._locks.hold(self.worker)
        try:
            await self._announce()
            await self.elsewhere.look()
        except StoreUnavailable:
            log.warning("this process could not announce itself again; it tries once more", worker=self.worker)

    def live(self) -> dict[str, Attempt]:
        """The attempts at work, by run."""
        return {root_id: live.attempt for root_id, live in self._live.items()}

    def claimable(self) -> list[str]:
        """The components whose runs can be claimed now."""
        return self._components if self.is_ready and self._slots.free > 0 else []

    def lost(self, root_id: str) -> None:
        """Another attempt has the run that is driven here: this one stops, and writes nothing more."""
        if (live := self._live.get(root_id)) is not None and not live.task.cancelling():
            log.warning("attempt lost its run", run_id=root_id, attempt=live.attempt.number)
            live.task.cancel()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        self._hold(asyncio.create_task(work))

    def _hold(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- acceptance and claims --------------------------------------------------------------------

    def reserve(self) -> str | None:
        """Keep a slot for a run that is about to be accepted; the worker's name, or None when it has to wait."""
        is_taken = self.is_ready and bool(self._components) and self._imports.are_done and self._slots.reserve()
        return self.worker if is_taken else None

    def unreserve(self) -> None:
        """Give a kept slot back: the run was not accepted as running."""
        self._slots.unreserve()
        self._slot_freed()

    def launch(self, run: RunRow) -> None:
        """Drive a run that was accepted as running in a kept slot. An engine that stops hands it over instead."""
        self._slots.unreserve()
        self._begin(run)

    def wake(self) -> None:
        """A run may be ready."""
        self._wake.set()

    def suspects_ready(self, *, is_any: bool) -> None:
        """Whether a run is ready that has to be driven on probation."""
        self._probation.suspects_ready(is_any=is_any)
        self._slot_freed()

    async def _claim_until_stopped(self) -> None:
        while not self._is_stopping:
            await self._wake.wait()
            self._wake.clear()
            try:
                if self.is_ready and self._components:
                    await self._claim()
            except Exception as error:
                if not isinstance(error, StoreUnavailable):
                    log.exception("claiming failed", worker=self.worker, exc_info=error)
                await clock.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _claim(self) -> None:
        """Claim as long as there are free slots and ready runs."""
        slots = self._slots
        if not self._imports.are_done and not await self._imports.if_needed(has_suspect=self._probation.is_awaited):
            return
        if self.is_ready and self._probation.is_due:
            await self._claim_suspects()
        while self.is_ready and (free := slots.free) > 0:  # a stop may have begun while it imported or claimed
            slots.reserved += free  # what acceptance must not promise meanwhile
            # Few at a time, so that claims of other processes come in between and they share what is ready.
            most = min(free, CLAIMED_AT_ONCE)
            try:
                runs = await self._claim_up_to(most)
            finally:
                slots.reserved -= free
            for run in runs:
                self._begin(run)
            if len(runs) < most:
                # Where users have shares, some of theirs may wait for an end however many slots are free.
                slots.has_backlog = self._resources.settings.user_concurrency > 0
                return
        slots.has_backlog = True

    async def _claim_suspects(self) -> None:
        faults.point("claiming")
        room, most = self._slots.room, self._resources.settings.user_concurrency
        claimed = await self._resources.database.write(
            lambda tx: suspects.claim(tx, self.worker, self._components, room, clock.now(), most)
        )
        self._probation.begin(claimed)
        for run in claimed.runs:
            self._begin(run)

    async def _claim_up_to(self, limit: int) -> list[RunRow]:
        faults.point("claiming")
        most = self._resources.settings.user_concurrency
        runs = await self._resources.database.write(
            lambda tx: attempts.claim(tx, self.worker, self._components, limit, clock.now(), most_of_owner=most)
        )
        if runs:
            faults.point("claimed")
        return runs

    def _begin(self, run: RunRow) -> None:
        if self._is_stopping:
            self._spawn(self._hand_over(run))
            return
        waited = None if run.queued_at is None else clock.now() - run.queued_at
        self._resources.metrics.run_began(run.component_kind, run.component_id, run.attempt, waited)
        attempt = Attempt(self._resources, run)
        if run.run_id in self._early_cancels:
            self._early_cancels.discard(run.run_id)
            attempt.cancel()
        attempt.signalled(self._early_signals.pop(run.run_id, 0))
        if self._probation.is_on(run.run_id):
            attempt.tell_of_step(partial(self._probation.passed, run.run_id))
        self._slots.live += 1
        task = asyncio.create_task(self._execute(run, attempt), context=context_of(run))
        self._live[run.run_id] = _Live(attempt, task)

    async def _execute(self, run: RunRow, attempt: Attempt) -> None:
        settled = None
        try:
            settled = await attempt.execute()
            if attempt.is_handed_over:
                await self._hand_over(run)
        except Exception as error:  # its end cannot be stored: it is tried again, and given up, as after a crash
            log.exception("a run was left without an end", run_id=run.run_id, exc_info=error)
            await self._hand_over(run, crashed=True)
        finally:
            del self._live[run.run_id]
            self._slots.live -= 1
            self._probation.passed(run.run_id)
            self._slot_freed()
            self._resources.broadcaster.settled(run.run_id)
        if settled is None:
            return
        if settled.promoted is not None:
            self._wake.set()
        if settled.is_session_deleted:
            self._spawn(self._remove_session(run.session_id))

    def _slot_freed(self) -> None:
        if self._slots.has_backlog or self._probation.is_awaited:
            self._wake.set()

    # --- cancel and removal -----------------------------------------------------------------------

    def cancelled(self, root_id: str, done: Cancelled) -> None:
        """Tell what a stored cancel means here: the attempt stops, readers learn of an end, the next run starts."""
        if done.end_event is not None:
            index, event = done.end_event
            self._resources.metrics.run_ended(
                done.run.component_kind, done.run.component_id, done.run.state.value, None
            )
            self._resources.broadcaster.publish(root_id, Flush(index, [event]))
            self._resources.broadcaster.settled(root_id)
            if done.run.webhooks:
                self._resources.webhooks.wake()
        elif (live := self._live.get(root_id)) is not None:
            live.attempt.cancel()
        elif done.run.state is RunState.RUNNING and done.run.worker == self.worker:
            self._early_cancels.add(root_id)  # claimed, and not begun yet
        if done.promoted is not None:
            self._wake.set()

    def signalled(self, run: RunRow) -> None:
        """Something was said to a run: the attempt that drives it here reads it, others find it themselves."""
        if (live := self._live.get(run.run_id)) is not None:
            live.attempt.signalled(run.signals)
        elif run.state is RunState.RUNNING and run.worker == self.worker:
            self._early_signals[run.run_id] = run.signals  # claimed, and not begun yet
        elif run.state is RunState.READY:
            self._wake.set()

    def session_deleted(self, session_id: str) -> "asyncio.Task[None]":
        """A session was deleted: remove its rows, unless one of its runs lives: then its end does."""
        removing = asyncio.create_task(self._remove_session(session_id))
        self._hold(removing)
        return removing

    async def _remove_session(self, session_id: str) -> None:
        try:
            await self.upkeep.deletions.remove(session_id)
        except StoreUnavailable:
            log.warning("a deleted session is removed later", session_id=session_id)
