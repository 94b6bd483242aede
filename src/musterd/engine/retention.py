"""Retention: what is old enough goes, or shrinks; a little at a time, between everything else."""

from collections.abc import Iterable, Iterator
from functools import partial

import structlog

from musterd.core import clock
from musterd.engine.resources import Resources
from musterd.store import joining, retention
from musterd.store.database import Work
from musterd.store.removal import AT_ONCE
from musterd.store.retention import Old

log = structlog.get_logger("musterd.engine")

DAY_SECONDS = 86_400.0
LOOKED_AT = 200
"""What one look finds."""
BUSY_SECONDS = 0.25
"""How long one turn does what a look has found, once at least; what is left waits for the next turn."""
IDLE_SECONDS = 60.0
"""How long nothing is looked for after nothing was found."""


class Retention:
    """Removes runs and sessions, and joins pieces of texts, as the settings say."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._figures = resources.figures
        self._retention_days = resources.settings.retention_days
        self._delta_days = resources.settings.delta_days
        self._not_before = 0.0

    async def once(self) -> None:
        """Do what there is to do, as far as one turn gets."""
        if (self._retention_days is None and self._delta_days is None) or clock.monotonic() < self._not_before:
            return
        removed, joined = await self._remove(), await self._join()
        if removed or joined:
            log.info("old runs were cleared away", removed=removed, joined=joined)
        else:
            self._not_before = clock.monotonic() + IDLE_SECONDS

    async def _remove(self) -> int:
        if self._retention_days is None:
            return 0
        before = clock.now() - self._retention_days * DAY_SECONDS
        old = await self._database.scan(lambda tx: retention.old(tx, before, LOOKED_AT))
        removed = sum(await self._in_turn(_removals(old, before)))
        self._figures.removed.add(by=removed)
        return removed

    async def _join(self) -> int:
        if self._delta_days is None:
            return 0
        before = clock.now() - self._delta_days * DAY_SECONDS
        found = await self._database.scan(lambda tx: joining.unjoined(tx, before, LOOKED_AT))
        return len(await self._in_turn(partial(joining.join, root_id=root_id) for root_id in found))

    async def _in_turn(self, works: Iterable[Work[int]]) -> list[int]:
        """Do one after the other until the turn is over, and give what came of each.

        The first is done however long it took to find it: else nothing of a large database would ever go.
        """
        until, results = clock.monotonic() + BUSY_SECONDS, []
        for work in works:
            results.append(await self._database.write(work))
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
