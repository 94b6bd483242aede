"""Connections to a model's provider: one small keep-alive pool per event loop, closed together with the loop."""

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
"""How long to wait for the end of an answer after its last event, so that the connection can be reused."""
TAIL_BYTES = 64 * 1024
"""The most bytes after the last event of an answer. If there are more, the connection is closed."""


class Pool:
    """Holds one session per event loop, created at the loop's first call.

    A loop closes its session itself when it shuts down its async generators, as ``asyncio.run`` does.

    :param url: the address of the calls. Its scheme and host select the proxy from the environment (``HTTPS_PROXY``,
        ``NO_PROXY`` and similar), which is read once.
    :param connections: the most open connections per loop.
    :param tls: the trusted certificates.
    :raises DeclarationError: the environment names a proxy of an unsupported kind.
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
        # The holder reaches its yield without suspending, so two concurrent first calls cannot create two sessions.
        session = await anext(holder)
        self._holders[loop], self._sessions[loop] = holder, session
        return session

    async def close(self) -> None:
        """Close the sessions of all running loops. The others close together with their loop."""
        self._closed = True
        running_loop = asyncio.get_running_loop()
        for loop, holder in list(self._holders.items()):
            self._sessions.pop(loop, None)
            if loop is running_loop:
                del self._holders[loop]
                await holder.aclose()
            elif loop.is_running():  # a session must be closed on its own loop
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
    """Read the end of ``answer`` so that its connection can be reused. If it does not arrive soon, close it."""
    try:
        async with asyncio.timeout(TAIL_SECONDS):
            await read_body(answer, TAIL_BYTES)
    # The answer is complete; a tail that is late, long or broken costs only the connection.
    except (aiohttp.ClientError, OSError):
        pass
    finally:
        answer.close()  # has no effect on a connection that was returned to the pool


async def read_body(answer: aiohttp.ClientResponse, max_bytes: int) -> tuple[bytes, bool]:
    """Up to ``max_bytes`` of the decompressed body of ``answer``, and whether that is the whole body.

    :raises aiohttp.ClientError: the connection failed.
    """
    pieces: list[bytes] = []
    left = max_bytes
    while data := await answer.content.read(TAIL_BYTES):
        pieces.append(data[:left])
        left -= len(data)
        if left < 0:
            return b"".join(pieces), False
        if len(data) >= TAIL_BYTES:  # more data may be waiting: let other tasks run in between
            await clock.yield_to_others()
    return b"".join(pieces), True


def limits(settings: Settings, timeout: object) -> aiohttp.ClientTimeout:
    """The time limits of one call.

    A silent provider has no limit here unless the caller sets one: :class:`musterd.models.call.ModelCaller` watches
    the answers of all providers. A second timer would take a kilobyte of each call, and each chunk would set it anew.

    :param timeout: the caller's limit: seconds, an ``httpx2.Timeout``, or None for no limits. For any other value the
        settings apply.
    """
    connect_seconds: float | None = settings.model_connect_seconds
    read_seconds: float | None = None
    if timeout is None or isinstance(timeout, (int, float)):
        connect_seconds = read_seconds = timeout
    elif isinstance(timeout, httpx2.Timeout):
        connect_seconds, read_seconds = timeout.connect, timeout.read
    return aiohttp.ClientTimeout(total=None, connect=connect_seconds, sock_read=read_seconds)


async def _finish(holder: AsyncGenerator[Any]) -> None:
    await holder.aclose()
