"""A transport for httpx clients that sends over aiohttp, so that SDKs written for httpx use the bounded connections.

httpx 0.28 and its successor httpx2 have the same interface under two names. The caller passes the one its SDK uses.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import aiohttp
from yarl import URL

from musterd.core import clock, received_data

OpenSession = Callable[[], Awaitable[aiohttp.ClientSession]]
Measure = Callable[[aiohttp.ClientResponse], Callable[[bytes], None]]
"""Called for each response; returns what is called with each piece of its decompressed body."""
LARGE_READ_BYTES = 64 * 1024
"""After a read of this size more data is probably waiting, and other tasks must run in between."""
_AUTOMATIC_HEADERS = ("Accept", "Content-Type", "User-Agent")
_OWN_HEADERS = frozenset({"accept-encoding", "transfer-encoding"})
"""Request headers that aiohttp sets itself, because it decompresses and frames the content."""
_UNDONE_HEADERS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Response headers that no longer apply to the decoded content."""


def httpx_transport(
    library: ModuleType,
    open_session: OpenSession,
    *,
    measure: Measure | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Any:
    """A transport for ``library.AsyncClient(transport=…)``.

    It does not follow redirects, and it decompresses responses as they arrive. Closing it leaves the session open.

    :param library: ``httpx`` or ``httpx2``.
    :param open_session: returns the aiohttp session to use; called for each request.
    :param measure: measures the bodies. What it raises ends the response.
    :param close: called when the transport is closed.
    """
    return _transport_class(library)(open_session, measure or _unlimited, close or _leave_open)


def _unlimited(response: aiohttp.ClientResponse) -> Callable[[bytes], None]:
    return lambda data: None


async def _leave_open() -> None:
    return


@functools.cache
def _transport_class(library: Any) -> Any:
    class ResponseBody(library.AsyncByteStream):  # type: ignore[misc]
        """The response body as it arrives; httpx closes it when it needs no more."""

        def __init__(self, response: aiohttp.ClientResponse, request: Any, add: Callable[[bytes], None]) -> None:
            self._response = response
            self._request = request
            self._add = add

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _pieces(library, self._response, self._request, self._add)

        async def aclose(self) -> None:
            self._response.close()  # keeps the connection open if the response was read to its end

    class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, open_session: OpenSession, measure: Measure, close: Callable[[], Awaitable[None]]) -> None:
            self._open_session = open_session
            self._measure = measure
            self._close = close

        async def aclose(self) -> None:
            await self._close()

        async def handle_async_request(self, request: Any) -> Any:
            session = await self._open_session()
            content = await request.aread()
            headers = [(name, value) for name, value in request.headers.multi_items() if name not in _OWN_HEADERS]
            try:
                response = await session.request(
                    request.method,
                    _url_without_login(request.url),
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
                response.status,
                headers=[(name, value) for name, value in response.raw_headers if name.lower() not in _UNDONE_HEADERS],
                stream=ResponseBody(response, request, self._measure(response)),
                extensions={
                    "http_version": b"HTTP/1.1",
                    "reason_phrase": (response.reason or "").encode("latin-1", "replace"),
                },
            )

    return Transport


async def _pieces(
    library: Any, response: aiohttp.ClientResponse, request: Any, add: Callable[[bytes], None]
) -> AsyncIterator[bytes]:
    """The decompressed body as it arrives."""
    note_data = received_data.on_data.get() or received_data.ignore
    try:
        while data := await response.content.readany():
            note_data()
            add(data)
            yield data
            if len(data) >= LARGE_READ_BYTES:
                await clock.yield_to_others()
    except (aiohttp.ClientError, OSError) as error:
        raise _as_httpx(library, error, request) from error


def _url_without_login(url: Any) -> URL:
    """The address without user and password: httpx has put them into a header, and aiohttp rejects having both."""
    return URL(str(url), encoded=True).with_user(None)


def _timeout(seconds: Any) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
    )


def _as_httpx(library: Any, error: aiohttp.ClientError | OSError, request: Any) -> Exception:
    """The httpx exception that corresponds to one of aiohttp."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        exception_class = library.ConnectTimeout
    elif isinstance(error, TimeoutError):
        exception_class = library.ReadTimeout
    elif isinstance(error, aiohttp.ClientConnectorError):
        exception_class = library.ConnectError
    elif isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        exception_class = library.RemoteProtocolError
    else:
        exception_class = library.ReadError
    # The text of a ClientResponseError contains the full address, whose query may hold a key.
    message = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    translated: Exception = exception_class(message or type(error).__name__, request=request)
    return translated
