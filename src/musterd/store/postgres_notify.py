"""Wake-ups between processes: LISTEN on a separate connection, NOTIFY in separate transactions.

A transaction with a NOTIFY takes a database-wide lock when it commits. If events were stored in such transactions, they
would commit one at a time. Wake-ups may be lost, with a connection or with a process that dies between its commit and
its NOTIFY, so every listener also polls once in a while.
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

Notification = tuple[str, str]


class Notifications:
    """Sends and receives wake-ups.

    :param connect: opens a connection for LISTEN alone.
    :param send: executes one statement in a transaction of its own.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[AsyncConnection[DictRow]]],
        send: Callable[[bytes, Params], Awaitable[None]],
    ) -> None:
        self._connect = connect
        self._send = send
        self._pending: dict[Notification, None] = {}
        self._sender: asyncio.Task[None] | None = None

    def notify(self, channel: str, payload: str) -> None:
        """Send a notification soon: the first at once, later ones within the window together, equal ones once."""
        self._pending[(channel, payload)] = None
        if self._sender is None or self._sender.done():
            self._sender = asyncio.ensure_future(self._send_pending())

    async def _send_pending(self) -> None:
        # There is no await between the last check and the end of the task, so notify() cannot leave a notification
        # behind.
        while self._pending:
            # Taken before the await: what is added while this batch is sent goes into the next one.
            batch, self._pending = list(self._pending), {}
            params = {"channels": [channel for channel, _ in batch], "payloads": [payload for _, payload in batch]}
            try:
                await self._send(SEND, params)
            except (StoreUnavailable, psycopg.Error) as error:  # not retried, because listeners also poll
                log.warning("NOTIFY failed", error=str(error))
            await clock.sleep(WINDOW_SECONDS)

    async def listen(self, channel: str) -> AsyncIterator[str | None]:
        """Payloads sent on ``channel``; None first and after each gap.

        None comes after LISTEN: what was committed before it sent no notification to this connection, so the caller
        polls at that moment.
        """
        failures = 0
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    failures = 0
                    yield None
                    async for notification in connection.notifies():
                        yield notification.payload
            except psycopg.Error as error:  # including a standby, which refuses LISTEN until it is promoted
                wait = RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)]
                failures += 1
                log.warning("LISTEN connection lost", seconds=wait, error=str(error).strip().partition("\n")[0])
                await clock.sleep(wait)

    async def close(self) -> None:
        """Send pending notifications."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
