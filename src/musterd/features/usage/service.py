"""Daily usage: counted from runs on request, and stored once a day and all its runs are over."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import MusterdError
from musterd.engine.resources import Resources
from musterd.features.usage import store
from musterd.features.usage.records import Day, DayFigures, RefreshState
from musterd.features.usage.store import EVERYBODY, ByOwner
from musterd.store.database import Tx

log = structlog.get_logger("musterd.usage")

FIRST_DAY, LAST_DAY = "0001-01-02", "9999-12-30"


@dataclass(frozen=True, slots=True)
class _Counted:
    """A day that is not closed, as it was counted.

    :param can_close: whether the day and all its runs are over.
    """

    day: str
    figures: ByOwner
    can_close: bool

    def day_for(self, owner: str | None, now: float) -> Day:
        """The day, for an owner (None: for everybody)."""
        figures = self.figures.get(owner or EVERYBODY, DayFigures())
        return Day(day=self.day, figures=figures, created_at=now, updated_at=now)


class UsageService:
    """The use cases of daily usage."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._refreshing: asyncio.Task[None] | None = None
        self.state = RefreshState()

    async def days(self, first: str | None, last: str | None, caller: Caller) -> list[Day]:
        """The figures of each day on which something ran, oldest first.

        A user that is not an administrator gets those of its own runs.

        :param first: the first date, ``YYYY-MM-DD``; None: no limit.
        :param last: the last date; None: today.
        """
        closed, counted = await self._count(first, last, caller)
        # A day may have been closed during the count; then it is in both lists, and the stored figures are final.
        by_date = {day.day: day for day in (*counted, *closed)}
        return [by_date[date] for date in sorted(by_date) if not by_date[date].figures.is_empty]

    async def refresh(self, caller: Caller) -> list[Day]:
        """Count every day again that is not closed; return these days."""
        _, counted = await self._count(None, None, caller)
        return [day for day in counted if not day.figures.is_empty]

    async def _count(self, first: str | None, last: str | None, caller: Caller) -> tuple[list[Day], list[Day]]:
        """Count the days that are not closed, and close those that can be closed.

        Each day is a transaction of its own, so that the closed ones stay closed if the request is cancelled.

        :return: all closed days, and the days that were counted.
        """
        owner, now = caller.sees_only, clock.now()
        span = first or FIRST_DAY, min(last or LAST_DAY, store.day_of(now))
        days = []
        for date in await self._database.scan(partial(_open_days, owner=owner, first=span[0], last=span[1])):
            counted = await self._database.scan(partial(_counted, day=date, owner=owner, now=now))
            if counted is not None:
                await self._close_if_possible(counted, now)
                days.append(counted.day_for(owner, now))
        return await self._database.scan(lambda tx: store.closed_days(tx, owner, *span)), days

    async def _close_if_possible(self, counted: _Counted, now: float) -> None:
        # The figures are as final now as they were when they were counted: the day is past, and all its runs have
        # ended. If runs were removed in between, they are in the count, and this write replaces the row that they were
        # added to. If runs were imported in between, nothing is stored, and the next call counts the day again.
        if counted.can_close:
            late_imports = counted.figures[EVERYBODY].late_imports
            closing = partial(store.close, day=counted.day, figures=counted.figures, now=now, late_imports=late_imports)
            await self._database.write(closing)

    def refresh_in_background(self) -> bool:
        """Start to refresh in the background; return False if a refresh is already running."""
        if self._refreshing is not None and not self._refreshing.done():
            return False
        self.state = RefreshState(status="running", started_at=clock.now())
        self._refreshing = asyncio.create_task(self._refresh())
        return True

    async def close(self) -> None:
        """Cancel a refresh that is running."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _refresh(self) -> None:
        status, reason = "failed", "The daily figures could not be computed"
        try:
            await self.refresh(Caller())
            status, reason = "completed", ""
        except MusterdError as error:
            log.warning("daily figures could not be computed", reason=error.message)
            reason = error.message
        finally:
            self.state.status, self.state.error, self.state.finished_at = status, reason or None, clock.now()


async def _open_days(tx: Tx, owner: str | None, first: str, last: str) -> list[str]:
    """The days that are not closed and that have runs, or had some that were removed, oldest first."""
    days = await store.days_with_removed_runs(tx, owner, first, last)
    start = store.bounds(first)[0]
    # From one day with runs to the next, each by an index: days on which nothing ran cost nothing.
    while (day := await store.next_day(tx, start, owner)) is not None and day <= last:
        days.add(day)
        start = store.bounds(day)[1]
    return [day for day in sorted(days) if not await store.is_closed(tx, day)]


async def _counted(tx: Tx, day: str, owner: str | None, now: float) -> _Counted | None:
    """Count a day; None: it was closed meanwhile."""
    if await store.is_closed(tx, day):
        return None
    is_past = store.bounds(day)[1] + store.SETTLE_SECONDS <= now
    can_close = is_past and not await store.has_live(tx, day)
    # A day that can be closed is counted for all users, so that no later request counts it again.
    return _Counted(day, await store.count(tx, day, None if can_close else owner), can_close)
