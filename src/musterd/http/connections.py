"""Limits the number of connections of a process, and chooses which one to close for a new one."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from musterd.core.errors import RequestError, TooManyRequests, Unavailable
from musterd.core.settings import Settings

NO_ROOM = "The server has as many connections open as it may; try again later."
MAX_LINGERING = 256
"""Most refused connections that stay open until the client has read why. Each needs an open file for up to 2 s."""


class OpenConnection(Protocol):
    """A connection as :class:`Connections` sees it."""

    def leave(self) -> None:
        """Close the connection, on which no request is active, and tell a client that was never answered why."""

    def hang_up(self) -> None:
        """Close a refused connection, even if the client has not read the response yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The limits for one connection, in seconds and bytes, from the settings of the same names."""

    header_seconds: float
    header_bytes: int
    header_count: int
    url_bytes: int
    write_seconds: float
    client_bytes_per_second: int

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        """The limits from the settings."""
        return cls(
            header_seconds=settings.header_seconds,
            header_bytes=settings.header_bytes,
            header_count=settings.header_count,
            url_bytes=settings.url_bytes,
            write_seconds=settings.write_seconds,
            client_bytes_per_second=settings.client_bytes_per_second,
        )


class Connections:
    """Counts connections. If there are too many, the one that has waited longest for a request is closed for a new one.

    So a client cannot block others with idle or slow connections: an honest client sends its request immediately.

    :param max_open: most connections at the same time.
    :param max_per_address: most connections of one address at the same time; 0 for no limit.
    """

    def __init__(self, max_open: int, max_per_address: int) -> None:
        self._max_open = max_open
        self._max_per_address = max_per_address
        self._open: dict[OpenConnection, str] = {}
        self._waiting: dict[OpenConnection, None] = {}  # in the order in which they began to wait
        self._by_address: Counter[str] = Counter()
        self._max_lingering = min(MAX_LINGERING, max_open // 2)
        self._lingering: dict[OpenConnection, None] = {}

    def refusal(self, address: str) -> RequestError | None:
        """Make room for one more connection from an address. Returns an error if there is none."""
        if self._max_per_address and self._by_address[address] >= self._max_per_address:
            return TooManyRequests("This address has as many connections open as it may; try again later.")
        if len(self._open) < self._max_open:
            return None
        if not self._waiting:
            return Unavailable(NO_ROOM)
        oldest = next(iter(self._waiting))
        self.remove(oldest)  # now, not in connection_lost: that comes later, and the next refusal() needs the count
        oldest.leave()
        return None

    def add(self, connection: OpenConnection, address: str) -> None:
        """Count a new connection, which waits for its first request."""
        self._open[connection] = address
        self._by_address[address] += 1
        self._waiting[connection] = None

    def mark_waiting(self, connection: OpenConnection) -> None:
        """The connection has sent its response and waits for the next request."""
        if connection in self._open:
            self._waiting[connection] = None

    def mark_active(self, connection: OpenConnection) -> None:
        """The connection has received a request, so it must not be closed for another one."""
        self._waiting.pop(connection, None)

    def add_lingering(self, connection: OpenConnection) -> None:
        """Count a refused connection that is open until its client has read why. Beyond the limit, close the oldest."""
        if len(self._lingering) >= self._max_lingering:
            oldest = next(iter(self._lingering), connection)
            self.remove_lingering(oldest)
            oldest.hang_up()
            if oldest is connection:  # the limit is 0
                return
        self._lingering[connection] = None

    def remove_lingering(self, connection: OpenConnection) -> None:
        """The lingering connection is closed."""
        self._lingering.pop(connection, None)

    def remove(self, connection: OpenConnection) -> None:
        """The connection is closed, or will be closed."""
        self._waiting.pop(connection, None)
        address = self._open.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
