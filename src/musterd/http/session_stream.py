"""The stream of a session: the events of its runs, each with a cursor that covers all runs."""

from collections.abc import AsyncIterator, Sequence

from pydantic import Field
from starlette.responses import Response

from musterd.core.callers import Caller
from musterd.core.errors import StoreUnavailable
from musterd.core.events import Event
from musterd.core.session_cursors import Cursor
from musterd.engine.broadcaster import Flush
from musterd.http.event_frames import RunFrames
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Headers, Query, Text
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.session_subscription import SessionSubscription, SubscribedRun
from musterd.wire import sse
from musterd.wire.cursors import CursorTexts, parse_cursor
from musterd.wire.events import is_content_only
from musterd.wire.sse import SessionStreamEvent


class SessionSource:
    """The events of a session's runs for one subscriber.

    :param shows_all: whether to send all events, or only text, members' events and ends.
    """

    is_over = False

    def __init__(self, server: Server, reading: SessionSubscription, *, shows_all: bool) -> None:
        self.about = {"session_id": reading.session_id}
        self._frames = server.frames
        self.reading = reading
        self._shows_all = shows_all
        self._frames_of: dict[str, RunFrames] = {}

    def begin(self) -> None:
        """Nothing to do: the subscriber is counted for each run when the run is first followed."""

    async def available(self) -> AsyncIterator[bytes]:
        """The frames that can be sent now."""
        async for followed, flush in self.reading.available():
            frames, body = await self._rendered(followed, flush), bytearray()
            cursors = CursorTexts(self.reading.cursor_beside(followed), followed.root.run_id)
            for offset, event in enumerate(flush.events):
                followed.note(event, flush.first_index + offset)
                if self._shows(event, followed):
                    body += sse.with_cursor(frames[offset], cursors.text(followed.last_index))
            if followed.has_ended:
                self._frames_of.pop(followed.root.run_id, None)
            if body:
                yield bytes(body)

    async def _rendered(self, followed: SubscribedRun, flush: Flush) -> Sequence[bytes]:
        """The frames of a flush. The renderer knows the run's members, so it is kept until the run has finished."""
        root = followed.root
        frames = self._frames_of[root.run_id] = self._frames.of(root)
        try:
            return await frames.of(flush)
        except StoreUnavailable:
            followed.subscription.read_again(flush)  # its frames were not sent: read it again when the database is back
            raise

    def _shows(self, event: Event, followed: SubscribedRun) -> bool:
        return self._shows_all or is_content_only(event, followed.root.run_id, followed.root.component_kind)

    async def close_if_gone(self) -> None:
        """Nothing to do: the search for further runs notices that the session was deleted."""

    def end(self) -> None:
        """Nothing to do: closing the reading ends the count for each run."""


class FollowSessionQuery(Query):
    """The query of ``GET /sessions/{session_id}/events``."""

    after: Text | None = Field(None, description="The `id` of the last event that the client has")
    stream_events: bool = Field(True, description="false: only text, members' events, and the end of each run")


class LastEventId(Headers):
    """The header with which an SSE client reconnects."""

    last_event_id: str | None = Field(
        None,
        alias="Last-Event-ID",
        description="The `id` of the last event that the client has; takes precedence over `after`",
    )


@operation(
    "GET",
    "/sessions/{session_id}/events",
    "follow_session",
    scope="sessions:read",
    tag="Sessions",
    summary="Follow Session",
    errors={404: "Session not found"},
    other_answers={200: Answer(event=SessionStreamEvent)},
)
async def follow_session(
    server: Server, caller: Caller, session_id: str, query: FollowSessionQuery, headers: LastEventId
) -> Response:
    """Stream the events of the session's runs: unfinished ones from their start, and runs that begin later.

    The `id` of an event is a cursor over all runs. A client that reconnects with it, to any process, misses nothing.
    The stream ends when the client disconnects or the session is deleted.
    """
    cursor = _cursor(query, headers)
    subscription = server.sessions.subscribe(session_id, caller)
    try:
        await subscription.begin(cursor)
    # Also if the client is gone by now: the broadcaster would keep a subscription that is not closed.
    except BaseException:
        subscription.close()
        raise
    source = SessionSource(server, subscription, shows_all=query.stream_events)
    return EventStream(source, server.settings)


def _cursor(query: FollowSessionQuery, headers: LastEventId) -> Cursor | None:
    if headers.last_event_id is not None:
        return parse_cursor(headers.last_event_id, ("header", "Last-Event-ID"))
    return None if query.after is None else parse_cursor(query.after, ("query", "after"))


OPERATIONS = [follow_session]
