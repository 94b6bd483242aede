"""The bus: how the processes on one database wake each other, and notice that one of them has died.

The database's rows are the truth. What the bus carries is a hint that something was committed: it may be late, arrive
twice, or be lost. So whoever gets a hint reads the row and decides by that, and upkeep finds what no hint has reported.

A hint is given after the commit of what it is about. A process that got one earlier would find nothing, and would not
be woken again.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from musterd.core.records import RunRow


class BusListener(Protocol):
    """What the bus calls in its process, on the event loop; the worker of the process."""

    def wake(self) -> None:
        """Look for ready runs soon."""

    async def look(self) -> None:
        """Read the rows of the runs that are driven or awaited here: any of them may have changed.

        :raises StoreUnavailable: they cannot be read now; the bus calls again.
        """

    def worker_died(self) -> None:
        """Do upkeep soon: another worker seems to be dead."""


class Bus(Protocol):
    """The bus, as one process sees it.

    ``worker_id`` is the id under which the process is known to the others.
    """

    worker_id: str

    # --- from start to stop -----------------------------------------------------------------------

    async def join(self, listener: BusListener, announce: Callable[[], Awaitable[None]]) -> None:
        """Show that this process is alive, until :meth:`leave`, and call the listener from now on.

        :param announce: stores the row of this worker. It is called again if other processes took this one for dead,
            and have removed the row.
        :raises StoreUnavailable: the row could not be stored.
        """

    def begin_stop(self) -> None:
        """Call the listener no more. The process still shows that it is alive."""

    async def leave(self, release: Callable[[], Awaitable[None]]) -> None:
        """Stop showing that this process is alive.

        :param release: releases the runs of this worker and removes its row. It is called once nothing can announce the
            worker again, and before others can take it for dead: they would count its runs as crashed.
        """

    # --- hints ------------------------------------------------------------------------------------

    def ready(self, run: RunRow) -> None:
        """Have a process that drives the component look for this run: it can be claimed."""

    def change_count(self) -> int:
        """A number that is another one after any process has written, unless a hint was lost. Cheap."""
        ...

    # --- upkeep and liveness ----------------------------------------------------------------------

    async def turn(self, period_seconds: float) -> None:
        """Wait until this process should do upkeep again, at most about once in ``period_seconds``.

        While any process is alive one of them gets a turn, so nothing that is due depends on a certain process.
        """

    def dead(self, workers: Mapping[str, int | None]) -> list[str]:
        """The workers among these that are dead, never this one. It is called once in each turn of upkeep.

        A worker that is reported as dead may live: it stood still for long. The fence refuses what it still writes.

        :param workers: those that are announced or hold runs, with the counters of their rows.
        """
        ...

    def bury(self, worker: str) -> None:
        """Remove what a dead worker has left on the bus, after its runs were released."""

    @property
    def silent_seconds(self) -> float:
        """How long ago this process has last shown that it is alive."""
        ...

    def last_beat_at(self, worker: str) -> float | None:
        """When a worker has last shown that it is alive, in unix seconds, as far as this process knows."""
        ...
