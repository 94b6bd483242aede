"""A client that sends raw bytes, including malformed requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.support.http import ServerClient

HOST = b"Host: localhost\r\n"
PATIENCE_SECONDS = 120


class RawConnection:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, data: bytes, *, is_open: bool = False) -> None:
        """Send these bytes; a server that has disconnected is an error only if the connection must be open."""
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            if is_open:
                raise

    async def answer(self) -> bytes:
        """The next answer, by its Content-Length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + (await self._reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b"")

    async def piece(self) -> bytes:
        """The received bytes, or the next ones."""
        return await self._reader.read(65536)

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        data = bytearray()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while piece := await self._reader.read(65536):
                    data += piece
        return bytes(data)


@contextlib.asynccontextmanager
async def raw_connection(client: ServerClient, **options: Any) -> AsyncIterator[RawConnection]:
    """Open a connection of its own to a server on loopback."""
    url = client.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port, **options)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(client: ServerClient, data: bytes) -> bytes:
    """Send these bytes; what the server answers until it closes the connection."""
    async with raw_connection(client) as line:
        await line.say(data)
        return await line.rest()


def status_of(answer: bytes) -> int:
    """The status of the first answer in these bytes; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
