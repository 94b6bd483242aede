"""The worker of a process: it claims runs and drives each of them in an attempt. The ``runs`` table is the queue."""

import asyncio
import os
import socket
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

import musterd
from musterd.core import clock, faults
from musterd.core.errors import StoreUnavailable
from musterd.core.records import RunRow
from musterd.core.states import RunState
from musterd.engine.attempt import Attempt
from musterd.engine.attempt_execution import Unsettled, execute
from musterd.engine.broadcaster import Flush
from musterd.engine.bus import Findings
from musterd.engine.changed_rows import ChangedRows
from musterd.engine.log_context import context_of
from musterd.engine.model_imports import ModelImports
from musterd.engine.probation import Probation
from musterd.engine.process_role import ProcessRole, component_key
from musterd.engine.resources import Resources
from musterd.engine.slots import Slots
from musterd.engine.undriven_runs import LOOK_SECONDS, UndrivenRuns
from musterd.engine.upkeep import Upkeep, repeat
from musterd.store import claims, suspects, workers
from musterd.store.attempt_writes import Settled
from musterd.store.cancels import StopResult
from musterd.store.database import Tx
from musterd.store.events import StoredFlush, encoded
from musterd.store.schema import OLDEST_WRITER
from musterd.store.shards import SessionTx
from musterd.store.workers import Released, WorkerProcess

log = structlog.get_logger("musterd.engine")

RETRY_SECONDS = 1.0
CUT_SECONDS = 1.0
"""How long tasks may take to end after they were cancelled in a stop."""
SHARE_SECONDS = 1.0
"""If all ready runs are those of users without room: how long looks lead to no further claim. Upkeep and the ends of
runs here still do."""
CLAIMED_AT_ONCE = 32
"""The most runs that one transaction claims."""


@dataclass(slots=True)
class _LiveAttempt:
    attempt: Attempt
    task: "asyncio.Task[None]"


