"""Retention: removes old runs, sessions and delivery records, and compacts the events of old runs, slice by slice."""

from collections.abc import Iterator, Sequence
from functools import partial

import structlog

from musterd.core import clock
from musterd.core.threads import in_thread
from musterd.engine.resources import Resources
from musterd.engine.slices import Slices
from musterd.store import deliveries, event_compaction, retention, run_removal
from musterd.store.shards import SessionTx

log = structlog.get_logger("musterd.engine")

DAY_SECONDS = 86_400.0
LOOKED_AT = 1000
"""The most old runs, or sessions, that one look returns."""
IDLE_SECONDS = 60.0
"""How long to wait before the next look, once nothing old is left."""
ROWS_AT_ONCE = 100
"""How many sessions one transaction removes."""
LOG_SECONDS = 60.0
"""How often a log line reports the progress."""
DELIVERIES_SECONDS = 3600.0
"""How often to look for deliveries that can be removed or given up."""
UNSENT_DAYS = 7.0
"""After how many days an unsent delivery that is due is given up: perhaps no process has a secret any more."""
UNSENT = f"Not sent for {UNSENT_DAYS:g} days"


class Retention:
    """Removes runs, sessions and delivery records, and joins pieces of text, as the settings say.

    :param slices: runs the long transactions of this process, one at a time.
    """

    def __init__(self, resources: Resources, slices: Slices) -> None:
        self._database = resources.database
        self._metrics = resources.metrics
        self._retention_days = resources.settings.retention_days
        self._delta_days = resources.settings.delta_days
        self._webhook_days = resources.settings.webhook_days
        self._slices = slices
        self._hooks = resources.run_removal_hooks
        self._not_before = 0.0
        self._deliveries_not_before = 0.0

    async def once(self) -> None:
        """Do everything that is due now."""
        await self._end_deliveries()
        if (self._retention_days is None and self._delta_days is None) or clock.monotonic() < self._not_before:
            return
        all_removed = all_joined = 0
        logged_at = clock.monotonic()
        while True:
            removed, joined = await self._remove(), await self._join()
            all_removed, all_joined = all_removed + removed, all_joined + joined
            is_done = not removed and not joined
            if (all_removed or all_joined) and (is_done or clock.monotonic() >= logged_at + LOG_SECONDS):
                log.info("old runs removed or compacted", removed=all_removed, joined=all_joined)
                all_removed, all_joined, logged_at = 0, 0, clock.monotonic()
            if is_done:
                break
            # Also between the rounds: with many old runs this loop takes long, and a run whose delivery is pending is
            # not removed.
            await self._end_deliveries()
        self._not_before = clock.monotonic() + IDLE_SECONDS

    async def _end_deliveries(self) -> None:
        """Give up deliveries that have stayed unsent, and remove those that ended long ago; some at a time."""
        if clock.monotonic() < self._deliveries_not_before:
            return
        now = clock.now()
        unsent, ended = now - UNSENT_DAYS * DAY_SECONDS, now - self._webhook_days * DAY_SECONDS
        given_up = await self._database.write(lambda tx: deliveries.give_up(tx, unsent, now, UNSENT))
        if given_up:
            log.warning("webhooks given up because no process sent them", deliveries=given_up, days=UNSENT_DAYS)
        # A full batch means that more may be left; then the next round continues, instead of waiting an hour.
        if max(given_up, await self._database.write(lambda tx: deliveries.forget(tx, ended))) < deliveries.AT_ONCE:
            self._deliveries_not_before = clock.monotonic() + DELIVERIES_SECONDS

    async def _remove(self) -> int:
        if self._retention_days is None:
            return 0
        now = clock.now()
        before = now - self._retention_days * DAY_SECONDS
        runs = await self._database.scan(lambda tx: retention.old_runs(tx, before, LOOKED_AT))
        # Before the first removal: a hook that stores what it needs here has nothing to do in the transactions that
        # remove runs.
        for hook in self._hooks:
            await hook.prepare(self._database, self._slices, runs, now)
        in_removal = [hook.in_transaction for hook in self._hooks]
        removed = await self._slices.each(
            run_removal.slices(runs),
            lambda group: partial(retention.remove_runs, runs=group, now=now, hooks=in_removal),
        )
        if len(runs) < LOOKED_AT:  # while there are more, most old sessions still have runs
            unused = await self._database.scan(lambda tx: retention.unused_sessions(tx, before, LOOKED_AT))
            removed += await self._slices.each(
                _slices(unused), lambda group: partial(retention.remove_sessions, sessions=group, before=before)
            )
        self._metrics.removed.add(by=removed)
        return removed

    async def _join(self) -> int:
        if self._delta_days is None:
            return 0
        before = clock.now() - self._delta_days * DAY_SECONDS
        unjoined = await self._database.scan(lambda tx: event_compaction.unjoined(tx, before, LOOKED_AT))
        for root_id, session_id in unjoined:
            await self._join_one(root_id, session_id)
        return len(unjoined)

    async def _join_one(self, root_id: str, session_id: str) -> None:
        # No transaction spans these steps, so that no writer waits for them. The events of a run that has ended do not
        # change, and if two processes join them, put() lets the first one write.
        events = await self._database.scan(lambda tx: event_compaction.read(SessionTx(tx, session_id), root_id))
        joined = await in_thread(event_compaction.joined, events)
        await self._slices.one(lambda tx: event_compaction.put(SessionTx(tx, session_id), root_id, joined))


def _slices(rows: Sequence[str]) -> Iterator[Sequence[str]]:
    return (rows[first : first + ROWS_AT_ONCE] for first in range(0, len(rows), ROWS_AT_ONCE))
