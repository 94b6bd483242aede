"""Renders events as SSE frames, once per process no matter how many subscribers a run has."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from weakref import WeakValueDictionary

from musterd.core import clock, long_json
from musterd.core.events import Event, EventKind
from musterd.core.records import RunRow, RunView
from musterd.core.threads import in_thread
from musterd.engine.broadcaster import Flush
from musterd.service.runs import RunService
from musterd.wire import sse
from musterd.wire.events import EventRenderer, RunIdentity, member_ids

SLICE_BYTES = 256 * 1024
"""How much is rendered before other tasks of the process may run."""


class RunFrames:
    """Renders the frames of one run tree for all its subscribers."""

    def __init__(self, runs: RunService, root: RunRow) -> None:
        self._runs = runs
        self._root = root
        self.salt = root.salt
        self._renderer = EventRenderer(root.session_id, {root.run_id: RunIdentity.of(root)})
        self._frames = sse.EventFrames(self._renderer)
        self._lock = asyncio.Lock()

    async def of(self, flush: Flush) -> Sequence[bytes]:
        """The frame of each event of a flush. The first subscriber that needs them renders them for all."""
        if flush.frames is None:
            async with self._lock:
                if flush.frames is None:  # another subscriber may have rendered them while this one waited
                    events = await self._runs.following.events_with_contents(self._root, flush)
                    flush.frames = [frame async for frame in self._rendered(events, flush.first_index)]
        return flush.frames

    async def _rendered(self, events: Sequence[Event], first_index: int) -> AsyncIterator[bytes]:
        slice_bytes = 0
        for index, event in enumerate(events, first_index):
            frame = await self._frame(event, index)
            yield frame
            slice_bytes += len(frame)
            if slice_bytes > SLICE_BYTES:
                slice_bytes = 0
                await clock.yield_to_others()

    async def _frame(self, event: Event, index: int) -> bytes:
        if not self._renderer.can_place(event):  # the event that started its run was not rendered here
            rows = await self._runs.following.tree(self._root)
            self._renderer.learn({row.run_id: RunIdentity.of(row) for row in rows})
        members: list[RunView] = []
        if run_ids := member_ids(event):
            views = {view.row.run_id: view for view in await self._runs.members_by_ids(self._root, run_ids)}
            members = [views[run_id] for run_id in run_ids if run_id in views]
        if _is_long(event, members):
            return await in_thread(self._frames.long_frame, event, index, members)
        return self._frames.frame(event, index, members)


def _is_long(event: Event, members: Sequence[RunView]) -> bool:
    """Whether the event takes so long to write that it must not hold up other tasks."""
    if event.kind is EventKind.CONTENT:
        return False
    characters = long_json.characters_of(event.data) + sum(view.characters for view in members)
    return characters > long_json.LONG_BYTES


class FramesOfRuns:
    """The :class:`RunFrames` of each run that has subscribers in this process."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs
        # Weak, so that the frames of a run live as long as a subscriber holds them, and need no cleanup.
        self._by_root: WeakValueDictionary[str, RunFrames] = WeakValueDictionary()

    def of(self, root: RunRow) -> RunFrames:
        """The frames of a run."""
        frames = self._by_root.get(root.run_id)
        # Another salt means another run: the old one was deleted, but still has subscribers, and its id was reused.
        if frames is None or frames.salt != root.salt:
            frames = self._by_root[root.run_id] = RunFrames(self._runs, root)
        return frames
