"""The feed of all runs as a stream."""

from collections.abc import AsyncIterator

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

import musterd
from musterd.core import clock
from musterd.core.callers import Caller
from musterd.http.auth.scopes import principal_of
from musterd.http.operation import Answer, operation
from musterd.http.parameters import Headers
from musterd.http.run_lists import MAX_TIME
from musterd.http.server import Server
from musterd.http.sse import EventStream
from musterd.service.run_feed import FeedReader
from musterd.wire.run_changes import FeedHello, RunChangeEvent, change_frame, counts_frame, hello_frame


class FeedSource:
    """The messages of the feed for one reader.

    :param shows_approvals: whether the reader may read approvals.
    """

    is_over = False

    def __init__(self, reading: FeedReader, hello: FeedHello, *, user_id: str | None, shows_approvals: bool) -> None:
        self.about = {"feed_of": user_id or ""}
        self.reading = reading
        self._hello: FeedHello | None = hello
        self._shows_approvals = shows_approvals
        self._sent_count: int | None = None

    def begin(self) -> None:
        """Nothing to do: the reader was counted when it was made."""

    async def available(self) -> AsyncIterator[bytes]:
        """The frames that can be sent now."""
        reading, body = self.reading, bytearray()
        if self._hello is not None:
            body += hello_frame(self._hello, reading.position)
            self._hello = None
        for change in reading.take():
            if change.approval is None or self._shows_approvals:
                body += change_frame(change)
        if self._shows_approvals and reading.pending_approvals != self._sent_count:
            self._sent_count = reading.pending_approvals
            body += counts_frame({"pending_approvals": self._sent_count}, reading.position)
        if body:
            yield bytes(body)

    async def close_if_gone(self) -> None:
        """Nothing to do: there is always a feed."""

    def end(self) -> None:
        """Nothing to do: closing the reading ends the count."""


class FeedHeaders(Headers):
    """The header with which a reader of the feed reconnects."""

    last_event_id: int | None = Field(
        None,
        ge=0,
        le=MAX_TIME,
        alias="Last-Event-ID",
        description="The `id` of the last message that the client has: what has changed since is sent once more",
    )


@operation(
    "GET",
    "/runs/changes",
    "follow_runs",
    scope="runs:read",
    tag="Runs",
    summary="Follow Runs",
    other_answers={200: Answer(event=RunChangeEvent)},
)
async def follow_runs(server: Server, caller: Caller, request: Request, headers: FeedHeaders) -> Response:
    """Stream what changes in the runs of all sessions: a `run` for each run that changed, within about a second.

    The first message is `hello`. A client that reconnects with the last `id`, to any process, misses no state.
    Approvals and their count need `approvals:read`.
    """
    since = None if headers.last_event_id is None else headers.last_event_id / 1000
    reader = await server.feed.read(caller, since)
    hello: FeedHello = {
        "server_id": server.worker.worker_id,
        "version": musterd.__version__,
        "now": round(clock.now(), 3),
        "is_complete": reader.has_all,
    }
    shows_approvals = principal_of(request).scopes.allows("approvals:read")
    source = FeedSource(reader, hello, user_id=caller.user_id, shows_approvals=shows_approvals)
    return EventStream(source, server.settings)


OPERATIONS = [follow_runs]
