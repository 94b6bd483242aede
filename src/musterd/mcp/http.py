"""The connection to a server that speaks streamable HTTP.

The SDK implements the protocol; this module gives its HTTP client a transport. The transport sends over musterd's
bounded connections, passes on only messages that the inbox has read, and answers a request with an error when the
server does not reply, because the versions of the SDK treat broken connections and status codes differently.
"""

import contextlib
import functools
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from musterd.core import clock
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.threads import in_thread
from musterd.declare import MCPServer
from musterd.http_client import BoundedConnector, proxy_for
from musterd.http_client.httpx_transport import httpx_transport
from musterd.mcp.messages import (
    INLINE_BYTES,
    INTERNAL_ERROR,
    Cause,
    Inbox,
    UnreadableMessage,
    error_reply,
    unusable_reply,
)
from musterd.mcp.sdk import Sdk

METHOD_NOT_FOUND = -32601
NO_SESSION = -32000
"""What many servers answer to a request of a session that they do not know. It stands for other errors as well."""
SESSION_HEADER = "mcp-session-id"
EVENT_LINES = 100_000
"""Most lines of an event. A message has at most as many values."""
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_OVERLAP_BYTES = 3
"""Bytes at the end of the buffer that are searched again: the end of an event may be split over two reads."""


@contextlib.asynccontextmanager
async def http_client(server: MCPServer, inbox: Inbox, sdk: Sdk) -> AsyncIterator[Any]:
    """An HTTP client of the httpx version that the SDK uses."""
    # Not trust_env: with it aiohttp also reads ~/.netrc, and refuses requests that have an Authorization header.
    async with aiohttp.ClientSession(
        connector=BoundedConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy_for(server.address())
    ) as session:

        async def open_session() -> aiohttp.ClientSession:
            return session

        timeout = sdk.httpx.Timeout(server.connect_seconds, read=None)  # the tool's own timeout limits a call
        transport = _transport_class(sdk.httpx)(_Exchange(sdk.httpx, httpx_transport(sdk.httpx, open_session), inbox))
        async with sdk.httpx.AsyncClient(
            transport=transport, headers=server.request_headers(), timeout=timeout
        ) as client:
            yield client


@functools.cache
def _transport_class(library: Any) -> Any:
    class CheckedTransport(library.AsyncBaseTransport):  # type: ignore[misc]
        def __init__(self, exchange: "_Exchange") -> None:
            self._exchange = exchange

        async def handle_async_request(self, request: Any) -> Any:
            return await self._exchange.answer(request)

    return CheckedTransport


@functools.cache
def _stream_class(library: Any) -> Any:
    class CheckedStream(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, events: AsyncIterator[bytes], response: Any) -> None:
            self._events = events
            self._response = response

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._events

        async def aclose(self) -> None:
            await self._response.stream.aclose()

    return CheckedStream


