"""A transport for httpx clients that sends over aiohttp, so that SDKs written for httpx share its bounded connections.

httpx 0.28 and its successor httpx2 have the same interface under two names; which one an SDK needs is its own affair.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import aiohttp
from yarl import URL

OpenSession = Callable[[], Awaitable[aiohttp.ClientSession]]
_AUTOMATIC_HEADERS = ("Accept", "Content-Type", "User-Agent")
_OWN_HEADERS = frozenset({"accept-encoding", "transfer-encoding"})
"""Headers of a request that aiohttp sets: it says what it can decompress, and how long the content is."""
_UNDONE_HEADERS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Headers of a response that tell of its form on the wire."""


def httpx_transport(library: ModuleType, session: OpenSession) -> Any:
    """A transport for ``library.AsyncClient(transport=…)``.

    It does not follow redirects; it decompresses, piece by piece. Closing it leaves the session open.

    :param library: ``httpx`` or ``httpx2``.
    :param session: gives the aiohttp session whose connections are used, for each request.
    """
    return _transport_class(library)(session)


@functools.cache
def _transport_class(library: Any) -> Any:
    class Body(library.AsyncByteStream):  # type: ignore[misc]
        """The body as it comes; httpx closes it when it has enough."""

        def __init__(self, answer: aiohttp.ClientResponse, request: Any) -> None:
            self._answer = answer
            self._request = request

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                while data := await self._answer.content.readany():
                    yield data
            except (aiohttp.ClientError, OSError) as error:
                raise _as_httpx(library, error, self._request) from error

        async def aclose(self) -> None:
            self._answer.close()  # does nothing to a connection whose response was read to its end

    class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, session: OpenSession) -> None:
            self._session = session

        async def handle_async_request(self, request: Any) -> Any:
            session = await self._session()
            content = await request.aread()
            headers = [(name, value) for name, value in request.headers.multi_items() if name not in _OWN_HEADERS]
            try:
                answer = await session.request(
                    request.method,
                    _address(request.url),
                    data=content or None,
                    headers=headers,
                    skip_auto_headers=_AUTOMATIC_HEADERS,
                    allow_redirects=False,
                    auto_decompress=True,
                    timeout=_timeout(request.extensions.get("timeout", {})),
                )
            except (aiohttp.ClientError, OSError) as error:
                raise _as_httpx(library, error, request) from error
            return library.Response(
                answer.status,
                headers=[(name, value) for name, value in answer.raw_headers if name.lower() not in _UNDONE_HEADERS],
                stream=Body(answer, request),
                extensions={
                    "http_version": b"HTTP/1.1",
                    "reason_phrase": (answer.reason or "").encode("latin-1", "replace"),
                },
            )

    return Transport


def _address(url: Any) -> URL:
    """The address without a user and password: httpx has made a header of them, and aiohttp does not take both."""
    return URL(str(url), encoded=True).with_user(None)


def _timeout(seconds: Any) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
    )


def _as_httpx(library: Any, error: aiohttp.ClientError | OSError, request: Any) -> Exception:
    """The exception of httpx for one of aiohttp."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        kind = library.ConnectTimeout
    elif isinstance(error, TimeoutError):
        kind = library.ReadTimeout
    elif isinstance(error, aiohttp.ClientConnectorError):
        kind = library.ConnectError
    elif isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        kind = library.RemoteProtocolError
    else:
        kind = library.ReadError
    # The text of a ClientResponseError has the whole address, whose query may hold a key.
    words = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    raised: Exception = kind(words or type(error).__name__, request=request)
    return raised
