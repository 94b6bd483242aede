"""Following a session: its runs at work and those that begin, each read from where the reader left off.

There is no order across runs: each is a :class:`Reading` of its own, and all of them ring one bell.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound, StoreUnavailable
from musterd.core.events import END_EVENTS, Event, EventKind
from musterd.core.records import RunRow
from musterd.core.session_cursors import Cursor
from musterd.engine.broadcaster import Flush
from musterd.engine.resources import Resources
from musterd.engine.wakeup import Wakeup
from musterd.service.connected_clients import ConnectedClients
from musterd.service.following import Following
from musterd.service.subscription import Reading
from musterd.store import session_runs
from musterd.store.database import Tx

log = structlog.get_logger("musterd.service")

PAGE_RUNS = 100


@dataclass(slots=True)
class Followed:
    """One run of the session that is read.

    :param last_index: of the last event that the reader has.
    :param has_ended: whether its end was read, or it is gone.
    :param is_left: whether nobody is counted as its reader any more.
    """

    root: RunRow
    reading: Reading
    last_index: int
    has_ended: bool = False
    is_left: bool = False

    @property
    def is_unread(self) -> bool:
        """Whether the reader has nothing of it, and may get something."""
        return self.last_index < 0 and not self.has_ended

    def note(self, event: Event, index: int) -> None:
        """Take note of an event that was read."""
        self.last_index = index
        if event.run_id == self.root.run_id and event.kind in END_EVENTS:
            self.has_ended = event.kind is not EventKind.RUN_PAUSED


class SessionReading:
    """One reader of one session.

    :param caller: who reads; what another owns is not there.
    """

    def __init__(self, resources: Resources, following: Following, session_id: str, caller: Caller) -> None:
        self._resources = resources
        self._following = following
        self.session_id = session_id
        self._caller = caller
        self._look_seconds = resources.settings.session_look_seconds
        self._bell = Wakeup()
        self._watch = resources.broadcaster.watch(session_id, self._bell)
        self._place = Cursor()
        self._read: Mapping[str, int] = {}
        self._runs: dict[str, Followed] = {}
        self._next_look = clock.monotonic()
        self._on_dropped: Callable[[], object] = lambda: None
        self._is_sent_away = False

    async def begin(self, cursor: Cursor | None) -> None:
        """Begin where ``cursor`` says; without one with the runs that have not ended, each from its start.

        :raises NotFound: there is no such session that this caller may see.
        """
        session_id, caller = self.session_id, self._caller

        async def work(tx: Tx) -> tuple[list[RunRow], Cursor] | None:
            if cursor is None:
                return await session_runs.live(tx, session_id, caller)
            return await session_runs.named(tx, session_id, caller, cursor)

        found = await self._resources.database.scan(work)
        if found is None:
            raise NotFound(f"Session with ID {session_id} not found")
        roots, self._place = found
        self._read = self._place.runs
        await self._follow((root, self._read.get(root.run_id, -1)) for root in roots)
        if cursor is not None:
            await self._look()
            if self.is_closed:
                raise NotFound(f"Session with ID {session_id} not found")

    @property
    def cursor(self) -> Cursor:
        """How far the reader has come.

        Runs that wait at the end of the session's order, however many, are not named: they are found again as those
        that nobody knew.
        """
        waiting = {run.root.seq for run in self._runs.values() if run.is_unread}
        seq = self._place.seq
        while seq in waiting:
            seq -= 1
        read = {
            run_id: run.last_index
            for run_id, run in self._runs.items()
            if not run.is_unread or run.root.seq is None or run.root.seq <= seq
        }
        return replace(self._place, seq=seq, runs={**self._read, **read})

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come: the process stops, or the session is gone."""
        return self._watch.is_closed

    @property
    def is_dropped(self) -> bool:
        """Whether the reader lagged behind too far, and was given up."""
        return any(followed.reading.is_dropped for followed in self._runs.values())

    def on_dropped(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` when the reader is given up: it may hang in a send."""
        self._on_dropped = tell

    async def available(self) -> AsyncIterator[tuple[Followed, Flush]]:
        """What can be had now, run by run in their order; the reader notes each event that it was shown."""
        if self._watch.has_changed or clock.monotonic() >= self._next_look:
            await self._look()
        for followed in list(self._runs.values()):
            async for flush in followed.reading.available():
                yield followed, flush
            if followed.has_ended or followed.reading.is_closed:
                followed.has_ended = True
                self._leave(followed)
                self._watch.has_changed = True  # a message to it may have begun the next

    async def wait(self, seconds: float) -> None:
        """Wait until there may be more, or ``seconds`` are over."""
        has_news = any(followed.reading.has_news for followed in self._runs.values() if not followed.has_ended)
        if not has_news and not self._watch.has_changed and not self.is_closed:
            await self._bell.wait(max(0.0, min(seconds, self._next_look - clock.monotonic())))

    def send_away(self) -> None:
        """Stop reading, though the client is still there."""
        self._is_sent_away = True
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._watch.close()
        for followed in self._runs.values():
            self._leave(followed)

    async def _look(self) -> None:
        """Find further runs. One whose end was read is forgotten behind the look that finds no further place of it."""
        ended = [run_id for run_id, followed in self._runs.items() if followed.has_ended]
        self._watch.has_changed = False
        self._next_look = clock.monotonic() + self._look_seconds
        session_id, caller, place = self.session_id, self._caller, self._place
        try:
            found = await self._resources.database.scan(
                lambda tx: session_runs.behind(tx, session_id, caller, place, PAGE_RUNS)
            )
            if found is None:
                self._watch.close()
                return
            # One that was delayed may stand behind the reader's place, though it was read to its end.
            await self._follow((root, self._read.get(root.run_id, -1)) for root in found)
        except StoreUnavailable:
            log.debug("a session is looked at later: the database is away", session_id=session_id)
            return
        if found:
            self._place = replace(place, seq=max(root.seq or 0 for root in found))
        if len(found) == PAGE_RUNS:
            self._watch.has_changed = True
            return
        self._read = {}
        for run_id in ended:
            del self._runs[run_id]

    async def _follow(self, roots: Iterable[tuple[RunRow, int]]) -> None:
        for root, after in roots:
            after = min(after, root.next_event - 1)
            if root.run_id in self._runs or (root.state.is_final and after == root.next_event - 1):
                continue
            await self._following.keep_company(root)
            if self.is_closed:
                return
            reading = Reading(self._resources, root.run_id, self._bell)
            reading.come_late(root, after)
            reading.on_dropped(lambda: self._on_dropped())
            self._presence.enter(root.run_id)
            self._runs[root.run_id] = Followed(root, reading, after)

    def _leave(self, followed: Followed) -> None:
        if not followed.is_left:
            followed.is_left = True
            followed.reading.close()
            is_sent_away = self._is_sent_away or self.is_dropped
            self._presence.leave(followed.root.run_id, is_over=followed.has_ended, is_sent_away=is_sent_away)

    @property
    def _presence(self) -> ConnectedClients:
        return self._following.presence
