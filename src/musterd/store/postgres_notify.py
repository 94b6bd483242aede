"""Wake-ups between processes: LISTEN on a connection of its own, NOTIFY in transactions of their own.

A NOTIFY takes a lock of the whole database when its transaction commits: inside one that stores events it would let
no two of them commit at once. Wake-ups may be lost with a connection, so whoever listens also looks now and then.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.store.database import Params

log = structlog.get_logger("musterd.store")

WINDOW_SECONDS = 0.02
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
SEND = b"""SELECT pg_notify(said.channel, said.payload)
           FROM unnest(%(channels)s::text[], %(payloads)s::text[]) AS said (channel, payload)"""

Said = tuple[str, str]


class Notifications:
    """Says and hears wake-ups.

    :param connect: opens a connection that is used by nothing else.
    :param send: executes one statement in a transaction of its own.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[AsyncConnection[DictRow]]],
        send: Callable[[bytes, Params], Awaitable[None]],
    ) -> None:
        self._connect = connect
        self._send = send
        self._pending: dict[Said, None] = {}
        self._sender: asyncio.Task[None] | None = None

    def notify(self, channel: str, payload: str) -> None:
        """Say it soon: the first at once, what follows within the window together."""
        self._pending[(channel, payload)] = None
        if self._sender is None or self._sender.done():
            self._sender = asyncio.ensure_future(self._send_pending())

    async def _send_pending(self) -> None:
        while self._pending:
            said, self._pending = list(self._pending), {}
            params = {"channels": [channel for channel, _ in said], "payloads": [payload for _, payload in said]}
            try:
                await self._send(SEND, params)
            except (StoreUnavailable, psycopg.Error) as error:  # those who listen look by themselves
                log.warning("a wake-up was not sent", error=str(error))
            await clock.sleep(WINDOW_SECONDS)

    async def listen(self, channel: str) -> AsyncIterator[str | None]:
        """What is said on ``channel``; None first and after each gap."""
        failures = 0
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    failures = 0
                    yield None
                    async for said in connection.notifies():
                        yield said.payload
            except psycopg.Error as error:  # also that a standby cannot listen, which is promoted soon
                wait = RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]
                failures += 1
                log.warning("wake-ups are not heard", seconds=wait, error=str(error).strip().partition("\n")[0])
                await clock.sleep(wait)

    async def close(self) -> None:
        """Say what is left to say."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
