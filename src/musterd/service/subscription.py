"""Reading along: a run's events from any index, stored ones first, then live ones, without a gap or a double.

A run that another process drives is read from the store all the time; this one is told when there may be more.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.records import RunRow
from musterd.engine.broadcaster import Flush, Stored
from musterd.engine.resources import Resources
from musterd.engine.wakeup import Wakeup
from musterd.store import events, runs
from musterd.store.database import Database

PAGE_FLUSHES = 200


class Reading:
    """One reader of one root run. Made before the run is accepted, it misses nothing.

    :param bell: what wakes the reader; shared by all readings of one who reads several runs.

    Live flushes that do not fit behind what was read last make it read the store again, which always has them.
    """

    def __init__(self, resources: Resources, root_id: str, bell: Wakeup | None = None) -> None:
        self._resources = resources
        self.root_id = root_id
        self._subscription = resources.broadcaster.subscribe(root_id, bell)
        self._last = -1
        self._known = -1
        self._is_sent_away = False

    def come_late(self, root: RunRow, after: int = -1) -> "Reading":
        """Begin with the stored events that follow event ``after``: the run was accepted before.

        :param root: the run's row, read after this reading was made: its events so far are all read from the store.
        """
        self._last, self._known = after, root.next_event - 1
        self._subscription.is_accepted = self._subscription.is_behind = True
        return self

    async def available(self) -> AsyncIterator[Flush]:
        """What can be had now and was not read yet: live flushes, and stored ones where those are behind."""
        while True:
            if self._subscription.is_behind:
                async for flush in self.stored():
                    yield flush
            elif (live := self.take()) is not None:
                yield live
            elif not self._subscription.is_behind:
                return

    async def stored(self) -> AsyncIterator[Flush]:
        """What is stored and was not read yet."""
        self._subscription.is_behind = False  # what is stored from here on says so again
        while True:
            read = partial(stored_behind, self._resources.database, self.root_id, self._last)
            try:
                page = await self._resources.broadcaster.stored(self.root_id, self._last, self._known, read)
            except StoreUnavailable:
                self._subscription.is_behind = True
                raise
            for flush in page.flushes:
                self._last = flush.next_index - 1
                yield flush
            self._last = page.last_index
            if page.is_last:
                return
            await clock.sleep(0)  # a long story holds up nobody else

    def take(self) -> Flush | None:
        """The next live flush that was not read yet, or None when there is none now."""
        while (flush := self._subscription.take()) is not None:
            if flush.next_index - 1 <= self._last:
                continue
            if flush.first_index > self._last + 1:  # another process drove the run before: what it stored comes first
                self._subscription.put_back(flush)
                self._subscription.is_behind = True
                return None
            if flush.first_index <= self._last:
                flush = Flush(self._last + 1, flush.events[self._last + 1 - flush.first_index :])
            self._last = flush.next_index - 1
            return flush
        return None

    def give_back(self, flush: Flush) -> None:
        """Have a flush read again, and what is behind it: it could not be shown now."""
        self._last = flush.first_index - 1
        self._subscription.is_behind = True

    async def wait(self, seconds: float) -> bool:
        """Wait until there is more to take; False when ``seconds`` are over first."""
        return await self._subscription.wait(seconds)

    @property
    def last_index(self) -> int:
        """The index of the last event that was read."""
        return self._last

    @property
    def has_news(self) -> bool:
        """Whether there is something to take, or nothing to wait for."""
        return self._subscription.has_news

    @property
    def is_closed(self) -> bool:
        """Whether no more live flushes will come: the process stops, or the run is gone."""
        return self._subscription.is_closed

    @property
    def is_dropped(self) -> bool:
        """Whether the reader lagged behind too far, and was given up."""
        return self._subscription.is_dropped

    def on_dropped(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` when the reader is given up: it may hang in a send."""
        self._subscription.on_dropped = tell

    async def is_gone(self) -> bool:
        """Whether the run is not stored any more. A database that is away says nothing of it."""
        try:
            return await self._resources.database.read(lambda tx: runs.state_of(tx, self.root_id)) is None
        except StoreUnavailable:
            return False

    @property
    def is_sent_away(self) -> bool:
        """Whether it was this server that ended the reading: that says nothing about the client."""
        return self._is_sent_away or self.is_dropped

    def send_away(self) -> None:
        """Stop reading, though the client is still there."""
        self._is_sent_away = True
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._subscription.close()


async def stored_behind(database: Database, root_id: str, after: int, limit: int = PAGE_FLUSHES) -> Stored:
    """What the store has of a run behind an event, of up to ``limit`` flushes."""
    page = await database.read(lambda tx: events.after(tx, root_id, after, limit))
    flushes = [Flush(first_index, found) for first_index, found in page.flushes]
    return Stored(flushes, page.last_index, page.is_last)
