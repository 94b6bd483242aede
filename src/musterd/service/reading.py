"""Reading along: a run's events from any index, stored ones first, then live ones, without a gap or a double.

A run that another process drives is read from the store all the time; this one is told when there may be more.
"""

from collections.abc import AsyncIterator, Callable

from musterd.core.records import RunRow
from musterd.engine.hub import Flush
from musterd.engine.resources import Resources
from musterd.store import events, runs

PAGE_FLUSHES = 200


class Reading:
    """One reader of one root run. Made before the run is accepted, it misses nothing.

    Live flushes that do not fit behind what was read last make it read the store again, which always has them.
    """

    def __init__(self, resources: Resources, root_id: str, after: int = -1) -> None:
        self._resources = resources
        self._root_id = root_id
        self._subscription = resources.hub.subscribe(root_id)
        self._last = after

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
            page = await self._resources.database.read(
                lambda tx: events.after(tx, self._root_id, self._last, PAGE_FLUSHES)
            )
            for first_index, found in page.flushes:
                self._last = first_index + len(found) - 1
                yield Flush(first_index, found)
            self._last = page.last_index
            if page.is_last:
                return

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

    async def wait(self, seconds: float) -> bool:
        """Wait until there is more to take; False when ``seconds`` are over first."""
        return await self._subscription.wait(seconds)

    @property
    def is_closed(self) -> bool:
        """Whether no more live flushes will come: the process stops."""
        return self._subscription.is_closed

    @property
    def is_dropped(self) -> bool:
        """Whether the reader lagged behind too far, and was given up."""
        return self._subscription.is_dropped

    def on_dropped(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` when the reader is given up: it may hang in a send."""
        self._subscription.on_dropped = tell

    async def tree(self) -> list[RunRow]:
        """The rows of the root and its members so far."""
        return await self._resources.database.read(lambda tx: runs.tree(tx, self._root_id))

    def close(self) -> None:
        """Stop reading."""
        self._subscription.close()
