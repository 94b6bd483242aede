"""Postgres: a pool of connections on the event loop, transactions at READ COMMITTED.

A write is one transaction. It is retried if it collides with another one (a deadlock, or a row that both insert), or if
its connection is lost before the commit. If the connection is lost during the commit, the server is asked for the
outcome as soon as it answers again, so that no transaction is reported as failed that was committed.
"""

import asyncio
from collections.abc import Awaitable, Callable
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
from musterd.store.database import ThreadConnection, Work
from musterd.store.postgres_changes import LOOK, ChangeCounter
from musterd.store.postgres_commit import COMMITTED, IN_PROGRESS, outcome_of
from musterd.store.postgres_errors import Complaints, advice, is_database_fault, place
from musterd.store.postgres_groups import WriteGroups
from musterd.store.postgres_thread import PostgresThreadConnection
from musterd.store.postgres_tx import PostgresTx
from musterd.store.postgres_upgrade import upgrade_postgres
from musterd.store.worker_locks import NoLocks

T = TypeVar("T")
Connection = AsyncConnection[DictRow]

CONNECTIONS = 10
WAIT_SECONDS = 10.0
"""How long a transaction waits for a connection."""
WRITES = 0.75
"""The part of the pool that writes may use. A write that waits for a lock keeps its connection: if fifty runs of one
user end at once, their writes would otherwise use all connections, and polls would wait for them."""
WAIT_STEP_SECONDS = 0.5
"""How long one attempt to get a connection or a write slot waits, so that a refusal is noticed soon."""
RECONNECT_SECONDS = 3.0
POLL_SECONDS = 0.05
"""How often a process asks whether others have written. Each time costs a round trip, so less often than on SQLite."""
ASK_SECONDS = 0.2
"""The pause between two queries for the outcome of a commit."""
SILENT_SECONDS = 4.0
"""How long a transaction may be idle. The transaction of a process that is frozen, or of a host that vanished, would
otherwise keep its row locks until the server notices, after hours."""
COLLISIONS = 10
"""How often a transaction is retried that collides with others."""

DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "fallback_application_name": "musterd",
    "keepalives_idle": 10,  # notice a vanished server while requests wait, not after two hours
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# One round trip: it begins, limits how long this transaction may be idle, and reads its id and time, by which the
# outcome of a lost COMMIT is found out (postgres_commit.py).
BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_current_xact_id()::text AS xid, clock_timestamp() AS begun_at, "
    "set_config('idle_in_transaction_session_timeout', '{:.0f}ms', true)"
)
BEGIN_SCAN = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

# A UniqueViolation is a collision too: another transaction has inserted the row between our SELECT and our INSERT. The
# retry finds the row, and answers as if it had come second.
COLLIDED = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)
STALE_PLAN = "RevalidateCachedQuery"
"""The server's function that rejects a prepared statement after a newer program has altered a table. The connection
would reject the statement for ever, so it is closed."""


class _LostCommit(Exception):
    """The connection was lost while the transaction ``xid`` was committed."""

    def __init__(self, xid: str, begun_at: datetime, result: Any, error: psycopg.Error) -> None:
        super().__init__(xid)
        self.xid, self.begun_at, self.result, self.error = xid, begun_at, result, error


