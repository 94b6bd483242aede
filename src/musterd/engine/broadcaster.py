"""Live event streams: hands stored events to the subscribers in this process.

Subscribers see events only after their commit. A subscriber that does not keep up reads on from the store. Subscribers
at the same place share a page of the store, which is fetched once.
"""

import asyncio
import functools
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol

from musterd.core.events import END_EVENTS, Event
from musterd.core.jsontypes import Json
from musterd.core.metrics import Metrics
from musterd.core.step_contents import characters_shown
from musterd.engine.wakeup import Wakeup
from musterd.store.events import StoredFlush

EVENT_BYTES = 300
"""The approximate size of an event on the wire without its texts."""


@dataclass
class Flush:
    """One stored flush: its events have the indexes ``first_index``, ``first_index + 1``, …

    :param contents: the contents that its events refer to, by path; None: they were not read with the events.
    :param frames: each event as it is sent to clients; made by the first subscriber that needs it, for all.
    """

    first_index: int
    events: list[Event]
    contents: Mapping[str, str] | None = None
    frames: Sequence[bytes] | None = None

    # Cached, because each subscriber adds it in push() and subtracts it in take(): both have to see the same number.
    @functools.cached_property
    def weight(self) -> int:
        """The approximate size of its events on the wire, in bytes."""
        return sum(EVENT_BYTES + _text_length(event.data) + characters_shown(event) for event in self.events)

    @property
    def next_index(self) -> int:
        """The index after the last event."""
        return self.first_index + len(self.events)


