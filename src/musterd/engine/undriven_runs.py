"""A check for runs that are stored as running in this process but that no attempt drives.

No known fault leads to such a run. This bounds the unknown ones: the run would stay RUNNING as long as this process
lives, because its heartbeats keep the other processes from reassigning its runs.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog

from musterd.core.records import RunRow
from musterd.store import workers
from musterd.store.database import Database

log = structlog.get_logger("musterd.engine")

LOOK_SECONDS = 10.0
"""The time between two looks. A run that two looks in a row find undriven is given back."""


class DrivenRuns(Protocol):
    """The runs that a process drives; implemented by its worker."""

    def is_any_about_to_begin(self) -> bool:
        """Whether runs may be stored as running here whose attempts do not exist yet."""
        ...

    def drives(self, root_id: str) -> bool:
        """Whether this process drives the run."""
        ...


class UndrivenRuns:
    """Finds the runs of a worker that it does not drive.

    :param give_back: releases a run, so that a new attempt goes on with it.
    """

    def __init__(
        self, database: Database, worker_id: str, local: DrivenRuns, give_back: Callable[[RunRow], Awaitable[None]]
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._local = local
        self._give_back = give_back
        self._undriven: set[tuple[str, int]] = set()
        """The runs that the last look found undriven, with the numbers of their attempts."""

    async def look(self) -> None:
        """Give back the runs that this look and the one before it find undriven.

        :raises StoreUnavailable: the database cannot be used now.
        """
        before, self._undriven = self._undriven, set()
        running = await self._database.scan(lambda tx: workers.running(tx, self._worker_id))
        # An attempt begins in the same turn of the event loop in which its slot is no longer reserved, and a number of
        # an attempt is never used again. So a run that had no attempt at a look gets none later, unless a slot was
        # reserved. But it may have ended between the read and these lines, hence the second look.
        if self._local.is_any_about_to_begin():
            return
        self._undriven = {key for key in running if not self._local.drives(key[0])}
        for run_id, attempt in before & self._undriven:
            run = await self._database.read(partial(workers.running_run, run_id=run_id, attempt=attempt))
            if run is not None:
                log.error("a run had no attempt; it is given back", run_id=run_id, attempt=attempt)
                await self._give_back(run)