class PostgresDatabase:
    """A database in one schema of a Postgres database.

    :param url: a libpq URL; ``?host=/folder`` names a Unix socket.
    :param connections: the maximum size of the pool.
    :param prepares: whether statements are prepared on the server; False behind a pooler that does not support it.
    :param silent_seconds: how long a transaction may be idle before the server ends it.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = CONNECTIONS,
        prepares: bool = True,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self.url, self.metrics, self.poll_seconds = url, Metrics(), POLL_SECONDS
        self._begin = BEGIN.format(silent_seconds * 1000).encode()
        self._connections = connections
        self._prepares = prepares
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._write_slots: asyncio.Semaphore | None = None
        self._is_closing = False
        self._writing: set[asyncio.Task[Any]] = set()
        self._groups = WriteGroups(self._write, lambda: self.metrics)
        self._complaints = Complaints(place(url))
        self._refusal: psycopg.Error | None = None
        self._changes = ChangeCounter()

    def upgrade(self) -> None:
        """Bring the schema up to date.

        :raises StartError: the database cannot be used, or its schema is newer than this program.
        """
        upgrade_postgres(self.url)

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable.

        :raises StartError: the database cannot be used, or its schema is newer than this program.
        """
        await asyncio.get_running_loop().run_in_executor(None, self.upgrade)
        self._is_closing = False
        self._write_slots = asyncio.Semaphore(max(1, int(self._connections * WRITES)))
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
            problem, cure = advice(self._refusal) if self._refusal else ("it does not respond", "check the server")
            raise StartError(f"{place(self.url)}: {problem} — {cure}") from error

    async def close(self) -> None:
        """Finish all writes that were submitted, then close the connections."""
        # New writes are refused before the submitted ones are awaited. Their retries need the pool: it is closed last.
        self._is_closing = True
        await self._groups.finished()
        if self._writing:
            await asyncio.wait(set(self._writing))
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    # --- transactions -----------------------------------------------------------------------------

    def write(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work`` in a transaction; it is committed and durable when the awaitable is done.

        ``work`` is called again if its transaction collides with another one or loses its connection. A caller that is
        cancelled does not stop the write.
        """
        self._require_open()
        # A task behind a shield: a cancel in the middle of COMMIT would leave the outcome unknown. The set keeps a
        # reference to the task, and close() waits for it.
        task = asyncio.ensure_future(self._write(work))
        self._writing.add(task)
        task.add_done_callback(self._write_done)
        return asyncio.shield(task)

    def write_together(self, work: Work[T]) -> Awaitable[T]:
        """The same as :meth:`write`, but those that wait at the same time share a transaction, each in a savepoint."""
        self._require_open()
        return self._groups.add(work)

    def _write_done(self, task: "asyncio.Task[Any]") -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved; asyncio would log it if the caller was cancelled

    async def read(self, work: Work[T]) -> T:
        """Do ``work``; each statement sees what was committed when it began. Meant for single rows by key."""
        self._require_open()

        async def use(connection: Connection) -> T:
            return await work(PostgresTx(connection.cursor()))

        return await self._use(use)

    def fetch(self, work: Work[T]) -> Awaitable[T]:
        """The same as :meth:`read`, which never blocks the event loop here."""
        return self.read(work)

    async def scan(self, work: Work[T]) -> T:
        """Do ``work`` on one snapshot; meant for reads of many rows by several statements."""
        self._require_open()

        async def use(connection: Connection) -> T:
            cursor = connection.cursor()
            await cursor.execute(BEGIN_SCAN)
            try:
                return await work(PostgresTx(cursor))
            finally:
                # Also if the work failed: the pool must not get the connection back inside a transaction.
                if not connection.closed:
                    await connection.execute(b"ROLLBACK")

        return await self._use(use)

    def locks(self) -> NoLocks:
        """No locks, because with NATS other workers may be on other machines."""
        return NoLocks()

    def thread_connection(self, answer_seconds: float | None = None) -> ThreadConnection:
        """A connection for a thread other than the event loop's, opened when it is first used.

        :param answer_seconds: how long an attempt to connect, or a statement, waits for the answer of a server before
            it fails; None: for its usual time.
        """
        return PostgresThreadConnection(self._parameters(), self._complaints.unavailable, answer_seconds)

    async def change_count(self) -> int:
        """A number that changes when any process writes, except for heartbeats. One short statement."""
        self._require_open()

        async def use(connection: Connection) -> int:
            row = await (await connection.execute(LOOK)).fetchone()
            assert row is not None
            return self._changes.count(row)

        return await self._use(use)

    async def _write(self, work: Work[T]) -> T:
        started = clock.monotonic()
        result = await self._write_once(work)
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
                # The connection broke after COMMIT was sent and before its answer came: it may or may not be committed.
                # _LostCommit is no psycopg.Error, so _use does not retry the work, which could do it twice.
                if connection.closed and begun is not None:
                    raise _LostCommit(begun["xid"], begun["begun_at"], result, error) from error
                raise
            # Postgres answers ROLLBACK to the COMMIT of a transaction in which a statement failed.
            if cursor.statusmessage != "COMMIT":
                raise RuntimeError("a store function went on after a statement of its failed")
            return result

        try:
            return await self._use(use, self._write_slots)
        except _LostCommit as lost:
            self._complaints.unavailable(lost.error)
            if await self._has_committed(lost):
                result: T = lost.result
                return result
            raise StoreUnavailable from lost

    async def _has_committed(self, lost: _LostCommit) -> bool:
        """Query the outcome of a transaction until the server answers.

        "In progress" is asked again: the old server process may still be working on the commit.
        """
        while True:
            try:
                outcome = await self._use(partial(outcome_of, xid=lost.xid, begun_at=lost.begun_at))
            except StoreUnavailable:
                if self._is_closing:
                    raise
                outcome = IN_PROGRESS
            except psycopg.Error:  # an unknown id: a standby was promoted before the transaction reached it
                return False
            if outcome != IN_PROGRESS:
                return outcome == COMMITTED
            await clock.sleep(ASK_SECONDS)

    # --- connections ------------------------------------------------------------------------------

    async def _use(self, use: Callable[[Connection], Awaitable[T]], slots: asyncio.Semaphore | None = None) -> T:
        """Call ``use`` with a connection, and retry it if that is safe and may succeed.

        :param slots: of which one is held while the connection is used.
        """
        lost = collided = 0
        while True:
            pool, connection = await self._get_connection(slots)
            try:
                result = await use(connection)
                self._refusal = None
                self._complaints.recovered()
                return result
            except psycopg.Error as error:
                if error.diag.source_function == STALE_PLAN:
                    await connection.close()
                # A lost connection: nothing was committed, so a retry is safe. After a restart of the server every
                # connection of the pool may be dead; so there are as many retries as connections.
                if connection.closed and lost < self._connections:
                    lost += 1
                elif isinstance(error, COLLIDED) and collided < COLLISIONS:
                    collided += 1
                elif connection.closed or is_database_fault(error):
                    raise self._complaints.unavailable(error) from error
                else:
                    raise
            finally:
                try:
                    await pool.putconn(connection)
                finally:
                    if slots is not None:
                        slots.release()

    async def _get_connection(
        self, slots: asyncio.Semaphore | None
    ) -> tuple[AsyncConnectionPool[Connection], Connection]:
        """A connection of the pool, and one of ``slots``, both held by the caller."""
        pool = self._pool
        if pool is None:
            raise StoreUnavailable("The database is closed.")
        deadline = clock.monotonic() + WAIT_SECONDS
        while True:
            try:
                # Short waits, so that a server that refuses connections is noticed soon, while a busy pool may take
                # WAIT_SECONDS.
                return pool, await _connection_with_slot(pool, slots)
            except PoolTimeout as error:
                if self._refusal is None and clock.monotonic() < deadline:
                    continue  # all connections are in use
                raise self._complaints.unavailable(self._refusal or error) from error
            except PoolClosed as error:
                raise StoreUnavailable("The database is closed.") from error

    def _require_open(self) -> None:
        if self._pool is None or self._is_closing:
            raise StoreUnavailable("The database is closed.")

    def _parameters(self) -> dict[str, Any]:
        adapters = AdaptersMap(psycopg.adapters)
        # Fixed types: by default psycopg picks the type by the value, and each type needs its own prepared statement.
        adapters.register_dumper(int, Int8Dumper)
        adapters.register_dumper(float, FloatDumper)
        prepare: dict[str, Any] = {} if self._prepares else {"prepare_threshold": None}
        fixed = {"autocommit": True, "row_factory": dict_row, "context": _Context(adapters), **prepare}
        return DEFAULTS | conninfo.conninfo_to_dict(self.url) | fixed

    def _connection_class(self) -> type[Connection]:
        """A connection class that records why the server refuses connections; the pool does not report it."""
        database = self

        class RecordingConnection(AsyncConnection[DictRow]):
            @classmethod
            async def connect(cls, conninfo: str = "", **options: Any) -> "RecordingConnection":
                try:
                    connection = await super().connect(conninfo, **options)
                except psycopg.Error as error:
                    database._refusal = error
                    raise
                database._refusal = None
                return connection

        return RecordingConnection


async def _connection_with_slot(pool: AsyncConnectionPool[Connection], slots: asyncio.Semaphore | None) -> Connection:
    """A connection of the pool, and one of ``slots``.

    :raises PoolTimeout: either took longer than WAIT_STEP_SECONDS; neither is held.
    """
    if slots is None:
        return await _connection(pool)
    try:
        async with asyncio.timeout(WAIT_STEP_SECONDS if slots.locked() else None):
            await slots.acquire()
    except TimeoutError as error:
        raise PoolTimeout(f"no other write ended within {WAIT_STEP_SECONDS} s") from error
    try:
        return await _connection(pool)
    except BaseException:
        slots.release()
        raise


async def _connection(pool: AsyncConnectionPool[Connection]) -> Connection:
    """A connection of the pool.

    :raises PoolTimeout: it took longer than WAIT_STEP_SECONDS.
    """
    task = asyncio.current_task()
    assert task is not None
    cancels = task.cancelling()
    connection = await pool.getconn(WAIT_STEP_SECONDS)
    if task.cancelling() > cancels:
        # The pool waits with asyncio.wait_for, which loses a cancel on Python 3.11 if it comes with the connection.
        # Upkeep would then go on after the stop of its server.
        await pool.putconn(connection)
        raise asyncio.CancelledError
    return connection


class _Context:
    """The adapters for psycopg, in the form that it expects."""

    connection = None

    def __init__(self, adapters: AdaptersMap) -> None:
        self.adapters = adapters
