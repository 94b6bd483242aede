"""A loopback server whose responses never end, in one of several ways."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
KINDS: dict[str, tuple[bytes, bytes]] = {
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "long interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </x>\r\n" * 100 + b"\r\n"),
    "one chunk extension": (CHUNKED + b"5;", b"x" * 20_000),
    "many chunk extensions": (CHUNKED, (b"1;" + b"y" * 60 + b"\r\nX\r\n") * 400),
    "tiny chunks": (CHUNKED, b"1\r\nX\r\n" * 4000),
}
"""By name: the start of the response and the part that repeats."""


@contextlib.asynccontextmanager
async def endless(kind: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The server's address, and an event that is set after a client has disconnected."""
    begin, more = KINDS[kind]
    is_left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(begin)
            while True:
                writer.write(more)
                await writer.drain()
        is_left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", is_left
    finally:
        server.close()
