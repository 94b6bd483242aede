"""aiohttp connections with a limit on everything in a response that is not body.

aiohttp limits each line and header, but not the total around a body: a server that sends endless interim responses
(``103``) or an endless chunk extension keeps the event loop busy until the request times out. Therefore all outgoing
connections come from :class:`BoundedConnector`. The size of a body is limited by the code that reads it.
"""

import functools
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

FRAMING_BYTES = 64 * 1024
"""Most bytes of one response besides its body: head, interim responses, chunk framing and trailers. As many bytes as
the body has are allowed in addition, because a server may flush every few bytes as a separate chunk."""
INTERIM_RESPONSES = 16
"""Most responses with a status below 200 before the final one."""
SLICE_BYTES = 8 * 1024
"""Bytes parsed between two checks of the limits: a single read may return 256 KiB."""


class FramingTooLong(aiohttp.ClientPayloadError):
    """The server sent too many bytes besides the body."""

    def __init__(
        self, message: str = f"The response has more than {FRAMING_BYTES // 1024} KiB of headers and framing."
    ) -> None:
        super().__init__(message)


class TooManyInterimResponses(FramingTooLong):
    """The server sent too many responses with a status below 200."""

    def __init__(self) -> None:
        super().__init__(f"The server sent more than {INTERIM_RESPONSES} interim responses (1xx) before the response.")


class BoundedConnector(aiohttp.TCPConnector):
    """aiohttp's connector, with limits; a response beyond them raises :class:`FramingTooLong`, a ``ClientError``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # aiohttp has no public way to set the class of its connections.
        self._factory = functools.partial(_BoundedHandler, loop=self._loop)  # type: ignore[assignment]


class _BoundedHandler(ResponseHandler):
    """Parses incoming data in slices, and aborts the connection when the framing of a response is too long."""

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._received_bytes = 0
        self._interim_count = 0
        self._is_answered = False
        self._unparsed = b""  # data after the slice at which the reader of the body paused

    def set_response_params(self, **params: Any) -> None:
        """Start to wait for the response to the next request."""
        self._received_bytes = self._interim_count = 0
        self._is_answered = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Accept a parsed head. Interim responses are dropped.

        A second response to the same request closes the connection, because aiohttp would take it as the response to
        the next request.
        """
        if data[0].code < 200 and data[0].code != 101:
            self._interim_count += 1
        elif self._is_answered:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
        else:
            self._is_answered = True
            super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse new data, or, if it is empty, the data that was left when reading was paused."""
        if self._unparsed:
            data, self._unparsed = self._unparsed + data, b""
        if len(data) <= SLICE_BYTES:
            self._parse(data)
            return
        for start in range(0, len(data), SLICE_BYTES):
            if self._reading_paused:
                self._unparsed = data[start:]
                return
            self._parse(data[start : start + SLICE_BYTES])
            if self.transport is None:  # the connection was aborted
                return

    def connection_lost(self, exc: BaseException | None) -> None:
        """Parse the remaining data first, because aiohttp treats the end of the connection as the end of the body."""
        if self._unparsed:
            data, self._unparsed = self._unparsed, b""
            self._parse(data)
        super().connection_lost(exc)

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        self._received_bytes += len(data)
        # While reading is paused, the parser also holds back bytes of the body, so the framing cannot be calculated.
        if (self._received_bytes <= FRAMING_BYTES and self._interim_count <= INTERIM_RESPONSES) or self._reading_paused:
            return
        body_bytes = self._payload.total_bytes if self._payload is not None else 0
        if self._interim_count > INTERIM_RESPONSES:
            self._fail(TooManyInterimResponses())
        elif self._received_bytes - body_bytes > FRAMING_BYTES + body_bytes:
            self._fail(FramingTooLong())

    def _fail(self, error: FramingTooLong) -> None:
        # Without a parser, connection_lost cannot take the end of the connection for the end of the body.
        payload, self._parser = self._payload, None
        self.abort()
        if payload is not None:
            payload.set_exception(error)
        self.set_exception(error)
