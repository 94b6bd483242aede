"""Live readers: who is told, in this process, what was stored.

Readers see events only after their commit. A reader that does not keep up is dropped; it can read on from the store.
However many read one run, what is stored is fetched once and shown to all.
"""

import asyncio
import functools
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from musterd.core.events import Event
from musterd.core.jsontypes import Json
from musterd.core.metrics import Metrics
from musterd.engine.wakeup import Wakeup

EVENT_BYTES = 300


@dataclass
class Flush:
    """One stored flush: its events have the indexes ``first_index``, ``first_index + 1``, …

    :param frames: each event as readers are sent it, once the first of them has made it for all.
    """

    first_index: int
    events: list[Event]
    frames: Sequence[bytes] | None = None

    @functools.cached_property
    def weight(self) -> int:
        """About how many bytes its events are on the wire."""
        return sum(EVENT_BYTES + _text_length(event.data) for event in self.events)

    @property
    def next_index(self) -> int:
        """The index after the last event."""
        return self.first_index + len(self.events)


def _text_length(value: Json) -> int:
    """How long all texts in a JSON value are."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_text_length, value.values()))
    return sum(map(_text_length, value)) if isinstance(value, list) else 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store has of a run behind an event.

    :param last_index: of the last event that was read, also where it was passed over.
    :param is_last: whether nothing more was stored.
    """

    flushes: Sequence[Flush]
    last_index: int
    is_last: bool


class Subscription:
    """One reader's queue of stored flushes of one run tree.

    :param bell: what wakes the reader; shared by all subscriptions of one who reads several runs.
    """

    def __init__(self, broadcaster: "Broadcaster", root_id: str, bell: Wakeup) -> None:
        self._broadcaster = broadcaster
        self.root_id = root_id
        self._bell = bell
        self._flushes: deque[Flush] = deque()
        self._weight = 0
        self.is_closed = False
        self.is_dropped = False
        self.is_behind = False
        """Whether the store may have more than was handed over: the reader must look there."""
        self.is_accepted = False
        """Whether the run is known to be stored: where it is not found any more, it is gone."""
        self.on_dropped: Callable[[], object] | None = None

    def push(self, flush: Flush) -> None:
        """Hand the reader a flush. A reader that waits for it keeps up, however large it is."""
        self.is_accepted = True
        self._flushes.append(flush)
        self._weight += flush.weight
        if self._weight > self._broadcaster.buffer_bytes and not self._bell.is_heard:
            self._drop()
        else:
            self._bell.ring()

    def _drop(self) -> None:
        self.is_dropped = True
        self._broadcaster.metrics.readers_dropped.add()
        self._flushes.clear()
        self.close()
        if self.on_dropped is not None:
            self.on_dropped()

    def look_up(self) -> None:
        """Send the reader to the store: another process has written there."""
        self.is_behind = True
        self._bell.ring()

    def take(self) -> Flush | None:
        """The next flush, or None when there is none yet."""
        if not self._flushes:
            return None
        flush = self._flushes.popleft()
        self._weight -= flush.weight
        return flush

    def put_back(self, flush: Flush) -> None:
        """Have :meth:`take` give this one first."""
        self._flushes.appendleft(flush)
        self._weight += flush.weight

    async def wait(self, seconds: float) -> bool:
        """Wait until there is something to take, the subscription closes, or time is up: then False."""
        if not self.has_news:
            await self._bell.wait(seconds)
        return self.has_news

    @property
    def has_news(self) -> bool:
        """Whether there is something to take, or nothing to wait for."""
        return bool(self._flushes) or self.is_closed or self.is_behind

    def close(self) -> None:
        """End the subscription; what was handed over can still be taken."""
        if not self.is_closed:
            self.is_closed = True
            self._broadcaster.forget(self)
            self._bell.ring()


class SessionWatch:
    """One reader's look at which runs a session has.

    :param has_changed: whether there may be other ones than when the reader looked last.
    """

    def __init__(self, broadcaster: "Broadcaster", session_id: str, bell: Wakeup) -> None:
        self._broadcaster = broadcaster
        self.session_id = session_id
        self._bell = bell
        self.has_changed = True
        self.is_closed = False

    def tell(self) -> None:
        """The session has changed."""
        self.has_changed = True
        self._bell.ring()

    def close(self) -> None:
        """Stop watching."""
        if not self.is_closed:
            self.is_closed = True
            self._broadcaster.forget_watch(self)
            self._bell.ring()


@dataclass
class _Audience:
    """Those who read one run here, and the page of the store that they asked for last.

    :param page: behind which event it begins, and what it holds, or will hold.
    """

    readers: set[Subscription] = field(default_factory=set)
    page: "tuple[int, asyncio.Task[Stored]] | None" = None


