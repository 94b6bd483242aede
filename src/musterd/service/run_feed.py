"""The feed of all runs: what changes, for readers that watch many runs at once.

One task looks at the database at most once a second, for all readers of this process, and only if the bus says that
something was written since the last look. It runs only while there is a reader. Nothing is written for the feed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.core.run_changes import Change
from musterd.engine.resources import Resources
from musterd.engine.wakeup import Wakeup
from musterd.store import run_changes
from musterd.store.database import Tx
from musterd.store.run_changes import Look, Missed, Seen

log = structlog.get_logger("musterd.service")

LOOK_SECONDS = 1.0
LONGEST_SECONDS = 5.0
"""How long no look is made if nothing seems to have been written: a hint of the bus may be lost."""
OVERLAP_SECONDS = 10.0
"""How far each look reaches back before the previous one. A run's times are taken before its commit, by the clock of
the process that writes; so a run may become visible some time after its end."""
MAX_MISSED = 1000
"""How many unfinished and how many finished runs a reader that comes back gets at most."""
MAX_WAITING = 5000
"""How many changes may wait for a reader before it is closed."""


class FeedReader:
    """One reader of the feed, with the changes that it has not taken yet.

    A change replaces an older one of the same run, so that a slow reader gets the latest state of each.
    """

    def __init__(self, feed: "RunFeed", caller: Caller) -> None:
        self._feed = feed
        self._caller = caller
        self._bell = Wakeup()
        self._changes: dict[str, Change] = {}
        self.has_all = True
        """False: it came back after so many changes that it did not get all of them."""
        self.is_closed = False

    @property
    def position(self) -> float:
        """From where a reader that comes back goes on, in unix seconds."""
        return self._feed.position

    @property
    def pending_approvals(self) -> int:
        """How many approvals wait for a person, as far as this reader sees them."""
        return self._feed.pending_approvals(self._caller)

    def push(self, changes: Iterable[Change]) -> None:
        """Add the changes that this reader may see. Close it if too many wait for it: it can come back."""
        for change in changes:
            if self._caller.may_see(change.owner):
                self._changes.pop(change.key, None)  # so that the new one comes last
                self._changes[change.key] = change
        if len(self._changes) > MAX_WAITING and not self._bell.is_awaited:
            self._feed.metrics.stream_overflows.add()
            self._changes.clear()
            self.close()
        self._bell.ring()

    def take(self) -> list[Change]:
        """Take the changes that have arrived."""
        changes, self._changes = list(self._changes.values()), {}
        return changes

    async def wait(self, seconds: float) -> None:
        """Wait until something may have changed, or ``seconds`` have passed."""
        if not self._changes and not self.is_closed:
            await self._bell.wait(seconds)

    def close(self) -> None:
        """Stop reading."""
        if not self.is_closed:
            self.is_closed = True
            self._feed.leave(self)
            self._bell.ring()

    def close_by_server(self) -> None:
        """Stop reading although the client is still connected."""
        self.close()


class RunFeed:
    """Watches all runs for the readers of this process."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._bus = resources.bus
        self.metrics = resources.metrics
        self._readers: set[FeedReader] = set()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._seen: Seen | None = None
        self._looked_at = 0.0
        self._change_count: int | None = None
        self._next_look = 0.0
        self._pending: Counter[str | None] = Counter()
        self.position = 0.0
        """When the look before the last one began, in unix seconds."""

    @property
    def reader_count(self) -> int:
        """How many readers there are now."""
        return len(self._readers)

    def pending_approvals(self, caller: Caller) -> int:
        """How many approvals wait for a person, as far as the caller sees them."""
        return self._pending.total() if caller.sees_only is None else self._pending[caller.sees_only]

    async def read(self, caller: Caller, since: float | None) -> FeedReader:
        """Read from now on.

        :param since: the position from which the reader goes on; None: it has read nothing before.
        :raises StoreUnavailable: the database cannot be read.
        """
        reader = FeedReader(self, caller)
        # Before the first look: what that one sees is known to the reader, from the lists that it reads afterwards, and
        # every later look is pushed to it.
        self._readers.add(reader)
        self._bus.follow_changes()
        try:
            await self._begin()
            if since is not None:
                reader.has_all = await self._push_missed(reader, caller, since)
        except BaseException:
            reader.close()
            raise
        return reader

    async def _push_missed(self, reader: FeedReader, caller: Caller, since: float) -> bool:
        async def work(tx: Tx) -> Missed:
            return await run_changes.missed(tx, since - OVERLAP_SECONDS, caller, MAX_MISSED)

        missed = await self._database.scan(work)
        newer = reader.take()  # looks that were made during the read, which may know more
        reader.push(Change(since, run=run) for run in missed.runs)
        reader.push(Change(since, approval=approval) for approval in missed.approvals)
        reader.push(newer)
        return missed.is_complete

    def leave(self, reader: FeedReader) -> None:
        """Push nothing more to a reader. Without readers no more looks are made."""
        self._readers.discard(reader)
        if not self._readers:
            self._bus.unfollow_changes()
        if not self._readers and self._task is not None:
            self._task.cancel()
            self._task = self._seen = None

    def close(self) -> None:
        """End every reader: the process stops, and clients go on elsewhere or later."""
        for reader in list(self._readers):
            reader.close()

    async def _begin(self) -> None:
        """Look once if nothing was read yet, and start the task that repeats it."""
        async with self._looking:
            if self._seen is None:
                await self._look()
            if not self._readers:  # the reader has gone during the look: no one would end the task
                self._seen = None
            elif self._task is None:
                self._task = asyncio.create_task(self._repeat())

    async def _repeat(self) -> None:
        while True:
            await clock.sleep(LOOK_SECONDS)
            try:
                if await self._is_due():
                    async with self._looking:
                        await self._look()
            except StoreUnavailable as error:
                self._next_look = 0.0
                log.debug("the feed of runs waits for the database", reason=error.message)
            except Exception as error:
                self._next_look = 0.0
                log.exception("looking for changed runs failed", exc_info=error)

    async def _is_due(self) -> bool:
        return clock.monotonic() >= self._next_look or await self._bus.change_count() != self._change_count

    async def _look(self) -> None:
        """Look once, and push what has changed since the last look to the readers."""
        # Noted before the read: what is written during it leads to another look.
        now = clock.now()
        change_count = await self._bus.change_count()
        before = self._seen
        looked_at = now if before is None else self._looked_at

        async def work(tx: Tx) -> Look:
            return await run_changes.look(tx, before, looked_at - OVERLAP_SECONDS)

        look = await self._database.scan(work)
        self._seen, self._change_count = look.seen, change_count
        self._next_look = clock.monotonic() + LONGEST_SECONDS
        self.position, self._looked_at = looked_at, now
        self._pending = Counter(approval.owner for approval in look.seen.pending.values())
        changes = [Change(self.position, run=run) for run in look.runs]
        changes += [Change(self.position, approval=approval) for approval in look.approvals]
        if changes:
            for reader in list(self._readers):  # a copy: one that is closed leaves
                reader.push(changes)
