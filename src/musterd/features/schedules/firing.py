"""Fires schedules: the firing, the acceptance of its run and the next instant are one transaction.

Every process does this for the components that it serves. No process claims a schedule beforehand: the transaction
moves the schedule from the instant that it was read with, which succeeds once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from musterd.core import clock, faults
from musterd.core.callers import Caller
from musterd.core.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    StoreUnavailable,
    TooManyRequests,
)
from musterd.core.queueing import QueueingOptions
from musterd.declare.component import BaseComponent
from musterd.features.schedules import store
from musterd.features.schedules.due_instants import MISSED, Plan, plan
from musterd.features.schedules.due_shares import Due, share_of
from musterd.features.schedules.records import (
    Firing,
    FiringStatus,
    Overlap,
    Schedule,
    SessionPolicy,
    Trigger,
)
from musterd.features.schedules.rights import Rights
from musterd.features.schedules.store import AlreadyFired, Lost
from musterd.http.run_requests import StartForm, StartWorkflowForm
from musterd.http.server import Server
from musterd.service.forks import ForkRequest
from musterd.service.run_ref import RunRef
from musterd.service.runs import Commit, RunRequest
from musterd.store import sessions
from musterd.store.acceptance import Accepted
from musterd.store.database import Database, Tx, Work

log = structlog.get_logger("musterd.schedules")

Item = TypeVar("Item", Schedule, Firing)
CANDIDATES = 1000
"""Among how many due schedules a process chooses."""
AT_ONCE = 500
"""How many of them it fires at the same time before it looks again. They share commits, and are accepted before the
first of their runs gets far, so many that are due at once are not late."""
LEFT_SECONDS = 0.5
"""How often a process looks again while something is due that is not its share."""
SLEEP_SECONDS = 1.0
"""How long a process sleeps at most before it looks again, because an earlier schedule may have been added."""
REFUSALS = (Conflict, Forbidden, InvalidInput, NotFound, TooManyRequests)
_NOT_SENT = ("stream", "background")
"""Fields of a payload that say how a run is answered, and a firing answers nobody."""
_EVERYBODY = Caller()


@dataclass(frozen=True, slots=True)
class _Entry:
    """Stores a firing, in the transaction that accepts its run if it has one.

    Firings that are stored at the same time share a commit, each in a part of the transaction that fails alone.

    :param before: locks the schedule, before the acceptance locks the session.
    :param after: stores the firing.
    """

    database: Database
    before: Callable[[Tx], Awaitable[None]]
    after: Callable[[Tx, Firing], Awaitable[None]]

    def store(self, firing: Firing) -> Awaitable[None]:
        """Store a firing without a run."""

        async def work(tx: Tx) -> None:
            await self.before(tx)
            await self.after(tx, firing)

        return self.database.write_together(work)

    def commit(self, firing: Firing, owned_by: Caller | None = None) -> Commit:
        """Store ``firing`` with the run that is accepted.

        :param owned_by: whose session the run must be in; None: any that its caller may use.
        :raises NotFound: the session belongs to another user. Nothing is stored.
        """

        def accept_and_store(accept: Work[Accepted]) -> Awaitable[Accepted]:
            async def work(tx: Tx) -> Accepted:
                await self.before(tx)
                accepted = await accept(tx)
                run = accepted.run
                # After the acceptance, which has locked the session: before it, another user could still make it.
                if owned_by is not None and run.owner != owned_by.user_id:
                    raise NotFound(f"Session {run.session_id} belongs to another user.")
                await self.after(tx, replace(firing, run_id=run.run_id, session_id=run.session_id))
                return accepted

            return self.database.write_together(work)

        return accept_and_store


class Firer:
    """Fires schedules, for one process."""

    def __init__(self, server: Server, rights: Rights) -> None:
        self._server = server
        self._rights = rights
        self._database = server.database
        self._worker_id = server.worker.worker_id
        self._started_at = clock.monotonic()

    async def fire_due(self, within_seconds: float) -> None:
        """Do everything that is due, also what becomes due within some seconds.

        One read finds it, so that a process with nothing to do writes nothing.
        """
        while True:
            now = clock.now()
            look = await self._database.scan(
                partial(
                    store.look,
                    served=self._server.served,
                    now=now,
                    limit=CANDIDATES,
                    choose=self._choose,
                    # After an outage of all processes, the first one must not fail what the next one will serve.
                    leaves_others=clock.monotonic() - self._started_at < store.UNSERVED_SECONDS,
                )
            )
            # Sorted: processes that lock the same sessions in one transaction should do it in the same order.
            has_fired = await self._each(sorted(look.due, key=_session_of), self.fire)
            if await self._each(look.firings, self.look_at) or has_fired:
                continue
            if look.is_left:  # shares of other processes; what they leave is this one's then
                await clock.sleep(LEFT_SECONDS)
                continue
            if look.next_due_at is None or look.next_due_at > now + within_seconds:
                return
            await clock.sleep(min(max(look.next_due_at - clock.now(), 0.0), SLEEP_SECONDS))

    def _choose(self, workers: Mapping[str, Collection[str]], due: Sequence[Due]) -> Sequence[str]:
        return share_of(self._worker_id, workers, self._server.served, due, clock.now())[:AT_ONCE]

    async def _each(self, items: Sequence[Item], act: Callable[[Item], Coroutine[object, object, bool]]) -> bool:
        """Act on all items at the same time; return whether one of them need not be acted on again."""
        results = await asyncio.gather(*map(act, items), return_exceptions=True)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, StoreUnavailable | asyncio.CancelledError):
                raise result
            if isinstance(result, BaseException):  # one schedule must not stop all others
                log.error("schedule could not be fired", id=item.id, exc_info=result)
        return True in results

    # --- instants ---------------------------------------------------------------------------------

    async def fire(self, schedule: Schedule) -> bool:
        """Fire a schedule that is due, or store that it does not fire."""
        now = clock.now()
        if (planned := plan(schedule, now)) is None:
            return False
        faults.point("firing")
        before = partial(_advance, schedule=schedule, planned=planned, now=now)
        try:
            if planned.fires is None:
                await self._database.write_together(before)
            else:
                trigger = Trigger.CATCH_UP if planned.is_late else Trigger.CRON
                firing = _firing(schedule, now, trigger, scheduled_for=planned.fires)
                await self._launch(schedule, firing, self._entry(before, store.add_firing))
        except Lost:  # another process fires it, possibly in a transaction that is not committed yet
            return False
        except AlreadyFired:
            await self._pass_over(before)
        faults.point("fired")
        return True

    async def _pass_over(self, advance: Work[None]) -> None:
        """Move a schedule whose instant has fired before, for example because clocks went back."""
        try:
            await self._database.write(advance)
        except Lost:
            return

    async def trigger(self, schedule: Schedule, firing_id: str) -> None:
        """Fire a schedule by hand, which does not change its instants.

        :raises Lost: the schedule was deleted.
        :raises AlreadyFired: there is a firing with this id.
        """
        firing = replace(_firing(schedule, clock.now(), Trigger.MANUAL), id=firing_id)
        await self._launch(schedule, firing, self._entry(partial(_lock, schedule=schedule), store.add_firing))

    # --- starts and retries -----------------------------------------------------------------------

    async def look_at(self, firing: Firing) -> bool:
        """Start the run of a firing that has none yet, or retry one that has failed.

        :return: False if it has to wait for room among the waiting runs.
        """
        schedule = await self._database.read(lambda tx: store.get(tx, firing.schedule_id, _EVERYBODY))
        if schedule is None:
            return True
        try:
            if firing.run_id is None and firing.outcome is None:
                after = partial(_begin, seen=firing.look_at)
                await self._launch(schedule, firing, self._entry(partial(_lock, schedule=schedule), after))
            else:
                await self._retry(schedule, firing)
        except TooManyRequests:
            return False
        except Lost:
            return True
        return True

    async def _retry(self, schedule: Schedule, failed: Firing) -> None:
        view = await self._database.fetch(lambda tx: store.firing(tx, failed.schedule_id, failed.id))
        if view is None:
            return
        if _is_stopped(schedule, failed) or (failed.run_id is not None and view.status is not FiringStatus.FAILED):
            await self._database.write(lambda tx: store.close_firing(tx, failed))
            return
        firing = replace(
            _firing(schedule, clock.now(), failed.trigger, scheduled_for=failed.scheduled_for),
            id=failed.id_of_try(failed.attempt + 1),
            attempt=failed.attempt + 1,
        )
        entry = self._entry(partial(_lock, schedule=schedule), partial(_add_retry, failed=failed))
        tries = [failed.id_of_try(attempt) for attempt in range(1, failed.attempt + 1)]
        run_id = failed.run_id or await self._database.read(lambda tx: store.last_run(tx, tries))
        if run_id is None:
            await self._launch(schedule, firing, entry)
            return
        try:
            await self._continue(schedule, firing, entry, run_id)
        except Conflict:  # somebody else continues it
            await self._database.write(lambda tx: store.close_firing(tx, failed))

    async def _continue(self, schedule: Schedule, firing: Firing, entry: _Entry, run_id: str) -> None:
        """Retry a run that has failed: a delayed run continues it, so that no stored step is repeated.

        :raises Conflict: another run continues it.
        :raises TooManyRequests: too many runs are waiting. The firing stays as it is, to be looked at again.
        """
        definition = schedule.definition
        try:
            component, caller = await self._component_and_caller(schedule)
            failed = await self._server.runs.find(RunRef(component, run_id, None, caller))
            # After the failure, not after this look: a process that serves the component may have come late.
            begins_at = (failed.row.ended_at or firing.created_at) + definition.retry_delay_seconds
            delay = max(begins_at - clock.now(), 0.0)
            queueing = QueueingOptions(delay_seconds=delay, timeout_seconds=delay + definition.timeout_seconds)
            request = ForkRequest(run_id=clock.new_id(), is_background=True, queueing=queueing)
            commit = entry.commit(_with_retries(schedule, firing))
            await self._server.forks.start(component, failed, request, caller, commit)
        except (Forbidden, InvalidInput, NotFound) as refusal:
            await self._store_refused(schedule, firing, entry, refusal)

    # --- runs -------------------------------------------------------------------------------------

    def _entry(self, before: Callable[[Tx], Awaitable[None]], after: Callable[[Tx, Firing], Awaitable[None]]) -> _Entry:
        return _Entry(self._database, before, after)

    async def _launch(self, schedule: Schedule, firing: Firing, entry: _Entry) -> None:
        """Start the run of a firing, or store why it has none.

        :raises Lost: another process was first.
        :raises AlreadyFired: its instant has fired before.
        """
        if schedule.definition.target is None:
            await entry.store(replace(firing, outcome=FiringStatus.SUCCESS, status_code=200, look_at=None))
            return
        try:
            await self._start(schedule, _with_retries(schedule, firing), entry)
        except REFUSALS as refusal:
            await self._store_refused(schedule, firing, entry, refusal)

    async def _start(self, schedule: Schedule, firing: Firing, entry: _Entry) -> None:
        component, caller = await self._component_and_caller(schedule)
        request = run_request(schedule, caller)
        if request.session_id != schedule.session_id:
            await self._server.runs.start(component, request, caller, entry.commit(firing))
            return
        commit = entry.commit(firing, owned_by=caller)
        try:
            await self._server.runs.start(component, request, caller, commit)
        except NotFound:  # any user can make a session of this id
            request = replace(request, session_id=await self._session_in_place_of_taken(schedule, caller))
            await self._server.runs.start(component, request, caller, commit)

    async def _session_in_place_of_taken(self, schedule: Schedule, caller: Caller) -> str:
        """The session that a schedule has used since another user has that of its id, or a new one."""

        async def work(tx: Tx) -> str:
            last = await store.last_session(tx, schedule.id, schedule.session_id)
            session = None if last is None else await sessions.get(tx, last, caller)
            return clock.new_id() if session is None or session.owner != caller.user_id else session.session_id

        return await self._database.read(work)

    async def _component_and_caller(self, schedule: Schedule) -> tuple[BaseComponent, Caller]:
        """The component that a schedule runs, and with whose rights.

        :raises NotFound: it is not served here.
        :raises Forbidden: the schedule's maker may not run it any more.
        """
        target = schedule.definition.target
        assert target is not None
        component = self._server.component(target.kind, target.id)
        return component, await self._rights.caller(schedule.maker, target)

    async def _store_refused(self, schedule: Schedule, firing: Firing, entry: _Entry, refusal: Exception) -> None:
        """Store a firing whose run was not accepted. Its schedule goes on with the next instant."""
        assert isinstance(refusal, REFUSALS)
        is_skipped = isinstance(refusal, Conflict) and schedule.definition.overlap is Overlap.SKIP
        has_retry = not is_skipped and firing.attempt <= schedule.definition.max_retries
        refused = replace(
            firing,
            outcome=FiringStatus.SKIPPED if is_skipped else FiringStatus.FAILED,
            status_code=refusal.status,
            error=f"overlap: {refusal.message}" if is_skipped else refusal.message,
            look_at=clock.now() + schedule.definition.retry_delay_seconds if has_retry else None,
        )
        await entry.store(refused)
        if not is_skipped:
            log.warning("schedule fired without a run", schedule=schedule.name, id=schedule.id, reason=refused.error)


def run_request(schedule: Schedule, caller: Caller) -> RunRequest:
    """The request that a firing makes.

    :raises InvalidInput: the payload is not a request to start a run; it names each wrong field.
    """
    definition = schedule.definition
    payload = {name: value for name, value in (definition.payload or {}).items() if name not in _NOT_SENT}
    if definition.budget is not None:
        payload["budget"] = definition.budget
    payload["timeout_seconds"] = definition.timeout_seconds  # before the form, which compares it with `delay_seconds`
    is_of_workflow = definition.target is not None and definition.target.kind == "workflow"
    form = StartWorkflowForm if is_of_workflow else StartForm
    request = form.of(payload).run_request(None, caller)
    is_shared = definition.session is SessionPolicy.SCHEDULE
    return replace(
        request,
        session_id=request.session_id or (schedule.session_id if is_shared else None),
        is_background=True,
        cancel_on_disconnect=False,
        queueing=replace(request.queueing, on_busy=definition.overlap.on_busy),
    )


def skipped_firings(schedule: Schedule, instants: Sequence[float], now: float, reason: str) -> list[Firing]:
    """The firings of instants that are skipped."""
    return [
        replace(
            _firing(schedule, now, Trigger.CATCH_UP, scheduled_for=instant),
            outcome=FiringStatus.SKIPPED,
            error=reason,
        )
        for instant in instants
    ]


def _session_of(schedule: Schedule) -> str:
    return str((schedule.definition.payload or {}).get("session_id", schedule.session_id))


def _firing(schedule: Schedule, now: float, trigger: Trigger, *, scheduled_for: float | None = None) -> Firing:
    return Firing(
        id=clock.new_id(),
        schedule_id=schedule.id,
        created_at=now,
        trigger=trigger,
        scheduled_for=scheduled_for,
    )


def _with_retries(schedule: Schedule, firing: Firing) -> Firing:
    """The firing as upkeep watches it until its run has ended, if a failed run is to be retried."""
    has_retry = firing.attempt <= schedule.definition.max_retries
    return replace(firing, look_at=firing.created_at if has_retry else None)


def _is_stopped(schedule: Schedule, failed: Firing) -> bool:
    """Whether somebody has disabled a schedule. After its last instant it is disabled too, but that one is retried."""
    if schedule.enabled:
        return False
    return failed.scheduled_for is None or schedule.definition.next_after(failed.scheduled_for) is not None


async def _advance(tx: Tx, schedule: Schedule, planned: Plan, now: float) -> None:
    """Move the schedule, and store the instants that are passed over."""
    await store.advance(tx, schedule, planned.next_run_at)
    await store.add_firings(tx, skipped_firings(schedule, planned.skipped, now, MISSED))


async def _lock(tx: Tx, schedule: Schedule) -> None:
    """Lock the schedule, so that it cannot be deleted before its firing is stored."""
    if await store.lock(tx, schedule.id, _EVERYBODY) is None:
        raise Lost


async def _begin(tx: Tx, firing: Firing, seen: float | None) -> None:
    await store.begin_firing(tx, firing, seen)


async def _add_retry(tx: Tx, firing: Firing, failed: Firing) -> None:
    await store.close_firing(tx, failed)
    await store.add_firing(tx, firing)