class _Exchange:
    """Sends the requests of the SDK's HTTP client, and checks the responses before the SDK sees them.

    :param library: the httpx version that the SDK uses.
    :param transport: sends the requests.
    """

    def __init__(self, library: Any, transport: Any, inbox: Inbox) -> None:
        self._library = library
        self._transport = transport
        self._inbox = inbox
        self._interrupted: dict[str, Json] = {}  # last event id of a stream that ended too early -> id of its request

    async def answer(self, request: Any) -> Any:
        """Send a request and return the response for the SDK."""
        if request.method != "POST":
            return await self._listen(request)
        message: JsonObject = json.loads(await request.aread())
        self._inbox.note_sent(message)
        request_id = message.get("id") if "method" in message else None  # None: no reply is expected
        try:
            response = await self._transport.handle_async_request(request)
        except (self._library.ConnectError, self._library.ConnectTimeout) as error:
            return self._reply(error_reply(request_id, Cause.NOT_SENT, _not_reached(error)))
        except self._library.TransportError as error:
            return self._reply(error_reply(request_id, Cause.LOST, str(error)))
        if 300 <= response.status_code < 400:
            return await self._without_body(response)
        if response.status_code < 400 and _kind(response) == "text/event-stream" and request_id is not None:
            return self._stream(response, request_id)
        try:
            is_in_session = SESSION_HEADER in request.headers and message.get("method") != "initialize"
            reply = await self._read(response, request_id, is_in_session=is_in_session)
            return self._reply(reply, response)
        except self._library.TransportError as error:
            return self._reply(error_reply(request_id, Cause.LOST, str(error)))
        finally:
            await response.stream.aclose()

    async def _listen(self, request: Any) -> Any:
        """Send a GET for the server's own messages or the rest of an interrupted stream, or a DELETE of the session."""
        response = await self._transport.handle_async_request(request)
        request_id = self._interrupted.pop(request.headers.get("last-event-id", ""), None)
        if request.method == "GET" and response.status_code == 200 and _kind(response) == "text/event-stream":
            return self._stream(response, request_id)
        if request_id is None:
            return await self._without_body(response)
        # Answer the request here: version 1 of the SDK would leave it without a reply.
        await response.stream.aclose()
        reply = error_reply(
            request_id, Cause.LOST, f"its answer ended before the result; then it answered {response.status_code}"
        )
        headers = {"content-type": "text/event-stream"}
        return self._library.Response(200, headers=headers, content=_event(reply, []))

    async def _read(self, response: Any, request_id: Json, *, is_in_session: bool) -> JsonObject:
        """The reply in a response that is not an event stream, or an error that says what the response means."""
        status, message, content, is_json = response.status_code, None, b"", _kind(response) == "application/json"
        try:
            if request_id is not None and (is_json or status == 400):
                content = await _body(response, self._inbox)
            if content and is_json:
                message = await self._inbox.read(content)
        except UnreadableMessage as problem:
            if status < 400:
                return unusable_reply(request_id, str(problem))
        error = message.get("error") if message is not None else None
        code = error.get("code", INTERNAL_ERROR) if isinstance(error, dict) else None
        if is_in_session and status == 404 and code != METHOD_NOT_FOUND:
            return error_reply(request_id, Cause.FORGOTTEN, "it was restarted")
        # Not as the protocol has it, but widespread: the examples of the TypeScript SDK answer so.
        if is_in_session and status == 400 and (code == NO_SESSION or b"session" in content.lower()):
            return error_reply(request_id, Cause.FORGOTTEN, "it does not know the session")
        if status >= 500 and code in (None, INTERNAL_ERROR):
            return error_reply(request_id, Cause.LOST, f"it answered {status}")
        if message is not None and (status < 400 or code is not None):
            return {**message, "id": request_id}
        code = METHOD_NOT_FOUND if status == 404 else INTERNAL_ERROR
        return error_reply(request_id, Cause.SERVER, f"it answered {status}", code)

    async def _checked_events(self, response: Any, request_id: Json) -> AsyncIterator[bytes]:
        """The checked events of a stream. If the stream ends without a reply to the request, an error follows."""
        last_id = ""
        try:
            async for event in _events(response, self._inbox):
                message, other_lines = await self._read_event(event)
                last_id = next((_value_of(line) for line in other_lines if line.startswith(b"id:")), last_id)
                if message is not None or other_lines:
                    yield _event(message, other_lines)
                if request_id is not None and message is not None and "method" not in message:
                    return
            reply = error_reply(request_id, Cause.LOST, "its answer ended before the result")
        except UnreadableMessage as problem:
            last_id, reply = "", unusable_reply(request_id, str(problem))
        except self._library.TransportError as error:
            reply = error_reply(request_id, Cause.LOST, str(error))
        if request_id is None:
            return
        if last_id:  # no error yet: the SDK will ask for the events after this one, and _listen answers then
            self._interrupted[last_id] = request_id
        else:
            yield _event(reply, [])

    async def _read_event(self, event: bytes) -> tuple[JsonObject | None, list[bytes]]:
        """The message of an event, and its other lines that the SDK reads."""
        line_count = 1 + event.count(b"\n") + event.count(b"\r") - event.count(b"\r\n")
        if line_count > EVENT_LINES:
            raise UnreadableMessage(f"it has more than {EVENT_LINES} lines")
        data, other_lines = _split(event) if len(event) <= INLINE_BYTES else await in_thread(_split, event)
        return await self._inbox.read(data) if data else None, other_lines

    def _stream(self, response: Any, request_id: Json) -> Any:
        stream = _stream_class(self._library)(self._checked_events(response, request_id), response)
        return self._library.Response(response.status_code, headers=response.headers, stream=stream)

    def _reply(self, message: JsonObject, response: Any = None) -> Any:
        """A response that holds ``message``; without content if no reply is expected."""
        if message["id"] is None:
            return self._library.Response(202)
        headers = {"content-type": "application/json"}
        if response is not None and SESSION_HEADER in response.headers:
            headers[SESSION_HEADER] = response.headers[SESSION_HEADER]
        return self._library.Response(200, headers=headers, content=json.dumps(message, ensure_ascii=False).encode())

    async def _without_body(self, response: Any) -> Any:
        await response.stream.aclose()
        headers = {"location": response.headers["location"]} if "location" in response.headers else {}
        return self._library.Response(response.status_code, headers=headers)


