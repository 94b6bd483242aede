"""Schedules from Python: over a database, or over an application that runs in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import fields
from types import SimpleNamespace
from typing import Any, Literal, TypeVar

from starlette.applications import Starlette

from musterd.core.errors import Conflict, NotFound, Unavailable
from musterd.core.scopes import EVERYTHING
from musterd.core.settings import Settings
from musterd.features.schedules.answers import firing_object, schedule_object
from musterd.features.schedules.api import ScheduleCreate, ScheduleUpdate, change
from musterd.features.schedules.management import Schedules
from musterd.features.schedules.records import Definition, Firing, Schedule, ScheduleFilter
from musterd.features.schedules.rights import OPERATING
from musterd.features.schedules.service import ScheduleService
from musterd.http.parameters import validated
from musterd.http.server import Server
from musterd.store.open_database import open_database

T = TypeVar("T")
IfExists = Literal["raise", "skip", "update"]
_CALLER = OPERATING.caller


class StoredSchedule(SimpleNamespace):
    """A schedule, with the fields of ``GET /schedules/{id}``."""


class ScheduleRun(SimpleNamespace):
    """What became of an instant or a trigger, with the fields of ``GET /schedules/{id}/runs``."""


class ScheduleManager:
    """Creates, reads and changes schedules, as the operations on ``/schedules`` do, with all rights.

    Each method has a twin for async code, whose name begins with ``a``; the methods themselves block.

    :param db: the URL of a database, where servers fire what is created here; or an application of
        :func:`musterd.create_app` that runs in this process.
    """

    def __init__(self, db: str | Starlette) -> None:
        self._db = db

    # --- changes ----------------------------------------------------------------------------------

    def create(self, name: str, cron: str | None, endpoint: str, **options: Any) -> StoredSchedule:
        """Create a schedule; see :meth:`acreate`."""
        return self._wait(self.acreate(name, cron, endpoint, **options))

    async def acreate(
        self, name: str, cron: str | None, endpoint: str, *, if_exists: IfExists = "raise", **options: Any
    ) -> StoredSchedule:
        """Create a schedule.

        :param cron: None: ``at`` is among the options.
        :param endpoint: the runs that it starts: ``/teams/desk/runs``.
        :param if_exists: what to do if there is a schedule of this name: raise an error, return it as it is, or give it
            these values. It stays enabled or disabled.
        :param options: the other fields of ``POST /schedules``.
        :raises Conflict: there is a schedule of this name, or it is declared in code and cannot be changed.
        :raises InvalidInput: a field is wrong.
        """
        if if_exists not in ("raise", "skip", "update"):
            raise ValueError(f"if_exists is 'raise', 'skip' or 'update', not {if_exists!r}")
        body = validated(ScheduleCreate, {"name": name, "cron_expr": cron, "endpoint": endpoint, **options}, "body")
        definition = body.definition()

        async def create(schedules: Schedules) -> Schedule:
            if if_exists == "raise":
                return await schedules.create(name, definition, OPERATING)
            try:
                existing = await schedules.unowned(name)  # before the creation: its only instant may have passed
            except NotFound:
                try:
                    return await schedules.create(name, definition, OPERATING)
                except Conflict:  # another program has created it at the same time
                    existing = await schedules.unowned(name)
            if if_exists == "skip":
                return existing
            values = {field.name: getattr(definition, field.name) for field in fields(Definition)}
            return await schedules.change(existing.id, None, values, None, OPERATING)

        return _schedule(await self._do(create))

    def update(self, schedule_id: str, **changes: Any) -> StoredSchedule | None:
        """Change fields of a schedule; see :meth:`aupdate`."""
        return self._wait(self.aupdate(schedule_id, **changes))

    async def aupdate(self, schedule_id: str, **changes: Any) -> StoredSchedule | None:
        """Change fields of a schedule, and return it as it is then; None: there is none.

        :param changes: the fields of ``PATCH /schedules/{id}``; ``cron`` is the expression.
        :raises Conflict: it is declared in code, or its new name is taken.
        :raises InvalidInput: a field is wrong.
        """
        if "cron" in changes:
            changes["cron_expr"] = changes.pop("cron")
        body = validated(ScheduleUpdate, changes, "body")

        return await self._schedule_or_none(lambda schedules: change(schedules, schedule_id, body, OPERATING))

    def delete(self, schedule_id: str) -> bool:
        """Delete a schedule with the list of its firings; see :meth:`adelete`."""
        return self._wait(self.adelete(schedule_id))

    async def adelete(self, schedule_id: str) -> bool:
        """Delete a schedule with the list of its firings; False: there is none.

        :raises Conflict: it is declared in code.
        """
        try:
            await self._do(lambda schedules: schedules.remove(schedule_id, _CALLER))
        except NotFound:
            return False
        return True

    def enable(self, schedule_id: str) -> StoredSchedule | None:
        """Enable a schedule; see :meth:`aenable`."""
        return self._wait(self.aenable(schedule_id))

    async def aenable(self, schedule_id: str) -> StoredSchedule | None:
        """Enable a schedule, which goes on with its next instant from now; None: there is none.

        :raises Conflict: it has no instant in the future.
        """
        return await self._schedule_or_none(lambda schedules: schedules.set_enabled(schedule_id, True, _CALLER))

    def disable(self, schedule_id: str) -> StoredSchedule | None:
        """Disable a schedule; see :meth:`adisable`."""
        return self._wait(self.adisable(schedule_id))

    async def adisable(self, schedule_id: str) -> StoredSchedule | None:
        """Disable a schedule; None: there is none. Runs that it has started go on."""
        return await self._schedule_or_none(lambda schedules: schedules.set_enabled(schedule_id, False, _CALLER))

    def trigger(self, schedule_id: str) -> ScheduleRun:
        """Fire a schedule; see :meth:`atrigger`."""
        return self._wait(self.atrigger(schedule_id))

    async def atrigger(self, schedule_id: str) -> ScheduleRun:
        """Fire a schedule now, in addition to its instants. Over a database a server starts the run within a second.

        :raises NotFound: there is no such schedule.
        :raises Conflict: it is disabled.
        """
        return _run(await self._do(lambda schedules: schedules.trigger(schedule_id, _CALLER)))

    # --- read -------------------------------------------------------------------------------------

    def get(self, schedule_id: str) -> StoredSchedule | None:
        """One schedule; None: there is none."""
        return self._wait(self.aget(schedule_id))

    async def aget(self, schedule_id: str) -> StoredSchedule | None:
        """One schedule; None: there is none."""
        return await self._schedule_or_none(lambda schedules: schedules.view(schedule_id, _CALLER))

    def list(self, enabled: bool | None = None, limit: int = 100, page: int = 1) -> Sequence[StoredSchedule]:
        """One page of schedules, newest first."""
        return self._wait(self.alist(enabled, limit, page))

    async def alist(self, enabled: bool | None = None, limit: int = 100, page: int = 1) -> Sequence[StoredSchedule]:
        """One page of schedules, newest first."""
        query = ScheduleFilter(enabled=enabled, limit=limit, page=page)
        rows, _ = await self._do(lambda schedules: schedules.search(query, _CALLER))
        return [_schedule(schedule) for schedule in rows]

    def get_runs(self, schedule_id: str, limit: int = 20, page: int = 1) -> Sequence[ScheduleRun]:
        """What became of the instants and triggers of a schedule; see :meth:`aget_runs`."""
        return self._wait(self.aget_runs(schedule_id, limit, page))

    async def aget_runs(self, schedule_id: str, limit: int = 20, page: int = 1) -> Sequence[ScheduleRun]:
        """One page of what became of the instants and triggers of a schedule, newest first.

        :raises NotFound: there is no such schedule.
        """
        runs, _ = await self._do(lambda schedules: schedules.firings(schedule_id, _CALLER, limit=limit, page=page))
        return [_run(run) for run in runs]

    # --- where it is done -------------------------------------------------------------------------

    async def _schedule_or_none(self, action: Callable[[Schedules], Awaitable[Schedule]]) -> StoredSchedule | None:
        try:
            return _schedule(await self._do(action))
        except NotFound:
            return None

    async def _do(self, action: Callable[[Schedules], Awaitable[T]]) -> T:
        if isinstance(self._db, str):
            return await _do_on(self._db, action)
        server: Server = self._db.state.server

        async def act() -> T:
            return await action(server.service(ScheduleService))

        loop = _loop_of(server)
        if loop is asyncio.get_running_loop():
            return await act()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act(), loop))

    def _wait(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do it from code that is not async.

        :raises RuntimeError: an event loop runs in this thread, which this would block.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(doing)
        doing.close()
        raise RuntimeError("this would block the event loop — use the method whose name begins with a: acreate, …")


async def _do_on(url: str, action: Callable[[Schedules], Awaitable[T]]) -> T:
    """Do something on a database that is opened for it.

    :raises StartError: the database cannot be used.
    """
    settings = Settings(db=url)
    database = open_database(url, connections=settings.db_connections, prepares=settings.db_prepares)
    await database.open()
    try:
        return await action(Schedules(database))
    finally:
        await database.close()


def _loop_of(server: Server) -> asyncio.AbstractEventLoop:
    if server.loop is None:
        raise Unavailable("The application is not running; start it, or use the URL of its database.")
    return server.loop


def _schedule(schedule: Schedule) -> StoredSchedule:
    return StoredSchedule(**schedule_object(schedule, EVERYTHING))


def _run(firing: Firing) -> ScheduleRun:
    return ScheduleRun(**firing_object(firing, EVERYTHING))
