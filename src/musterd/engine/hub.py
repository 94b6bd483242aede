"""Live readers: who is told, in this process, what was stored.

Readers see events only after their commit. A reader that does not keep up is dropped; it can read on from the store.
"""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field

from musterd.core.events import Event


@dataclass(slots=True)
class Flush:
    """One stored flush: its events have the indexes ``first_index``, ``first_index + 1``, …

    :param rendered: what readers made of it, by the manner of reading: many readers, one rendering.
    """

    first_index: int
    events: list[Event]
    rendered: dict[str, bytes] = field(default_factory=dict)

    @property
    def next_index(self) -> int:
        """The index after the last event."""
        return self.first_index + len(self.events)


class Subscription:
    """One reader's queue of stored flushes of one run tree."""

    def __init__(self, hub: "Hub", root_id: str) -> None:
        self._hub = hub
        self.root_id = root_id
        self._flushes: deque[Flush] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.is_closed = False

    def push(self, flush: Flush) -> None:
        """Hand the reader a flush."""
        self._flushes.append(flush)
        self._wake()

    @property
    def waiting_events(self) -> int:
        """Events handed over and not yet taken."""
        return sum(len(flush.events) for flush in self._flushes)

    def take(self) -> Flush | None:
        """The next flush, or None when there is none yet."""
        return self._flushes.popleft() if self._flushes else None

    async def wait(self, seconds: float) -> bool:
        """Wait until there is something to take, the subscription closes, or time is up: then False."""
        if self._flushes or self.is_closed:
            return True
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None
        return bool(self._flushes) or self.is_closed

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
    """The readers of this process, by root run; and those that wait for a run to settle."""

    def __init__(self) -> None:
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

    def has_readers(self, root_id: str) -> bool:
        """Whether anybody reads along with the run."""
        return root_id in self._subscriptions

    def publish(self, root_id: str, flush: Flush) -> None:
        """Hand a stored flush to the run's readers."""
        for subscription in self._subscriptions.get(root_id, ()):
            subscription.push(flush)

    def settled(self, root_id: str) -> None:
        """Tell those who wait that the run ended or paused."""
        for waiter in self._settling.pop(root_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait_settled(self, root_id: str, seconds: float) -> bool:
        """Wait until the run ends or pauses in this process; False when ``seconds`` are over first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling[root_id].add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
            return True
        except TimeoutError:
            return False
        finally:
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
