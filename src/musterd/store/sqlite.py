"""SQLite: one file, WAL, one writer thread with group commit, reads on connections of their own.

Durability is FULL: what was answered survives a crash of the machine. Transactions that wait together share one
commit, each in a savepoint, so that the failure of one is its own.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.metrics import Metrics
from musterd.store.database import Work, drive
from musterd.store.locks import WorkerLocks
from musterd.store.sqlite_errors import file_at, is_database_fault, moved, unavailable
from musterd.store.sqlite_thread import SqliteThreadConnection
from musterd.store.sqlite_tx import SqliteTx
from musterd.store.upgrade import upgrade_sqlite

T = TypeVar("T")
BUSY_SECONDS = 5.0
GROUP_LIMIT = 256
CACHED_STATEMENTS = 256
SCANS = 4
"""Reads of many rows that are under way at once: what upkeep asks does not wait for somebody's long list."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Work[T]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    result: T | None = None
    error: BaseException | None = None
    is_done: bool = False


class SqliteDatabase:
    """The records in one SQLite file.

    :param path: the file; made when it does not exist, its folder must exist.
    :param busy_seconds: how long a transaction waits for another program that holds the file.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._busy_seconds = busy_seconds
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._scanner: ThreadPoolExecutor | None = None
        self._scan_txs: deque[SqliteTx] = deque()
        self._read_tx: SqliteTx | None = None
        self._version_connection: sqlite3.Connection | None = None
        self._version: int | None = None
        self._file: tuple[int, int] | None = None
        self._is_open = False
        self._has_fault = False
        self.metrics = Metrics()

    def upgrade(self) -> None:
        """Bring the schema up to date.

        :raises StartError: the file cannot be used, in words, or its schema is newer than this program.
        """
        upgrade_sqlite(self.path)

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable.

        :raises StartError: the file cannot be used, in words, or its schema is newer than this program.
        """
        await asyncio.get_running_loop().run_in_executor(None, self.upgrade)
        self._file = file_at(self.path)
        self._read_tx = SqliteTx(self._connect(read_only=True))
        self._scanner = ThreadPoolExecutor(SCANS, thread_name_prefix="musterd-scan")
        self._thread = threading.Thread(target=self._write_jobs, name="musterd-writer", daemon=True)
        self._thread.start()
        self._is_open = True

    async def close(self) -> None:
        """Finish what was handed in, then let go of the file."""
        self._is_open = False  # nothing more is handed in: it would wait for ever
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            self._jobs.put(None)
            await loop.run_in_executor(None, self._thread.join)
            self._thread = None
        if self._scanner is not None:
            await loop.run_in_executor(None, self._scanner.shutdown)
            self._scanner = None
        while self._scan_txs:
            _close(self._scan_txs.pop().connection)
        self._close_reader()
        if self._version_connection is not None:
            _close(self._version_connection)
            self._version_connection = None

    def write(self, work: Work[T]) -> Awaitable[T]:
        """Do ``work`` in a transaction; committed and durable when the awaitable is done.

        ``work`` may be called again, when the commit that it shared with others failed.
        """
        self._require_open()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return future

    async def read(self, work: Work[T]) -> T:
        """Do ``work`` on the event loop's own connection: meant for single rows by key."""
        self._require_open()
        if self._read_tx is None:
            self._read_tx = SqliteTx(self._connect(read_only=True))
        try:
            return self._snapshot(self._read_tx, work)
        except StoreUnavailable:
            self._close_reader()
            raise

    async def scan(self, work: Work[T]) -> T:
        """Do ``work`` on a thread beside the event loop: meant for reads of many rows."""
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._scanner, self._scan, work)

    def apart(self) -> "SqliteThreadConnection":
        """A connection for a thread beside the event loop, made when it is first used."""
        return SqliteThreadConnection(self.path, self._connect)

    def locks(self) -> WorkerLocks:
        """Locks beside the file: whoever shares it is on this host."""
        return WorkerLocks(self.path)

    def has_changed(self) -> bool:
        """Whether anything was written, by this process or another, since this was asked last. Cheap."""
        self._require_open()
        try:
            if self._version_connection is None:
                self._version_connection = self._connect(read_only=True)
            (version,) = self._version_connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        before, self._version = self._version, version
        return bool(before != version)

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable("The database is closed.")

    def _scan(self, work: Work[T]) -> T:
        """Do ``work`` on a connection that nobody else uses meanwhile."""
        self._require_in_place()
        tx: SqliteTx | None
        try:
            tx = self._scan_txs.pop()
        except IndexError:
            tx = SqliteTx(self._connect(read_only=True))
        try:
            return self._snapshot(tx, work)
        except StoreUnavailable:  # the next one sees the file anew
            _close(tx.connection)
            tx = None
            raise
        finally:
            if tx is not None:
                self._scan_txs.append(tx)

    def _snapshot(self, tx: SqliteTx, work: Work[T]) -> T:
        try:
            tx.connection.execute("BEGIN")
            try:
                return drive(work(tx))
            finally:
                _roll_back(tx.connection)
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error

    def _close_reader(self) -> None:
        if self._read_tx is not None:
            _close(self._read_tx.connection)
            self._read_tx = None

    def _require_in_place(self) -> None:
        """Refuse to write what nobody would find: SQLite goes on with a file that was removed or replaced."""
        with contextlib.suppress(OSError):  # where nobody can look SQLite says why
            if self._file is not None and file_at(self.path) != self._file:
                raise moved(self.path)

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        self._require_in_place()
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_seconds,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=CACHED_STATEMENTS,
            )
            connection.row_factory = sqlite3.Row
            connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows ASCII only
            connection.execute("PRAGMA synchronous = FULL")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        return connection

    # --- the writer thread ------------------------------------------------------------------------

    def _write_jobs(self) -> None:
        tx: SqliteTx | None = None
        while True:
            jobs, is_last = self._next_jobs()
            if jobs:
                started = clock.monotonic()
                tx = self._commit(tx, jobs)
                self.metrics.commit_seconds.observe(clock.monotonic() - started)
                self.metrics.commit_group.observe(len(jobs))
                _report(jobs)
            if is_last:
                break
        if tx is not None:
            _close(tx.connection)

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

    def _commit(self, tx: SqliteTx | None, jobs: list[_Job[Any]]) -> SqliteTx | None:
        """Do and commit ``jobs``. The connection to go on with, or None after a fault: the next one sees the file anew.

        A fault before a job was begun (no connection, another program holds the file) is the fault of all that wait.
        """
        self._has_fault = False
        try:
            self._require_in_place()
            if tx is None:
                tx = SqliteTx(self._connect())
            self._commit_together(tx, jobs)
        except sqlite3.Error as error:
            self._has_fault = True
            _fail(jobs, unavailable(error, self.path))
        except BaseException as error:  # noqa: BLE001 - handed to those who wait; the thread lives on
            self._has_fault = True
            _fail(jobs, error)
        if self._has_fault and tx is not None:
            _close(tx.connection)
            return None
        return tx

    def _commit_together(self, tx: SqliteTx, jobs: list[_Job[Any]]) -> None:
        """One commit for all of ``jobs``; where the database itself fails, each again in a commit of its own."""
        if len(jobs) > 1:
            tx.connection.execute("BEGIN IMMEDIATE")
            try:
                for job in jobs:
                    _do_in_savepoint(tx, job)
                tx.connection.execute("COMMIT")
            except sqlite3.Error:
                _roll_back(tx.connection)
            else:
                return
        for job in jobs:
            self._commit_alone(tx, job)

    def _commit_alone(self, tx: SqliteTx, job: _Job[Any]) -> None:
        job.result = job.error = None
        tx.connection.execute("BEGIN IMMEDIATE")
        try:
            job.result = drive(job.work(tx))
            tx.connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(tx.connection)
            job.error = error
            if is_database_fault(error):
                job.error, self._has_fault = unavailable(error, self.path), True
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits the job
            _roll_back(tx.connection)
            job.error = error
        job.is_done = True


def _do_in_savepoint(tx: SqliteTx, job: _Job[Any]) -> None:
    tx.connection.execute("SAVEPOINT job")
    try:
        job.result = drive(job.work(tx))
    except BaseException as error:
        if isinstance(error, sqlite3.Error) and is_database_fault(error):
            raise
        job.error = error
        tx.connection.execute("ROLLBACK TO job")
    tx.connection.execute("RELEASE job")


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo what stands: after a full disk or an I/O error SQLite may have done so itself."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _close(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.close()


def _lower(value: str | float | bytes | None) -> str | float | bytes | None:
    return value.lower() if isinstance(value, str) else value


def _fail(jobs: list[_Job[Any]], error: BaseException) -> None:
    for job in jobs:
        if not job.is_done:
            job.error = error


def _report(jobs: list[_Job[Any]]) -> None:
    """Tell those who wait, once for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, done in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, done)


def _resolve(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
