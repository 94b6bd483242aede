"""Reading along with a run, or with one member of it, from any index on: by whoever may see it, on any process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.core.events import END_EVENTS
from musterd.core.records import RunRow, RunView
from musterd.declare import Component
from musterd.engine.broadcaster import Stored
from musterd.engine.resources import Resources
from musterd.service.connected_clients import ConnectedClients
from musterd.service.subscription import PAGE_FLUSHES, Reading, stored_behind
from musterd.store import disconnect, runs

ALL_EVENTS = 2**53
"""The index of no event: behind it comes what is not stored yet."""

Find = Callable[[Component, str, str | None, Caller], Awaitable[RunView]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run whose events somebody asks for.

    :param root: the root of its tree, where all events of the tree are numbered.
    :param run: the run itself, the root or a member.
    :param tree: the rows of the root and its members so far, by run id.
    :param after: the index of the last event that the reader has; never beyond the last one that there is.
    :param shows_all: whether it was started with all events shown, or with text, members' events and the end.
    """

    root: RunRow
    run: RunRow
    tree: dict[str, RunRow]
    after: int
    shows_all: bool

    @property
    def last_index(self) -> int:
        """The index of the last event that was stored when it was looked at."""
        return self.root.next_event - 1

    @property
    def below(self) -> set[str] | None:
        """A member's run and those below it so far; None: the root's, so all."""
        if self.run.run_id == self.root.run_id:
            return None
        found = {self.run.run_id}
        rows = [row for row in self.tree.values() if row.parent_id is not None]
        while more := {row.run_id for row in rows if row.parent_id in found} - found:
            found |= more
        return found


class Following:
    """The use cases of those who come to a run that was accepted before."""

    def __init__(self, resources: Resources, find: Find, presence: ConnectedClients) -> None:
        self._resources = resources
        self._find = find
        self.presence = presence

    async def find(
        self, component: Component, run_id: str, session_id: str | None, caller: Caller, after: int
    ) -> Found:
        """A run whose events behind ``after`` are asked for.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self._find(component, run_id, session_id, caller)
        return await self._look(view, after)

    async def open(
        self, component: Component, run_id: str, session_id: str | None, caller: Caller, after: int
    ) -> tuple[Found, Reading]:
        """Begin to read a run behind event ``after``, stored events first; the caller closes the reading.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self._find(component, run_id, session_id, caller)
        reading = Reading(self._resources, view.row.root_id)
        try:
            found = await self._look(view, after)  # behind the subscription: nothing is missed
            reading.come_late(found.root, found.after)
            await self.keep_company(found.root)
        except BaseException:
            reading.close()
            raise
        return found, reading

    async def until_settled(
        self, component: Component, run_id: str, session_id: str | None, caller: Caller, seconds: float
    ) -> None:
        """Wait until a member's run, or the root above it, has ended or paused, or ``seconds`` are over.

        :raises NotFound: there is no such run that this caller may see.
        """
        found, reading = await self.open(component, run_id, session_id, caller, ALL_EVENTS)
        ends_at, ids = clock.monotonic() + seconds, (run_id, found.root.run_id)
        try:
            with self.presence.waiting(found.root.run_id):
                while not found.run.state.is_settled and not reading.is_closed and clock.monotonic() < ends_at:
                    async for flush in reading.available():
                        if any(event.kind in END_EVENTS and event.run_id in ids for event in flush.events):
                            return
                    await reading.wait(ends_at - clock.monotonic())
        finally:
            reading.close()

    async def _look(self, view: RunView, after: int) -> Found:
        row, shows_all = view.row, bool(view.input.options.get("stream_events", True))
        tree = {found.run_id: found for found in await self.tree(row.root_id)}
        root, run = tree.get(row.root_id), tree.get(row.run_id)
        if root is None or run is None:
            raise NotFound("Run not found")
        return Found(root=root, run=run, tree=tree, after=min(after, root.next_event - 1), shows_all=shows_all)

    async def tree(self, root_id: str) -> list[RunRow]:
        """The rows of a root and its members so far."""
        return await self._resources.database.read(lambda tx: runs.tree(tx, root_id))

    async def keep_company(self, root: RunRow) -> None:
        """A reader has come; where its run's start was not seen here, it must not be cancelled for want of readers."""
        if root.cancel_on_disconnect and not root.state.is_final and not self.presence.knows(root.run_id):
            await self._resources.database.write(lambda tx: disconnect.let_go(tx, root.run_id))

    async def story(self, root_id: str, after: int, limit: int = PAGE_FLUSHES) -> AsyncIterator[Stored]:
        """What is stored behind event ``after``, up to ``limit`` flushes at a time."""
        while True:
            page = await stored_behind(self._resources.database, root_id, after, limit)
            yield page
            if page.is_last:
                return
            after = page.last_index
            await clock.sleep(0)  # a long story holds up nobody else
