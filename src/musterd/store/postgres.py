"""Postgres: a pool of connections on the event loop, transactions at READ COMMITTED.

A write is one transaction. Where it meets another one (a deadlock, a row that both make) it is tried again; where its
connection is lost before the commit, too. Where the connection is lost in the commit itself, the server is asked what
became of it, as soon as it answers again: nobody is told that a transaction failed which stands.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, conninfo, errors
from psycopg.adapt import AdaptersMap
from psycopg.rows import DictRow, dict_row
from psycopg.types.numeric import FloatDumper, Int8Dumper
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from musterd.core import clock
from musterd.core.errors import StartError, StoreUnavailable
from musterd.core.metrics import Metrics
from musterd.store.database import Params, ThreadConnection, Work
from musterd.store.locks import NoLocks
from musterd.store.postgres_commit import COMMITTED, IN_PROGRESS, outcome_of
from musterd.store.postgres_errors import Complaints, advice, is_database_fault, place
from musterd.store.postgres_notify import Notifications
from musterd.store.postgres_thread import PostgresThreadConnection
from musterd.store.postgres_tx import PostgresTx
from musterd.store.postgres_upgrade import upgrade_postgres

T = TypeVar("T")
Connection = AsyncConnection[DictRow]

CONNECTIONS = 10
WAIT_SECONDS = 10.0
"""How long a transaction waits for a connection."""
DOWN_SECONDS = 0.5
"""The same while the server does not let anybody in."""
RECONNECT_SECONDS = 3.0
CHANGES = "musterd_changes"
"""Where every process says that it has written."""
LOOK_SECONDS = 1.0
"""How long a lost wake-up can go unnoticed."""
ASK_SECONDS = 0.2
"""Between two questions what became of a commit."""
SILENT_SECONDS = 4.0
"""How long a transaction may stand still. One of a process that is frozen, or gone without a word, would hold its rows
until the server misses it, after hours."""
COLLISIONS = 10
"""How often a transaction is tried that meets others."""

DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "fallback_application_name": "musterd",
    "keepalives_idle": 10,  # a server that vanished is noticed while requests wait, not after two hours
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_current_xact_id()::text AS xid, clock_timestamp() AS begun_at, "
    "set_config('idle_in_transaction_session_timeout', '{:.0f}ms', true)"
)
BEGIN_SCAN = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

COLLIDED = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
STALE_PLAN = "RevalidateCachedQuery"
"""Where the server finds that a newer program has changed a table since the connection had its statement planned: the
connection would refuse it for ever."""


class _LostCommit(Exception):
    """The connection was lost while the transaction ``xid`` was committed."""

    def __init__(self, xid: str, begun_at: datetime, result: Any, error: psycopg.Error) -> None:
        super().__init__(xid)
        self.xid, self.begun_at, self.result, self.error = xid, begun_at, result, error


class PostgresDatabase:
    """The records in one schema of a Postgres database.

    :param url: as libpq takes it; ``?host=/folder`` names a Unix socket.
    :param connections: how many the pool opens at most.
    :param prepares: whether statements are prepared on the server; False behind a pooler that cannot have that.
    :param silent_seconds: how long a transaction may stand still; then the server ends it.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = CONNECTIONS,
        prepares: bool = True,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self.url, self.metrics = url, Metrics()
        self._begin = BEGIN.format(silent_seconds * 1000).encode()
        self._connections = connections
        self._prepares = prepares
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._is_closing = False
        self._writing: set[asyncio.Task[Any]] = set()
        self._complaints = Complaints(place(url))
        self._refusal: psycopg.Error | None = None
        self._notifications = Notifications(self._connect, self._send)
        self._hearing: asyncio.Task[None] | None = None
        self._has_heard = True
        self._looked_at = 0.0

    def upgrade(self) -> None:
        """Bring the schema up to date.

        :raises StartError: the database cannot be used, in words, or its schema is newer than this program.
        """
        upgrade_postgres(self.url)

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable.

        :raises StartError: the database cannot be used, in words, or its schema is newer than this program.
        """
        await asyncio.get_running_loop().run_in_executor(None, self.upgrade)
        self._is_closing = False
        self._pool = AsyncConnectionPool(
            connection_class=self._connection_class(),
            kwargs=self._parameters(),
            min_size=1,
            max_size=self._connections,
            reconnect_timeout=RECONNECT_SECONDS,
            num_workers=2,
            open=False,
        )
        try:
            await self._pool.open(wait=True, timeout=WAIT_SECONDS)
        except PoolTimeout as error:
            await self.close()
            what, cure = advice(self._refusal) if self._refusal else ("it does not answer", "check the server")
            raise StartError(f"{place(self.url)}: {what} — {cure}") from error
        self._hearing = asyncio.create_task(self._hear())

    async def close(self) -> None:
        """Finish what was handed in, then let go of the connections."""
        self._is_closing = True
        if self._writing:
            await asyncio.wait(set(self._writing))
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])
            self._hearing = None
        await self._notifications.close()
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    # --- transactions -----------------------------------------------------------------------------

    def write(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work`` in a transaction; committed and durable when the awaitable is done.

        ``work`` may be called again, where its transaction meets another one or loses its connection. Whoever awaits
        it and is cancelled does not stop it.
        """
        self._require_open()
        task = asyncio.ensure_future(self._write(work))
        self._writing.add(task)
        task.add_done_callback(self._written)
        return asyncio.shield(task)

    def _written(self, task: "asyncio.Task[Any]") -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # where nobody waits for it any more, its failure is nobody's

    async def read(self, work: Work[T]) -> T:
        """Do ``work``: each statement sees what is committed when it begins. Meant for single rows by key."""
        self._require_open()

        async def use(connection: Connection) -> T:
            return await work(PostgresTx(connection.cursor()))

        return await self._use(use)

    async def scan(self, work: Work[T]) -> T:
        """Do ``work`` on one snapshot: meant for reads of many rows."""
        self._require_open()

        async def use(connection: Connection) -> T:
            cursor = connection.cursor()
            await cursor.execute(BEGIN_SCAN)
            try:
                return await work(PostgresTx(cursor))
            finally:
                if not connection.closed:
                    await connection.execute(b"ROLLBACK")

        return await self._use(use)

    def listen(self, channel: str) -> AsyncIterator[str | None]:
        """What other processes say on ``channel``; None first and after each gap, when something may be missing."""
        return self._notifications.listen(channel)

    def notify(self, channel: str, payload: str = "") -> None:
        """Say ``payload`` on ``channel`` soon: what is said within 20 ms goes out together, equal words once."""
        self._notifications.notify(channel, payload)

    def locks(self) -> NoLocks:
        """None: whoever shares the database may be on another machine."""
        return NoLocks()

    def apart(self) -> ThreadConnection:
        """A connection for a thread beside the event loop, made when it is first used."""
        return PostgresThreadConnection(self._parameters(), self._complaints.unavailable)

    def has_changed(self) -> bool:
        """Whether anything was written, by this process or another, since this was asked last.

        Wake-ups may be lost, so it is also true once in a while.
        """
        self._require_open()
        now = clock.monotonic()
        changed = self._has_heard or now - self._looked_at >= LOOK_SECONDS
        if changed:
            self._has_heard, self._looked_at = False, now
        return changed

    async def _hear(self) -> None:
        async for _ in self._notifications.listen(CHANGES):
            self._has_heard = True

    async def _write(self, work: Work[T]) -> T:
        started = clock.monotonic()
        result = await self._write_once(work)
        self._notifications.notify(CHANGES, "")
        self.metrics.commit_seconds.observe(clock.monotonic() - started)
        return result

    async def _write_once(self, work: Work[T]) -> T:
        async def use(connection: Connection) -> T:
            cursor = connection.cursor()
            await cursor.execute(self._begin)
            cursor.nextset()
            begun = await cursor.fetchone()
            try:
                result = await work(PostgresTx(cursor))
            except BaseException:
                if not connection.closed:
                    await connection.execute(b"ROLLBACK")
                raise
            try:
                await cursor.execute(b"COMMIT")
            except psycopg.Error as error:
                if connection.closed and begun is not None:
                    raise _LostCommit(begun["xid"], begun["begun_at"], result, error) from error
                raise
            if cursor.statusmessage != "COMMIT":
                raise RuntimeError("a store function went on after a statement of its failed")
            return result

        try:
            return await self._use(use)
        except _LostCommit as lost:
            self._complaints.unavailable(lost.error)
            if await self._has_committed(lost):
                result: T = lost.result
                return result
            raise StoreUnavailable from lost

    async def _has_committed(self, lost: _LostCommit) -> bool:
        """Ask, until the server answers, what became of a transaction."""
        while True:
            try:
                outcome = await self._use(partial(outcome_of, xid=lost.xid, begun_at=lost.begun_at))
            except StoreUnavailable:
                if self._is_closing:
                    raise
                outcome = IN_PROGRESS
            except psycopg.Error:  # the server does not know it: another one has taken over before it got there
                return False
            if outcome != IN_PROGRESS:
                return outcome == COMMITTED
            await clock.sleep(ASK_SECONDS)

    # --- connections ------------------------------------------------------------------------------

    async def _use(self, use: Callable[[Connection], Awaitable[T]]) -> T:
        """Do something on a connection; again where that is safe and promising."""
        lost = collided = 0
        while True:
            pool, connection = await self._take()
            try:
                result = await use(connection)
                self._refusal = None
                self._complaints.is_over()
                return result
            except psycopg.Error as error:
                if error.diag.source_function == STALE_PLAN:
                    await connection.close()
                if connection.closed and lost < self._connections:  # all that were idle when the server went
                    lost += 1
                elif isinstance(error, COLLIDED) and collided < COLLISIONS:
                    collided += 1
                elif connection.closed or is_database_fault(error):
                    raise self._complaints.unavailable(error) from error
                else:
                    raise
            finally:
                await pool.putconn(connection)

    async def _take(self) -> tuple[AsyncConnectionPool[Connection], Connection]:
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("The database is closed.")
        deadline = clock.monotonic() + WAIT_SECONDS
        while True:
            try:
                return pool, await pool.getconn(DOWN_SECONDS)
            except PoolTimeout as error:
                if self._refusal is None and clock.monotonic() < deadline:
                    continue  # all are busy
                raise self._complaints.unavailable(self._refusal or error) from error
            except PoolClosed as error:
                raise StoreUnavailable("The database is closed.") from error

    def _require_open(self) -> None:
        if self._pool is None or self._is_closing:
            raise StoreUnavailable("The database is closed.")

    def _parameters(self) -> dict[str, Any]:
        adapters = AdaptersMap(psycopg.adapters)
        # One type for all numbers: by default it follows the value, and each type is another prepared statement.
        adapters.register_dumper(int, Int8Dumper)
        adapters.register_dumper(float, FloatDumper)
        prepare: dict[str, Any] = {} if self._prepares else {"prepare_threshold": None}
        own = {"autocommit": True, "row_factory": dict_row, "context": _Context(adapters), **prepare}
        return DEFAULTS | conninfo.conninfo_to_dict(self.url) | own

    async def _connect(self) -> Connection:
        """A connection beside the pool."""
        return await AsyncConnection.connect(**self._parameters())

    async def _send(self, statement: bytes, params: Params) -> None:
        """Execute one statement on its own."""

        async def use(connection: Connection) -> None:
            await connection.execute(statement, params)

        await self._use(use)

    def _connection_class(self) -> type[Connection]:
        """Connections that tell the database when the server refuses them: the pool knows, and does not say."""
        database = self

        class Told(AsyncConnection[DictRow]):
            @classmethod
            async def connect(cls, conninfo: str = "", **given: Any) -> "Told":
                try:
                    connection = await super().connect(conninfo, **given)
                except psycopg.Error as error:
                    database._refusal = error
                    raise
                database._refusal = None
                return connection

        return Told


class _Context:
    """What psycopg asks for how values are written."""

    connection = None

    def __init__(self, adapters: AdaptersMap) -> None:
        self.adapters = adapters
