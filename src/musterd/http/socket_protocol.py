"""uvicorn's WebSocket protocol with limits, as ``musterd serve`` uses it.

It adds what uvicorn lacks: a time limit for signing in, one for clients that do not read, a limit on pings, and pauses
while a lot of input is parsed. Parsing takes several microseconds for each frame, and one read can bring tens of
thousands of them.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import structlog
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from musterd.core import clock
from musterd.http.connections import ConnectionLimits
from musterd.http.write_limit import WriteLimit

log = structlog.get_logger("musterd.http")

SIGNED_IN = "musterd.signed_in"
"""The extension in the ASGI scope that the application calls once it knows the caller."""
POLICY_VIOLATION = 1008
PARSED_AT_ONCE = 4096
"""Most bytes that are parsed before other tasks run. They hold at most 700 frames."""
MAX_CONTROL_FRAMES = 100
"""Most pings and pongs of a client in a second."""


class BoundedSocket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket, with the limits of other connections."""

    _write_limit: WriteLimit | None = None
    _timer: asyncio.TimerHandle | None = None
    _parsing: asyncio.Handle | None = None
    _on_lost: Callable[[], object]
    _on_signed_in: Callable[[], object]
    _was_paused = False  # whether writing was paused since the last ping
    _unparsed = b""
    _second = 0
    _control_frames = 0

    def begin(
        self, limits: ConnectionLimits, on_signed_in: Callable[[], object], on_lost: Callable[[], object]
    ) -> None:
        """Take over the connection. Its client has ``header_seconds`` to sign in.

        :param on_signed_in: called when the client has signed in.
        :param on_lost: called when the connection is lost.
        """
        self._write_limit = WriteLimit(self.transport, limits, self.client, lambda: self.scope["state"])
        self._on_signed_in, self._on_lost = on_signed_in, on_lost
        self._timer = self.loop.call_later(limits.header_seconds, self._sign_in_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything that belongs to the connection."""
        self._stop_timer()
        if self._parsing is not None:
            self._parsing.cancel()
        if self._write_limit is not None:
            self._write_limit.end()
            self._on_lost()
        super().connection_lost(exc)

    # --- signing in ---------------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        """The handshake has arrived: start the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            # The application has its task, but that does not run before this method has returned.
            extensions = cast(dict[str, Any], self.scope["extensions"])
            extensions[SIGNED_IN] = self._signed_in

    def _signed_in(self) -> None:
        self._stop_timer()
        self._on_signed_in()

    def _sign_in_timed_out(self) -> None:
        self._timer = None
        self._fail("The client did not sign in in time.")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, reason: str) -> None:
        """Close the connection for what the client did."""
        log.info("socket closed", reason=reason, client=self.client)
        if self.handshake_complete and not self.close_sent:
            self.conn.send_close(POLICY_VIOLATION, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self.transport.close()

    # --- input --------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Handle incoming data, a part at a time."""
        if self._write_limit is None:  # the head of the request, whose length was limited
            super().data_received(data)
            return
        self._unparsed += data
        if self._parsing is None:
            self._parse()

    def _parse(self) -> None:
        self._parsing = None
        if self._may_parse:
            part, self._unparsed = self._unparsed[:PARSED_AT_ONCE], self._unparsed[PARSED_AT_ONCE:]
            super().data_received(part)
        self._go_on_reading()

    @property
    def _may_parse(self) -> bool:
        """Whether the application waits for a message, and the client reads what is sent to it."""
        return not self.read_paused and self.writable.is_set() and not self.transport.is_closing()

    def _go_on_reading(self) -> None:
        """Parse what was read; if that is done, read more."""
        if self.transport.is_closing():
            return
        if self._may_parse and not self._unparsed:
            self.transport.resume_reading()
            return
        self.transport.pause_reading()
        if self._may_parse and self._parsing is None:
            self._parsing = self.loop.call_soon(self._parse)

    async def receive(self) -> ASGIReceiveEvent:
        """The next message for the application."""
        message = await super().receive()
        self._go_on_reading()
        return message

    def handle_ping(self) -> None:
        """The client has sent a ping."""
        self._count_control_frame()
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """The client has sent a pong."""
        self._count_control_frame()
        super().handle_pong(event)

    def _count_control_frame(self) -> None:
        second = int(clock.monotonic())
        self._control_frames = self._control_frames + 1 if second == self._second else 1
        self._second = second
        if self._control_frames > MAX_CONTROL_FRAMES and not self.transport.is_closing():
            self._fail("The client sends too many pings.")

    # --- output -------------------------------------------------------------------------------------

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of the application."""
        await super().send(message)
        self._go_on_reading()  # after a close, the client's answer to it is read
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # it was refused; uvicorn would log that it was never answered

    def pause_writing(self) -> None:
        """The write buffer is full: the client does not read fast enough."""
        super().pause_writing()
        self._was_paused = True
        self._go_on_reading()  # it pauses reading: each ping would add a pong to the buffer
        if self._write_limit is not None:
            self._write_limit.begin()

    def keepalive_timeout(self) -> None:
        """No pong has arrived in time: close the connection, unless the ping waited behind what the client reads."""
        if self._was_paused:  # until it has read that, the limit on writing watches the client
            self._was_paused = not self.writable.is_set()
            self.pong_timer = self.loop.call_later(self.ping_timeout or 0.0, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    def resume_writing(self) -> None:
        """The write buffer has been drained."""
        if self._write_limit is not None:
            self._write_limit.end()
        super().resume_writing()
        self._go_on_reading()