def _text_length(value: Json) -> int:
    """The total length of all strings in a JSON value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_text_length, value.values()))
    return sum(map(_text_length, value)) if isinstance(value, list) else 0


@dataclass(frozen=True, slots=True)
class Stored:
    """A page of a run's stored events that follow a given event.

    :param last_index: the index of the last event that was read; counts events that were left out as well.
    :param is_last: whether nothing more was stored at the time of the read.
    """

    flushes: Sequence[Flush]
    last_index: int
    is_last: bool


class Subscription:
    """One subscriber's queue of stored flushes of one run tree.

    :param bell: wakes the subscriber; one that reads several runs shares it among its subscriptions.
    """

    def __init__(self, broadcaster: "Broadcaster", root_id: str, bell: Wakeup) -> None:
        self._broadcaster = broadcaster
        self.root_id = root_id
        self._bell = bell
        self._flushes: deque[Flush] = deque()
        self._weight = 0
        self.is_closed = False
        self.is_behind = False
        """Whether the store may have more than was pushed: the subscriber must read there."""
        self.is_accepted = False
        """Whether the run is known to be stored. If so, and it is not found later, it was deleted."""

    def push(self, flush: Flush) -> None:
        """Add a flush to the queue, or send the subscriber to the store if too much waits for it."""
        self.is_accepted = True
        if self.is_behind:  # it will read this flush in the store, because the flush is committed already
            self._bell.ring()
            return
        self._flushes.append(flush)
        self._weight += flush.weight
        # A subscriber that waits on the bell has taken everything so far: it keeps up, however large this flush is.
        if self._weight > self._broadcaster.buffer_bytes and not self._bell.is_awaited:
            self._broadcaster.metrics.stream_overflows.add()
            self._flushes.clear()
            self._weight = 0
            self.mark_behind()
        else:
            self._bell.ring()

    def mark_behind(self) -> None:
        """Send the subscriber to the store: it has events that are not in the queue."""
        self.is_behind = True
        self._bell.ring()

    def take(self) -> Flush | None:
        """Take the next flush; None if there is none yet."""
        if not self._flushes:
            return None
        flush = self._flushes.popleft()
        self._weight -= flush.weight
        return flush

    def put_back(self, flush: Flush) -> None:
        """Put a flush back, so that :meth:`take` returns it next."""
        self._flushes.appendleft(flush)
        self._weight += flush.weight

    async def wait(self, seconds: float) -> bool:
        """Wait until there is something to take or the subscription closes; False if ``seconds`` pass first."""
        # Looked up first, because a ring while no task waits is lost. Nothing is awaited between the look and the wait.
        if not self.has_news:
            await self._bell.wait(seconds)
        return self.has_news

    @property
    def has_news(self) -> bool:
        """Whether :meth:`wait` would return at once: there is something to read, or the subscription is closed."""
        return bool(self._flushes) or self.is_closed or self.is_behind

    def close(self) -> None:
        """End the subscription; flushes that were pushed can still be taken."""
        if not self.is_closed:
            self.is_closed = True
            self._broadcaster.forget(self)
            self._bell.ring()


class SessionWatch:
    """One subscriber's watch on the set of runs of a session.

    ``has_changed`` says whether the set may have changed since the subscriber read it last.
    """

    def __init__(self, broadcaster: "Broadcaster", session_id: str, bell: Wakeup) -> None:
        self._broadcaster = broadcaster
        self.session_id = session_id
        self._bell = bell
        self.has_changed = True
        self.is_closed = False

    def mark_changed(self) -> None:
        """Note that the session has changed, and wake the subscriber."""
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
    """The subscribers of one run in this process, and the page of the store that was requested last.

    :param page: the index of the event that the page follows, and the task that reads the page.
    """

    subscriptions: set[Subscription] = field(default_factory=set)
    page: "tuple[int, asyncio.Task[Stored]] | None" = None


class OtherProcesses(Protocol):
    """The other processes that drive runs or await them; the bus (:mod:`musterd.engine.bus`)."""

    def send_events(self, root_id: str, flush: StoredFlush) -> None:
        """Make the processes in which the run is awaited pass these events on, or read its row."""

    def follow_run(self, root_id: str) -> None:
        """Make this process look at the run whenever another one may have stored events of it."""

    def unfollow_run(self, root_id: str) -> None:
        """Stop following the run."""

    def send_session_change(self, session_id: str) -> None:
        """Make the processes in which the session is watched look for new runs."""

    def follow_session(self, session_id: str) -> None:
        """Notify the watches of the session in this process whenever another process may have changed it."""

    def unfollow_session(self, session_id: str) -> None:
        """Stop following the session."""


class Broadcaster:
    """The subscribers of this process by root run, and the callers that wait for a run to settle.

    :param buffer_bytes: how many bytes may wait for a subscriber before it has to read them from the store.
    :param others: receive the events published here, and send those of runs that are awaited here.
    :param metrics: counts how often that happens.
    """

    def __init__(self, buffer_bytes: int, others: OtherProcesses, metrics: Metrics | None = None) -> None:
        self.buffer_bytes = buffer_bytes
        self._others = others
        self.metrics = metrics or Metrics()
        self._audiences: dict[str, _Audience] = {}
        self._waiters: defaultdict[str, set[EndWaiter]] = defaultdict(set)
        self._watches: defaultdict[str, set[SessionWatch]] = defaultdict(set)

    def subscribe(self, root_id: str, bell: Wakeup | None = None) -> Subscription:
        """Subscribe to a run's events from now on; parameters as of :class:`Subscription`."""
        subscription = Subscription(self, root_id, bell or Wakeup())
        self._others.follow_run(root_id)
        self._audiences.setdefault(root_id, _Audience()).subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Push no more flushes to ``subscription``."""
        audience = self._audiences.get(subscription.root_id)
        if audience is not None:
            audience.subscriptions.discard(subscription)
            if not audience.subscriptions:
                del self._audiences[subscription.root_id]
                self._forget_unless_awaited(subscription.root_id)

    def _forget_unless_awaited(self, root_id: str) -> None:
        if root_id not in self._audiences and root_id not in self._waiters:
            self._others.unfollow_run(root_id)

    @property
    def subscriber_count(self) -> int:
        """How many subscriptions there are now."""
        return sum(len(audience.subscriptions) for audience in self._audiences.values())

    def has_subscribers(self, root_id: str) -> bool:
        """Whether the run has a subscriber in this process."""
        return root_id in self._audiences

    def publish(self, root_id: str, flush: Flush, stored: StoredFlush) -> None:
        """Push a stored flush to the run's subscribers, here and in other processes.

        :param stored: the flush in its stored form.
        """
        self._others.send_events(root_id, stored)
        self.push(root_id, flush)

    def push(self, root_id: str, flush: Flush) -> None:
        """Push a stored flush to the run's subscribers in this process, and wake waiters for members that ended in it.

        Waiters for the root itself are woken by :meth:`wake_waiters`, when its slot is free again.
        """
        if (audience := self._audiences.get(root_id)) is not None:
            audience.page = None  # it was read before this flush was stored
            for subscription in audience.subscriptions:
                subscription.push(flush)
        if (waiters := self._waiters.get(root_id)) is not None:
            ended = {event.run_id for event in flush.events if event.kind in END_EVENTS} - {root_id}
            for waiter in waiters:
                if waiter.run_id in ended:
                    waiter.wake()

    def awaited_runs(self) -> set[str]:
        """The root run ids that have a subscriber or a waiter in this process."""
        return self._audiences.keys() | self._waiters.keys()

    def make_subscribers_read_store(self, root_id: str) -> None:
        """Send the run's subscribers and waiters to the store: another process drives the run and has stored more."""
        if (audience := self._audiences.get(root_id)) is not None:
            # A page that was read before may lack what the other process has stored since.
            audience.page = None
            for subscription in audience.subscriptions:
                subscription.mark_behind()
        for waiter in self._waiters.get(root_id, ()):
            waiter.wake()

    def accepted_subscriptions(self, root_ids: Set[str]) -> set[Subscription]:
        """The subscriptions of these runs that know that their run is stored."""
        audiences = [self._audiences[root_id] for root_id in root_ids & self._audiences.keys()]
        subscriptions = (subscription for audience in audiences for subscription in audience.subscriptions)
        return {subscription for subscription in subscriptions if subscription.is_accepted}

    def run_removed(self, root_id: str, accepted: Set[Subscription]) -> None:
        """Close the run's subscriptions and wake its waiters: the run was not found, so it was deleted.

        :param accepted: the subscriptions that may be closed: those whose run was stored before it was looked for. The
            others stay: they wait for a run that was not accepted then, or for a new one under the same id.
        """
        # They read the row again, which decides: one that came since may wait for a run that was accepted since.
        for waiter in self._waiters.get(root_id, ()):
            waiter.wake()
        if (audience := self._audiences.get(root_id)) is not None:
            audience.page = None
            for subscription in audience.subscriptions & accepted:
                subscription.close()

    async def stored(
        self, root_id: str, after: int, last_known: int, read: Callable[[], Coroutine[object, None, Stored]]
    ) -> Stored:
        """Return the stored events of a run that follow event ``after``. Subscribers at the same index share one read.

        :param last_known: the index of the last event that the subscriber knows to be stored.
        :param read: reads the page from the database.
        """
        audience = self._audiences.get(root_id)
        # The subscription was closed meanwhile, so there is no other subscriber to share the page with.
        if audience is None:
            return await read()
        while True:
            shared = audience.page
            is_own = shared is None or shared[0] != after or _has_failed(shared[1])
            if is_own:
                shared = audience.page = after, asyncio.create_task(read())
            assert shared is not None
            # Shielded: a subscriber that goes away must not cancel the read for the others.
            page = shared[1].result() if shared[1].done() else await asyncio.shield(shared[1])
            # A page whose read another subscriber started may be older than what this subscriber knows of the run: the
            # run's end may be committed and not published yet. If such a page were accepted, the stream would close
            # without the last events. A read that starts here is new enough, whatever it returns.
            if is_own or not page.is_last or page.last_index >= last_known:
                return page
            # Another subscriber may have started a newer read during the await; that one is kept and shared.
            if audience.page is shared:
                audience.page = None

    def watch(self, session_id: str, bell: Wakeup) -> SessionWatch:
        """Watch a session, from now on, for new runs and its deletion."""
        watch = SessionWatch(self, session_id, bell)
        self._others.follow_session(session_id)
        self._watches[session_id].add(watch)
        return watch

    def forget_watch(self, watch: SessionWatch) -> None:
        """Notify ``watch`` no more."""
        watches = self._watches.get(watch.session_id)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del self._watches[watch.session_id]
                self._others.unfollow_session(watch.session_id)

    def watched_sessions(self) -> set[str]:
        """The ids of the sessions that are watched in this process."""
        return set(self._watches)

    def session_changed(self, session_id: str) -> None:
        """Notify the watches of a session, in all processes, that it has a new run or was deleted."""
        self._others.send_session_change(session_id)
        self.mark_session_changed(session_id)

    def mark_session_changed(self, session_id: str) -> None:
        """Notify the watches of a session in this process that it may have a new run, or may be deleted."""
        for watch in self._watches.get(session_id, ()):
            watch.mark_changed()

    def wake_waiters(self, root_id: str) -> None:
        """Wake the callers that wait for the root or its members: the root ended or paused."""
        # Removed from the dictionary, so that the run counts as awaited no longer, and its row is not read any more.
        for waiter in self._waiters.pop(root_id, ()):
            waiter.finish()
        self._forget_unless_awaited(root_id)

    def add_waiter(self, root_id: str, waiter: "EndWaiter") -> None:
        """Wake ``waiter`` when its run may have ended or paused."""
        self._others.follow_run(root_id)
        self._waiters[root_id].add(waiter)

    def remove_waiter(self, root_id: str, waiter: "EndWaiter") -> None:
        """Forget ``waiter``."""
        # None if wake_waiters() has removed all waiters of the root already.
        waiters = self._waiters.get(root_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[root_id]
                self._forget_unless_awaited(root_id)

    def close(self) -> None:
        """End every subscription: the process stops, and clients continue elsewhere or later."""
        # Copies of all collections: closing a subscription removes it, and the last one also removes its audience.
        for audience in list(self._audiences.values()):
            for subscription in list(audience.subscriptions):
                subscription.close()
        for watches in list(self._watches.values()):
            for watch in list(watches):
                watch.close()
        for root_id in list(self._waiters):
            self.wake_waiters(root_id)


def _has_failed(page: "asyncio.Task[Stored]") -> bool:
    return page.done() and (page.cancelled() or page.exception() is not None)


class EndWaiter:
    """Waits for a run to end or pause. Created before the run is read, it misses nothing.

    :param root_id: the root of the run, which may be a member's.
    :ivar is_over: whether there is nothing left to wait for: the root has ended, paused or been deleted, or the process
        stops.
    """

    def __init__(self, broadcaster: Broadcaster, root_id: str, run_id: str) -> None:
        self.run_id = run_id
        self.is_over = False
        self._is_woken = False
        self._broadcaster = broadcaster
        self._root_id = root_id
        self._bell = Wakeup()
        broadcaster.add_waiter(root_id, self)

    def wake(self) -> None:
        """Have the run read again."""
        self._is_woken = True
        self._bell.ring()

    def finish(self) -> None:
        """Wake it for good."""
        self.is_over = True
        self.wake()

    async def wait(self, seconds: float) -> None:
        """Wait until the run may have ended or paused since the last wait, or until ``seconds`` have passed."""
        # The run may have ended while its row was read, before anything waited for the bell: such a wake must count.
        if not self._is_woken:
            await self._bell.wait(seconds)
        self._is_woken = False

    def close(self) -> None:
        """Stop waiting."""
        self._broadcaster.remove_waiter(self._root_id, self)
