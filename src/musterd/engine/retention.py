"""Retention: what is old enough goes, or shrinks; a little at a time, between everything else."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import structlog

from musterd.core import clock
from musterd.engine.resources import Resources
from musterd.store import deliveries, joining, retention
from musterd.store.database import Work
from musterd.store.removal import AT_ONCE
from musterd.store.retention import Old

log = structlog.get_logger("musterd.engine")

T = TypeVar("T")
DAY_SECONDS = 86_400.0
LOOKED_AT = 200
"""What one look finds."""
BUSY_SECONDS = 0.25
"""How long one turn does what a look has found, once at least; what is left waits for the next turn."""
IDLE_SECONDS = 60.0
"""How long nothing is looked for after nothing was found."""
DELIVERIES_SECONDS = 3600.0
"""How often it is looked for deliveries that can be forgotten or given up."""
UNSENT_DAYS = 7.0
"""After which a delivery is given up that was due and nobody has sent: no process may have a secret any more."""
UNSENT = f"Nobody has sent it for {UNSENT_DAYS:g} days"


class Retention:
    """Removes runs, sessions and records of deliveries, and joins pieces of texts, as the settings say."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._figures = resources.figures
        self._retention_days = resources.settings.retention_days
        self._delta_days = resources.settings.delta_days
        self._webhook_days = resources.settings.webhook_days
        self._not_before = 0.0
        self._deliveries_not_before = 0.0

    async def once(self) -> None:
        """Do what there is to do, as far as one turn gets."""
        await self._end_deliveries()
        if (self._retention_days is None and self._delta_days is None) or clock.monotonic() < self._not_before:
            return
        removed, joined = await self._remove(), await self._join()
        if removed or joined:
            log.info("old runs were cleared away", removed=removed, joined=joined)
        else:
            self._not_before = clock.monotonic() + IDLE_SECONDS

    async def _end_deliveries(self) -> None:
        """Give up deliveries that nobody sends, and forget what ended long ago; some at a time."""
        if clock.monotonic() < self._deliveries_not_before:
            return
        now = clock.now()
        unsent, ended = now - UNSENT_DAYS * DAY_SECONDS, now - self._webhook_days * DAY_SECONDS
        given_up = await self._database.write(lambda tx: deliveries.give_up(tx, unsent, now, UNSENT))
        if given_up:
            log.warning("webhooks given up that nobody has sent", deliveries=given_up, days=UNSENT_DAYS)
        if max(given_up, await self._database.write(lambda tx: deliveries.forget(tx, ended))) < deliveries.AT_ONCE:
            self._deliveries_not_before = clock.monotonic() + DELIVERIES_SECONDS

    async def _remove(self) -> int:
        if self._retention_days is None:
            return 0
        before = clock.now() - self._retention_days * DAY_SECONDS
        old = await self._database.scan(lambda tx: retention.old(tx, before, LOOKED_AT))
        write = self._database.write
        removed = sum(await _in_turn(partial(write, work) for work in _removals(old, before)))
        self._figures.removed.add(by=removed)
        return removed

    async def _join(self) -> int:
        if self._delta_days is None:
            return 0
        before = clock.now() - self._delta_days * DAY_SECONDS
        found = await self._database.scan(lambda tx: joining.unjoined(tx, before, LOOKED_AT))
        return len(await _in_turn(partial(self._join_one, root_id) for root_id in found))

    async def _join_one(self, root_id: str) -> int:
        found = await self._database.scan(lambda tx: joining.read(tx, root_id))
        joined = await asyncio.to_thread(joining.joined, found)
        return await self._database.write(lambda tx: joining.put(tx, root_id, joined))


async def _in_turn(steps: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Do one after the other until the turn is over, and give what came of each.

    The first is done however long it took to find it: else nothing of a large database would ever go.
    """
    until, results = clock.monotonic() + BUSY_SECONDS, []
    for step in steps:
        results.append(await step())
        if clock.monotonic() >= until:
            break
    return results


def _removals(old: Old, before: float) -> Iterator[Work[int]]:
    """The transactions that remove what is old: one session's runs each, a few at a time, then sessions."""
    for session_id, roots in old.roots.items():
        for first in range(0, len(roots), AT_ONCE):
            some = roots[first : first + AT_ONCE]
            yield partial(retention.remove_roots, session_id=session_id, roots=some, now=clock.now())
    for session_id in old.sessions:
        yield partial(retention.remove_session, session_id=session_id, before=before)
