"""Live readers: who is told, in this process, what was stored.

Readers see events only after their commit. A reader that does not keep up is dropped; it can read on from the store.
"""

import asyncio
import functools
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from musterd.core.events import Event
from musterd.core.figures import Figures

EVENT_BYTES = 300


@dataclass
class Flush:
    """One stored flush: its events have the indexes ``first_index``, ``first_index + 1``, …"""

    first_index: int
    events: list[Event]

    @functools.cached_property
    def weight(self) -> int:
        """About how many bytes its events are on the wire."""
        return sum(EVENT_BYTES + _text_length(event) for event in self.events)

    @property
    def next_index(self) -> int:
        """The index after the last event."""
        return self.first_index + len(self.events)


def _text_length(event: Event) -> int:
    output = event.data.get("output") or {}
    texts = (event.data.get("text"), event.data.get("reasoning"), output.get("content"))
    return sum(len(text) for text in texts if isinstance(text, str))


class Subscription:
    """One reader's queue of stored flushes of one run tree."""

    def __init__(self, hub: "Hub", root_id: str) -> None:
        self._hub = hub
        self.root_id = root_id
        self._flushes: deque[Flush] = deque()
        self._weight = 0
        self._waiter: asyncio.Future[None] | None = None
        self.is_closed = False
        self.is_dropped = False
        self.is_behind = False
        """Whether the store may have more than was handed over: the reader must look there."""
        self.on_dropped: Callable[[], object] | None = None

    def push(self, flush: Flush) -> None:
        """Hand the reader a flush. A reader that waits for it keeps up, however large it is."""
        is_waiting = self._waiter is not None and not self._waiter.done()
        self._flushes.append(flush)
        self._weight += flush.weight
        if self._weight > self._hub.buffer_bytes and not is_waiting:
            self._drop()
        else:
            self._wake()

    def _drop(self) -> None:
        self.is_dropped = True
        self._hub.figures.readers_dropped.add()
        self._flushes.clear()
        self.close()
        if self.on_dropped is not None:
            self.on_dropped()

    def look_up(self) -> None:
        """Send the reader to the store: another process has written there."""
        self.is_behind = True
        self._wake()

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
        if self._is_done_waiting():
            return True
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self._is_done_waiting()

    def _is_done_waiting(self) -> bool:
        return bool(self._flushes) or self.is_closed or self.is_behind

    def close(self) -> None:
        """End the subscription; what was handed over can still be taken."""
        if not self.is_closed:
            self.is_closed = True
            self._hub.forget(self)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """The readers of this process, by root run; and those that wait for a run to settle.

    :param buffer_bytes: how far a reader may lag behind before it is dropped.
    :param figures: where it is counted who was.
    """

    def __init__(self, buffer_bytes: int, figures: Figures | None = None) -> None:
        self.buffer_bytes = buffer_bytes
        self.figures = figures or Figures()
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._settling: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def subscribe(self, root_id: str) -> Subscription:
        """Read along with a run from now on."""
        subscription = Subscription(self, root_id)
        self._subscriptions[root_id].add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Stop handing flushes to ``subscription``."""
        readers = self._subscriptions.get(subscription.root_id)
        if readers is not None:
            readers.discard(subscription)
            if not readers:
                del self._subscriptions[subscription.root_id]

    @property
    def readers(self) -> int:
        """How many read along now."""
        return sum(map(len, self._subscriptions.values()))

    def has_readers(self, root_id: str) -> bool:
        """Whether anybody reads along with the run."""
        return root_id in self._subscriptions

    def publish(self, root_id: str, flush: Flush) -> None:
        """Hand a stored flush to the run's readers."""
        for subscription in tuple(self._subscriptions.get(root_id, ())):  # one that is dropped leaves
            subscription.push(flush)

    def waited_for(self) -> set[str]:
        """The runs that somebody reads along with, or waits for."""
        return self._subscriptions.keys() | self._settling.keys()

    def look_up(self, root_id: str) -> None:
        """Send the run's readers to the store: another process drives it."""
        for subscription in self._subscriptions.get(root_id, ()):
            subscription.look_up()

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
        for readers in list(self._subscriptions.values()):
            for subscription in list(readers):
                subscription.close()
        for root_id in list(self._settling):
            self.settled(root_id)


class SettleWaiter:
    """Listens for a run to end or pause. Made before the run is looked at, it misses nothing."""

    def __init__(self, hub: Hub, root_id: str) -> None:
        self._hub = hub
        self._root_id = root_id
        self._told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        hub.add_waiter(root_id, self._told)

    async def wait(self, seconds: float) -> bool:
        """Wait until the run settles; False when ``seconds`` are over first."""
        done, _ = await asyncio.wait([self._told], timeout=seconds)
        return bool(done)

    def close(self) -> None:
        """Stop listening."""
        self._hub.remove_waiter(self._root_id, self._told)
