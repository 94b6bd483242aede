"""Subscribes to a run, or to one of its members, that was accepted before, from any event index and on any process."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.errors import NotFound
from musterd.core.events import Event
from musterd.core.records import RunRow, RunView
from musterd.core.step_contents import filled_event, places_in_event
from musterd.engine.broadcaster import Flush, Stored
from musterd.engine.resources import Resources
from musterd.service.connected_clients import ConnectedClients
from musterd.service.run_ref import RunRef
from musterd.service.subscription import PAGE_FLUSHES, RunSubscription, contents_of, stored_after
from musterd.store import disconnect, runs
from musterd.store.shards import SessionTx

FindRun = Callable[[RunRef], Awaitable[RunView]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedRun:
    """A run whose events are requested.

    :param root: the root of its tree. All events of a tree share the root's event indexes.
    :param run: the run itself, the root or a member.
    :param tree: the rows of the root and its members so far, by run id.
    :param after: the index of the last event that the subscriber has; at most the last index that exists.
    :param shows_all: whether the run was started with all events shown. Otherwise only text, members' events and the
        end are shown.
    """

    root: RunRow
    run: RunRow
    tree: dict[str, RunRow]
    after: int
    shows_all: bool

    @property
    def last_index(self) -> int:
        """The index of the last event that was stored when the rows were read."""
        return self.root.next_event - 1

    @property
    def subtree_ids(self) -> set[str] | None:
        """The ids of a member's run and of the runs below it so far. None for the root, which means all runs."""
        if self.run.run_id == self.root.run_id:
            return None
        run_ids = {self.run.run_id}
        rows = [row for row in self.tree.values() if row.parent_id is not None]
        while more := {row.run_id for row in rows if row.parent_id in run_ids} - run_ids:
            run_ids |= more
        return run_ids


class Following:
    """The use cases of subscribing to a run that was accepted before."""

    def __init__(self, resources: Resources, find_run: FindRun, connected_clients: ConnectedClients) -> None:
        self._resources = resources
        self._find_run = find_run
        self.connected_clients = connected_clients

    async def find(self, ref: RunRef, after: int) -> FollowedRun:
        """A run whose events after index ``after`` are requested.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self._find_run(ref)
        return await self._followed(view, after)

    async def open(self, ref: RunRef, after: int) -> tuple[FollowedRun, RunSubscription]:
        """Subscribe to a run's events after index ``after``. The caller closes the subscription.

        :raises NotFound: there is no such run that this caller may see.
        """
        view = await self._find_run(ref)
        subscription = RunSubscription(self._resources, view.row.root_id)
        try:
            # Read the row only after subscribing: events stored before the read come from the store, later ones live.
            followed = await self._followed(view, after)
            subscription.start_after(followed.root, followed.after)
            await self.end_cancel_on_disconnect_elsewhere(followed.root)
        except BaseException:
            subscription.close()
            raise
        return followed, subscription

    async def _followed(self, view: RunView, after: int) -> FollowedRun:
        row, shows_all = view.row, bool(view.input.options.get("stream_events", True))
        tree = {tree_row.run_id: tree_row for tree_row in await self.tree(row)}
        root, run = tree.get(row.root_id), tree.get(row.run_id)
        if root is None or run is None:
            raise NotFound("Run not found")
        return FollowedRun(root=root, run=run, tree=tree, after=min(after, root.next_event - 1), shows_all=shows_all)

    async def root_of(self, run: RunRow) -> RunRow:
        """The row of the root of the tree that the run is in.

        :raises NotFound: the tree was deleted meanwhile.
        """
        if run.parent_id is None:
            return run
        root = next((row for row in await self.tree(run) if row.run_id == run.root_id), None)
        if root is None:
            raise NotFound("Run not found")
        return root

    async def tree(self, run: RunRow) -> list[RunRow]:
        """The rows of a run's root and its members so far."""
        return await self._resources.database.read(lambda tx: runs.tree(SessionTx(tx, run.session_id), run.root_id))

    async def events_with_contents(self, root: RunRow, flush: Flush) -> Sequence[Event]:
        """The events of a flush, with the contents that they refer to."""
        contents = flush.contents
        if contents is None:
            contents = await contents_of(self._resources.database, root.session_id, root.run_id, flush.events)
        return [filled_event(event, contents) if any(places_in_event(event)) else event for event in flush.events]

    async def end_cancel_on_disconnect_elsewhere(self, root: RunRow) -> None:
        """Note that a subscriber attached here.

        If the run was started on another process, this ends its cancel-on-disconnect: that process cannot see this
        subscriber, and would cancel the run after its own last client disconnects.
        """
        if root.cancel_on_disconnect and not root.state.is_final and not self.connected_clients.tracks(root.run_id):
            await self._resources.database.write(
                lambda tx: disconnect.keep_running(SessionTx(tx, root.session_id), root.run_id)
            )

    async def stored_pages(self, root: RunRow, after: int, limit: int = PAGE_FLUSHES) -> AsyncIterator[Stored]:
        """The stored events after index ``after``, in pages of up to ``limit`` flushes."""
        while True:
            page = await stored_after(self._resources.database, root.session_id, root.run_id, after, limit)
            yield page
            if page.is_last:
                return
            after = page.last_index
            await clock.sleep(0)  # let other tasks run between the pages of a long run
