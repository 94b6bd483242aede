"""The use cases of schedules that need the database alone: they are the same in every process."""

import contextlib
from dataclasses import replace
from itertools import islice, takewhile

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.cron import InvalidCron, zone_of
from musterd.core.errors import Conflict, InvalidInput, NotFound
from musterd.core.records import Input
from musterd.features.schedules import store
from musterd.features.schedules.due_instants import CHANGED, KEPT_SECONDS, passed_over
from musterd.features.schedules.firing import run_request, skipped_firings
from musterd.features.schedules.records import (
    HEALTH,
    Definition,
    Firing,
    Maker,
    Schedule,
    ScheduleFilter,
    Target,
    Trigger,
)
from musterd.features.schedules.rights import maker_of, require_right
from musterd.http.auth.principals import Principal
from musterd.store.database import Database, Tx
from musterd.store.idempotency import KEY_TAKEN

NOT_FOUND = "Schedule not found"
RUN_NOT_FOUND = "Schedule run not found"
DISABLED = "Schedule is disabled"
OVER = "The schedule has no instant in the future."
_KEYS = "b3e0a1c4-7d52-4f6e-9c1b-52e8d7a40f13"
"""What the ids of schedules that are created under idempotency keys are derived from."""
MAX_BACKFILL = 100
"""How many instants one request makes up for."""
KEPT_DAYS = int(KEPT_SECONDS // 86_400)
_NOT_OF_PAYLOADS = {
    "run_id": "Each run has an id of its own",
    "timeout_seconds": "Set timeout_seconds of the schedule",
    "on_busy": "Set overlap of the schedule",
}
"""Fields of requests that a payload cannot have, with why."""


class Schedules:
    """The use cases of schedules over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- changes ----------------------------------------------------------------------------------

    async def create(
        self,
        name: str,
        definition: Definition,
        principal: Principal,
        *,
        schedule_id: str | None = None,
        maker: Maker | None = None,
    ) -> Schedule:
        """Store a new schedule, which acts with the rights of this caller.

        :param schedule_id: its id; by default a new one.
        :param maker: with whose rights it acts, if not with those of the caller.
        :raises Conflict: another schedule of the caller has its name.
        :raises InvalidInput: it cannot be used.
        :raises Forbidden: the caller may not run the component itself.
        """
        now, caller = clock.now(), principal.caller
        schedule = Schedule(
            id=schedule_id or clock.new_id(),
            owner=caller.user_id,
            name=name,
            definition=definition,
            maker=maker or maker_of(principal),
            enabled=True,
            created_at=now,
            next_run_at=next_instant(definition, now),
        )
        self.require_usable(schedule, principal)
        if schedule.next_run_at is None:
            raise InvalidInput(OVER)
        await self._database.write(lambda tx: store.add(tx, schedule))
        return schedule

    async def create_once(
        self, name: str, definition: Definition, principal: Principal, key: str | None
    ) -> tuple[Schedule, bool]:
        """Create a schedule, unless the same request under this idempotency key has created it.

        :return: the schedule as it is now, and whether it was there.
        :raises Conflict: another schedule of the caller has its name, or the key was used for another request.
        :raises InvalidInput: it cannot be used.
        :raises Forbidden: the caller may not run the component itself.
        """
        if key is None:
            return await self.create(name, definition, principal), False
        schedule_id = clock.derived_id(_KEYS, jsontext.dumps([principal.caller.user_id, key]))
        with contextlib.suppress(NotFound):  # looked for first, because its only instant may have passed
            return _same(await self.view(schedule_id, principal.caller), name, definition), True
        try:
            return await self.create(name, definition, principal, schedule_id=schedule_id), False
        except Conflict:
            with contextlib.suppress(NotFound):  # the same request at the same time
                return _same(await self.view(schedule_id, principal.caller), name, definition), True
            raise

    async def change(
        self,
        schedule_id: str,
        name: str | None,
        changes: dict[str, object],
        enabled: bool | None,
        principal: Principal,
    ) -> Schedule:
        """Change a schedule, and return it as it is then.

        :param changes: fields of its definition.
        :param enabled: None: as it is.
        :raises NotFound: there is none that this caller may see.
        :raises Conflict: it is declared in code, its new name is taken, or it is enabled and has no instant any more.
        :raises InvalidInput: it cannot be used any more.
        :raises Forbidden: the caller may not run the component itself.
        """
        now, caller = clock.now(), principal.caller

        async def work(tx: Tx) -> Schedule:
            schedule = await _locked(tx, schedule_id, caller)
            definition = replace(schedule.definition, **changes)  # type: ignore[arg-type]  # validated by the request
            is_enabled = schedule.enabled if enabled is None else enabled
            if enabled is None and definition.times != schedule.definition.times:
                is_enabled = is_enabled or await is_over(tx, schedule)
            changed = replace(schedule, name=name or schedule.name, definition=definition)
            # The scopes of its owner are those of the owner's last token; another person does not lend its own.
            is_own = schedule.owner == caller.user_id and schedule.declared is None
            maker = maker_of(principal) if is_own else schedule.maker
            if changed == schedule and is_enabled == schedule.enabled:
                if is_own:  # saved again, to renew its rights
                    await store.change(tx, replace(schedule, maker=maker))
                return schedule
            if changed != schedule:
                if schedule.declared is not None:
                    raise Conflict(f"Schedule '{schedule.name}' is declared in code; change it there.")
                self.require_usable(changed, principal)
            changed = replace(changed, maker=maker)
            goes_on = is_enabled and schedule.enabled and definition.times == schedule.definition.times
            if not goes_on:
                await pass_over(tx, schedule, now)
                changed = with_next_instant(changed, is_enabled, now)
                if enabled and not changed.enabled:
                    raise Conflict(OVER)
            changed = replace(changed, updated_at=now, version=schedule.version + 1)
            await (store.change if changed.name == schedule.name else store.rename)(tx, changed)
            return changed

        return await self._database.write(work)

    async def set_enabled(self, schedule_id: str, enabled: bool, caller: Caller) -> Schedule:
        """Enable or disable a schedule. An enabled one goes on with its next instant from now.

        :raises NotFound: there is none that this caller may see.
        :raises Conflict: it has no instant any more.
        """

        async def work(tx: Tx) -> Schedule:
            schedule, now = await _locked(tx, schedule_id, caller), clock.now()
            if schedule.enabled == enabled:
                return schedule
            await pass_over(tx, schedule, now)
            changed = replace(schedule, updated_at=now, version=schedule.version + 1)
            changed = with_next_instant(changed, enabled, now)
            if enabled and not changed.enabled:
                raise Conflict(OVER)
            await store.change(tx, changed)
            return changed

        return await self._database.write(work)

    async def remove(self, schedule_id: str, caller: Caller) -> None:
        """Delete a schedule and its firings. Runs that it has started go on.

        :raises NotFound: there is none that this caller may see.
        :raises Conflict: it is declared in code.
        """

        async def work(tx: Tx) -> None:
            schedule = await _locked(tx, schedule_id, caller)
            if schedule.declared is not None and not await self.is_abandoned(tx, schedule):
                raise Conflict(f"Schedule '{schedule.name}' is declared in code; remove it there.")
            await store.remove(tx, schedule_id)

        await self._database.write(work)

    async def is_abandoned(self, tx: Tx, schedule: Schedule) -> bool:
        """Whether no process serves the component of a declared schedule any more. Only a server knows that."""
        return False

    # --- firings ----------------------------------------------------------------------------------

    async def trigger(self, schedule_id: str, caller: Caller) -> Firing:
        """Let a server fire a schedule soon, in addition to its instants.

        :raises NotFound: there is none that this caller may see.
        :raises Conflict: it is disabled.
        """
        now = clock.now()

        async def work(tx: Tx) -> Firing:
            schedule = await _locked(tx, schedule_id, caller)
            if not schedule.enabled:
                raise Conflict(DISABLED)
            firing = Firing(
                id=clock.new_id(), schedule_id=schedule.id, created_at=now, trigger=Trigger.MANUAL, look_at=now
            )
            await store.add_firing(tx, firing)
            return firing

        return await self._database.write(work)

    async def firing(self, schedule_id: str, firing_id: str, caller: Caller) -> Firing:
        """One firing with its run.

        :raises NotFound: there is none that this caller may see.
        """

        async def work(tx: Tx) -> Firing | None:
            schedule = await store.get(tx, schedule_id, caller)
            return None if schedule is None else await store.firing(tx, schedule_id, firing_id)

        firing = await self._database.fetch(work)  # the output of its run may be long
        if firing is None:
            raise NotFound(RUN_NOT_FOUND)
        return firing

    async def firings(self, schedule_id: str, caller: Caller, *, limit: int, page: int) -> tuple[list[Firing], int]:
        """One page of the firings of a schedule, newest first, and the number of all.

        :raises NotFound: there is none that this caller may see.
        """

        async def work(tx: Tx) -> tuple[list[Firing], int]:
            await _visible(tx, schedule_id, caller)
            return await store.firings(tx, schedule_id, limit=limit, page=page)

        return await self._database.scan(work)

    async def backfill(
        self, schedule_id: str, start: float, end: float, caller: Caller
    ) -> tuple[Schedule, list[float]]:
        """Fire the past instants from ``start`` to ``end`` that have not fired; return the schedule and these instants.

        :raises NotFound: there is none that this caller may see.
        :raises Conflict: the schedule is disabled.
        :raises InvalidInput: there are too many instants, or some are too old.
        """
        now = clock.now()

        async def work(tx: Tx) -> tuple[Schedule, list[float]]:
            schedule = await _locked(tx, schedule_id, caller)
            if not schedule.enabled:
                raise Conflict(DISABLED)
            instants = schedule.definition.instants_after(max(start - 0.001, 0.0))
            past = list(islice(takewhile(lambda at: at <= min(end, now), instants), MAX_BACKFILL + 1))
            if len(past) > MAX_BACKFILL:
                raise InvalidInput(f"There are more than {MAX_BACKFILL} instants; choose a shorter range.")
            if past and past[0] < now - KEPT_SECONDS:
                raise InvalidInput(f"Firings are kept for {KEPT_DAYS} days; choose a later start.")
            made_up = []
            for instant in past:
                firing = Firing(
                    id=clock.new_id(),
                    schedule_id=schedule.id,
                    created_at=now,
                    trigger=Trigger.CATCH_UP,
                    scheduled_for=instant,
                    look_at=now,
                )
                if instant != schedule.next_run_at and await store.make_up(tx, firing):
                    made_up.append(instant)
            return schedule, made_up

        return await self._database.write(work)

    # --- read -------------------------------------------------------------------------------------

    async def of_user(self, owner: str | None, user_id: str | None, limit: int) -> list[Schedule]:
        """The newest schedules of an owner whose runs are for a user."""
        return await self._database.scan(lambda tx: store.of_user(tx, owner, user_id, limit))

    async def view(self, schedule_id: str, caller: Caller) -> Schedule:
        """One schedule.

        :raises NotFound: there is none that this caller may see.
        """
        return await self._database.read(lambda tx: _visible(tx, schedule_id, caller))

    async def unowned(self, name: str) -> Schedule:
        """The schedule of this name that belongs to no user.

        :raises NotFound: there is none.
        """
        schedule = await self._database.read(lambda tx: store.unowned(tx, name))
        if schedule is None:
            raise NotFound(NOT_FOUND)
        return schedule

    async def search(self, query: ScheduleFilter, caller: Caller) -> tuple[list[Schedule], int]:
        """One page of schedules, newest first, and the number of all that match."""
        return await self._database.scan(lambda tx: store.search(tx, query, caller))

    async def next_instants(self, schedule_id: str, count: int, caller: Caller) -> tuple[Schedule, list[float]]:
        """The next instants of a schedule, as if it were enabled.

        :raises NotFound: there is none that this caller may see.
        """
        schedule = await self.view(schedule_id, caller)
        instants = list[float]()
        with contextlib.suppress(InvalidCron):  # a time zone may have been removed
            instants = list(islice(schedule.definition.instants_after(clock.now()), count))
        return schedule, instants

    def require_usable(self, schedule: Schedule, principal: Principal) -> None:
        """Check what a schedule does, and that the caller may do it.

        :raises InvalidInput: its operation cannot be scheduled, or its payload is not a request to it.
        :raises Forbidden: the caller may not run the component.
        """
        definition = schedule.definition
        if (definition.cron_expr is None) == (definition.at is None):
            raise InvalidInput.at(("body", "at"), "value_error", "Set either cron_expr or at")
        target = definition.target
        if target is None:
            if (definition.method, definition.endpoint) == ("GET", HEALTH):
                return
            words = "Only POST to the runs of an agent, a team or a workflow can be scheduled, and GET /health"
            raise InvalidInput.at(("body", "endpoint"), "value_error", words, definition.endpoint)
        require_right(principal.scopes, target)
        self.require_request(schedule, target, principal.caller)

    def require_request(self, schedule: Schedule, target: Target, caller: Caller) -> None:
        """Check that the payload of a schedule is a request that starts a run.

        :raises InvalidInput: it is not; the error names each wrong field.
        """
        for name, problem in _NOT_OF_PAYLOADS.items():
            if name in (schedule.definition.payload or {}):
                raise InvalidInput.at(("body", "payload", name), "value_error", problem)
        try:
            self.require_input(target, run_request(schedule, caller).input)
        except InvalidInput as error:
            if not error.errors:
                raise
            errors = [{**problem, "loc": ["body", "payload", *problem["loc"][1:]]} for problem in error.errors]
            words = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in errors)
            raise InvalidInput(words, errors) from error

    def require_input(self, target: Target, run_input: Input) -> None:
        """Check that a component accepts the input of a run, as far as it is known here.

        :raises InvalidInput: it does not.
        """


def next_instant(definition: Definition, now: float) -> float | None:
    """The first instant of a definition after ``now``.

    :raises InvalidInput: its expression or its time zone cannot be used.
    """
    try:
        zone_of(definition.timezone)  # also of a schedule that fires once
        return definition.next_after(now)
    except InvalidCron as error:
        raise InvalidInput(str(error)) from error


def with_next_instant(schedule: Schedule, enabled: bool, now: float) -> Schedule:
    """The schedule with its next instant; it is disabled if it has none."""
    next_run_at = next_instant(schedule.definition, now)
    is_enabled = enabled and next_run_at is not None
    return replace(schedule, enabled=is_enabled, next_run_at=next_run_at if is_enabled else None)


async def is_over(tx: Tx, schedule: Schedule) -> bool:
    """Whether a schedule is disabled because its last instant has passed, not by a person."""
    last = None if schedule.enabled else await store.last_instant(tx, schedule.id)
    with contextlib.suppress(InvalidCron):  # a time zone may have been removed
        return last is not None and schedule.definition.next_after(last) is None
    return False


async def pass_over(tx: Tx, schedule: Schedule, now: float) -> None:
    """Store the past instants of a schedule that did not fire, before it is disabled or gets other times."""
    with contextlib.suppress(InvalidCron):  # a time zone may have been removed
        await store.add_firings(tx, skipped_firings(schedule, passed_over(schedule, now), now, CHANGED))


async def _visible(tx: Tx, schedule_id: str, caller: Caller) -> Schedule:
    schedule = await store.get(tx, schedule_id, caller)
    if schedule is None:
        raise NotFound(NOT_FOUND)
    return schedule


async def _locked(tx: Tx, schedule_id: str, caller: Caller) -> Schedule:
    schedule = await store.lock(tx, schedule_id, caller)
    if schedule is None:
        raise NotFound(NOT_FOUND)
    return schedule


def _same(schedule: Schedule, name: str, definition: Definition) -> Schedule:
    """The schedule that a request has created before.

    :raises Conflict: the request is another one, or the schedule was changed since.
    """
    if (schedule.name, schedule.definition) != (name, definition):
        raise Conflict(KEY_TAKEN)
    return schedule
