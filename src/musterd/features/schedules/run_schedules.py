"""The schedules that agents manage in a run: those of the run's user, which start the component of the run."""

import contextlib
from dataclasses import replace
from urllib.parse import quote

from musterd.core.callers import Caller
from musterd.core.errors import Conflict, NotFound
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow
from musterd.core.scopes import Scopes
from musterd.features.schedules.management import NOT_FOUND, Schedules
from musterd.features.schedules.records import Definition, Maker, Schedule
from musterd.http.auth.principals import Principal


class RunSchedules:
    """The schedules of the user of one run. Nothing else can be seen or changed here.

    :param run: the root run.
    :param maker: with whose rights its schedules act.
    """

    def __init__(self, schedules: Schedules, run: RunRow, maker: Maker) -> None:
        self._schedules = schedules
        self._run = run
        self._maker = maker
        self._caller = Caller(user_id=run.owner, label=run.owner or "")

    @property
    def endpoint(self) -> str:
        """The runs of the component of this run, which its schedules start: its user may do that."""
        return f"/{self._run.component_kind}s/{quote(self._run.component_id, safe='')}/runs"

    @property
    def user(self) -> JsonObject:
        """The fields of a payload that name the user, if only the request named it."""
        return {"user_id": self._run.user_id} if self._run.owner is None and self._run.user_id else {}

    async def create(self, schedule_id: str, name: str, definition: Definition) -> Schedule:
        """Store a schedule. If the same call is made again after a crash, its schedule is returned.

        :param schedule_id: derived from the call.
        :raises Conflict: another schedule of the user has its name.
        :raises InvalidInput: it cannot be used.
        :raises Forbidden: its user may not run the component any more.
        """
        with contextlib.suppress(NotFound):  # looked for first, because its only instant may have passed
            return await self.view(schedule_id)
        principal = Principal(name="", caller=self._caller, scopes=Scopes.of(self._maker.scopes))
        definition = replace(definition, payload={**(definition.payload or {}), **self.user})
        try:
            return await self._schedules.create(name, definition, principal, schedule_id=schedule_id, maker=self._maker)
        except Conflict:
            with contextlib.suppress(NotFound):  # an attempt that was cut off has stored it meanwhile
                return await self.view(schedule_id)
            raise

    async def newest(self, limit: int) -> list[Schedule]:
        """The newest schedules."""
        return await self._schedules.of_user(self._run.owner, self._run.user_id, limit)

    async def view(self, schedule_id: str) -> Schedule:
        """One schedule.

        :raises NotFound: the user has none with this id.
        """
        schedule = await self._schedules.view(schedule_id, self._caller)
        if (schedule.owner, schedule.user_id) != (self._run.owner, self._run.user_id):
            raise NotFound(NOT_FOUND)
        return schedule

    async def set_enabled(self, schedule_id: str, enabled: bool) -> Schedule:
        """Enable or disable a schedule.

        :raises NotFound: the user has none with this id.
        :raises Conflict: it has no instant any more.
        """
        await self.view(schedule_id)
        return await self._schedules.set_enabled(schedule_id, enabled, self._caller)

    async def remove(self, schedule_id: str) -> None:
        """Delete a schedule; it may be deleted already.

        :raises Conflict: it is declared in code.
        """
        try:
            await self.view(schedule_id)
            await self._schedules.remove(schedule_id, self._caller)
        except NotFound:  # the same call was made before a crash
            return
