"""Upkeep: periodic work that belongs to no run and no request.

Once a second it reassigns the runs of dead workers, moves delayed runs into their session queues, ends runs that have
waited too long, cancels runs of deleted sessions, and wakes the worker if runs are ready. Separate tasks remove the
rows of deleted sessions and old runs. The bus says when it is this process's turn. Several processes may do upkeep at
once; the transactions make sure that each thing is done once.

Duties of features are done in every process, either in every period or when they are due.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog

from musterd.core import clock, faults
from musterd.core.errors import StoreUnavailable
from musterd.engine.bus import Findings
from musterd.engine.resources import Resources
from musterd.engine.retention import Retention
from musterd.engine.session_deletions import SessionDeletions
from musterd.engine.slices import Slices
from musterd.store import delays, pauses, probes, session_deletion, workers
from musterd.store.cancels import StopResult
from musterd.store.database import Tx
from musterd.store.delays import Moved
from musterd.store.probes import Due

log = structlog.get_logger("musterd.engine")


Work = Callable[[], Coroutine[object, object, None]]
IsDue = Callable[[Tx, float], Coroutine[object, object, bool]]
Move = Callable[[Tx, float, int], Coroutine[object, object, Moved]]
AHEAD_PERIODS = 2
"""How many periods before its time a duty is due. The duty waits for the exact time, so that it is not late, not even
if the process that does upkeep stops in the meantime."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Work that a feature has to do in every process.

    :param name: the name, which is the same in all processes.
    :param work: does the work. It is called again after it has ended.
    :param is_due: whether this process or another one will have work at a given time. Upkeep calls it in a read of its
        own. If it is None, the work is done in every period.
    :param due: set while work is due and has not begun.
    """

    name: str
    work: Work
    is_due: IsDue | None = None
    due: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_due(self, period_seconds: float) -> None:
        """Wait until the duty is due."""
        if self.is_due is None:
            await clock.sleep(period_seconds)
        else:
            await self.due.wait()
            self.due.clear()  # before the work, so that new work during it leads to another call


class UpkeepListener(Protocol):
    """Acts on the findings of upkeep; the worker of this process."""

    def wake(self) -> None:
        """Look for ready runs soon."""

    def suspects_ready(self, *, is_any: bool) -> None:
        """Note whether a run is ready that has to be driven on probation."""

    def run_stopped(self, result: StopResult) -> None:
        """Act on a run that ended without an attempt, or whose cancel was stored."""


class Upkeep:
    """One process's upkeep."""

    def __init__(self, resources: Resources, components: Sequence[str], listener: UpkeepListener) -> None:
        self._database = resources.database
        self._broadcaster = resources.broadcaster
        self._metrics = resources.metrics
        self._user_limit = resources.settings.user_concurrency
        self._period_seconds = resources.settings.upkeep_seconds
        slices = Slices(resources.database)
        self.retention = Retention(resources, slices)
        in_removal = [hook.in_transaction for hook in resources.run_removal_hooks]
        self.deletions = SessionDeletions(resources.database, slices, in_removal)
        self._bus = resources.bus
        self._components = components
        self._listener = listener
        self._is_finding_ready = False
        self.duties: list[Duty] = []
        """The duties of features."""
        self.last_done_at: float | None = None
        """When this process or another one last completed upkeep, in unix seconds."""

    async def repeat(self, period_seconds: float) -> None:
        """Repeat upkeep until cancelled. Long work has tasks of its own."""
        async with asyncio.TaskGroup() as tasks:
            for once in (self.once, self.retention.once, self.deletions.once):
                tasks.create_task(repeat(once, partial(self._bus.upkeep_turn, period_seconds)))
            for duty in self.duties:
                tasks.create_task(repeat(duty.work, partial(duty.until_due, period_seconds)))

    async def once(self) -> None:
        """Do everything that is due now.

        One read finds what is due, so that a process with nothing to do writes nothing. Each transaction below decides
        again, because another process may have been faster. If one step fails, the others are done all the same.

        :raises StoreUnavailable: the database cannot be used now.
        """
        due = await self._database.scan(lambda tx: probes.due(tx, clock.now()))
        ends_at = clock.monotonic() + self._period_seconds
        steps = [
            *(
                partial(self._reassign_runs_of, worker, due.beats[worker])
                for worker in await self._bus.find_dead(due.beats)
            ),
            partial(self._move_scheduled, due, ends_at),
            partial(self._expire, due, ends_at),
            partial(self._cancel_deleted, due),
        ]
        is_done = all([await _succeeds(step) for step in steps])
        findings = Findings(due.is_any_ready, await self._due_duties())
        if is_done:
            # After the steps, and only if all succeeded: otherwise the others do upkeep too. A step may fail because of
            # this process alone.
            self._bus.send_upkeep_done(findings)
        self._start_duties(findings.duties)
        await self._find_ready(is_any=findings.is_any_ready)
        if is_done:
            self.last_done_at = clock.now()

    async def _due_duties(self) -> list[str]:
        until, names = clock.now() + AHEAD_PERIODS * self._period_seconds, list[str]()

        async def note_if_due(name: str, is_due: IsDue) -> None:
            if await self._database.scan(lambda tx: is_due(tx, until)):
                names.append(name)

        for duty in self.duties:
            if duty.is_due is not None:
                await _succeeds(partial(note_if_due, duty.name, duty.is_due))
        return names

    def _start_duties(self, names: Sequence[str]) -> None:
        for duty in self.duties:
            if duty.name in names:
                duty.due.set()

    async def done_elsewhere(self, findings: Findings) -> None:
        """Do the work that upkeep in another process found for this one.

        :raises StoreUnavailable: the database cannot be used now.
        """
        self.last_done_at = clock.now()
        self._start_duties(findings.duties)
        if self._is_finding_ready:  # the database is slow: do not add another query
            return
        self._is_finding_ready = True
        try:
            await self._find_ready(is_any=findings.is_any_ready)
        finally:
            self._is_finding_ready = False

    async def _find_ready(self, *, is_any: bool) -> None:
        """Make the worker claim ready runs without a hint.

        A hint is lost with a process that dies after its commit, or on the way. Suspects, and runs of users whose share
        was full, have no hints.
        """
        components, own, user_limit = self._components, self._bus.membership.worker_id, self._user_limit

        async def work(tx: Tx) -> tuple[bool, bool]:
            now = clock.now()
            return (
                await probes.is_ready(tx, components, now),
                await probes.is_suspect_ready(tx, components, now, own, user_limit),
            )

        has_ready, has_suspect = await self._database.scan(work) if is_any and components else (False, False)
        if has_ready:
            self._listener.wake()
        self._listener.suspects_ready(is_any=has_suspect)

    async def _reassign_runs_of(self, worker: str, heartbeat: int | None) -> None:
        faults.point("taking_over")
        # One transaction removes the worker's row and makes its runs ready, so another process that also found the
        # worker dead finds nothing left. If the worker still lives, the fence refuses its writes from now on.
        released = await self._database.write(lambda tx: workers.release_silent(tx, worker, heartbeat, clock.now()))
        faults.point("taken_over")
        if released is None:
            log.info("a worker that seemed dead stored a heartbeat", worker=worker)
            return
        # Only after the commit: a missing lock marks a worker as dead, even one that only stood still and goes on.
        self._bus.membership.remove(worker)
        for run in released.ready:
            self._metrics.recoveries.add()
            log.warning("run reassigned from a dead worker", run_id=run.run_id, from_worker=worker, attempt=run.attempt)
        self._notify(released.ended)
        for run in released.ready:
            self._bus.send_ready(run)

    async def _move_scheduled(self, due: Due, ends_at: float) -> None:
        if due.has_due_or_overdue:
            await self._move_all(delays.join_due, ends_at)
            await self._move_all(delays.expire_pending, ends_at)

    async def _expire(self, due: Due, ends_at: float) -> None:
        if due.has_expired:
            await self._move_all(pauses.expire, ends_at)

    async def _move_all(self, move: Move, ends_at: float) -> None:
        """Move runs in batches until a batch is not full, or until the time of this turn is over."""
        is_full = True
        while is_full:
            moved = await self._database.write(lambda tx: move(tx, clock.now(), delays.LIMIT))
            self._notify_moved(moved)
            is_full = len(moved.joined) + len(moved.stopped) >= delays.LIMIT and clock.monotonic() < ends_at

    def _notify_moved(self, moved: Moved) -> None:
        self._notify(moved.stopped)
        for run in moved.joined:
            self._broadcaster.session_changed(run.session_id)
        for run in moved.ready:
            self._bus.send_ready(run)

    async def _cancel_deleted(self, due: Due) -> None:
        # The process that deletes a session also cancels its runs. These are left if it died between the two commits.
        for session_id in due.to_cancel:
            cancel = partial(session_deletion.cancel_live, session_id=session_id, now=clock.now())
            self._notify(await self._database.write(cancel))

    def _notify(self, results: Sequence[StopResult]) -> None:
        for result in results:
            self._listener.run_stopped(result)


async def _succeeds(work: Work) -> bool:
    """Do one part of upkeep; if it fails, log that and return False, so that the other parts are done.

    :raises StoreUnavailable: the database cannot be used now, so the other parts would fail as well.
    """
    try:
        await work()
    except StoreUnavailable:
        raise
    except Exception as error:
        # A row or a feature that makes one part fail in each turn must not stop the others for ever.
        log.exception("a part of upkeep failed", exc_info=error)
        return False
    return True


async def repeat(work: Work, wait: Work) -> None:
    """Do the work after each wait, until cancelled. A failure is logged, and the next turn follows all the same."""
    while True:
        await wait()
        try:
            await work()
        except StoreUnavailable as error:
            log.warning("upkeep is waiting for the database", reason=error.message)
        except Exception as error:
            # Upkeep continues after any failure: without it, this process would never reassign runs of dead workers.
            log.exception("upkeep failed", exc_info=error)
