"""Daily figures: counted from runs when they are asked for, and kept once a day and all its runs are over."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import MusterdError
from musterd.core.usage import Day, DayFigures
from musterd.engine.resources import Resources
from musterd.store import usage
from musterd.store.database import Tx
from musterd.store.usage import EVERYBODY, ByOwner

log = structlog.get_logger("musterd.daily")

FIRST_DAY, LAST_DAY = "0001-01-02", "9999-12-30"


@dataclass(slots=True, kw_only=True)
class RefreshState:
    """What became of the last counting in the background.

    :param status: idle, running, completed or failed.
    """

    status: str = "idle"
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Counted:
    """A day that is not kept yet."""

    day: str
    metrics: ByOwner
    is_over: bool

    def day_for(self, owner: str | None, now: float) -> Day:
        """The day, for an owner (None: for everybody)."""
        metrics = self.metrics.get(owner or EVERYBODY, DayFigures())
        return Day(day=self.day, metrics=metrics, created_at=now, updated_at=now)


class UsageService:
    """The use cases of daily figures."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._refreshing: asyncio.Task[None] | None = None
        self.state = RefreshState()

    async def days(self, first: str | None, last: str | None, caller: Caller) -> list[Day]:
        """The figures of each day on which something ran, oldest first.

        A user that is no admin gets those of its own runs.

        :param first: the first date, ``YYYY-MM-DD``; None: there is no first one.
        :param last: the last date; None: today.
        """
        kept, fresh = await self._count(first, last, caller)
        found = {day.day: day for day in (*fresh, *kept)}
        return [found[day] for day in sorted(found) if not found[day].metrics.is_empty]

    async def refresh(self, caller: Caller) -> list[Day]:
        """Count every day anew that is not kept yet; those days."""
        _, fresh = await self._count(None, None, caller)
        return [day for day in fresh if not day.metrics.is_empty]

    async def _count(self, first: str | None, last: str | None, caller: Caller) -> tuple[list[Day], list[Day]]:
        """The days that are kept, and those that were counted now; of these the ones that are over are kept.

        Each day is a transaction of its own: what was counted of a long past is kept though somebody gives up.
        """
        owner, now = caller.sees_only, clock.now()
        span = first or FIRST_DAY, min(last or LAST_DAY, usage.day_of(now))
        counted = []
        for day in await self._database.scan(partial(_open_days, owner=owner, first=span[0], last=span[1])):
            one = await self._database.scan(partial(_counted, day=day, owner=owner, now=now))
            if one is not None:
                await self._keep(one, owner, now)
                counted.append(one.day_for(owner, now))
        return await self._database.scan(lambda tx: usage.kept(tx, owner, *span)), counted

    def refresh_in_background(self) -> bool:
        """Count in the background; whether that has begun now, and was not under way already."""
        if self._refreshing is not None and not self._refreshing.done():
            return False
        self.state = RefreshState(status="running", started_at=clock.now())
        self._refreshing = asyncio.create_task(self._refresh())
        return True

    async def close(self) -> None:
        """Leave a counting under way."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _refresh(self) -> None:
        status, error = "failed", "The days could not be counted"
        try:
            await self.refresh(Caller())
            status, error = "completed", ""
        except MusterdError as found:
            log.warning("daily figures were not counted", reason=found.message)
            error = found.message
        finally:
            self.state.status, self.state.error, self.state.finished_at = status, error or None, clock.now()

    async def _keep(self, counted: _Counted, owner: str | None, now: float) -> None:
        """Keep a day that is over; only whoever sees everybody's runs has counted it whole."""
        if counted.is_over and owner is None:
            await self._database.write(lambda tx: usage.close(tx, counted.day, counted.metrics, now))


async def _open_days(tx: Tx, owner: str | None, first: str, last: str) -> list[str]:
    """The days that are not kept, of which something is there or was deleted, oldest first."""
    days = await usage.removed_days(tx, owner, first, last)
    start = usage.bounds(first)[0]
    while (day := await usage.next_day(tx, start, owner)) is not None and day <= last:
        days.add(day)
        start = usage.bounds(day)[1]
    return [day for day in sorted(days) if not await usage.is_over(tx, day)]


async def _counted(tx: Tx, day: str, owner: str | None, now: float) -> _Counted | None:
    """What a day counts now; None: somebody has kept it meanwhile."""
    if await usage.is_over(tx, day):
        return None
    is_past = usage.bounds(day)[1] + usage.SETTLE_SECONDS <= now
    return _Counted(day, await usage.counted(tx, day, owner), is_over=is_past and not await usage.has_live(tx, day))
