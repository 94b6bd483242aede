"""Subscribes to a session: to its unfinished runs and to those that begin later, each from the subscriber's cursor.

There is no order across runs. Each run has its own :class:`RunSubscription`, and all of them ring the same bell.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound, StoreUnavailable
from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.records import RunRow
from musterd.core.session_cursors import Cursor
from musterd.core.states import RunState
from musterd.engine.broadcaster import Flush
from musterd.engine.resources import Resources
from musterd.engine.wakeup import Wakeup
from musterd.service.connected_clients import ConnectedClients
from musterd.service.following import Following
from musterd.service.subscription import RunSubscription
from musterd.store import session_runs
from musterd.store.database import Tx

log = structlog.get_logger("musterd.service")

PAGE_RUNS = 100
RETRY_SECONDS = 1.0
"""The time between a failed look and the next one."""


@dataclass(slots=True)
class SubscribedRun:
    """One run of the session, as this subscriber has read it.

    :param last_index: the index of the last event that the subscriber has.
    :param has_ended: whether the subscriber has read the run's end, or the run was deleted.
    :param has_left: whether the subscriber no longer counts as one of the run's clients.
    """

    root: RunRow
    subscription: RunSubscription
    last_index: int
    has_ended: bool = False
    has_left: bool = False

    @property
    def is_unread(self) -> bool:
        """Whether the subscriber has read no event of the run, and may still get some."""
        return self.last_index < 0 and not self.has_ended

    def note(self, event: Event, index: int) -> None:
        """Record that the subscriber has read this event."""
        self.last_index = index
        if event.run_id == self.root.run_id and event.kind in END_EVENTS:
            self.has_ended = event.kind is not EventKind.RUN_PAUSED


class SessionSubscription:
    """One subscriber of one session.

    :param caller: the caller who subscribes. Runs that it may not see are left out.
    """

    def __init__(self, resources: Resources, following: Following, session_id: str, caller: Caller) -> None:
        self._resources = resources
        self._following = following
        self.session_id = session_id
        self._caller = caller
        self._bell = Wakeup()
        self._watch = resources.broadcaster.watch(session_id, self._bell)
        self._position = Cursor()
        self._cursor_indexes: dict[str, int] = {}
        self._runs: dict[str, SubscribedRun] = {}
        self._retry_at = math.inf
        self._on_dropped: Callable[[], object] = lambda: None
        self._is_closed_by_server = False

    async def begin(self, cursor: Cursor | None) -> None:
        """Begin at ``cursor``. Without a cursor, begin with the unfinished runs, each from its first event.

        :raises NotFound: there is no such session that this caller may see.
        """
        session_id, caller = self.session_id, self._caller

        async def work(tx: Tx) -> tuple[list[RunRow], Cursor] | None:
            if cursor is None:
                return await session_runs.live(tx, session_id, caller)
            return await session_runs.named(tx, session_id, caller, cursor)

        roots_and_cursor = await self._resources.database.scan(work)
        if roots_and_cursor is None:
            raise NotFound(f"Session with ID {session_id} not found")
        roots, self._position = roots_and_cursor
        self._cursor_indexes = dict(self._position.runs)
        await self._subscribe_to((root, self._cursor_indexes.get(root.run_id, -1)) for root in roots)
        # The read above finds only runs that the cursor names. Those that were accepted since are found by a look.
        if cursor is not None:
            await self._look()
            if self.is_closed:
                raise NotFound(f"Session with ID {session_id} not found")

    def cursor_beside(self, run: SubscribedRun) -> Cursor:
        """The subscriber's current position in all runs but ``run``, of which it has read an event.

        Unread runs at the end of the session's queue are not named, however many there are. Instead ``seq`` stops
        before them, so that they are found again as new runs.
        """
        others = [other for other in self._runs.values() if other is not run]
        unread_seqs = {other.root.seq for other in others if other.is_unread}
        seq = self._position.seq
        while seq in unread_seqs:
            seq -= 1
        indexes = {
            other.root.run_id: other.last_index
            for other in others
            if not other.is_unread or other.root.seq is None or other.root.seq <= seq
        }
        indexes = {**self._cursor_indexes, **indexes}
        indexes.pop(run.root.run_id, None)
        return replace(self._position, seq=seq, runs=indexes)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will arrive: the process stops, or the session was deleted."""
        return self._watch.is_closed

    @property
    def is_dropped(self) -> bool:
        """Whether the subscriber fell too far behind and was dropped."""
        return any(run.subscription.is_dropped for run in self._runs.values())

    def on_dropped(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the subscriber is dropped, because it may be blocked in a send."""
        self._on_dropped = callback

    async def available(self) -> AsyncIterator[tuple[SubscribedRun, Flush]]:
        """The flushes that are available now, run by run. The caller calls ``note`` for each event that it sends."""
        if self._watch.has_changed or clock.monotonic() >= self._retry_at:
            await self._look()
        for run in list(self._runs.values()):
            async for flush in run.subscription.available():
                yield run, flush
            if run.has_ended or run.subscription.is_closed:
                has_read_end = run.has_ended  # else this process stops, and the subscriber resumes the run elsewhere
                run.has_ended = True
                self._leave(run)
                if has_read_end:
                    self._forget_unless_found_again(run)
                # A message that the run did not take begins the session's next run when the run ends: look for it.
                self._watch.has_changed = True

    async def wait(self, seconds: float) -> None:
        """Wait until there may be more, or ``seconds`` have passed."""
        has_news = any(run.subscription.has_news for run in self._runs.values() if not run.has_ended)
        if not has_news and not self._watch.has_changed and not self.is_closed:
            await self._bell.wait(max(0.0, min(seconds, self._retry_at - clock.monotonic())))

    def close_by_server(self) -> None:
        """End the subscription although the client is still connected."""
        self._is_closed_by_server = True
        self.close()

    def close(self) -> None:
        """End the subscription."""
        self._watch.close()
        for run in self._runs.values():
            self._leave(run)

    async def _look(self) -> None:
        """Find new runs, and forget runs whose end was read before this look.

        A run that ended and may be found again is kept until a look has reached the end of the session's queue.
        """
        ended_ids = [run_id for run_id, run in self._runs.items() if run.has_ended]
        self._watch.has_changed = False  # before reading: a change during the read sets it again
        self._retry_at = math.inf
        session_id, caller, position = self.session_id, self._caller, self._position
        try:
            roots = await self._resources.database.scan(
                lambda tx: session_runs.after(tx, session_id, caller, position, PAGE_RUNS)
            )
            if roots is None:
                self._watch.close()
                return
            # A delayed run gets a new seq when it is due, so it may be found here although it was read to its end.
            await self._subscribe_to((root, self._cursor_indexes.get(root.run_id, -1)) for root in roots)
        except StoreUnavailable:
            log.debug("looking for new runs of a session failed: database unavailable", session_id=session_id)
            self._retry_at = clock.monotonic() + RETRY_SECONDS
            return
        if roots:
            # Only after all of them are subscribed to. If that fails, the next look finds them again.
            self._position = replace(position, seq=max(root.seq or 0 for root in roots))
        if len(roots) == PAGE_RUNS:
            self._watch.has_changed = True
            return
        self._cursor_indexes = {}
        # Their ends were read, and after that the queue was read to its end: no look finds them again.
        for run_id in ended_ids:
            del self._runs[run_id]

    def _forget_unless_found_again(self, run: SubscribedRun) -> None:
        """Forget a run that ended, so that cursors do not name it. One that a look may find must not be read twice.

        Looks find runs by their place in the queue. Only a delayed run gets a later place, when it is due.
        """
        root = run.root
        if root.state is not RunState.SCHEDULED and root.seq is not None and root.seq <= self._position.seq:
            del self._runs[root.run_id]
            self._cursor_indexes.pop(root.run_id, None)

    async def _subscribe_to(self, roots: Iterable[tuple[RunRow, int]]) -> None:
        for root, after in roots:
            after = min(after, root.next_event - 1)
            if root.run_id in self._runs or (root.state.is_final and after == root.next_event - 1):
                continue
            await self._following.note_subscriber(root)
            if self.is_closed:
                return
            # Created after the check, with no await in between: close() has left all runs that it knew, and would not
            # see this one.
            subscription = RunSubscription(self._resources, root.run_id, self._bell)
            subscription.start_after(root, after)
            subscription.on_dropped(lambda: self._on_dropped())
            self._connected_clients.enter(root.run_id)
            self._runs[root.run_id] = SubscribedRun(root, subscription, after)

    def _leave(self, run: SubscribedRun) -> None:
        if not run.has_left:
            run.has_left = True
            run.subscription.close()
            self._connected_clients.leave(
                run.root.run_id,
                is_over=run.has_ended,
                is_closed_by_server=self._is_closed_by_server or self.is_dropped,
            )

    @property
    def _connected_clients(self) -> ConnectedClients:
        return self._following.connected_clients