def _not_reached(error: Exception) -> str:
    """The reason why the connection failed."""
    if isinstance(error.__cause__, aiohttp.ClientConnectorDNSError):
        return "its host name could not be resolved"
    if isinstance(error.__cause__, aiohttp.ClientSSLError):
        return "TLS failed because its certificate or TLS version was not accepted"
    return "the connection failed"


def _kind(response: Any) -> str:
    content_type: str = response.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower()


async def _body(response: Any, inbox: Inbox) -> bytes:
    """The whole body. Raises UnreadableMessage if it is too long."""
    content = bytearray()
    async for chunk in response.stream:
        content += chunk
        if len(content) > inbox.limits.message_bytes:
            raise UnreadableMessage(inbox.too_long)
    return bytes(content)


async def _events(response: Any, inbox: Inbox) -> AsyncIterator[bytes]:
    """The events of a stream. Raises UnreadableMessage if one is too long."""
    buffer, time_slice = bytearray(), clock.TimeSlice()
    async for chunk in response.stream:
        # Search only what is new: searching a long event from its beginning at each read would take quadratic time.
        searched = max(len(buffer) - _OVERLAP_BYTES, 0)
        buffer += chunk
        while (end := _EVENT_END.search(buffer, searched)) is not None:
            yield bytes(buffer[: end.start()])
            del buffer[: end.end()]
            searched = 0
            await time_slice.pause_if_over()  # the events of a chunk are read without a wait
        if len(buffer) > inbox.limits.message_bytes:
            raise UnreadableMessage(inbox.too_long)


def _split(event: bytes) -> tuple[bytes, list[bytes]]:
    """The data of an event, and the last line of each other field. Only events without a name have data."""
    data: list[bytes] = []
    fields: dict[bytes, bytes] = {}
    is_message = True
    for line in _LINE_END.split(event):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith((b"id:", b"retry:")):
            fields[line.partition(b":")[0]] = line
        elif line.startswith(b"event:") and line[6:].strip() not in (b"", b"message"):
            is_message = False
    return b"\n".join(data) if is_message and any(data) else b"", list(fields.values())


def _value_of(line: bytes) -> str:
    """The value of a line of an event, without the field name."""
    return line.partition(b":")[2].strip().decode("utf-8", "replace")


def _event(message: JsonObject | None, other_lines: list[bytes]) -> bytes:
    data = b"" if message is None else json.dumps(message, ensure_ascii=False).encode()
    return b"".join(line + b"\n" for line in other_lines) + b"data: " + data + b"\n\n"
