"""A cheap subscriber that counts what arrives and keeps the end of it."""

import asyncio
from urllib.parse import urlencode, urlsplit

from bench.servers import NoFigure

END = b"event: TeamRunCompleted\n"
TAIL_BYTES = 64 * 1024


class Listener(asyncio.Protocol):
    """Sends one request and reads its answer until the server closes.

    ``size``, ``events`` and ``has_end`` say what came; ``closed`` is done when it is over.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._tail = b""
        self._transport: asyncio.Transport | None = None
        self.size = self.events = 0
        self.has_end = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def leave(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Count what came; a word that is cut in two is counted with its second half."""
        seen = self._tail[-len(END) + 1 :] + data
        self.size += len(data)
        self.events += seen.count(b"\nid: ") - self._tail[-len(END) + 1 :].count(b"\nid: ")
        self.has_end = self.has_end or END in seen
        self._tail = seen[-TAIL_BYTES:]
        if not self.began.done():
            self.began.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """The answer is over."""
        if not self.closed.done():
            self.closed.set_result(None)
        if not self.began.done():
            self.began.set_result(None)

    async def end(self) -> "Listener":
        """Wait for the end; NoFigure where it was cut off before it."""
        await self.closed
        if not self.has_end:
            raise NoFigure(f"a reader was cut off behind {self.size} bytes: {self._tail[-300:]!r}")
        return self


async def listen(url: str, method: str, path: str, *, form: dict[str, str] | None = None) -> Listener:
    """Begin to read; a GET asks for a stream of events."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    sent = request(method, path, form)
    _, listener = await loop.create_connection(lambda: Listener(sent), address.hostname or "", address.port or 80)
    return listener


def request(method: str, path: str, form: dict[str, str] | None = None) -> bytes:
    """Return the bytes of a request for a stream of events."""
    body = urlencode(form or {}).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAccept: text/event-stream\r\n"
    if form is not None:
        head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
