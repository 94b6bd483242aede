"""The bus: how the processes on one database wake each other, and notice that one of them has died.

The database's rows are the truth. What the bus carries is a hint that something was committed: it may be late, arrive
twice, or be lost. So a process that gets a hint reads the row and decides by it, and upkeep finds what no hint
reported.

A hint is given after the commit of what it is about. A process that got one earlier would find nothing, and would not
be woken again.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from musterd.core.records import RunRow
from musterd.store.events import StoredFlush


@dataclass(frozen=True, slots=True)
class Findings:
    """What a turn of upkeep has found and leaves to the processes that can do it.

    :param is_any_ready: whether any run is ready, of any component.
    :param duties: the names of the features' duties that have something to do.
    """

    is_any_ready: bool = False
    duties: Sequence[str] = ()


class BusListener(Protocol):
    """What the bus calls in its process, on the event loop; the worker of the process."""

    @property
    def components(self) -> Sequence[str]:
        """The components whose runs this process drives, in the form that workers announce."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether this process could begin another run now."""
        ...

    def drives(self, root_id: str) -> bool:
        """Whether this process drives the run."""
        ...

    def wake(self) -> None:
        """Look for any ready run soon."""

    def hinted(self) -> None:
        """Take the hints that have come, soon."""

    async def look(self, run_ids: Collection[str] | None = None) -> None:
        """Read the rows of runs that are driven or awaited here, because they may have changed.

        :param run_ids: the runs that may have; by default any.

        :raises StoreUnavailable: they cannot be read now; the bus calls again.
        """

    def received(self, root_id: str, stored: StoredFlush) -> bool:
        """Pass on events of a run that is awaited here, which another process has stored and sent.

        :return: False if the run has to be looked at, because it may have ended, or these may be events of another run.
        """
        ...

    def session_changed(self, session_id: str) -> None:
        """Have the streams of a session look for new runs: another process may have changed it."""

    def worker_died(self) -> None:
        """Do upkeep soon: another worker seems to be dead."""

    def upkeep_done_elsewhere(self, findings: Findings) -> None:
        """Do soon what upkeep in another process has found, as far as this process can."""


class Hints(Protocol):
    """Hints that name ready runs. They come again, here or in another process, if this one dies before :meth:`done`."""

    @property
    def run_ids(self) -> Sequence[str]:
        """The runs."""
        ...

    def done(self) -> None:
        """The runs are claimed, or need not be."""

    def give_back(self) -> None:
        """The runs could not be claimed now: have another process try."""


class Bus(Protocol):
    """The bus, as one process sees it.

    ``worker_id`` is the id under which the process is known to the others.
    """

    worker_id: str

    @property
    def is_connected(self) -> bool:
        """Whether hints can be sent now. While they cannot, looks at the database find what they would say."""
        ...

    # --- from start to stop -----------------------------------------------------------------------

    async def join(self, listener: BusListener, announce: Callable[[], Awaitable[None]]) -> None:
        """Show that this process is alive, until :meth:`leave`, and call the listener from now on.

        :param announce: stores the row of this worker. It is called again if other processes considered this one
            dead and removed the row.
        :raises StoreUnavailable: the row could not be stored.
        """

    def begin_stop(self) -> None:
        """Stop calling the listener. The process still shows that it is alive."""

    async def leave(self, release: Callable[[], Awaitable[None]]) -> None:
        """Stop showing that this process is alive.

        :param release: releases the runs of this worker and removes its row. It is called once nothing can announce the
            worker again, and before others can consider it dead: they would count its runs as crashed.
        """

    # --- hints ------------------------------------------------------------------------------------

    def ready(self, run: RunRow) -> None:
        """Have a process that drives the component look for this run: it can be claimed."""

    async def take(self, limit: int) -> Hints | None:
        """Take at most ``limit`` hints of :meth:`ready` that have come; None: hints name no runs, so look for any.

        If there are fewer, the listener is called when the next one comes.
        """

    def tell(self, run: RunRow) -> None:
        """Have the process that drives the run, if it is another one, read its row: a cancel or a message is stored."""

    def stored(self, root_id: str, flush: StoredFlush) -> None:
        """Have the processes in which the run is awaited pass these events on, or read its row."""

    def hear(self, root_id: str) -> None:
        """Have the listener look at the run whenever another process may have stored more of it, until :meth:`forget`.

        What is stored after this call is seen, also if it is stored at once. Calling it again changes nothing.
        """

    def forget(self, root_id: str) -> None:
        """Stop looking at the run."""

    def session_changed(self, session_id: str) -> None:
        """Have the processes in which the session is watched look for new runs: it has one, or is deleted."""

    def hear_session(self, session_id: str) -> None:
        """Have the listener called whenever another process may have changed the session, until :meth:`forget_session`.

        Changes after this call are seen, also if they follow at once. Calling it again changes nothing.
        """

    def forget_session(self, session_id: str) -> None:
        """Watch the session no more."""

    def changed(self) -> None:
        """Have :meth:`change_count` change in other processes soon: runs or approvals changed without another hint."""

    def hear_changes(self) -> None:
        """Have :meth:`change_count` count what other processes change, until :meth:`forget_changes`."""

    def forget_changes(self) -> None:
        """Count no more."""

    def change_count(self) -> int:
        """A number that changes when any process changes runs or approvals, unless a hint was lost. Cheap."""
        ...

    # --- upkeep and liveness ----------------------------------------------------------------------

    async def turn(self, period_seconds: float) -> None:
        """Wait until this process should do upkeep again, at most about once in ``period_seconds``.

        While any process is alive one of them gets a turn, so nothing that is due depends on a certain process.
        """

    def upkeep_done(self, findings: Findings) -> None:
        """Have the other processes note that this one has done upkeep, and do what it has found."""

    async def dead(self, workers: Mapping[str, int | None]) -> list[str]:
        """The workers among these that are dead, never this one. It is called once in each turn of upkeep.

        A worker that is reported as dead may be alive, after a long stall. The fence refuses what it still writes.

        :param workers: all that are announced or hold runs, with the counters of their rows.
        """
        ...

    def bury(self, worker: str) -> None:
        """Remove what a dead worker left on the bus, after its runs were released."""

    @property
    def silent_seconds(self) -> float:
        """How long ago this process has last shown that it is alive."""
        ...

    def last_beat_at(self, worker: str) -> float | None:
        """When a worker has last shown that it is alive, in unix seconds, as far as this process knows."""
        ...
