"""A client that sends raw bytes, including malformed requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.support.http import House

HOST = b"Host: localhost\r\n"
PATIENCE_SECONDS = 20


class Line:
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
        """The next response, by its declared length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        told = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + (await self._reader.readexactly(int(told[0].split(b":")[1])) if told else b"")

    async def piece(self) -> bytes:
        """The received bytes, or the next ones."""
        return await self._reader.read(65536)

    async def rest(self) -> bytes:
        """Everything that arrives until the server closes the connection."""
        found = bytearray()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                while piece := await self._reader.read(65536):
                    found += piece
        return bytes(found)


@contextlib.asynccontextmanager
async def line_to(house: House, **options: Any) -> AsyncIterator[Line]:
    """A new connection to a loopback server."""
    url = house.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port, **options)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def told(house: House, data: bytes) -> bytes:
    """The server's response to these bytes, until it closes the connection."""
    async with line_to(house) as line:
        await line.say(data)
        return await line.rest()


def status_of(answer: bytes) -> int:
    """The status of the first answer in these bytes; 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
