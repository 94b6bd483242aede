"""A connection, as ``musterd serve`` holds it: uvicorn's protocol, bounded.

What uvicorn leaves open is closed here: a head that comes slowly or never ends, a request that two readers could read
differently, the rest of a body that was answered already, a client that takes nothing of its answer. Each is refused in
the form of all errors where an answer can still be given, else the connection is closed. Requests at work are never
timed here: a stream, or a wait for a run, takes as long as it takes.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from musterd.core import clock
from musterd.core.errors import AddressTooLong, BadRequest, HeadTooLarge, RequestError, RequestTimeout, Unavailable
from musterd.core.settings import Settings
from musterd.http.connections import NO_ROOM, ConnectionLimits, Connections
from musterd.http.responses import error_answer

log = structlog.get_logger("musterd.http")

LINGER_SECONDS = 2.0
"""How long what a refused client still sends is taken and dropped: closing at once would lose it the answer."""

LINGER_BYTES = 1024 * 1024
"""How much of it."""

MOST_PIPELINED = 32
"""Requests that may wait behind the one at work."""

VERSIONS = frozenset({"1.1", "1.0"})
"""Versions that are spoken; 1.0 by health probes of load balancers and by ``ab``."""

SINGLE_HEADERS = frozenset(
    {b"host", b"authorization", b"content-type", b"content-length", b"transfer-encoding", b"origin"}
)
"""Headers of which a proxy and a server may read different ones where there are two."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection; :func:`bounded_protocol` makes the class for some settings."""

    limits: ConnectionLimits
    census: Connections

    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _refusal: RequestError | None = None
    _is_leaving = False
    _is_in_head = False
    _had_request = False
    _has_body_left = False
    _head_bytes = 0
    _dropped_bytes = 0

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it where there are too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        refusal = self.census.refusal(address)
        if refusal is not None:
            self._answer(refusal)
            self._linger()
            return
        self.census.take(self, address)
        self._arm(self.limits.header_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self.census.forget(self)
        self.census.lingered(self)
        self._disarm()
        self._can_write()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Make room for another connection: no request of this one is at work.

        A client that was answered before expects an idle connection to be closed; one that has begun a request, or
        was never answered, waits for an answer.
        """
        if self._had_request and not self._is_in_head:
            self.transport.close()
        else:
            self._refuse(Unavailable(NO_ROOM))

    def hang_up(self) -> None:
        """Close a refused connection before its time."""
        self._disarm()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        if self._is_leaving:
            self._drop(data)
            return
        self._unset_keepalive_if_required()
        was_in_head = self._is_in_head
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or BadRequest("This is not a request of HTTP/1.1."))
            return
        if was_in_head and self._is_in_head:
            self._bound_head(len(data))
        if self._timer is None and not self._is_serving:
            self._arm(self.limits.header_seconds, self._head_is_late)

    def _feed(self, data: bytes) -> None:
        """Parse. Nothing but HTTP/1.1 is spoken: who offers more (HTTP/2, as some clients do) is answered in that."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            head = _without_offer(self.parser.get_method(), self.url, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
            self._feed(head + data[offer.args[0] :])

    @property
    def _is_serving(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    # --- the head of a request --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. What comes behind a body is none: who checked the head has not seen it (RFC 9110, 6.5.1)."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: check it, and have it answered."""
        self._is_in_head = False
        self._disarm()
        self._require(self._problem_of_head())
        if self.parser.should_upgrade():  # it is read anew without the offer
            return
        self._has_body_left = self._had_request = True
        self.census.works(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        if self.parser.should_upgrade():
            return
        self._has_body_left = False
        if not self._is_serving:  # it was answered before
            self._disarm()
        super().on_message_complete()

    def _require(self, problem: RequestError | None) -> None:
        """Have the parser stop at a problem; :meth:`data_received` answers it."""
        if problem is not None:
            self._refusal = problem
            raise ValueError(problem.message)

    def _problem_of_head(self) -> RequestError | None:
        limits, headers, version = self.limits, self.headers, self.parser.get_http_version()
        if version not in VERSIONS:
            return BadRequest("This is not a request of HTTP/1.1.")
        if len(self.url) > limits.url_bytes:
            return AddressTooLong()
        if len(headers) > limits.header_count:
            return HeadTooLarge()
        if sum(len(name) + len(value) for name, value in headers) > limits.header_bytes:
            return HeadTooLarge()
        if len(self.pipeline) >= MOST_PIPELINED:
            return BadRequest("Too many requests are sent on one connection without waiting for answers.")
        if self.parser.get_method() == b"CONNECT":
            return BadRequest("This server is no proxy.")
        return _ambiguity(self.url, headers, version)

    def _bound_head(self, more_bytes: int) -> None:
        """Refuse a head that goes on and on; its exact size is checked once it is there."""
        self._head_bytes += more_bytes
        if len(self.url) > self.limits.url_bytes:
            self._refuse(AddressTooLong())
        elif self._head_bytes > self.limits.url_bytes + self.limits.header_bytes:
            self._refuse(HeadTooLarge())

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_in_head and not self._is_serving:
            self._refuse(RequestTimeout("The head of the request came too slowly."))
        elif not self._is_serving:  # nothing came, or the rest of a body that nobody reads
            self.transport.close()

    # --- answers ----------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """A request is answered; the connection waits for the next one."""
        super().on_response_complete()
        if not self._is_serving:
            self.census.waits(self)
            if (self._has_body_left or self._is_in_head) and not self._is_leaving:
                self._arm(self.limits.header_seconds, self._head_is_late)

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        if self._write_timer is None:
            self._look_at_writing()

    def resume_writing(self) -> None:
        """It has taken what waited."""
        self._can_write()
        super().resume_writing()

    def _can_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _look_at_writing(self) -> None:
        """Look again in a while what of the answer is left."""
        left = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.limits.write_seconds, self._require_taken, left)

    def _require_taken(self, left_before: int) -> None:
        limits = self.limits
        taken = left_before - self.transport.get_write_buffer_size()
        if taken >= limits.write_seconds * limits.client_bytes_per_second:
            self._look_at_writing()
            return
        self._write_timer = None
        log.warning("connection dropped: the client does not take its answer", client=self.client)
        self.transport.abort()

    # --- refusals ---------------------------------------------------------------------------------

    def _refuse(self, error: RequestError) -> None:
        """Answer what no application sees, and leave."""
        if not self._is_serving:
            self._answer(error)
            self._linger()
        elif not self._has_body_left:  # what is wrong stands behind requests that are to be answered first
            self.cycle.keep_alive = False
            self._is_leaving = True
        elif self.pipeline or self.cycle.response_started:
            self.transport.close()
        else:
            self.cycle.disconnected = True  # what the application says now is dropped
            self.cycle.message_event.set()
            self._answer(error)
            self._linger()

    def _answer(self, error: RequestError) -> None:
        request_id = clock.new_id()
        log.info("refused", request_id=request_id, status=error.status, reason=error.message, client=self.client)
        answer = error_answer(error, request_id)
        headers = [*answer.raw_headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + bytes(answer.body))

    def _linger(self) -> None:
        """Let the client read the answer before the connection is reset."""
        self._is_leaving = True
        self.census.forget(self)
        self._disarm()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(LINGER_SECONDS, self.transport.abort)
        self.census.lingers(self)

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > LINGER_BYTES:
            self.transport.abort()

    # --- the clock --------------------------------------------------------------------------------

    def _arm(self, seconds: float, then: Callable[[], object]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded_protocol(settings: Settings) -> type[BoundedProtocol]:
    """The protocol of a process with these settings; all its connections are counted together."""
    census = Connections(settings.connections, settings.connections_per_address)
    return type("MusterdProtocol", (BoundedProtocol,), {"limits": ConnectionLimits.of(settings), "census": census})


def protocol_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is to be told, so that it speaks as these settings say: HTTP/1.1 alone, and no log of its own."""
    return {
        "http": bounded_protocol(settings),
        "ws": "none",
        "timeout_keep_alive": settings.keep_alive_seconds,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "forwarded_allow_ips": [*_networks_of(settings.trusted_proxies)],
    }


def _networks_of(proxies: Iterable[str]) -> Iterator[str]:
    """The networks of proxies; those of IPv4 as a socket of IPv6 sees them, too."""
    for text in proxies:
        network = ipaddress.ip_network(text)
        yield str(network)
        if network.version == 4:
            yield f"::ffff:{network.network_address}/{96 + network.prefixlen}"


def _ambiguity(url: bytes, headers: list[tuple[bytes, bytes]], version: str) -> RequestError | None:
    """What of a head could be read in two ways (RFC 9112, sections 3.2, 6.1 and 11.2)."""
    single = [name for name, _ in headers if name in SINGLE_HEADERS]
    if len(single) != len(set(single)):
        twice = next(name for name in single if single.count(name) > 1)
        return BadRequest(f"The header {twice.decode()} should be given once.")
    if version == "1.1" and b"host" not in single:
        return BadRequest("The header host is missing.")
    if any(value.strip().lower() != b"chunked" or version != "1.1" for value in _values(headers, b"transfer-encoding")):
        return BadRequest("A body may be sent in chunks of HTTP/1.1, and in no other transfer coding.")
    if url.startswith((b"/", b"*")):
        return None
    place = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0].lower()
    if not place or any(value.strip().lower() != place for value in _values(headers, b"host")):
        return BadRequest("The address of the request is not one of this server.")
    return None


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _without_offer(method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A head again, without the offer to go on in another protocol."""
    kept = [(name, value) for name, value in headers if name not in (b"upgrade", b"connection", b"http2-settings")]
    if any(b"close" in value.lower() for value in _values(headers, b"connection")):
        kept.append((b"connection", b"close"))
    lines = b"".join(b"%s: %s\r\n" % header for header in kept)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, url, lines)