class Broadcaster:
    """The readers of this process, by root run; and those that wait for a run to settle.

    :param buffer_bytes: how far a reader may lag behind before it is dropped.
    :param figures: where it is counted who was.
    """

    def __init__(self, buffer_bytes: int, metrics: Metrics | None = None) -> None:
        self.buffer_bytes = buffer_bytes
        self.metrics = metrics or Metrics()
        self._audiences: dict[str, _Audience] = {}
        self._settling: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._watches: defaultdict[str, set[SessionWatch]] = defaultdict(set)

    def subscribe(self, root_id: str, bell: Wakeup | None = None) -> Subscription:
        """Read along with a run from now on; parameters as of :class:`Subscription`."""
        subscription = Subscription(self, root_id, bell or Wakeup())
        self._audiences.setdefault(root_id, _Audience()).readers.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Stop handing flushes to ``subscription``."""
        audience = self._audiences.get(subscription.root_id)
        if audience is not None:
            audience.readers.discard(subscription)
            if not audience.readers:
                del self._audiences[subscription.root_id]

    @property
    def readers(self) -> int:
        """How many read along now."""
        return sum(len(audience.readers) for audience in self._audiences.values())

    def has_readers(self, root_id: str) -> bool:
        """Whether anybody reads along with the run."""
        return root_id in self._audiences

    def publish(self, root_id: str, flush: Flush) -> None:
        """Hand a stored flush to the run's readers."""
        if (audience := self._audiences.get(root_id)) is not None:
            audience.page = None
            for subscription in tuple(audience.readers):  # one that is dropped leaves
                subscription.push(flush)

    def waited_for(self) -> set[str]:
        """The runs that somebody reads along with, or waits for."""
        return self._audiences.keys() | self._settling.keys()

    def look_up(self, root_id: str) -> None:
        """Send the run's readers to the store: another process drives it."""
        if (audience := self._audiences.get(root_id)) is not None:
            audience.page = None
            for subscription in audience.readers:
                subscription.look_up()

    def gone(self, root_id: str) -> None:
        """The run is not stored any more: nobody need wait for it. Readers that are to start it stay."""
        self.settled(root_id)
        if (audience := self._audiences.get(root_id)) is not None:
            audience.page = None
            for subscription in [one for one in audience.readers if one.is_accepted]:
                subscription.close()

    async def stored(
        self, root_id: str, after: int, known: int, read: Callable[[], Coroutine[object, None, Stored]]
    ) -> Stored:
        """Return the stored events of a run that follow event ``after``. Readers at the same index share one read.

        :param known: the index of the last event that the reader knows to be stored.
        :param read: reads the page from the database.
        """
        audience = self._audiences.get(root_id)
        if audience is None:
            return await read()
        while True:
            shared = audience.page
            is_own = shared is None or shared[0] != after or _has_failed(shared[1])
            if is_own:
                shared = audience.page = after, asyncio.create_task(read())
            assert shared is not None
            page = shared[1].result() if shared[1].done() else await asyncio.shield(shared[1])
            # A page that another reader began may be older than what this reader has seen of the run. If it were
            # accepted, a stream whose run has ended would close without the last events. A read that begins here
            # is new enough, whatever it finds.
            if is_own or not page.is_last or page.last_index >= known:
                return page
            if audience.page is shared:
                audience.page = None

    def watch(self, session_id: str, bell: Wakeup) -> SessionWatch:
        """Be told, from now on, that a session may have further runs, or be deleted."""
        watch = SessionWatch(self, session_id, bell)
        self._watches[session_id].add(watch)
        return watch

    def forget_watch(self, watch: SessionWatch) -> None:
        """Tell ``watch`` nothing more."""
        watches = self._watches.get(watch.session_id)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del self._watches[watch.session_id]

    def session_changed(self, session_id: str) -> None:
        """Tell those who watch a session that it has another run, or is deleted."""
        for watch in self._watches.get(session_id, ()):
            watch.tell()

    def settled(self, root_id: str) -> None:
        """Tell those who wait that the run ended or paused."""
        for waiter in self._settling.pop(root_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def wait_settled_soon(self, root_id: str) -> "SettleWaiter":
        """Listen, from now on, for the run to end or pause in this process."""
        return SettleWaiter(self, root_id)

    def add_waiter(self, root_id: str, waiter: "asyncio.Future[None]") -> None:
        """Have ``waiter`` told when the run settles."""
        self._settling[root_id].add(waiter)

    def remove_waiter(self, root_id: str, waiter: "asyncio.Future[None]") -> None:
        """Tell ``waiter`` nothing more."""
        waiters = self._settling.get(root_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._settling[root_id]

    def close(self) -> None:
        """End every subscription: the process stops, readers go on elsewhere or later."""
        for audience in list(self._audiences.values()):
            for subscription in list(audience.readers):
                subscription.close()
        for watches in list(self._watches.values()):
            for watch in list(watches):
                watch.close()
        for root_id in list(self._settling):
            self.settled(root_id)


def _has_failed(page: "asyncio.Task[Stored]") -> bool:
    return page.done() and (page.cancelled() or page.exception() is not None)


class SettleWaiter:
    """Listens for a run to end or pause. Made before the run is looked at, it misses nothing."""

    def __init__(self, broadcaster: Broadcaster, root_id: str) -> None:
        self._broadcaster = broadcaster
        self._root_id = root_id
        self._told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        broadcaster.add_waiter(root_id, self._told)

    async def wait(self, seconds: float) -> bool:
        """Wait until the run settles; False when ``seconds`` are over first."""
        done, _ = await asyncio.wait([self._told], timeout=seconds)
        return bool(done)

    def close(self) -> None:
        """Stop listening."""
        self._broadcaster.remove_waiter(self._root_id, self._told)
