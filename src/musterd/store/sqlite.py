"""SQLite: one file, WAL, one writer thread with group commit, reads on connections of their own.

Durability is FULL: what was answered survives a crash of the machine. Transactions that wait together share one
commit, each in a savepoint, so that the failure of one is its own.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Awaitable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from musterd.core.errors import MusterdError, StoreUnavailable
from musterd.store.database import Params, Row, Statement, Work, drive, for_sqlite
from musterd.store.sqlite_faults import is_database_fault, unavailable
from musterd.store.upgrade import upgrade_sqlite

T = TypeVar("T")
BUSY_SECONDS = 5.0
GROUP_LIMIT = 256
CACHED_STATEMENTS = 256


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Work[T]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    result: T | None = None
    error: BaseException | None = None


class SqliteTx:
    """A transaction on one SQLite connection; its methods never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._texts: dict[str, str] = {}

    def _text(self, statement: Statement) -> str:
        text = self._texts.get(statement.name)
        if text is None:
            text = self._texts[statement.name] = for_sqlite(statement.text)
        return text

    async def run(self, statement: Statement, params: Params) -> int:
        """Execute; return the number of rows it touched."""
        return self._execute(self._text(statement), params).rowcount

    async def many(self, statement: Statement, params: Sequence[Params]) -> None:
        """Execute once for each of ``params``."""
        self._executemany(self._text(statement), params)

    async def one(self, statement: Statement, params: Params) -> Row | None:
        """The first row, or None."""
        rows = self._execute(self._text(statement), params).fetchall()
        return rows[0] if rows else None

    async def all(self, statement: Statement, params: Params) -> Sequence[Row]:
        """All rows."""
        return self._execute(self._text(statement), params).fetchall()


class SqliteDatabase:
    """The records in one SQLite file.

    :param path: the file; made when it does not exist, its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._scanner: ThreadPoolExecutor | None = None
        self._scan_tx: SqliteTx | None = None
        self._reader: sqlite3.Connection | None = None
        self._read_tx: SqliteTx | None = None

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable.

        :raises StartError: the file cannot be used, in words, or its schema is newer than this program.
        """
        await asyncio.get_running_loop().run_in_executor(None, upgrade_sqlite, self.path)
        self._reader = self._connect(read_only=True)
        self._read_tx = SqliteTx(self._reader)
        self._scanner = ThreadPoolExecutor(1, thread_name_prefix="musterd-scan")
        self._thread = threading.Thread(target=self._write_jobs, name="musterd-writer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Finish what was handed in, then let go of the file."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
            self._thread = None
        if self._scanner is not None:
            self._scanner.shutdown()
            self._scanner = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def write(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work`` in a transaction; committed and durable when the awaitable is done."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._thread is None:
            raise StoreUnavailable("The database is closed.")
        self._jobs.put(_Job(work, loop, future))
        return future

    async def read(self, work: Work[T]) -> T:
        """Do ``work`` on the event loop's own connection: meant for single rows by key."""
        if self._reader is None or self._read_tx is None:
            raise StoreUnavailable("The database is closed.")
        return self._snapshot(self._reader, work(self._read_tx))

    async def scan(self, work: Work[T]) -> T:
        """Do ``work`` on a thread of its own: meant for reads of many rows."""
        if self._scanner is None:
            raise StoreUnavailable("The database is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._scanner, self._scan, work)

    def _scan(self, work: Work[T]) -> T:
        connection = self._connect(read_only=True)
        try:
            return self._snapshot(connection, work(SqliteTx(connection)))
        finally:
            connection.close()

    def _snapshot(self, connection: sqlite3.Connection, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            connection.execute("BEGIN")
            try:
                return drive(coroutine)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            coroutine.close()
            raise unavailable(error, self.path) from error

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=CACHED_STATEMENTS,
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        return connection

    # --- the writer thread ------------------------------------------------------------------------

    def _write_jobs(self) -> None:
        connection: sqlite3.Connection | None = None
        tx: SqliteTx | None = None
        while True:
            jobs, is_last = self._next_jobs()
            if jobs:
                try:
                    if connection is None or tx is None:
                        connection = self._connect()
                        tx = SqliteTx(connection)
                    self._commit_together(connection, tx, jobs)
                except MusterdError as error:
                    _fail(jobs, error)
                _report(jobs)
            if is_last:
                break
        if connection is not None:
            connection.close()

    def _next_jobs(self) -> tuple[list[_Job[Any]], bool]:
        """Wait for a job and take those that wait with it; True when the database closes after them."""
        first = self._jobs.get()
        if first is None:
            return [], True
        jobs = [first]
        while len(jobs) < GROUP_LIMIT:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
        return jobs, False

    def _commit_together(self, connection: sqlite3.Connection, tx: SqliteTx, jobs: list[_Job[Any]]) -> None:
        """One commit for all of ``jobs``; where the database itself fails, each again in a commit of its own."""
        if len(jobs) == 1:
            self._commit_alone(connection, tx, jobs[0])
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                _do_in_savepoint(connection, tx, job)
            connection.execute("COMMIT")
        except sqlite3.Error:
            _roll_back(connection)
            for job in jobs:
                self._commit_alone(connection, tx, job)

    def _commit_alone(self, connection: sqlite3.Connection, tx: SqliteTx, job: _Job[Any]) -> None:
        job.result = job.error = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            job.result = drive(job.work(tx))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            job.error = unavailable(error, self.path) if is_database_fault(error) else error
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the job
            _roll_back(connection)
            job.error = error


def _do_in_savepoint(connection: sqlite3.Connection, tx: SqliteTx, job: _Job[Any]) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.result = drive(job.work(tx))
    except BaseException as error:
        if isinstance(error, sqlite3.Error) and is_database_fault(error):
            raise
        job.error = error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what stands: after a full disk or an I/O error SQLite may have done so itself."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _fail(jobs: list[_Job[Any]], error: BaseException) -> None:
    for job in jobs:
        job.error = error


def _report(jobs: list[_Job[Any]]) -> None:
    """Tell those who wait, once for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, done in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, done)


def _resolve(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
