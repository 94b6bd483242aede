"""The time limit for clients that do not read what is sent to them."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from starlette.types import Scope

from musterd.http.connections import ConnectionLimits

log = structlog.get_logger("musterd.http")

_DROPPED = "dropped"


def was_dropped(scope: Scope) -> bool:
    """Whether the server has dropped this connection. Its client may still want what it did not read."""
    return bool(scope["state"].get(_DROPPED))


class WriteLimit:
    """Drops a connection whose client does not read what is sent to it.

    :param state: returns the ``state`` in the ASGI scope of the request that is answered.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        limits: ConnectionLimits,
        client: object,
        state: Callable[[], dict[str, Any]],
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._client = client
        self._state = state
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The write buffer is full."""
        if self._timer is None:
            self._start()

    def end(self) -> None:
        """The write buffer has been drained, or the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        """Check after a while how much the client has read."""
        unsent_bytes = self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limits.write_seconds, self._require_progress, unsent_bytes)

    def _require_progress(self, unsent_bytes: int) -> None:
        limits = self._limits
        # Writing is paused, so the buffer only shrinks: the difference is what the client has read since.
        sent_bytes = unsent_bytes - self._transport.get_write_buffer_size()
        if sent_bytes >= limits.write_seconds * limits.client_bytes_per_second:
            self._start()
            return
        self._timer = None
        log.warning("connection dropped: the client does not read its response", client=self._client)
        if not self._transport.is_closing():  # else the client has closed the connection
            self._state()[_DROPPED] = True
        # Not close(): that would wait until the client has read the rest of the buffer.
        self._transport.abort()
