"""The frames of runs' events: each is made once in this process, however many read the run."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

from musterd.core.events import Event
from musterd.core.records import RunRow
from musterd.engine.broadcaster import Flush
from musterd.service.runs import RunService
from musterd.wire import sse
from musterd.wire.events import EventRenderer, RunIdentity, member_ids


class RunFrames:
    """Makes the frames of one run tree, for all its readers."""

    def __init__(self, runs: RunService, root: RunRow) -> None:
        self._runs = runs
        self._root = root
        self.salt = root.salt
        self._renderer = EventRenderer(root.session_id, {root.run_id: RunIdentity.of(root)})
        self._frames = sse.EventFrames(self._renderer)
        self._lock = asyncio.Lock()

    async def of(self, flush: Flush) -> Sequence[bytes]:
        """The frame of each event of the flush; the first who asks makes them for all."""
        if flush.frames is None:
            async with self._lock:
                if flush.frames is None:
                    flush.frames = [
                        await self._frame(event, index) for index, event in enumerate(flush.events, flush.first_index)
                    ]
        return flush.frames

    async def _frame(self, event: Event, index: int) -> bytes:
        if not self._renderer.can_place(event):  # what told of its run was never rendered here
            rows = await self._runs.following.tree(self._root.run_id)
            self._renderer.learn({row.run_id: RunIdentity.of(row) for row in rows})
        wanted = member_ids(event)
        if not wanted:
            return self._frames.frame(event, index)
        elsewhere = wanted if self._root.forked_from is not None else ()
        found = await self._runs.members(self._root.run_id, elsewhere)
        members = {view.row.run_id: view for view in found}
        return self._frames.frame(event, index, [members[run_id] for run_id in wanted if run_id in members])


class FramesOfRuns:
    """What makes the frames of each run that is read here, as long as somebody reads it."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs
        self._by_root: WeakValueDictionary[str, RunFrames] = WeakValueDictionary()

    def of(self, root: RunRow) -> RunFrames:
        """What makes the frames of this run."""
        found = self._by_root.get(root.run_id)
        if found is None or found.salt != root.salt:  # a run of this id was deleted, and one who read it is still there
            found = self._by_root[root.run_id] = RunFrames(self._runs, root)
        return found
