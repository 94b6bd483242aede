"""Subscribes to a run's events from any index: stored events first, then live ones, without gaps or duplicates.

If another process drives the run, all events are read from the store; the broadcaster signals when there may be more.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.events import Event
from musterd.core.records import RunRow
from musterd.core.step_contents import paths_of, places_in_event
from musterd.core.threads import in_thread
from musterd.engine.broadcaster import Flush, Stored
from musterd.engine.resources import Resources
from musterd.engine.wakeup import Wakeup
from musterd.store import events, runs, step_contents
from musterd.store.database import Database
from musterd.store.shards import SessionTx

PAGE_FLUSHES = 200
CONTENT_CHARACTERS = 4 * 1024 * 1024
"""A page ends after so many characters of contents, so that long ones do not fill the memory."""
LONG_BYTES = 256 * 1024
"""Longer pages are decoded in a thread, because other requests of this process wait meanwhile."""


class RunSubscription:
    """One subscriber of one root run. If it is created before the run is accepted, it misses no event.

    A live flush that does not follow directly on the last event read makes it read the store again, which is always
    complete.

    :param bell: wakes the subscriber. A subscriber of several runs passes the same bell to all of them.
    """

    def __init__(self, resources: Resources, root_id: str, bell: Wakeup | None = None) -> None:
        self._resources = resources
        self.root_id = root_id
        self._session_id: str | None = None
        self._subscription = resources.broadcaster.subscribe(root_id, bell)
        self._last_index = -1
        self._stored_index = -1
        self._after_gap: Flush | None = None
        self._is_closed_by_server = False

    def start_after(self, root: RunRow, after: int = -1) -> "RunSubscription":
        """Start with the stored events after index ``after`` of a run that is already accepted.

        :param root: the run's row. It must be read after this subscription was created: events up to the row's are read
            from the store, later ones arrive live, and an event between the two would otherwise be missed.
        """
        self._session_id = root.session_id
        self._last_index, self._stored_index = after, root.next_event - 1
        self._subscription.is_accepted = self._subscription.is_behind = True
        return self

    async def available(self) -> AsyncIterator[Flush]:
        """The unread flushes that are available now, live or, if the live queue is behind, from the store."""
        while True:
            if self._subscription.is_behind:
                async for flush in self.stored():
                    yield flush
            elif (live_flush := self.take()) is not None:
                yield live_flush
            elif not self._subscription.is_behind:
                # take() sets the flag if it finds a gap; then the next round reads the store.
                return

    async def stored(self) -> AsyncIterator[Flush]:
        """The stored flushes that were not read yet."""
        # Clear the flag before reading: a flush that is stored during the read sets it again.
        self._subscription.is_behind = False
        # A closed subscription has no client any more, or its run was deleted and another one may have its id.
        while not self.is_closed:
            read = partial(self._read_after, self._last_index)
            try:
                broadcaster = self._resources.broadcaster
                page = await broadcaster.stored(self.root_id, self._last_index, self._stored_index, read)
            except StoreUnavailable:
                # Set again, so that a later call reads what this one could not.
                self._subscription.is_behind = True
                raise
            for flush in page.flushes:
                self._last_index = flush.next_index - 1
                yield flush
            self._last_index = page.last_index
            if page.is_last:
                return
            await clock.sleep(0)  # let other tasks run between the pages of a long run

    async def _read_after(self, after: int) -> Stored:
        session_id = await self._session()
        if session_id is None:
            return Stored([], after, is_last=True)
        return await stored_after(self._resources.database, session_id, self.root_id, after)

    async def _session(self) -> str | None:
        """The session of the run; None: there is no such run."""
        if self._session_id is None:  # the run was accepted after this subscription was created
            self._session_id = await self._resources.database.read(lambda tx: runs.session_of(tx, self.root_id))
        return self._session_id

    def take(self) -> Flush | None:
        """The next unread live flush, or None if there is none now."""
        while (flush := self._subscription.take()) is not None:
            if flush.next_index - 1 <= self._last_index:
                continue
            if flush.first_index > self._last_index + 1:
                if flush is self._after_gap:
                    continue  # the store does not have this flush any more, so the run was deleted
                # A gap: another process drove the run before, or a message was lost. Read the store first, and then
                # take this flush again.
                self._after_gap = flush
                self._subscription.put_back(flush)
                self._subscription.is_behind = True
                return None
            if flush.first_index <= self._last_index:  # partly read from the store: keep only the rest
                flush = Flush(self._last_index + 1, flush.events[self._last_index + 1 - flush.first_index :])
            self._last_index = flush.next_index - 1
            return flush
        return None

    def read_again(self, flush: Flush) -> None:
        """Read this flush and all later ones again from the store, because it could not be sent now."""
        self._last_index = flush.first_index - 1
        self._subscription.is_behind = True

    async def wait(self, seconds: float) -> bool:
        """Wait until there is more to take. False if ``seconds`` pass first."""
        return await self._subscription.wait(seconds)

    @property
    def last_index(self) -> int:
        """The index of the last event read."""
        return self._last_index

    @property
    def has_news(self) -> bool:
        """Whether there is something to take, or nothing left to wait for."""
        return self._subscription.has_news

    @property
    def is_closed(self) -> bool:
        """Whether no more live flushes will arrive: the process stops, or the run was deleted."""
        return self._subscription.is_closed

    async def is_gone(self) -> bool:
        """Whether the run was deleted. False if the database is unavailable."""
        try:
            session_id = await self._session()
            return (
                session_id is None
                or await self._resources.database.read(
                    lambda tx: runs.state_of(SessionTx(tx, session_id), self.root_id)
                )
                is None
            )
        except StoreUnavailable:
            return False

    @property
    def is_closed_by_server(self) -> bool:
        """Whether this server ended the subscription, so that the client may still want the result."""
        return self._is_closed_by_server

    def close_by_server(self) -> None:
        """End the subscription although the client is still connected."""
        self._is_closed_by_server = True
        self.close()

    def close(self) -> None:
        """End the subscription."""
        self._subscription.close()


async def contents_of(database: Database, session_id: str, root_id: str, events: Iterable[Event]) -> Mapping[str, str]:
    """The contents that events of a tree refer to, by path."""
    return await _contents(database, session_id, root_id, _paths_in(events))


async def stored_after(
    database: Database, session_id: str, root_id: str, after: int, limit: int = PAGE_FLUSHES
) -> Stored:
    """Up to ``limit`` stored flushes of a run after event index ``after``, with the contents that they refer to.

    The page has fewer of them if they, or the contents, are long.
    """
    encoded = await database.fetch(lambda tx: events.encoded_page(SessionTx(tx, session_id), root_id, after, limit))
    is_long = encoded.characters > LONG_BYTES
    page = await in_thread(partial(events.decoded_page, encoded)) if is_long else events.decoded_page(encoded)
    contents, characters, flushes = dict[str, str](), 0, list[Flush]()
    for first_index, flush_events in page.flushes:
        if characters >= CONTENT_CHARACTERS:
            return Stored(flushes, first_index - 1, is_last=False)
        further = await _contents(database, session_id, root_id, _paths_in(flush_events) - contents.keys())
        characters += sum(map(len, further.values()))
        contents |= further
        flushes.append(Flush(first_index, flush_events, contents))
    return Stored(flushes, page.last_index, page.is_last)


def _paths_in(events: Iterable[Event]) -> set[str]:
    return paths_of(at for event in events for at in places_in_event(event))


async def _contents(database: Database, session_id: str, root_id: str, paths: set[str]) -> dict[str, str]:
    if not paths:
        return {}
    return await database.scan(lambda tx: step_contents.of_tree(SessionTx(tx, session_id), root_id, paths))
