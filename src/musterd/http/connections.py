"""The connections of a process: how many there may be, and who goes where one too many comes."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from musterd.core.errors import RequestError, TooManyRequests, Unavailable
from musterd.core.settings import Settings

NO_ROOM = "The server has as many connections open as it may; try again later."
MOST_LINGERING = 256
"""Refused connections that are held until their clients have read why: each takes an open file for up to 2 s."""


class Connection(Protocol):
    """What is counted: it can be sent away while it waits for a request."""

    def leave(self) -> None:
        """Close it, and tell a client that was never answered why: no request of it is at work."""

    def hang_up(self) -> None:
        """Close it, though its client may not have read yet why it was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a connection may take, in seconds and bytes; the settings of the same names tell more."""

    header_seconds: float
    header_bytes: int
    header_count: int
    url_bytes: int
    write_seconds: float
    client_bytes_per_second: int

    @classmethod
    def of(cls, settings: Settings) -> "ConnectionLimits":
        """The limits that the settings give."""
        return cls(
            header_seconds=settings.header_seconds,
            header_bytes=settings.header_bytes,
            header_count=settings.header_count,
            url_bytes=settings.url_bytes,
            write_seconds=settings.write_seconds,
            client_bytes_per_second=settings.client_bytes_per_second,
        )


class Connections:
    """Counts connections. Those that wait for a request make room for new ones, the longest waiting first.

    So nobody keeps others out by opening connections that say nothing, or say it slowly: a client that has something to
    ask waits for as long as a packet takes.

    :param most: connections at once.
    :param most_per_address: connections of one address at once; 0 for any number.
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._open: dict[Connection, str] = {}
        self._waiting: dict[Connection, None] = {}
        self._by_address: Counter[str] = Counter()
        self._most_lingering = min(MOST_LINGERING, most // 2)
        self._lingering: dict[Connection, None] = {}

    def refusal(self, address: str) -> RequestError | None:
        """Make room for one more of this address; what to say to it where there is none."""
        if self._most_per_address and self._by_address[address] >= self._most_per_address:
            return TooManyRequests("This address has as many connections open as it may; try again later.")
        if len(self._open) < self._most:
            return None
        if not self._waiting:
            return Unavailable(NO_ROOM)
        longest = next(iter(self._waiting))
        self.forget(longest)
        longest.leave()
        return None

    def take(self, connection: Connection, address: str) -> None:
        """A connection is there, and waits for its first request."""
        self._open[connection] = address
        self._by_address[address] += 1
        self._waiting[connection] = None

    def waits(self, connection: Connection) -> None:
        """It has been answered, and waits for a request."""
        if connection in self._open:
            self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """A request of it has come."""
        self._waiting.pop(connection, None)

    def lingers(self, connection: Connection) -> None:
        """Count a refused connection that stays open until its client has read why; of too many the oldest goes."""
        if len(self._lingering) >= self._most_lingering:
            oldest = next(iter(self._lingering), connection)
            self.lingered(oldest)
            oldest.hang_up()
            if oldest is connection:  # none may linger
                return
        self._lingering[connection] = None

    def lingered(self, connection: Connection) -> None:
        """It is closed."""
        self._lingering.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """It is closed, or is about to be."""
        self._waiting.pop(connection, None)
        address = self._open.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
