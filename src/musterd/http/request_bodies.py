"""Bodies of requests on their way in: how long, how slow, in which coding, and how much of all of them at once."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musterd.core import clock
from musterd.core.errors import CodingNotTaken, PayloadTooLarge, RequestTimeout, Unavailable
from musterd.core.settings import Settings
from musterd.http.middleware import SAFE_METHODS

FREE_BYTES = 16 * 1024
"""What a body may have without asking for room: uploads must not keep a question, a decision or a cancel out."""


class BodyLimits:
    """Refuses a body that is longer than the server takes, slower, coded, or one too many."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._room = Room(settings.uploads_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if any(coding.strip().lower() not in ("", "identity") for coding in headers.getlist("content-encoding")):
            raise CodingNotTaken
        body = Body(receive, self._settings, self._room)
        try:
            told = headers.get("content-length", "")
            if told.isascii() and told.isdigit():
                body.expect(int(told))
            scope.setdefault("state", {})["body"] = body
            await self._app(scope, body.receive, send)
        finally:
            body.release()


class Room:
    """What bodies that are being read may take, all together. One alone may take what a body may.

    :param bytes_left: what is free.
    """

    def __init__(self, bytes_left: int) -> None:
        self._most = self._left = bytes_left

    def take(self, wanted: int) -> None:
        """Take more of it.

        :raises Unavailable: so much is not free.
        """
        if wanted > self._left and self._left < self._most:
            raise Unavailable("The server reads as many uploads as it can hold; try again.")
        self._left -= wanted

    def give_back(self, taken: int) -> None:
        """Free what was taken."""
        self._left += taken


class Body:
    """The body of one request, while it comes."""

    def __init__(self, receive: Receive, settings: Settings, room: Room) -> None:
        self._receive = receive
        self._settings = settings
        self._room = room
        self._taken = 0
        self._read = 0
        self._is_whole = False
        self._began = clock.monotonic()

    def expect(self, told: int) -> None:
        """The request says how long it is.

        :raises PayloadTooLarge: longer than the server takes.
        :raises Unavailable: it has no room for that now.
        """
        limit = self._settings.body_bytes
        if told > limit:
            raise PayloadTooLarge(f"The request body is larger than {limit // 1024} KiB.")
        beyond = told - FREE_BYTES - self._taken
        if beyond > 0:
            self._room.take(beyond)
            self._taken += beyond

    async def receive(self) -> Message:
        """The next piece; once all are there, whatever else happens to the request.

        :raises RequestTimeout: it came too slowly.
        """
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience_seconds()):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestTimeout("The body of the request came too slowly.") from error
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            self.expect(self._read)
        return message

    def release(self) -> None:
        """Let others have its room: what was read is stored, or not needed."""
        self._room.give_back(self._taken)
        self._taken = 0

    def _patience_seconds(self) -> float:
        """How long the next piece may take: so that none takes long, and all together do not either."""
        settings = self._settings
        earned = settings.body_seconds + self._read / settings.client_bytes_per_second
        return max(0.0, min(settings.body_seconds, self._began + earned - clock.monotonic()))


def release_body(request: Request) -> None:
    """Let others have the room of the request's body before it is answered."""
    body: Body = request.scope["state"]["body"]
    body.release()
