"""The use cases of schedules that need a server: what it serves, declares and fires."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from musterd.core import clock, jsontext
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, InvalidInput, NotFound, StartError
from musterd.core.records import Input, RunRow
from musterd.engine.upkeep import AHEAD_PERIODS
from musterd.features.schedules import store
from musterd.features.schedules.declared import Declared, declared_schedules
from musterd.features.schedules.due_instants import KEPT_SECONDS
from musterd.features.schedules.firing import Firer
from musterd.features.schedules.management import DISABLED, NOT_FOUND, Schedules, is_over, pass_over, with_next_instant
from musterd.features.schedules.records import OPERATOR, Firing, Schedule, Target
from musterd.features.schedules.rights import Rights
from musterd.features.schedules.run_schedules import RunSchedules
from musterd.http.auth.principals import Principal
from musterd.http.server import Server
from musterd.service.input_checks import checked_input
from musterd.service.output_schemas import with_parsed_message
from musterd.service.run_end import until_settled
from musterd.store.database import Tx
from musterd.store.idempotency import KEY_TAKEN
from musterd.store.rows import GET_RUN_BY_ID, run_row

log = structlog.get_logger("musterd.schedules")

OLD_SECONDS = 3600.0
"""How often old firings without a run are removed."""
REMOVED_AT_ONCE = 1000
_KEYS = "2f6c8f0b-0d0e-4a53-8a55-9d1f6f0b7c31"
"""What the ids of firings that are triggered under idempotency keys are derived from."""
_EVERYBODY = Caller()


class ScheduleService(Schedules):
    """The use cases of schedules in a process that fires them."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.database)
        self._server = server
        self._rights = Rights(server)
        self._firer = Firer(server, self._rights)
        self._old_not_before = 0.0

    # --- upkeep -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Store the schedules that are declared in code.

        :raises StartError: the payload of one does not start a run of its component.
        """
        declarations, served, now = declared_schedules(self._server.registry), self._server.served, clock.now()
        for declaration in declarations:
            self._require_request_of(declaration.schedule(now))
        changed = await self._database.write(lambda tx: _declare(tx, declarations, served, now))
        for schedule, what in changed:
            log.info(f"declared schedule {what}", schedule=schedule.name, id=schedule.id)

    def _require_request_of(self, declared: Schedule) -> None:
        target = declared.definition.target
        assert target is not None, "a declared schedule runs a component"
        try:
            self.require_request(declared, target, _EVERYBODY)
        except InvalidInput as error:
            raise StartError(f"schedule '{declared.name}': {error.message} — change its message or payload") from error

    async def fire_soon(self) -> None:
        """Fire the schedules that are due now, and those for which upkeep has found the duty due ahead of time."""
        await self.fire_due(AHEAD_PERIODS * self._server.settings.upkeep_seconds)

    async def remove_old(self) -> None:
        """Remove old firings, once an hour."""
        if clock.monotonic() >= self._old_not_before:
            before = clock.now() - KEPT_SECONDS
            removed = await self._database.write(lambda tx: store.remove_old(tx, before, REMOVED_AT_ONCE))
            self._old_not_before = 0.0 if removed == REMOVED_AT_ONCE else clock.monotonic() + OLD_SECONDS

    async def fire_due(self, within_seconds: float = 0.0) -> None:
        """Fire what is due now, and what becomes due within some seconds."""
        await self._firer.fire_due(within_seconds)

    # --- firings ----------------------------------------------------------------------------------

    async def trigger(self, schedule_id: str, caller: Caller) -> Firing:
        """Fire a schedule now, in addition to its instants.

        :raises NotFound: there is none that this caller may see.
        :raises Conflict: it is disabled.
        """
        firing, _ = await self.trigger_once(schedule_id, caller, None)
        return firing

    async def trigger_once(
        self, schedule_id: str, caller: Caller, key: str | None, wait_seconds: float = 0.0
    ) -> tuple[Firing, bool]:
        """Fire a schedule now, unless the same request under this idempotency key has fired it.

        :param wait_seconds: how long to wait for the end of its run.
        :return: the firing, and whether it was there.
        :raises NotFound: there is none that this caller may see.
        :raises Conflict: it is disabled, or the key was used for another schedule.
        """
        schedule, is_repeated = await self.view(schedule_id, caller), True
        firing_id = clock.new_id() if key is None else clock.derived_id(_KEYS, jsontext.dumps([caller.user_id, key]))
        if not await self._is_fired(schedule, firing_id):
            if not schedule.enabled:
                raise Conflict(DISABLED)
            try:
                await self._firer.trigger(schedule, firing_id)
                is_repeated = False
            except store.AlreadyFired:  # the same request at the same time, or another one under its key
                await self._is_fired(schedule, firing_id)
            except store.Lost as error:
                raise NotFound(NOT_FOUND) from error
        firing = await self.firing(schedule_id, firing_id, caller)
        if firing.run is not None and wait_seconds > 0:
            await until_settled(self._server.resources, firing.run.row, wait_seconds)
            firing = await self.firing(schedule_id, firing_id, caller)
        return firing, is_repeated

    async def _is_fired(self, schedule: Schedule, firing_id: str) -> bool:
        """Whether a schedule has this firing.

        :raises Conflict: another schedule has it.
        """
        firing = await self._database.read(lambda tx: store.get_firing(tx, firing_id))
        if firing is not None and firing.schedule_id != schedule.id:
            raise Conflict(KEY_TAKEN)
        return firing is not None

    async def of_run(self, run_id: str) -> RunSchedules:
        """The schedules that the agents of a run may manage: those of its user.

        :param run_id: the root run.
        :raises Forbidden: it is not known whose they are, or with whose rights they act.
        """
        run, fired_by = await self._database.read(lambda tx: _run_and_schedule(tx, run_id))
        maker = await self._rights.maker_of_run(run) if fired_by is None else fired_by.maker
        return RunSchedules(self, run, maker)

    def require_usable(self, schedule: Schedule, principal: Principal) -> None:
        """Check what a schedule does, and that the caller may do it.

        :raises InvalidInput: its operation cannot be scheduled, or its payload is not a request to it.
        :raises Forbidden: the caller may not run the component.
        """
        target = schedule.definition.target
        if target is not None and self._server.registry.component(target.kind, target.id) is None:
            words, endpoint = f"There is no {target.kind} '{target.id}' here", schedule.definition.endpoint
            raise InvalidInput.at(("body", "endpoint"), "value_error", words, endpoint)
        super().require_usable(schedule, principal)

    async def is_abandoned(self, tx: Tx, schedule: Schedule) -> bool:
        """Whether no process serves the component of a declared schedule any more."""
        target = schedule.definition.target
        if target is None or target.key in self._server.served:
            return False
        return not await store.is_served(tx, target.key)

    def require_input(self, target: Target, run_input: Input) -> None:
        """Check that a component accepts the input of a run.

        :raises InvalidInput: it does not.
        """
        component = self._server.component(target.kind, target.id)
        with_parsed_message(component, checked_input(component, run_input))


async def _run_and_schedule(tx: Tx, run_id: str) -> tuple[RunRow, Schedule | None]:
    """A run, and the schedule that started it."""
    row, firing = await tx.one(GET_RUN_BY_ID, {"run_id": run_id}), await store.firing_of_run(tx, run_id)
    assert row is not None, "a run calls its tools only while it exists"
    return run_row(row), None if firing is None else await store.get(tx, firing.schedule_id, _EVERYBODY)


async def _declare(
    tx: Tx, declarations: Sequence[Declared], served: set[str], now: float
) -> list[tuple[Schedule, str]]:
    """Store declared schedules, and remove those of served components that are declared no more.

    During a deploy processes may declare different ones. The process that starts last decides.
    """
    stored = {schedule.name: schedule for schedule in await store.declared(tx)}
    changed: list[tuple[Schedule, str]] = []
    for declaration in declarations:
        # One that was made over HTTP before becomes the declared one.
        before = stored.pop(declaration.name, None) or await store.unowned(tx, declaration.name)
        if before is None:
            schedule = with_next_instant(declaration.schedule(now), declaration.enabled, now)
            await store.add(tx, schedule)
            changed.append((schedule, "added"))
        elif before.declared != declaration.hash:
            schedule = replace(
                before,
                definition=declaration.definition,
                maker=OPERATOR,
                declared=declaration.hash,
                updated_at=now,
                version=before.version + 1,
            )
            # If its times are the same, instants that were missed during the deploy still fire.
            if before.definition.times != declaration.definition.times:
                await pass_over(tx, before, now)
                schedule = with_next_instant(schedule, before.enabled or await is_over(tx, before), now)
            await store.change(tx, schedule)
            changed.append((schedule, "changed"))
    for schedule in stored.values():
        target = schedule.definition.target
        if target is not None and target.key in served:
            await store.remove(tx, schedule.id)
            changed.append((schedule, "removed"))
    return changed
