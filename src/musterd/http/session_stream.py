"""The stream of a session: the events of its runs, each with a cursor that covers all runs."""

from collections.abc import AsyncIterator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import StoreUnavailable
from musterd.core.events import Event
from musterd.engine.broadcaster import Flush
from musterd.http.event_frames import RunFrames
from musterd.http.paths import path_identifier
from musterd.http.request_caller import caller_of
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.session_subscription import SessionSubscription, SubscribedRun
from musterd.wire import sse
from musterd.wire.cursor import cursor_text
from musterd.wire.events import is_content_only
from musterd.wire.query import parse_session_events_query


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
            for offset, event in enumerate(flush.events):
                followed.note(event, flush.first_index + offset)
                if self._shows(event, followed):
                    body += sse.with_cursor(frames[offset], cursor_text(self.reading.cursor))
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
        return self._shows_all or is_content_only(event, followed.root.run_id)

    async def close_if_gone(self) -> None:
        """Nothing to do: the search for further runs notices that the session was deleted."""

    def end(self) -> None:
        """Nothing to do: closing the reading ends the count for each run."""


class SessionEventOperations:
    """The operation that follows a session."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def follow(self, request: Request) -> Response:
        """Stream the session's current and future runs until the client disconnects."""
        session_id = path_identifier(request, "session_id")
        query = parse_session_events_query(request.query_params, request.headers.get("last-event-id"))
        reading = self._server.sessions.subscribe(session_id, caller_of(request))
        try:
            await reading.begin(query.cursor)
        except BaseException:
            reading.close()
            raise
        source = SessionSource(self._server, reading, shows_all=query.stream_events)
        return EventStream(source, self._server.settings)
