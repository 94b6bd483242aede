"""Connections that musterd opens as an HTTP client: aiohttp's, with a ceiling on everything that is no body.

aiohttp bounds a line and a header, but not the bytes around a body as a whole: a peer that sends one interim response
(``103``) after another, or a chunk extension without an end, keeps the event loop busy until the request times out.
Every client of musterd therefore takes its connections from :class:`BoundedConnector`. What a body may hold is the
business of the code that reads it.
"""

import functools
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

FRAMING_BYTES = 64 * 1024
"""Bytes of one response that may be other than body: its head, interim responses, chunk framing and trailers. A body
earns as many again as it has, because a server may flush every few bytes as a chunk of their own."""
INTERIM_RESPONSES = 16
"""Responses with a status below 200 that may come before the one that counts."""
SLICE_BYTES = 8 * 1024
"""How much is parsed before the limits are looked at again: one read may bring 256 KiB."""


class FramingTooLong(aiohttp.ClientPayloadError):
    """The peer sent too much that is no body."""

    def __init__(self) -> None:
        super().__init__(f"The response has more than {FRAMING_BYTES // 1024} KiB around its body.")


class BoundedConnector(aiohttp.TCPConnector):
    """aiohttp's connector; requests over its connections raise :class:`FramingTooLong`, a ``ClientError``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(_BoundedHandler, loop=self._loop)  # type: ignore[assignment]


class _BoundedHandler(ResponseHandler):
    """Parses what comes in slices, and aborts the connection when the framing of a response grows too long."""

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._received = 0
        self._interim = 0
        self._is_answered = False
        self._unparsed = b""  # what came after the slice at which the reader of the body had enough

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for the response to another request."""
        self._received = self._interim = 0
        self._is_answered = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take a head that was parsed. Interim responses are dropped.

        A second response to one request closes the connection: aiohttp would take it for the answer to the next one.
        """
        if data[0].code < 200 and data[0].code != 101:
            self._interim += 1
        elif self._is_answered:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
        else:
            self._is_answered = True
            super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Parse what came, or, if it is empty, what was left when reading was paused."""
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
            if self.transport is None:  # it was aborted
                return

    def connection_lost(self, exc: BaseException | None) -> None:
        """Parse what is left before the end of the connection is taken for the end of the body."""
        if self._unparsed:
            data, self._unparsed = self._unparsed, b""
            self._parse(data)
        super().connection_lost(exc)

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        self._received += len(data)
        # While reading is paused the parser holds bytes back that are body, too.
        if (self._received <= FRAMING_BYTES and self._interim <= INTERIM_RESPONSES) or self._reading_paused:
            return
        body = self._payload.total_bytes if self._payload is not None else 0
        if self._received - body > FRAMING_BYTES + body or self._interim > INTERIM_RESPONSES:
            self._refuse(FramingTooLong())

    def _refuse(self, error: FramingTooLong) -> None:
        payload, self._parser = self._payload, None
        self.abort()
        if payload is not None:
            payload.set_exception(error)
        self.set_exception(error)
