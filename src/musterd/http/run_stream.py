"""The stream of a run's events to one subscriber, with additional frames for a subscriber that resumes."""

from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from musterd.core.errors import StoreUnavailable
from musterd.core.records import RunRow
from musterd.engine.broadcaster import Flush
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.subscription import RunSubscription
from musterd.store.acceptance import Accepted
from musterd.wire.event_filter import EventFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Frames that a resuming subscriber gets in addition to the events.

    :param first: the frame before all events.
    :param caught_up: the frame between missed events and live ones; None if no live ones follow.
    :param last_index: the index of the last missed event.
    """

    first: bytes
    caught_up: bytes | None
    last_index: int


class RunSource:
    """The events of a run, or of one of its members, for one subscriber.

    :param reading: created before the run was accepted, or set to start from the store, so that it misses no event.
    :param event_filter: selects the events for the subscriber.
    """

    def __init__(
        self,
        server: Server,
        reading: RunSubscription,
        root: RunRow,
        event_filter: EventFilter,
        notes: Notes | None = None,
    ) -> None:
        self.about = {"run_id": root.run_id}
        self.reading = reading
        self._root_id = root.run_id
        self._filter = event_filter
        self._frames = server.frames.of(root)
        self._presence = server.runs.connected_clients
        self._first = None if notes is None else notes.first
        self._caught_up = None if notes is None else notes.caught_up
        self._last_missed = -1 if notes is None else notes.last_index

    @property
    def is_over(self) -> bool:
        """Whether the run has finished or paused."""
        return self._filter.is_over

    def begin(self) -> None:
        """Count the subscriber for cancel-on-disconnect."""
        self._presence.enter(self._root_id)

    async def available(self) -> AsyncIterator[bytes]:
        """The frames that can be sent now."""
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
            frames, selected = await self._frames.of(flush), []
        except StoreUnavailable:
            self.reading.read_again(flush)  # its frames were not sent: read it again when the database is back
            raise
        for offset, event in enumerate(flush.events):
            if self._caught_up is not None and flush.first_index + offset > self._last_missed:
                selected.append(self._caught_up)
                self._caught_up = None
            if self._filter.takes(event):
                selected.append(frames[offset])
        return selected[0] if len(selected) == 1 else b"".join(selected)

    async def close_if_gone(self) -> None:
        """Close the stream if the run was deleted."""
        if await self.reading.is_gone():
            self.reading.close()

    def end(self) -> None:
        """Stop counting the subscriber."""
        # A stream that this server ended says nothing about the client, so it must not cancel the run.
        is_over, is_closed_by_server = self._filter.has_root_ended, self.reading.is_closed_by_server
        self._presence.leave(self._root_id, is_over=is_over, is_closed_by_server=is_closed_by_server)


def source_of(server: Server, reading: RunSubscription, root: RunRow, *, shows_all: bool = True) -> RunSource:
    """The events of a run from the position of ``reading``."""
    kind, is_over = root.component_kind, root.state.is_settled
    return RunSource(server, reading, root, EventFilter(root.run_id, kind=kind, shows_all=shows_all, is_over=is_over))


def stream_of(server: Server, reading: RunSubscription, root: RunRow, *, shows_all: bool = True) -> EventStream:
    """The response that streams a run from the position of ``reading``."""
    return EventStream(source_of(server, reading, root, shows_all=shows_all), server.settings)


async def accepted_with_subscription(
    server: Server, run_id: str, accepting: Coroutine[Any, Any, Accepted]
) -> tuple[Accepted, RunSubscription]:
    """Accept a run, and subscribe to its events from the first one on.

    :param run_id: the id that the run gets unless the same request was received before.
    """
    runs = server.runs
    # Subscribe before the run is accepted: from then on it may emit events at any time.
    subscription = runs.subscribe(run_id)
    try:
        accepted = await accepting
        if accepted.is_repeated:
            await runs.following.end_cancel_on_disconnect_elsewhere(accepted.run)
    except BaseException:
        subscription.close()
        raise
    if accepted.run.run_id != run_id:  # its key was used before
        subscription.close()
        subscription = runs.subscribe(accepted.run.run_id)
    if accepted.is_repeated:
        subscription.start_after(accepted.run)
    return accepted, subscription
