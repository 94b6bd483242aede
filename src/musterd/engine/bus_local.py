"""The bus of processes that share only their database.

Hints need no messages: a process asks the database many times a second whether it has changed
(:mod:`musterd.engine.row_watch`).
"""

from collections.abc import Awaitable, Callable, Mapping

from musterd.core import clock
from musterd.core.records import RunRow
from musterd.core.settings import Settings
from musterd.engine.bus import BusListener, Findings, ReadyHints
from musterd.engine.membership import Membership
from musterd.engine.row_watch import RowWatch
from musterd.engine.wakeup import Wakeup
from musterd.store.database import Database
from musterd.store.events import StoredFlush


class LocalBus:
    """The bus of one process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        look_soon = Wakeup()
        self.membership = Membership(database, settings, look_soon.ring)
        self._database = database
        self._row_watch = RowWatch(database, settings, self.membership, look_soon)
        self._listener: BusListener | None = None

    @property
    def is_connected(self) -> bool:
        """Always true, because there is nothing to connect to."""
        return True

    # --- from start to stop -----------------------------------------------------------------------

    async def join(self, listener: BusListener, announce: Callable[[], Awaitable[None]]) -> None:
        """Show that this process is alive, until :meth:`leave`, and call the listener from now on."""
        self._listener = listener
        # Attempts whose runs were reassigned are stopped: the fence refuses what they write, but not what they call.
        await self.membership.join(announce, listener.read_changed_rows)
        self._row_watch.start(listener)

    def begin_stop(self) -> None:
        """Stop calling the listener. The process still shows that it is alive."""
        self.membership.begin_stop()
        self._row_watch.stop()

    async def leave(self, release: Callable[[], Awaitable[None]]) -> None:
        """Stop showing that this process is alive, and call ``release`` in between."""
        self.begin_stop()
        await self._row_watch.stopped()
        await self.membership.leave(release)

    # --- hints ------------------------------------------------------------------------------------

    def send_ready(self, run: RunRow) -> None:
        """Have this process look for ready runs. Others find the run when they see that the database has changed."""
        if self._listener is not None:
            self._listener.wake()

    async def take_ready(self, limit: int) -> ReadyHints | None:
        """No hints: the worker looks for any ready run."""
        return None

    def send_signal(self, run: RunRow) -> None:
        """Do nothing: the process that drives the run sees that the database has changed."""

    def send_events(self, root_id: str, flush: StoredFlush) -> None:
        """Do nothing: the processes in which the run is awaited see that the database has changed."""

    def follow_run(self, root_id: str) -> None:
        """Do nothing, because each look reads the rows of all runs that are awaited here."""

    def unfollow_run(self, root_id: str) -> None:
        """Do nothing."""

    def send_session_change(self, session_id: str) -> None:
        """Do nothing, because the processes in which the session is watched see that the database has changed."""

    def follow_session(self, session_id: str) -> None:
        """Do nothing, because each look reads the rows of all sessions that are watched here."""

    def unfollow_session(self, session_id: str) -> None:
        """Do nothing."""

    def send_change(self) -> None:
        """Do nothing: the others see that the database has changed."""

    def follow_changes(self) -> None:
        """Do nothing: the database counts changes in any case."""

    def unfollow_changes(self) -> None:
        """Do nothing."""

    async def change_count(self) -> int:
        """A number that changes when any process writes. Cheap."""
        return await self._database.change_count()

    # --- upkeep -----------------------------------------------------------------------------------

    async def upkeep_turn(self, period_seconds: float) -> None:
        """Wait for a period. Every process does upkeep; the transactions make sure that each thing is done once."""
        await clock.sleep(period_seconds)

    def send_upkeep_done(self, findings: Findings) -> None:
        """Do nothing, because every process does upkeep."""

    async def find_dead(self, workers: Mapping[str, int | None]) -> list[str]:
        """All silent workers, because only the database shows whether a worker is alive."""
        return list(self.membership.silent(workers))