class Worker:
    """Claims runs of the components that this process serves, and drives them to their end or pause."""

    def __init__(self, resources: Resources, role: ProcessRole | None = None) -> None:
        self._resources = resources
        self._bus = resources.bus
        self.worker_id = self._bus.membership.worker_id
        self._role = role or ProcessRole()
        self._slots = Slots(resources.settings.concurrency)
        self._probation = Probation(self._slots, resources.database, self._spawn, self.wake)
        self._live: dict[str, _LiveAttempt] = {}
        self._early_cancels: set[str] = set()
        self._early_signals: dict[str, int] = {}
        self._early_changes: set[str] = set()
        """Runs at which to look again once their attempts exist."""
        self._wake = asyncio.Event()
        self._has_claim_under_way = False
        self._looks_may_claim_at = 0.0
        self._any_may_be_ready = True
        """Whether the next claim looks for any ready run, and not only for those that hints name."""
        self._cut_off = asyncio.Event()
        self._claimer: asyncio.Task[None] | None = None
        self._periodic: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._drain_ends_at = 0.0
        driven = self._role.driven(resources.registry)
        self.components = [component_key(component.kind, component.id) for component in driven]
        self._imports = ModelImports(resources, driven)
        self.is_ready = False
        self.instance_id = ""
        self.upkeep = Upkeep(resources, self.components, self)
        self._changed_rows = ChangedRows(resources.database, resources.broadcaster, self)
        self.undriven_runs = UndrivenRuns(resources.database, self.worker_id, self, self._give_back)

    async def start(self) -> None:
        """Announce this worker, reassign the runs of dead workers, and begin to claim."""
        settings, database, now = self._resources.settings, self._resources.database, clock.now()
        self.instance_id = await database.write(lambda tx: workers.instance(tx, clock.new_id(), OLDEST_WRITER, now))
        await self._bus.join(self, self._announce)
        if self._role.does_upkeep:
            # Now, and not after the first period: after a restart on SQLite the lock of the previous process is free,
            # and its runs continue at once.
            await self.upkeep.once()
            self._periodic.append(asyncio.create_task(self.upkeep.repeat(settings.upkeep_seconds)))
        if self.components:
            look_again = partial(clock.sleep, LOOK_SECONDS)
            self._periodic.append(asyncio.create_task(repeat(self.undriven_runs.look, look_again)))
        self.is_ready = not self._is_stopping  # a stop may have begun during one of the awaits above
        self._claimer = asyncio.create_task(self._claim_until_stopped())
        self._wake.set()

    async def _announce(self) -> None:
        process = WorkerProcess(
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=clock.now(),
            version=musterd.__version__,
            role=self._role.name,
        )
        await self._resources.database.write(lambda tx: workers.add(tx, self.worker_id, self.components, process))

    def begin_stop(self) -> None:
        """Claim nothing more, and hand every run over at its next step. Calling it again changes nothing."""
        if not self._is_stopping:
            # Set once: a second call, by stop(), must not prolong the drain.
            self._drain_ends_at = clock.monotonic() + self._resources.settings.drain_seconds
            self._spawn(self._serve_nothing())
        self.is_ready, self._is_stopping = False, True
        self._wake.set()  # the claimer reads the flag and ends
        for task in self._periodic:
            task.cancel()
        # A cancel that another process stores from now on is found by the transaction that releases or ends the run.
        self._bus.begin_stop()
        for live in self._live.values():
            live.attempt.hand_over()

    async def _serve_nothing(self) -> None:
        """Leave the share of this process in what is due to the others now, and not only when the drain has ended."""
        try:
            await self._resources.database.write(lambda tx: workers.serve_nothing(tx, self.worker_id))
        except StoreUnavailable as error:  # later the others do what this process has left
            log.debug("the stop could not be announced", worker=self.worker_id, reason=error.message)

    def leave_now(self) -> None:
        """Stop waiting for steps under way: they are cut off."""
        self._cut_off.set()

    async def stop(self) -> None:
        """Let steps under way finish for the drain time, then release the remaining runs to other workers."""
        self.begin_stop()
        await self._wait_for_steps()
        attempts = {live.task for live in self._live.values()}
        # A cancelled attempt writes nothing more and keeps its run, which is released below with all others.
        for task in attempts:
            task.cancel()
        claimers = {self._claimer} if self._claimer is not None else set()
        if remaining := {*attempts, *claimers, *self._tasks, *self._periodic}:
            _, stuck = await asyncio.wait(remaining, timeout=CUT_SECONDS)
            if stuck_attempts := stuck & attempts:
                log.warning("some tools did not stop; their runs are released anyway", tasks=len(stuck_attempts))
            if others := stuck - attempts:
                # A cancelled task waits until the server has answered the cancel of its statement.
                log.info("upkeep or a claim still waits for the database", tasks=len(others))
        # Safe even if a task is stuck: the release takes the runs out of state 'running', so the fence refuses what the
        # task still writes.
        await self._bus.leave(self._release_all)

    async def _release_all(self) -> None:
        # If the release fails, the runs are reassigned once this worker is found dead.
        try:
            released = await self._resources.database.write(
                lambda tx: workers.release_runs(tx, self.worker_id, clock.now(), crashed=False)
            )
        except StoreUnavailable:
            log.warning("runs could not be released; they are reassigned later", worker=self.worker_id)
            return
        self._announce_released(released)

    async def _wait_for_steps(self) -> None:
        async def all_steps_ended() -> None:
            if self._claimer is not None:
                # First the claimer: a claim under way may still add live attempts, which are handed over.
                await asyncio.wait([self._claimer])
            while self._live:
                await asyncio.wait([live.task for live in self._live.values()])

        waits = {asyncio.ensure_future(wait) for wait in (all_steps_ended(), self._cut_off.wait())}
        seconds = max(self._drain_ends_at - clock.monotonic(), 0.0)
        _, unfinished = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in unfinished:
            wait.cancel()

    async def _hand_over_in_stop(self, run: RunRow) -> None:
        try:
            await self._hand_over(run)
        except StoreUnavailable:  # the stop releases all runs at its end
            log.warning("run could not be released; it is reassigned later", run_id=run.run_id)

    async def _give_back(self, run: RunRow) -> None:
        """Release a run whose end could not be stored, as crashed, and try until it works."""
        # While this process shows that it is alive, no other one releases its runs. If this gave up, the run would stay
        # 'running' with no attempt. A stop cancels this task, and then releases all runs.
        while True:
            try:
                return await self._hand_over(run, crashed=True)
            except Exception as error:
                log.warning("run could not be released; trying again", run_id=run.run_id, exc_info=error)
                await clock.sleep(RETRY_SECONDS)

    async def _hand_over(self, run: RunRow, *, crashed: bool = False) -> None:
        # Guarded by the attempt's number. A crash before this commit loses nothing: the run still belongs to this
        # worker, and is reassigned once the worker is found dead.
        faults.point("handing_over")
        released = await self._resources.database.write(
            lambda tx: workers.hand_over(
                SessionTx(tx, run.session_id), run.run_id, run.attempt, clock.now(), crashed=crashed
            )
        )
        faults.point("handed_over")
        self._resources.metrics.handovers.add()
        self._announce_released(released)

    def _announce_released(self, released: Released) -> None:
        for run in released.ready:
            self._bus.send_ready(run)
        # The release found a stored cancel, or one crash too many, and has ended the run.
        for result in released.ended:
            self.run_stopped(result)

    # --- this process and other processes ---------------------------------------------------------

    @property
    def is_claiming(self) -> bool:
        """Whether this process claims runs, or serves no component whose runs it could claim."""
        return not self.components or (self._claimer is not None and not self._claimer.done())

    async def unserved(self) -> list[str]:
        """The components that have ready runs and that no process drives."""
        return await self._resources.database.scan(workers.unserved)

    async def read_changed_rows(self, run_ids: Collection[str] | None = None) -> None:
        """Act on what other processes have stored about runs that are driven or awaited here; by default about any."""
        if run_ids is not None and self._slots.reserved:
            # One of them may just be claimed or accepted here, and its attempt does not exist yet.
            self._early_changes.update(set(run_ids) - self._live.keys())
        await self._changed_rows.read(run_ids)

    def events_received(self, root_id: str, stored: StoredFlush) -> bool:
        """Pass on events that another process has stored; False if the run's row has to be read."""
        return self._changed_rows.events_received(root_id, stored)

    async def _read_begun_run(self, run_id: str) -> None:
        try:
            await self.read_changed_rows([run_id])
        except StoreUnavailable as error:
            log.debug("a run that has just begun cannot be read", run_id=run_id, reason=error.message)

    def session_changed(self, session_id: str) -> None:
        """Make the streams of a session look for new runs, because another process may have changed it."""
        self._resources.broadcaster.mark_session_changed(session_id)

    def worker_died(self) -> None:
        """Do upkeep now, if this process does it: another worker seems to be dead."""
        if self._role.does_upkeep:
            self._spawn(self._part_of_upkeep(self.upkeep.once()))

    def upkeep_done_elsewhere(self, findings: Findings) -> None:
        """Soon do the work that upkeep in another process found for this one."""
        self._spawn(self._part_of_upkeep(self.upkeep.done_elsewhere(findings)))

    async def _part_of_upkeep(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except StoreUnavailable:
            log.warning("upkeep is waiting for the database", worker=self.worker_id)

    def live_attempts(self) -> dict[str, Attempt]:
        """The attempts that this process drives, by root run id."""
        return {root_id: live.attempt for root_id, live in self._live.items()}

    @property
    def has_room(self) -> bool:
        """Whether another run could be begun now that is not a suspect, as far as is known during a claim."""
        return self._may_begin_runs and (self._slots.free > 0 or self._has_claim_under_way)

    @property
    def _may_begin_runs(self) -> bool:
        return self.is_ready and not self._bus.membership.may_seem_dead

    def drives(self, root_id: str) -> bool:
        """Whether this process drives the run."""
        return root_id in self._live

    def is_any_about_to_begin(self) -> bool:
        """Whether runs may be stored as running here whose attempts do not exist yet."""
        return self._slots.reserved > 0

    def claimable_components(self) -> list[str]:
        """The components whose runs can be claimed now."""
        may_claim = self._may_begin_runs and self._slots.free > 0 and clock.monotonic() >= self._looks_may_claim_at
        return self.components if may_claim else []

    def lease_lost(self, attempt: Attempt) -> None:
        """Stop this attempt, if it is still driven: another attempt owns its run now, or the run has ended."""
        root_id = attempt.run.run_id
        live = self._live.get(root_id)
        # Compared by identity: the run may be driven here by a newer attempt. Nothing would go on with the run if that
        # one were stopped: its row stays 'running' under a worker that lives.
        # Cancelled once: a second cancel would interrupt the attempt while it winds up.
        if live is not None and live.attempt is attempt and not live.task.cancelling():
            log.warning("attempt lost its run", run_id=root_id, attempt=attempt.number)
            live.task.cancel()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        self._keep(asyncio.create_task(work))

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)  # the event loop holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    # --- acceptance and claims --------------------------------------------------------------------

    def reserve(self) -> str | None:
        """Reserve a slot for a run that is about to be accepted.

        :return: this worker's id, or None if the run has to wait for a slot.
        """
        # Reserved before the acceptance is stored, so that the run is stored as running, with attempt 1, in the same
        # transaction. Not before the imports are done: a crash during an import would count against the run.
        may_begin = self._may_begin_runs and bool(self.components) and self._imports.are_done
        is_reserved = may_begin and self._slots.reserve()
        return self.worker_id if is_reserved else None

    def unreserve(self) -> None:
        """Give a reserved slot back: the run was not accepted as running."""
        self._slots.unreserve()
        self._forget_early_news()
        self._slot_freed()

    def launch(self, run: RunRow) -> None:
        """Drive a run that was accepted as running in a reserved slot. A stopping worker hands it over instead."""
        # The run is stored as running already. A crash before the attempt exists leaves it to be reassigned.
        self._slots.unreserve()  # no await until the run counts as live: the slot cannot go to another run in between
        self._begin(run)
        self._forget_early_news()

    def _forget_early_news(self) -> None:
        if not self._slots.reserved:  # no further run is about to begin
            for news in (self._early_changes, self._early_cancels, self._early_signals):
                news.clear()

    def wake(self) -> None:
        """Look for any ready run soon."""
        self._any_may_be_ready = True
        self._wake.set()

    def ready_hints_arrived(self) -> None:
        """Claim the runs that hints of the bus name, soon."""
        self._wake.set()

    def suspects_ready(self, *, is_any: bool) -> None:
        """Note whether a suspect is ready, that is, a run that has to be driven on probation."""
        self._probation.suspects_ready(is_any=is_any)
        self._slot_freed()

    async def _claim_until_stopped(self) -> None:
        while not self._is_stopping:
            await self._wake.wait()
            self._wake.clear()  # before the claim: a wake-up during it leads to another claim
            try:
                if self.is_ready and self.components:
                    await self._claim()
            except Exception as error:
                if not isinstance(error, StoreUnavailable):
                    log.exception("claiming failed", worker=self.worker_id, exc_info=error)
                await clock.sleep(RETRY_SECONDS)
                self.wake()

    async def _claim(self) -> None:
        """Claim runs until no slot is free or no run is ready.

        :raises StoreUnavailable: the database cannot be used, or has had no heartbeat of this process for too long.
        """
        if self._bus.membership.may_seem_dead:
            raise StoreUnavailable
        slots = self._slots
        if not self._imports.are_done and not await self._imports.if_needed(has_suspect=self._probation.is_awaited):
            return
        if self.is_ready and self._probation.is_due:
            await self._claim_suspects()
        # A share that was full is free again when any run of its user ends, and no hint says so.
        looks_for_any = self._any_may_be_ready or self._resources.settings.user_concurrency > 0
        self._any_may_be_ready = False  # before the claim, as above
        while self.is_ready and (free := slots.free) > 0:  # a stop may have begun during the imports or the last claim
            slots.reserved += free  # acceptance must not give these slots away during the transaction
            self._has_claim_under_way = True
            # A few at a time, so that other processes' claims come in between and the ready runs are shared.
            limit = min(free, CLAIMED_AT_ONCE)
            try:
                runs, is_any_left = await self._claim_up_to(limit, looks_for_any=looks_for_any)
            finally:
                slots.reserved -= free
                self._has_claim_under_way = False
            # No await between the release of the slots and this loop: the runs take their slots before anything else.
            for run in runs:
                self._begin(run)
            self._forget_early_news()
            if not is_any_left:
                # If users have a limit, though, some of their runs may wait however many slots are free.
                slots.has_backlog = self._resources.settings.user_concurrency > 0
                if slots.has_backlog and not runs:
                    # A look at changed rows sees the waiting runs and asks for a claim, and on Postgres a claim is a
                    # change: without a pause each would lead to the other.
                    self._looks_may_claim_at = clock.monotonic() + SHARE_SECONDS
                return
        # The slots ran out before the ready runs did, or a stop began. New runs have to wait behind the ready ones.
        slots.has_backlog = True
        self._any_may_be_ready |= looks_for_any

    async def _claim_suspects(self) -> None:
        faults.point("claiming")
        slots, unused, user_limit = self._slots, self._slots.unused, self._resources.settings.user_concurrency
        slots.reserved += unused  # meanwhile read_changed_rows() notes runs whose attempts do not exist yet
        try:
            claimed = await self._resources.database.write(
                lambda tx: suspects.claim(tx, self.worker_id, self.components, unused, clock.now(), user_limit)
            )
        finally:
            slots.reserved -= unused
        self._probation.begin(claimed)  # before the attempts exist: each one reports its first stored step to it
        for run in claimed.runs:
            self._begin(run)
        self._forget_early_news()

    async def _claim_up_to(self, limit: int, *, looks_for_any: bool) -> tuple[list[RunRow], bool]:
        """Claim ready runs, and say whether there may be more of them."""
        hints = await self._bus.take_ready(limit)
        run_ids = None if hints is None or looks_for_any else hints.run_ids
        try:
            runs = await self._claim_ready(limit, run_ids) if run_ids is None or run_ids else []
        except BaseException:
            if hints is not None:
                hints.give_back()
            raise
        # After the commit: if this process dies before it, another one gets the hints. A crash from here on leaves the
        # runs 'running' under this worker's id; they are reassigned once it is dead.
        if hints is not None:
            hints.done()
        if runs:
            faults.point("claimed")
        # As many hints as were asked for: there may be more, and the next take waits for the next one if there is none.
        is_hint_left = hints is not None and len(hints.run_ids) == limit
        return runs, is_hint_left or len(runs) == limit

    async def _claim_ready(self, limit: int, run_ids: Sequence[str] | None) -> list[RunRow]:
        faults.point("claiming")
        worker, components, user_limit = self.worker_id, self.components, self._resources.settings.user_concurrency

        async def work(tx: Tx) -> list[RunRow]:
            if run_ids is not None:
                return await claims.claim_by_ids(tx, worker, components, run_ids, clock.now())
            return await claims.claim(tx, worker, components, limit, clock.now(), max_per_owner=user_limit)

        return await self._resources.database.write(work)

    def _begin(self, run: RunRow) -> None:
        if self._is_stopping:  # the stop began while the claim or the acceptance was being stored
            self._spawn(self._hand_over_in_stop(run))
            return
        wait_seconds = None if run.queued_at is None else clock.now() - run.queued_at
        self._resources.metrics.run_began(run.component_kind, run.component_id, run.attempt, wait_seconds)
        attempt = Attempt(self._resources, run)
        # A cancel or a message may have been stored after the claim and before the attempt existed.
        if run.run_id in self._early_cancels:
            self._early_cancels.discard(run.run_id)
            attempt.cancel()
        attempt.signalled(self._early_signals.pop(run.run_id, 0))
        if run.run_id in self._early_changes:
            self._spawn(self._read_begun_run(run.run_id))
        if self._probation.is_on(run.run_id):
            attempt.on_step_stored(partial(self._probation.passed, run.run_id))
        # If this process lost the run and has claimed it again, no look finds the older attempt any more.
        if (older := self._live.get(run.run_id)) is not None:
            self.lease_lost(older.attempt)
        self._slots.live += 1
        task = asyncio.create_task(self._execute(run, attempt), context=context_of(run))
        self._live[run.run_id] = _LiveAttempt(attempt, task)

    async def _execute(self, run: RunRow, attempt: Attempt) -> None:
        end: Settled | Unsettled | None = None
        try:
            end = await execute(attempt)
            if end is Unsettled.HANDED_OVER:
                await self._hand_over_in_stop(run)
        except Exception as error:
            # Not even a failure could be stored as the end. Counted as a crash, so that the retries are bounded.
            await self._give_back(run)  # first: the log of an application that embeds musterd may fail
            log.exception("the end of a run could not be stored; the run is retried", run_id=run.run_id, exc_info=error)
        finally:
            self._slots.live -= 1
            live = self._live.get(run.run_id)
            # An attempt that has lost its run may end after this process has claimed the run again.
            if live is not None and live.attempt is attempt:
                del self._live[run.run_id]
                # However the attempt ended: while a run is on probation, this process begins no other run.
                self._probation.passed(run.run_id)
            self._slot_freed()
            # Last: a waiter that starts the next run finds the slot free.
            if isinstance(end, Settled) or self._is_stopping:  # after the stop began, nothing says how the run goes on
                self._resources.broadcaster.wake_waiters(run.run_id)
            else:  # another attempt goes on with the run, possibly in another process
                self._resources.broadcaster.make_subscribers_read_store(run.run_id)
        if not isinstance(end, Settled):
            return
        if end.promoted is not None:
            self._bus.send_ready(end.promoted)
        # The removal skips a session with a live run; this run may have been the last one.
        if end.is_session_deleted:
            self._spawn(self._remove_session(run.session_id))

    def _slot_freed(self) -> None:
        if self._slots.has_backlog or self._probation.is_awaited:
            self._wake.set()

    # --- cancel and removal -----------------------------------------------------------------------

    def run_stopped(self, result: StopResult) -> None:
        """Stop the attempt, or publish the end event, and claim the next run of the session."""
        run = result.run
        if result.end_event is not None:
            index, event = result.end_event
            self._resources.metrics.run_ended(run.component_kind, run.component_id, run.state.value, None)
            stored = StoredFlush(run.salt, index, encoded([event]))
            self._resources.broadcaster.publish(run.run_id, Flush(index, [event]), stored)
            self._resources.broadcaster.wake_waiters(run.run_id)
            if run.webhooks:
                self._resources.webhooks.wake()
        elif (live := self._live.get(run.run_id)) is not None:
            live.attempt.cancel()
        elif run.state is RunState.RUNNING and run.worker == self.worker_id:
            if self._slots.reserved:  # claimed, but its attempt does not exist yet; otherwise the attempt is over
                self._early_cancels.add(run.run_id)
        elif run.state is RunState.RUNNING:
            self._bus.send_signal(run)
        if result.promoted is not None:
            self._bus.send_ready(result.promoted)

    def signalled(self, run: RunRow) -> None:
        """Act on a stored message or member's cancel: the attempt that drives the run here reads it.

        If another process drives the run, that one reads it from the run's row.
        """
        if (live := self._live.get(run.run_id)) is not None:
            live.attempt.signalled(run.signals)
        elif run.state is RunState.RUNNING and run.worker == self.worker_id:
            if self._slots.reserved:  # as above
                self._early_signals[run.run_id] = run.signals
        elif run.state is RunState.RUNNING:
            self._bus.send_signal(run)
        elif run.state is RunState.READY:
            # The run was paused, and a member's cancel has resumed it.
            self._bus.send_ready(run)

    def session_deleted(self, session_id: str) -> "asyncio.Task[None]":
        """Remove the rows of a deleted session. If one of its runs is live, the end of that run removes them."""
        removing = asyncio.create_task(self._remove_session(session_id))
        self._keep(removing)
        return removing

    async def _remove_session(self, session_id: str) -> None:
        try:
            await self.upkeep.deletions.remove(session_id)
        except StoreUnavailable:
            log.warning("a deleted session could not be removed now; upkeep will remove it", session_id=session_id)
