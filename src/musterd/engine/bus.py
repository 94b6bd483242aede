"""The bus, through which processes on one database wake each other, and notice that one of them has died.

The database's rows are the truth. The bus carries hints that something was committed. A hint may be late, arrive twice
or be lost, so a process that gets one reads the row and decides by it, and upkeep finds changes without a hint.

A hint is sent after its commit. A process that got it earlier would find nothing, and would not be woken again.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from musterd.core.records import RunRow
from musterd.engine.membership import Membership
from musterd.store.events import StoredFlush


@dataclass(frozen=True, slots=True)
class Findings:
    """Work that a turn of upkeep found, for the processes that can do it.

    :param is_any_ready: whether any run is ready, of any component.
    :param duties: the names of the features' duties that are due.
    """

    is_any_ready: bool = False
    duties: Sequence[str] = ()


class BusListener(Protocol):
    """The worker of the process, which the bus calls on the event loop."""

    @property
    def instance_id(self) -> str:
        """The id of the database."""
        ...

    @property
    def components(self) -> Sequence[str]:
        """The components whose runs this process drives, as workers announce them."""
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

    def ready_hints_arrived(self) -> None:
        """Soon take the hints that name ready runs."""

    async def read_changed_rows(self, run_ids: Collection[str] | None = None) -> None:
        """Read the rows of runs that are driven or awaited here, because they may have changed.

        :param run_ids: the runs that may have changed; by default any.
        :raises StoreUnavailable: the rows cannot be read now; the bus calls again.
        """

    def events_received(self, root_id: str, stored: StoredFlush) -> bool:
        """Pass on events of a run that is awaited here, which another process has stored and sent.

        :return: False if the run's row has to be read, because it may have ended, events before these may be missing,
            or these may be events of another run with the same id.
        """
        ...

    def session_changed(self, session_id: str) -> None:
        """Make the streams of a session look for new runs, because another process may have changed it."""

    def worker_died(self) -> None:
        """Do upkeep soon, because another worker seems to be dead."""

    def upkeep_done_elsewhere(self, findings: Findings) -> None:
        """Soon do the work that upkeep in another process found for this one."""


class ReadyHints(Protocol):
    """Hints that name ready runs. If this process dies before :meth:`done`, they are delivered again."""

    @property
    def run_ids(self) -> Sequence[str]:
        """The runs."""
        ...

    def done(self) -> None:
        """Confirm that the runs are claimed, or need not be."""

    def give_back(self) -> None:
        """Let another process try, because the runs could not be claimed now."""


class Bus(Protocol):
    """The bus, as one process sees it."""

    membership: Membership
    """Shows that this process is alive, and observes the others."""

    @property
    def is_connected(self) -> bool:
        """Whether hints can be sent now. If not, processes poll the database instead."""
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

    def send_ready(self, run: RunRow) -> None:
        """Make a process that drives the component look for this run, which can be claimed."""

    async def take_ready(self, limit: int) -> ReadyHints | None:
        """Take at most ``limit`` hints of :meth:`send_ready` that have arrived. None if this bus's hints name no runs.

        If there are fewer, the listener is called when the next one arrives.
        """

    def send_signal(self, run: RunRow) -> None:
        """Make the process that drives the run, if it is another one, read its row for a cancel or a message."""

    def send_events(self, root_id: str, flush: StoredFlush) -> None:
        """Make the processes in which the run is awaited pass these events on, or read its row."""

    def follow_run(self, root_id: str) -> None:
        """Call the listener whenever another process may have stored events of the run, until :meth:`unfollow_run`.

        Everything stored after this call is seen, even if it is stored at once. A second call changes nothing.
        """

    def unfollow_run(self, root_id: str) -> None:
        """Stop following the run."""

    def send_session_change(self, session_id: str) -> None:
        """Make the processes in which the session is watched look for new runs, because it has one or was deleted."""

    def follow_session(self, session_id: str) -> None:
        """Call the listener whenever another process may have changed the session, until :meth:`unfollow_session`.

        All changes after this call are seen, even if they follow at once. A second call changes nothing.
        """

    def unfollow_session(self, session_id: str) -> None:
        """Stop following the session."""

    def send_change(self) -> None:
        """Tell the other processes that runs or approvals changed; their :meth:`change_count` increases.

        For changes without another hint.
        """

    def follow_changes(self) -> None:
        """Have :meth:`change_count` count what other processes change, until :meth:`unfollow_changes`."""

    def unfollow_changes(self) -> None:
        """Count no more."""

    async def change_count(self) -> int:
        """A number that changes when any process changes runs or approvals, unless a hint was lost. Cheap.

        :raises StoreUnavailable: the database would have to be asked, and cannot be read now.
        """
        ...

    # --- upkeep -----------------------------------------------------------------------------------

    async def upkeep_turn(self, period_seconds: float) -> None:
        """Wait until this process should do upkeep again, at most about once in ``period_seconds``.

        As long as any process is alive, one of them gets a turn, so due work never depends on one particular process.
        """

    def send_upkeep_done(self, findings: Findings) -> None:
        """Tell the other processes that this one has done upkeep, and what it found for them."""

    async def find_dead(self, workers: Mapping[str, int | None]) -> list[str]:
        """The dead ones among these workers, never this one. It is called once in each turn of upkeep.

        A worker that is reported as dead may be alive, after a long stall. The fence rejects its writes.

        :param workers: all that are announced or hold runs, with the counters of their rows.
        """
        ...
