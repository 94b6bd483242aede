"""Streams events to one subscriber as they arrive, with pings in between, until the source is over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from musterd.core import clock
from musterd.core.errors import StoreUnavailable, Unauthenticated
from musterd.core.settings import Settings
from musterd.http.auth.expiry import validity_in
from musterd.http.gzip_streams import GzipStream, accepts_gzip
from musterd.http.write_limit import was_dropped
from musterd.service.run_feed import FeedReader
from musterd.service.session_subscription import SessionSubscription
from musterd.service.subscription import RunSubscription
from musterd.wire import sse

log = structlog.get_logger("musterd.http")

RETRY_SECONDS = 1.0
SLICE_BYTES = 256 * 1024
"""How much is compressed before other tasks of the process may run."""

Reading: TypeAlias = RunSubscription | SessionSubscription | FeedReader


class Source(Protocol):
    """The events for one subscriber.

    :param about: identifies the run, session or user in log lines.
    """

    about: dict[str, str]

    @property
    def reading(self) -> Reading:
        """The underlying subscription; closed together with the stream."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the last event has been sent. Only valid after :meth:`available` has been exhausted."""
        ...

    def begin(self) -> None:
        """Count the subscriber from now on."""
        ...

    def available(self) -> AsyncIterator[bytes]:
        """The frames that can be sent now."""
        ...

    async def close_if_gone(self) -> None:
        """Called when nothing was sent for a while: close the stream if nothing can follow."""
        ...

    def end(self) -> None:
        """Stop counting the subscriber."""
        ...


class EventStream(Response):
    """Streams a source to one subscriber, compressed if the client accepts that, and closes the source."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, source: Source, settings: Settings) -> None:
        super().__init__(headers={**sse.HEADERS, "Content-Type": sse.MEDIA_TYPE})
        # The base class has set the length of an empty body; a stream has none.
        del self.headers["content-length"]
        self._source = source
        self._reading = source.reading
        self._ping_seconds = settings.ping_seconds
        self._may_compress = settings.stream_gzip
        self._gzip: GzipStream | None = None
        self._sent_at = clock.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the source is over, the client disconnects, or the process stops."""
        self._negotiate(scope)
        if scope["method"] == "HEAD":
            await self._send_head(send)
            return
        self._source.begin()
        disconnected = asyncio.ensure_future(_wait_disconnect(receive))
        # A closed reading ends a wait for events, so that the stream notices the disconnect at once.
        disconnected.add_done_callback(lambda _: close_reading(self._reading, scope))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_while_valid(scope, send, disconnected)
            if not disconnected.done():
                end = b"" if self._gzip is None else self._gzip.end()
                await send({"type": "http.response.body", "body": end, "more_body": False})
        except BaseException:
            if not disconnected.done():  # the server ends the stream, so cancel-on-disconnect must not apply
                self._reading.close_by_server()
            raise
        finally:
            disconnected.cancel()
            close_reading(self._reading, scope)
            self._source.end()

    async def _send_head(self, send: Send) -> None:
        """Answer a HEAD request with the headers of the stream."""
        self._reading.close()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b""})

    async def _send_while_valid(self, scope: Scope, send: Send, disconnected: "asyncio.Future[None]") -> None:
        """Send everything. If the caller's token becomes invalid, the stream closes without an end event."""
        try:
            async with validity_in(scope).held():
                await self._send_all(send, disconnected)
        except Unauthenticated as error:
            # Before the response ends: the client has not gone away, so cancel-on-disconnect must not apply.
            self._reading.close_by_server()
            log.info("stream ended: its token is no longer valid", reason=error.message, **self._source.about)

    async def _send_all(self, send: Send, disconnected: "asyncio.Future[None]") -> None:
        while not disconnected.done():
            has_all = await self._send_available(send)
            if self._reading.is_closed or (has_all and self._source.is_over):
                return
            quiet_seconds = self._sent_at + self._ping_seconds - clock.monotonic()
            if quiet_seconds <= 0:  # checked first: wake-ups may come without new events, and must not prevent pings
                await self._source.close_if_gone()
                await self._send_body(send, sse.PING)
            elif has_all:
                await self._reading.wait(quiet_seconds)
            else:
                await clock.sleep(min(RETRY_SECONDS, quiet_seconds))

    async def _send_available(self, send: Send) -> bool:
        """Send what can be sent now. Returns False if there may be more but the database is unavailable."""
        try:
            async for body in self._source.available():
                await self._send_body(send, body)
        except StoreUnavailable:
            log.debug("stream waiting for the database", **self._source.about)
            return False
        return True

    def _negotiate(self, scope: Scope) -> None:
        if self._may_compress:
            self.headers.add_vary_header("Accept-Encoding")
            if accepts_gzip(Headers(scope=scope).get("accept-encoding", "")):
                self.headers["Content-Encoding"] = "gzip"
                self._gzip = GzipStream()

    async def _send_body(self, send: Send, body: bytes) -> None:
        if self._gzip is None:
            await self._send_piece(send, body)
            return
        view = memoryview(body)
        while len(view) > SLICE_BYTES:
            await self._send_piece(send, self._gzip.compress(view[:SLICE_BYTES]))
            await clock.yield_to_others()
            view = view[SLICE_BYTES:]
        await self._send_piece(send, self._gzip.compress(view))

    async def _send_piece(self, send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._sent_at = clock.monotonic()


def close_reading(reading: Reading, scope: Scope) -> None:
    """Close what is read for a request whose connection has ended."""
    if was_dropped(scope):  # the client has not gone away, so cancel-on-disconnect must not apply
        reading.close_by_server()
    else:
        reading.close()


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
