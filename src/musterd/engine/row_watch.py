"""The watch of the rows that other processes may change.

While other workers are announced, a process asks the database many times a second whether it has changed. If it has
not, nothing more is read. On SQLite that is a counter of the file; on Postgres it is a snapshot, which shows whether a
transaction has ended. If hints report the changes, the rows are read only every few seconds, because a hint may be
lost.
"""

import asyncio
from collections.abc import Callable

import structlog

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.settings import Settings
from musterd.engine.bus import BusListener
from musterd.engine.membership import CUT_SECONDS, Membership
from musterd.engine.wakeup import Wakeup
from musterd.store.database import Database

log = structlog.get_logger("musterd.engine")

# With the 20 ms between two polls of SQLite, a process that died on this host is noticed after a tenth of a second.
LOCK_LOOKS_EVERY = 5
"""After how many polls the locks of the other workers are checked."""
SWEEP_SECONDS = 5.0
"""How long a lost hint about a run that is driven or awaited here can go unnoticed."""


class RowWatch:
    """The watch of one process.

    :param look_soon: ends the wait for the next look.
    :param has_hints: whether hints report the changes now.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        membership: Membership,
        look_soon: Wakeup,
        has_hints: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._membership = membership
        self._alone_seconds = settings.upkeep_seconds
        self._has_hints = has_hints
        self._look_soon = look_soon
        self._seen_count: int | None = None
        self._next_sweep = clock.monotonic() + SWEEP_SECONDS
        self._watching: asyncio.Task[None] | None = None
        self._is_stopped = False

    def start(self, listener: BusListener) -> None:
        """Call the listener whenever rows may have changed, until :meth:`stop`."""
        if not self._is_stopped:  # a stop may have begun while the process was joining
            self._watching = asyncio.create_task(self._watch(listener))

    def stop(self) -> None:
        """Stop calling the listener."""
        self._is_stopped = True
        if self._watching is not None:
            self._watching.cancel()

    async def stopped(self) -> None:
        """Wait, but not for long, until the last call of the listener has ended."""
        if self._watching is not None:
            await asyncio.wait([self._watching], timeout=CUT_SECONDS)

    async def _watch(self, listener: BusListener) -> None:
        count = 0
        while True:
            await self._look_soon.wait(self._seconds_to_next_look)
            count += 1
            try:
                if count % LOCK_LOOKS_EVERY == 0 and self._membership.has_freed_lock():
                    listener.worker_died()
                if await self._may_have_changed():
                    await listener.read_changed_rows()
            except StoreUnavailable as error:
                self._seen_count = None  # asking has consumed the change, but the listener has not seen it
                log.debug("database cannot be polled for changes", reason=error.message)
            except Exception as error:
                self._seen_count = None
                log.exception("checking other processes failed", exc_info=error)

    @property
    def _seconds_to_next_look(self) -> float:
        if self._has_hints():
            return SWEEP_SECONDS
        return self._database.poll_seconds if self._membership.has_others else self._alone_seconds

    async def _may_have_changed(self) -> bool:
        if not self._has_hints():
            # Noted before the listener reads, so that a change while it reads leads to another call.
            before, self._seen_count = self._seen_count, await self._database.change_count()
            return self._seen_count != before
        now = clock.monotonic()
        if now < self._next_sweep:
            return False
        self._next_sweep = now + SWEEP_SECONDS
        return True
