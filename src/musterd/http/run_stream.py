"""One run's events as they are sent to one reader, and what one that comes back is told beside them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from musterd.core.errors import StoreUnavailable
from musterd.core.records import RunRow
from musterd.engine.broadcaster import Flush
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.subscription import Reading
from musterd.wire.event_filter import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a reader that comes back is told beside the events.

    :param first: before all events.
    :param caught_up: between those that it missed and the live ones; None: no live ones come.
    :param last_index: of the last event that it missed.
    """

    first: bytes
    caught_up: bytes | None
    last_index: int


class RunSource:
    """The events of a run, or of a member of it, for one reader.

    :param reading: made before the run was accepted, or sent to the store first, so that it misses nothing.
    :param shown: which events the reader is shown.
    """

    def __init__(
        self, server: Server, reading: Reading, root: RunRow, shown: Shown, notes: Notes | None = None
    ) -> None:
        self.about = {"run_id": root.run_id}
        self.reading = reading
        self._root_id = root.run_id
        self._shown = shown
        self._frames = server.frames.of(root)
        self._presence = server.runs.presence
        self._first = None if notes is None else notes.first
        self._caught_up = None if notes is None else notes.caught_up
        self._caught_up_behind = -1 if notes is None else notes.last_index

    @property
    def is_over(self) -> bool:
        """Whether the run has ended or waits for a person."""
        return self._shown.is_over

    def begin(self) -> None:
        """Somebody reads the run from now on."""
        self._presence.enter(self._root_id)

    async def available(self) -> AsyncIterator[bytes]:
        """What can be sent now."""
        if self._first is not None:
            yield self._first
            self._first = None
        async for flush in self.reading.available():
            if body := await self._body(flush):
                yield body
        if self._caught_up is not None:
            yield self._caught_up
            self._caught_up = None

    async def _body(self, flush: Flush) -> bytes:
        try:
            frames, found = await self._frames.of(flush), []
        except StoreUnavailable:
            self.reading.give_back(flush)
            raise
        for offset, event in enumerate(flush.events):
            if self._caught_up is not None and flush.first_index + offset > self._caught_up_behind:
                found.append(self._caught_up)
                self._caught_up = None
            if self._shown.takes(event):
                found.append(frames[offset])
        return found[0] if len(found) == 1 else b"".join(found)

    async def look_around(self) -> None:
        """Close where the run was deleted."""
        if await self.reading.is_gone():
            self.reading.close()

    def end(self) -> None:
        """Nobody reads any more."""
        is_over, is_sent_away = self._shown.has_root_ended, self.reading.is_sent_away
        self._presence.leave(self._root_id, is_over=is_over, is_sent_away=is_sent_away)


def stream_of(
    server: Server, reading: Reading, root: RunRow, *, shows_all: bool = True, notes: Notes | None = None
) -> EventStream:
    """The answer that streams a run, from where ``reading`` stands."""
    shown = Shown(root.run_id, shows_all=shows_all, is_over=root.state.is_settled)
    return EventStream(RunSource(server, reading, root, shown, notes), server.settings)
