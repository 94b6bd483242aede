"""Streams of events to one reader, whatever it reads: sent as it comes, with pings, until it is over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from musterd.core import clock
from musterd.core.errors import StoreUnavailable, Unauthenticated
from musterd.core.settings import Settings
from musterd.http.auth.expiry import validity_in
from musterd.http.gzip_streams import Packer, takes_gzip
from musterd.service.session_subscription import SessionReading
from musterd.service.subscription import Reading
from musterd.wire import sse

log = structlog.get_logger("musterd.http")

RETRY_SECONDS = 1.0


class Source(Protocol):
    """What a reader is sent.

    :param about: what it is of, for log lines.
    """

    about: dict[str, str]

    @property
    def reading(self) -> Reading | SessionReading:
        """Where it comes from; closed with the stream."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the last has come, once :meth:`available` has given all there is."""
        ...

    def begin(self) -> None:
        """Somebody reads from now on."""
        ...

    def available(self) -> AsyncIterator[bytes]:
        """What can be sent now."""
        ...

    async def look_around(self) -> None:
        """Nothing came for a while: close where nothing can come any more."""
        ...

    def end(self) -> None:
        """Nobody reads any more."""
        ...


class EventStream(Response):
    """Streams a source to one reader, and closes it; compressed, where the reader takes that."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, source: Source, settings: Settings) -> None:
        super().__init__(headers={**sse.HEADERS, "Content-Type": sse.MEDIA_TYPE})
        del self.headers["content-length"]
        self._source = source
        self._reading = source.reading
        self._ping_seconds = settings.ping_seconds
        self._may_pack = settings.stream_gzip
        self._packer: Packer | None = None
        self._sent_at = clock.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the source is over, the client goes, or the process stops."""
        task = asyncio.current_task()
        assert task is not None
        self._negotiate(scope)
        if scope["method"] == "HEAD":
            await self._send_head(send)
            return
        self._reading.on_dropped(task.cancel)  # it may hang in a send
        self._source.begin()
        gone = asyncio.ensure_future(_wait_disconnect(receive))
        gone.add_done_callback(lambda _: self._reading.close())
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_while_valid(scope, send, gone)
            if not gone.done():
                end = b"" if self._packer is None else self._packer.end()
                await send({"type": "http.response.body", "body": end, "more_body": False})
        except asyncio.CancelledError:
            if not self._reading.is_dropped:
                raise
            log.warning("reader dropped: it did not keep up", **self._source.about)
        finally:
            gone.cancel()
            self._reading.close()
            self._source.end()

    async def _send_head(self, send: Send) -> None:
        """Say how the stream would begin: its body is for nobody, and the connection waits for the next request."""
        self._reading.close()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b""})

    async def _send_while_valid(self, scope: Scope, send: Send, gone: "asyncio.Future[None]") -> None:
        """Send until nothing more comes. If the caller's token ends first, the stream closes without an end event."""
        try:
            async with validity_in(scope).held():
                await self._send_all(send, gone)
        except Unauthenticated as ended:
            self._reading.send_away()  # before the response ends: its readers' runs must not count as abandoned
            log.info("stream ended: its token is not valid any more", reason=ended.message, **self._source.about)

    async def _send_all(self, send: Send, gone: "asyncio.Future[None]") -> None:
        while not gone.done():
            has_all = await self._send_available(send)
            if self._reading.is_closed or (has_all and self._source.is_over):
                return
            quiet_seconds = self._sent_at + self._ping_seconds - clock.monotonic()
            if quiet_seconds <= 0:  # also where it is sent to the store all the time, and finds nothing there
                await self._source.look_around()
                await self._send_body(send, sse.PING)
            elif has_all:
                await self._reading.wait(quiet_seconds)
            else:
                await clock.sleep(min(RETRY_SECONDS, quiet_seconds))

    async def _send_available(self, send: Send) -> bool:
        """Send what can be sent now; False: there may be more, and the database is away."""
        try:
            async for body in self._source.available():
                await self._send_body(send, body)
        except StoreUnavailable:
            log.debug("a stream waits for the database", **self._source.about)
            return False
        return True

    def _negotiate(self, scope: Scope) -> None:
        if self._may_pack:
            self.headers.add_vary_header("Accept-Encoding")
            if takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
                self.headers["Content-Encoding"] = "gzip"
                self._packer = Packer()

    async def _send_body(self, send: Send, body: bytes) -> None:
        if self._packer is not None:
            body = self._packer.pack(body)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._sent_at = clock.monotonic()


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
