"""Connections to a model's provider: one small keep-alive pool for each event loop, closed with that loop."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import httpx2

from musterd.core import clock
from musterd.core.settings import Settings
from musterd.http_client import BoundedConnector, proxy_for

TAIL_SECONDS = 0.1
"""How long the end of an answer is awaited after its last event, so that the connection can be used again."""
TAIL_BYTES = 64 * 1024
"""What may follow the last event of an answer; if more comes, the connection is closed."""


class Pool:
    """Gives the session of the running event loop, made at its first call.

    A loop closes its session itself when it shuts down its async generators, as ``asyncio.run`` does.

    :param url: where calls go; its scheme and host choose the proxy from the environment (``HTTPS_PROXY``,
        ``NO_PROXY`` and their kin), read once.
    :param connections: how many may be open at once in one loop.
    :param tls: which certificates are trusted.
    :raises DeclarationError: the environment names a proxy of a kind that is not spoken.
    """

    def __init__(self, url: str, connections: int, tls: ssl.SSLContext) -> None:
        self._connections = connections
        self._tls = tls
        self._proxy = proxy_for(url)
        self._holders: dict[asyncio.AbstractEventLoop, AsyncGenerator[aiohttp.ClientSession]] = {}
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}
        self._closed = False

    async def session(self) -> aiohttp.ClientSession:
        """The session of the running loop.

        :raises RuntimeError: the pool is closed.
        """
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is not None and not session.closed:
            return session
        if self._closed:
            raise RuntimeError("Cannot send a request, as the client has been closed.")
        self._forget_closed_loops()
        holder = self._hold()
        session = await anext(holder)
        self._holders[loop], self._sessions[loop] = holder, session
        return session

    async def close(self) -> None:
        """Close the sessions of all loops that run; those of others close with their loop."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, holder in list(self._holders.items()):
            self._sessions.pop(loop, None)
            if loop is here:
                del self._holders[loop]
                await holder.aclose()
            elif loop.is_running():
                del self._holders[loop]
                asyncio.run_coroutine_threadsafe(_finish(holder), loop)

    async def _hold(self) -> AsyncGenerator[aiohttp.ClientSession]:
        connector = BoundedConnector(limit=self._connections, ssl=self._tls)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), proxy=self._proxy)
        try:
            yield session
        finally:
            await session.close()

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._holders if loop.is_closed()]:
            del self._holders[loop]
            self._sessions.pop(loop, None)


async def read_tail(answer: aiohttp.ClientResponse) -> None:
    """Leave ``answer``'s connection to the next call if its end is at hand; close it otherwise."""
    try:
        async with asyncio.timeout(TAIL_SECONDS):
            await read_body(answer, TAIL_BYTES)
    except (aiohttp.ClientError, OSError):
        pass
    finally:
        answer.close()  # does nothing to a connection that was given back


async def read_body(answer: aiohttp.ClientResponse, most_bytes: int) -> tuple[bytes, bool]:
    """The body of ``answer``, after decompression, and whether that is all of it: no more than ``most_bytes`` are kept.

    :raises aiohttp.ClientError: the connection failed.
    """
    pieces: list[bytes] = []
    left = most_bytes
    while data := await answer.content.read(TAIL_BYTES):
        pieces.append(data[:left])
        left -= len(data)
        if left < 0:
            return b"".join(pieces), False
        if len(data) >= TAIL_BYTES:  # more may be waiting: let other tasks run in between
            await clock.yield_to_others()
    return b"".join(pieces), True


def limits(settings: Settings, timeout: object) -> tuple[aiohttp.ClientTimeout, float | None]:
    """The limits of one call, and the wait between chunks in seconds; None: no limit.

    :param timeout: the caller's own: seconds, an ``httpx2.Timeout``, None for no limits; anything else: the
        settings'.
    """
    connect: float | None = settings.model_connect_seconds
    first: float | None = settings.model_first_byte_seconds
    between: float | None = settings.model_chunk_seconds
    if timeout is None or isinstance(timeout, (int, float)):
        connect = first = between = timeout
    elif isinstance(timeout, httpx2.Timeout):
        connect, first, between = timeout.connect, timeout.read, timeout.read
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=first), between


def limit_waits(answer: aiohttp.ClientResponse, seconds: float | None) -> None:
    """From now on allow ``seconds`` between two pieces of ``answer``."""
    connection = answer.connection
    if connection is not None and connection.protocol is not None:
        connection.protocol.read_timeout = seconds
        connection.protocol.start_timeout()


async def _finish(holder: AsyncGenerator[Any]) -> None:
    await holder.aclose()
