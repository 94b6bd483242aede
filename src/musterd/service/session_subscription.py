"""Subscribes to a session: to its unfinished runs and to those that begin later, each from the subscriber's cursor.

There is no order across runs. Each run has its own :class:`RunSubscription`, and all of them ring the same bell.
"""

import math
from collections.abc import AsyncIterator, Iterable
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

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be read of the run here."""
        return self.has_ended or self.subscription.is_closed

    def note(self, event: Event, index: int) -> None:
        """Record that the subscriber has read this event."""
        self.last_index = index
        if event.run_id == self.root.run_id and event.kind in END_EVENTS:
            self.has_ended = event.kind is not EventKind.RUN_PAUSED


class RunBell(Wakeup):
    """The bell of one run of the session: it notes the run among those that have news, and rings the session's bell."""

    def __init__(self, run_id: str, ready: dict[str, None], bell: Wakeup) -> None:
        super().__init__()
        self._run_id = run_id
        self._ready = ready
        self._bell = bell

    @property
    def is_awaited(self) -> bool:
        """Whether the subscriber waits for news of any run."""
        return self._bell.is_awaited

    def ring(self) -> None:
        """Note the run, and wake the subscriber."""
        self._ready[self._run_id] = None
        self._bell.ring()


class NamedRuns:
    """The runs that cursors name, kept up to date run by run: a flush must not cost a look at all runs of the session.

    Unread runs at the end of the session's queue are not named, however many there are. Instead :attr:`seq` stops
    before them, so that they are found again as new runs.

    :ivar seq: all runs up to this place are named, or were read to their end.
    :ivar limit: the place up to which the session was searched; ``seq`` is never after it.
    """

    def __init__(self) -> None:
        self.seq = -1
        self.limit = -1
        self._named: dict[str, SubscribedRun] = {}
        self._unread: dict[int, SubscribedRun] = {}

    def add(self, run: SubscribedRun) -> None:
        """Add a run."""
        if run.is_unread and run.root.seq is not None and run.root.seq > self.seq:
            self._unread[run.root.seq] = run
        else:
            self._named[run.root.run_id] = run

    def note_read(self, run: SubscribedRun) -> None:
        """Name a run, because an event of it was read, or because nothing of it can be read any more."""
        seq = run.root.seq
        if seq is not None and self._unread.get(seq) is run:
            self._named[run.root.run_id] = self._unread.pop(seq)
            if seq <= self.limit:
                self._move_to(seq)

    def extend(self, limit: int) -> None:
        """Note that the session was searched up to ``limit``, and all runs that were found are added."""
        seq = limit
        while seq > self.limit and seq in self._unread:
            seq -= 1
        if seq > self.limit:
            self._move_to(seq)
        self.limit = limit

    def _move_to(self, seq: int) -> None:
        for passed in range(self.seq + 1, seq + 1):
            if (run := self._unread.pop(passed, None)) is not None:
                self._named[run.root.run_id] = run
        self.seq = max(self.seq, seq)

    def remove(self, run: SubscribedRun) -> None:
        """Name a run no more."""
        self.note_read(run)
        self._named.pop(run.root.run_id, None)

    def indexes(self) -> dict[str, int]:
        """The index of the last event that was read of each named run."""
        return {run_id: run.last_index for run_id, run in self._named.items()}


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
        self._named = NamedRuns()
        self._ready: dict[str, None] = {}
        """The ids of the runs that may have something to read, in the order in which it arrived."""
        self._retry_at = math.inf
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
        self._named.extend(self._position.seq)
        # The read above finds only runs that the cursor names. Those that were accepted since are found by a look.
        if cursor is not None:
            await self._look()
            if self.is_closed:
                raise NotFound(f"Session with ID {session_id} not found")

    def cursor_beside(self, run: SubscribedRun) -> Cursor:
        """The subscriber's current position in all runs but ``run``, of which it has read an event."""
        self._named.note_read(run)
        indexes = {**self._cursor_indexes, **self._named.indexes()}
        indexes.pop(run.root.run_id, None)
        return replace(self._position, seq=self._named.seq, runs=indexes)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will arrive: the process stops, or the session was deleted."""
        return self._watch.is_closed

    async def available(self) -> AsyncIterator[tuple[SubscribedRun, Flush]]:
        """The flushes that are available now, run by run. The caller calls ``note`` for each event that it sends."""
        if self._watch.has_changed or clock.monotonic() >= self._retry_at:
            await self._look()
        for run_id in list(self._ready):
            run = self._runs.get(run_id)
            if run is None or run.has_ended:
                del self._ready[run_id]
                continue
            async for flush in run.subscription.available():
                yield run, flush
            # Only now: if the read failed, or the caller could not send what it got, it is read again. Nothing is
            # awaited between the last look and this one, so no news are missed.
            if run.is_over:
                del self._ready[run_id]
                self._end(run)
            elif not run.subscription.has_news:
                del self._ready[run_id]

    def _end(self, run: SubscribedRun) -> None:
        has_read_end = run.has_ended  # else this process stops, and the subscriber resumes the run elsewhere
        run.has_ended = True
        self._named.note_read(run)
        self._leave(run)
        if has_read_end:
            self._forget_unless_found_again(run)
        # A message that the run did not take begins the session's next run when the run ends: look for it.
        self._watch.has_changed = True

    async def wait(self, seconds: float) -> None:
        """Wait until there may be more, or ``seconds`` have passed."""
        if not self._ready and not self._watch.has_changed and not self.is_closed:
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
            self._named.extend(self._position.seq)
        if len(roots) == PAGE_RUNS:
            self._watch.has_changed = True
            return
        self._cursor_indexes = {}
        # Their ends were read, and after that the queue was read to its end: no look finds them again.
        for run_id in ended_ids:
            self._named.remove(self._runs.pop(run_id))

    def _forget_unless_found_again(self, run: SubscribedRun) -> None:
        """Forget a run that ended, so that cursors do not name it. One that a look may find must not be read twice.

        Looks find runs by their place in the queue. Only a delayed run gets a later place, when it is due.
        """
        root = run.root
        if root.state is not RunState.SCHEDULED and root.seq is not None and root.seq <= self._position.seq:
            del self._runs[root.run_id]
            self._named.remove(run)
            self._cursor_indexes.pop(root.run_id, None)

    async def _subscribe_to(self, roots: Iterable[tuple[RunRow, int]]) -> None:
        for root, after in roots:
            after = min(after, root.next_event - 1)
            if root.run_id in self._runs or (root.state.is_final and after == root.next_event - 1):
                continue
            await self._following.end_cancel_on_disconnect_elsewhere(root)
            if self.is_closed:
                return
            # Created after the check, with no await in between: close() has left all runs that it knew, and would not
            # see this one.
            bell = RunBell(root.run_id, self._ready, self._bell)
            subscription = RunSubscription(self._resources, root.run_id, bell)
            subscription.start_after(root, after)
            self._connected_clients.enter(root.run_id)
            self._runs[root.run_id] = run = SubscribedRun(root, subscription, after)
            self._named.add(run)
            self._ready[root.run_id] = None

    def _leave(self, run: SubscribedRun) -> None:
        if not run.has_left:
            run.has_left = True
            run.subscription.close()
            self._connected_clients.leave(
                run.root.run_id, is_over=run.has_ended, is_closed_by_server=self._is_closed_by_server
            )

    @property
    def _connected_clients(self) -> ConnectedClients:
        return self._following.connected_clients
