"""Limits for request bodies: size, speed, content coding, and the memory that all uploads take together."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.core import clock
from musterd.core.errors import CodingNotTaken, PayloadTooLarge, RequestTimeout, Unavailable
from musterd.core.settings import Settings
from musterd.http.middleware import SAFE_METHODS

FREE_BYTES = 16 * 1024
"""The part of a body that does not count as upload memory, so that uploads never block messages, decisions and
cancels."""
MAX_PIECE_SECONDS = 0.02
"""The most that counts as work on a piece of a long body. A piece that took longer was waiting, for example for the
disk."""


class BodyLimits:
    """Rejects a body that is too large, too slow, encoded, or one upload too many."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._upload_memory = UploadMemory(settings.uploads_bytes)
        self._long_bodies = LongBodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if any(coding.strip().lower() not in ("", "identity") for coding in headers.getlist("content-encoding")):
            raise CodingNotTaken
        body = ReceivedBody(receive, self._settings, self._upload_memory, self._long_bodies)
        try:
            content_length = headers.get("content-length", "")
            if content_length.isascii() and content_length.isdigit():
                body.expect(int(content_length))  # reject it before any of it is read
            scope.setdefault("state", {})["body"] = body
            await self._app(scope, body.receive, send)
        finally:
            body.release()


class UploadMemory:
    """The memory for all request bodies that are being read. A single body may exceed it up to the body limit.

    :param size: the number of bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size

    def take(self, count: int) -> None:
        """Reserve bytes.

        :raises Unavailable: not enough bytes are free.
        """
        if count > self._free and self._free < self._size:
            raise Unavailable("The server is receiving too many uploads; try again later.")
        self._free -= count

    def give_back(self, count: int) -> None:
        """Release reserved bytes."""
        self._free += count


class LongBodies:
    """The share of the event loop that all long bodies have together: half, so that runs and short requests continue.

    Each piece takes twice its time from a line that all long bodies share: once for the work, once for others. A body
    takes nothing while it waits for its client.
    """

    def __init__(self) -> None:
        self._next_at = 0.0

    def pause_seconds(self, piece_at: float) -> float:
        """How long a body pauses after a piece, on which the work began at ``piece_at``."""
        now = clock.monotonic()
        work_seconds = min(now - piece_at, MAX_PIECE_SECONDS)
        self._next_at = max(self._next_at, now - work_seconds) + 2 * work_seconds
        return self._next_at - now


class ReceivedBody:
    """The body of one request while it is received."""

    def __init__(
        self, receive: Receive, settings: Settings, upload_memory: UploadMemory, long_bodies: LongBodies
    ) -> None:
        self._receive = receive
        self._settings = settings
        self._upload_memory = upload_memory
        self._long_bodies = long_bodies
        self._is_long = False
        self._passed_on_at = 0.0
        self._reserved_bytes = 0
        self._read_bytes = 0
        self._is_complete = False
        self._started_at = clock.monotonic()

    def expect(self, size: int) -> None:
        """Check a size, announced or received so far, and reserve memory for it.

        :raises PayloadTooLarge: it is larger than the server accepts.
        :raises Unavailable: there is not enough upload memory now.
        """
        limit = self._settings.body_bytes
        if size > limit:
            raise PayloadTooLarge(f"The request body is larger than {limit // 1024} KiB.")
        missing = size - FREE_BYTES - self._reserved_bytes
        if missing > 0:
            self._upload_memory.take(missing)
            self._reserved_bytes += missing

    async def receive(self) -> Message:
        """The next message: a chunk of the body, or after the body a disconnect.

        :raises RequestTimeout: the body arrived too slowly.
        """
        if self._is_complete:
            return await self._receive()
        if self._is_long:
            await self._pause()
        try:
            async with asyncio.timeout(self._timeout_seconds()):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestTimeout("The body of the request came too slowly.") from error
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
            self.expect(self._read_bytes)  # a chunked body does not announce its size
            self._is_long = self._read_bytes > FREE_BYTES
        self._passed_on_at = clock.monotonic()
        return message

    def release(self) -> None:
        """Release the upload memory: the body is stored or no longer needed."""
        self._upload_memory.give_back(self._reserved_bytes)
        self._reserved_bytes = 0

    async def _pause(self) -> None:
        """Leave the event loop to other work after a piece."""
        seconds = self._long_bodies.pause_seconds(self._passed_on_at)
        self._started_at += seconds  # the client does not cause the pause
        await clock.sleep(seconds)

    def _timeout_seconds(self) -> float:
        """How long the next chunk may take. Both a single chunk and the body as a whole are limited."""
        settings = self._settings
        allowed_seconds = settings.body_seconds + self._read_bytes / settings.client_bytes_per_second
        return max(0.0, min(settings.body_seconds, self._started_at + allowed_seconds - clock.monotonic()))


def release_body(request: Request) -> None:
    """Release the upload memory of a request before its response is sent."""
    body: ReceivedBody = request.scope["state"]["body"]
    body.release()
