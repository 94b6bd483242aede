"""uvicorn's HTTP protocol with limits, as ``musterd serve`` uses it.

It adds what uvicorn lacks: limits for slow or endless request heads, rejection of ambiguous requests (request
smuggling), a time limit for the rest of a body that was already answered, and one for clients that do not read their
response. The client gets an error response if one can still be sent; otherwise the connection is closed. Active
requests have no time limit here, because streams and waits for a run may take any time.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httptools
import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from musterd.core import clock
from musterd.core.errors import AddressTooLong, BadRequest, HeadTooLarge, RequestError, RequestTimeout, Unavailable
from musterd.core.settings import Settings
from musterd.http.connections import NO_ROOM, ConnectionLimits, Connections
from musterd.http.paths import SOCKET_PATH
from musterd.http.responses import error_answer
from musterd.http.socket_protocol import BoundedSocket
from musterd.http.write_limit import WriteLimit

log = structlog.get_logger("musterd.http")

LINGER_SECONDS = 2.0
"""How long data from a refused client is read and dropped. Closing at once would reset the connection, and the client
might lose the response."""

LINGER_BYTES = 1024 * 1024
"""Most bytes that are read and dropped."""

MAX_PIPELINED = 32
"""Most requests that may wait on a connection behind the active one."""

VERSIONS = frozenset({"1.1", "1.0"})
"""Supported HTTP versions. Health probes of load balancers and ``ab`` use 1.0."""

SINGLE_HEADERS = frozenset(
    {b"host", b"authorization", b"content-type", b"content-length", b"transfer-encoding", b"origin"}
)
"""Headers that must not be repeated, because a proxy and a server might use different ones."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection; :func:`bounded_protocol` creates a subclass with the limits from the settings."""

    limits: ConnectionLimits
    open_connections: Connections  # of the whole process; uvicorn uses the name "connections"

    _timer: asyncio.TimerHandle | None = None
    _refusal: RequestError | None = None
    _served: RequestResponseCycle | None = None  # the request being answered; uvicorn's "cycle" is the newest one
    _is_closing = False
    _is_in_head = False
    _had_request = False
    _is_socket = False
    _has_body_left = False
    _head_bytes = 0
    _dropped_bytes = 0

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        self._write_limit = WriteLimit(transport, self.limits, self.client, self._request_state)
        address = self.client[0] if self.client else ""
        refusal = self.open_connections.refusal(address)
        if refusal is not None:
            self._send_error(refusal)
            self._linger()
            return
        self.open_connections.add(self, address)
        self._start_timer(self.limits.header_seconds, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything that belongs to the connection."""
        self.open_connections.remove(self)
        self.open_connections.remove_lingering(self)
        self._stop_timer()
        self._write_limit.end()
        super().connection_lost(exc)
        if self._served is not None and self._served is not self.cycle:  # another request waits behind it
            self._served.disconnected = True
            self._served.message_event.set()

    def leave(self) -> None:
        """Make room for another connection; no request is active on this one.

        A client that was answered before expects that an idle connection may be closed. One that has started a request,
        or was never answered, gets an error response.
        """
        if self._is_socket or (self._had_request and not self._is_in_head):
            self.transport.close()
        else:
            self._refuse(Unavailable(NO_ROOM))

    def hang_up(self) -> None:
        """Close a refused connection without waiting any longer."""
        self._stop_timer()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Handle incoming data."""
        if self._is_closing:
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        was_in_head = self._is_in_head
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("This is not an HTTP/1.1 request."))
            return
        if self._is_socket:  # another protocol has the connection from now on
            return
        if was_in_head and self._is_in_head:
            self._limit_head(len(data))
        # Only if it is not running: a client that sends byte by byte must not extend its time.
        if self._timer is None and not self._is_serving:
            self._start_timer(self.limits.header_seconds, self._head_timed_out)

    def _feed(self, data: bytes) -> None:
        """Parse data. An offer to upgrade, such as to HTTP/2, is ignored and the request answered with HTTP/1.1."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._opens_socket():
                self._open_socket(data[upgrade.args[0] :])
                return
            # The parser has stopped after the head. Parse the request again without the headers that offer the upgrade.
            head = _without_upgrade(self.parser.get_method(), self.url, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self._feed(head + data[upgrade.args[0] :])

    @property
    def _is_serving(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    # --- the head of a request --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request has arrived."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has arrived. Trailers are ignored, because they bypass the checks of the head (RFC 9110, 6.5.1)."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: check it, and start the request."""
        self._is_in_head = False
        self._stop_timer()
        self._require(self._head_problem())
        if self.parser.should_upgrade() and not self._opens_socket():
            return  # _feed parses the request again without the offer
        self._has_body_left = self._had_request = True
        self.open_connections.mark_active(self)
        super().on_headers_complete()

    # --- sockets ----------------------------------------------------------------------------------

    def _opens_socket(self) -> bool:
        """Whether the request asks for the WebSocket, and no other request of the connection is being answered."""
        is_for_socket = self.url.partition(b"?")[0].endswith(SOCKET_PATH.encode())
        return is_for_socket and self._should_upgrade() and not self._is_serving and not self.pipeline

    def _open_socket(self, more: bytes) -> None:
        """Let the protocol of WebSockets have the connection, which is counted until it is lost.

        :param more: what the client sent after the head.
        """
        self.handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        assert isinstance(socket, BoundedSocket)
        if not socket.handshake_initiated:  # websockets has limits of its own, and uvicorn does not send what it says
            self.transport.set_protocol(self)
            self.connections.discard(socket)
            self.connections.add(self)
            self._refuse(BadRequest("The head of this request for a WebSocket is too long, or has a body."))
            return
        # Until the client has signed in, the connection may be closed for another one.
        self._is_socket = True
        self.open_connections.mark_waiting(self)
        socket.begin(
            self.limits,
            on_signed_in=lambda: self.open_connections.mark_active(self),
            on_lost=lambda: self.open_connections.remove(self),
        )
        if self.flow.write_paused:  # by an earlier answer; the transport tells the socket alone when that was read
            self._write_limit.end()
            socket.pause_writing()
        if more:
            socket.data_received(more)

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self.parser.should_upgrade():
            return
        self._has_body_left = False
        if not self._is_serving:  # it was answered before the body was complete
            self._stop_timer()
        super().on_message_complete()

    def _require(self, problem: RequestError | None) -> None:
        """Stop the parser if there is a problem; :meth:`data_received` then sends the response."""
        if problem is not None:
            self._refusal = problem
            # An exception in a callback makes the parser raise HttpParserError in _feed.
            raise ValueError(problem.message)

    def _head_problem(self) -> RequestError | None:
        limits, headers, version = self.limits, self.headers, self.parser.get_http_version()
        if version not in VERSIONS:
            return BadRequest("This is not an HTTP/1.1 request.")
        if len(self.url) > limits.url_bytes:
            return AddressTooLong()
        if len(headers) > limits.header_count:
            return HeadTooLarge()
        if sum(len(name) + len(value) for name, value in headers) > limits.header_bytes:
            return HeadTooLarge()
        if len(self.pipeline) >= MAX_PIPELINED:
            return BadRequest("Too many requests are sent on one connection without waiting for answers.")
        if self.parser.get_method() == b"CONNECT":
            return BadRequest("This server is not a proxy.")
        return _ambiguity(self.url, headers, version)

    def _limit_head(self, more_bytes: int) -> None:
        """Refuse a head that does not end. The exact size is checked when the head is complete."""
        self._head_bytes += more_bytes
        if len(self.url) > self.limits.url_bytes:
            self._refuse(AddressTooLong())
        elif self._head_bytes > self.limits.url_bytes + self.limits.header_bytes:
            self._refuse(HeadTooLarge())

    def _head_timed_out(self) -> None:
        self._timer = None
        if self._is_in_head and not self._is_serving:
            self._refuse(RequestTimeout("The head of the request came too slowly."))
        elif not self._is_serving:  # no request arrived, or the rest of an answered body is too slow
            self.transport.close()

    # --- answers ----------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """The response is complete; the connection waits for the next request."""
        super().on_response_complete()
        if not self._is_serving:
            self.open_connections.mark_waiting(self)
            if (self._has_body_left or self._is_in_head) and not self._is_closing:
                self._start_timer(self.limits.header_seconds, self._head_timed_out)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def _request_state(self) -> dict[str, Any]:
        return self._served.scope["state"] if self._served is not None else {}

    def pause_writing(self) -> None:
        """The write buffer is full: the client does not read fast enough."""
        super().pause_writing()
        self._write_limit.begin()

    def resume_writing(self) -> None:
        """The write buffer has been drained."""
        self._write_limit.end()
        super().resume_writing()

    # --- refusals ---------------------------------------------------------------------------------

    def _refuse(self, error: RequestError) -> None:
        """Reject a request that the application does not see, and close the connection."""
        if not self._is_serving:
            self._send_error(error)
            self._linger()
        elif not self._has_body_left:  # the error comes after complete requests, which must be answered first
            self.cycle.keep_alive = False
            self._is_closing = True
        # An error response now would be taken for a part of another response, or for the response to another request.
        elif self.pipeline or self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True  # drops whatever the application sends from now on
            self.cycle.message_event.set()
            self._send_error(error)
            self._linger()

    def _send_error(self, error: RequestError) -> None:
        request_id = clock.new_id()
        details = {"status": error.status, "reason": error.message, "client": self.client}
        log.info("request refused", request_id=request_id, **details)
        response = error_answer(error, request_id)
        headers = [*response.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + bytes(response.body))

    def _linger(self) -> None:
        """Keep the connection open until the client has read the response."""
        self._is_closing = True
        self.open_connections.remove(self)
        self._stop_timer()
        # Close our direction only: the client sees the end of the response, while what it still sends is dropped.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer(LINGER_SECONDS, self.transport.abort)
        self.open_connections.add_lingering(self)

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > LINGER_BYTES:
            self.transport.abort()

    # --- the timer --------------------------------------------------------------------------------

    def _start_timer(self, seconds: float, callback: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded_protocol(settings: Settings) -> type[BoundedProtocol]:
    """The protocol class of a process; all its connections are counted together."""
    connections = Connections(settings.connections, settings.connections_per_address)
    attributes = {"limits": ConnectionLimits.of(settings), "open_connections": connections}
    return type("MusterdProtocol", (BoundedProtocol,), attributes)


def protocol_options(settings: Settings) -> dict[str, Any]:
    """The options for uvicorn: these protocols, and no logging by uvicorn."""
    return {
        "http": bounded_protocol(settings),
        "ws": BoundedSocket,
        "ws_max_size": settings.field_bytes,
        "ws_ping_interval": settings.ping_seconds,
        "ws_ping_timeout": settings.write_seconds,
        "ws_per_message_deflate": False,  # a few bytes could unfold to a message of the largest size
        "timeout_keep_alive": settings.keep_alive_seconds,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "forwarded_allow_ips": [*_networks_of(settings.trusted_proxies)],
    }


def _networks_of(proxies: Iterable[str]) -> Iterator[str]:
    """The networks of trusted proxies; those of IPv4 also in the form in which an IPv6 socket reports them."""
    for proxy in proxies:
        network = ipaddress.ip_network(proxy)
        yield str(network)
        if network.version == 4:
            yield f"::ffff:{network.network_address}/{96 + network.prefixlen}"


def _ambiguity(url: bytes, headers: list[tuple[bytes, bytes]], version: str) -> RequestError | None:
    """The error for a head that could be read in two ways (RFC 9112, sections 3.2, 6.1 and 11.2)."""
    names = [name for name, _ in headers if name in SINGLE_HEADERS]
    if len(names) != len(set(names)):
        repeated = next(name for name in names if names.count(name) > 1)
        return BadRequest(f"The header {repeated.decode()} should be given once.")
    if version == "1.1" and b"host" not in names:
        return BadRequest("The header host is missing.")
    if any(value.strip().lower() != b"chunked" or version != "1.1" for value in _values(headers, b"transfer-encoding")):
        return BadRequest("A body may be sent in chunks of HTTP/1.1, and in no other transfer coding.")
    if url.startswith((b"/", b"*")):
        return None
    authority = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0].lower()
    if not authority or any(value.strip().lower() != authority for value in _values(headers, b"host")):
        return BadRequest("The address of the request is not one of this server.")
    return None


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for header, value in headers if header == name]


def _without_upgrade(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The head without the headers that offer to switch to another protocol."""
    others = [(name, value) for name, value in headers if name not in (b"upgrade", b"connection", b"http2-settings")]
    if any(b"close" in value.lower() for value in _values(headers, b"connection")):
        others.append((b"connection", b"close"))
    lines = b"".join(b"%s: %s\r\n" % header for header in others)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, url, lines)
