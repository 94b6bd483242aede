"""SQLite: one file in WAL mode, one writer thread with group commit, and separate connections for reads.

``synchronous`` is FULL: a committed transaction survives a crash of the machine. Transactions that wait at the same
time share one commit, and so one flush of the disk. If one of them fails, all are executed again, each in a savepoint,
so that its failure does not affect the others.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.core.metrics import Metrics
from musterd.store.database import Work, drive
from musterd.store.sqlite_errors import file_at, is_database_fault, moved, unavailable
from musterd.store.sqlite_thread import SqliteThreadConnection
from musterd.store.sqlite_tx import SqliteTx
from musterd.store.sqlite_upgrade import upgrade_sqlite
from musterd.store.sqlite_write_lock import begin_write, wait_in_short_steps
from musterd.store.worker_locks import WorkerLocks

T = TypeVar("T")
BUSY_SECONDS = 5.0
POLL_SECONDS = 0.02
"""How often a process asks whether others have written."""
GROUP_LIMIT = 256
CACHED_STATEMENTS = 256
SAVEPOINT_GROUPS = 16
"""How many groups begin with savepoints after a group in which a transaction failed."""
SCANS = 4
"""How many scans may run at once. With more than one, upkeep does not wait for a client's long list."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Work[T]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    result: T | None = None
    error: BaseException | None = None
    is_done: bool = False


class SqliteDatabase:
    """A database in one SQLite file.

    :param path: the file. It is created if it does not exist; its folder must exist.
    :param busy_seconds: how long a transaction waits for another program that has locked the file.
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
        self._file: tuple[int, int] | None = None
        self._is_open = False
        self._has_fault = False
        self._groups_with_savepoints = 0
        self.metrics = Metrics()
        self.poll_seconds = POLL_SECONDS

    def upgrade(self) -> None:
        """Bring the schema up to date.

        :raises StartError: the file cannot be used, or its schema is newer than this program.
        """
        upgrade_sqlite(self.path)

    async def open(self) -> None:
        """Bring the schema up to date and make the database usable.

        :raises StartError: the file cannot be used, or its schema is newer than this program.
        """
        await asyncio.get_running_loop().run_in_executor(None, self.upgrade)
        self._file = file_at(self.path)
        self._read_tx = SqliteTx(self._connect(read_only=True))
        self._scanner = ThreadPoolExecutor(SCANS, thread_name_prefix="musterd-scan")
        self._thread = threading.Thread(target=self._write_jobs, name="musterd-writer", daemon=True)
        self._thread.start()
        self._is_open = True

    async def close(self) -> None:
        """Finish all writes that were submitted, then close the file."""
        # First refuse new writes, then end the thread: a job that is queued after the None would wait for ever.
        self._is_open = False
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
        """Do ``work`` in a transaction; it is committed and durable when the awaitable is done.

        ``work`` is called again if the commit that it shared with other transactions failed, or one of these.
        """
        self._require_open()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return future

    def write_together(self, work: Work[T]) -> Awaitable[T]:
        """The same as :meth:`write`: transactions that wait at the same time share a commit anyway."""
        return self.write(work)

    async def read(self, work: Work[T]) -> T:
        """Do ``work`` on the event loop's own connection, which blocks the loop; meant for single rows by key."""
        self._require_open()
        if self._read_tx is None:
            self._read_tx = SqliteTx(self._connect(read_only=True))
        try:
            return self._snapshot(self._read_tx, work)
        except StoreUnavailable:
            self._close_reader()
            raise

    def fetch(self, work: Work[T]) -> Awaitable[T]:
        """The same as :meth:`scan`: a snapshot costs nothing here."""
        return self.scan(work)

    async def scan(self, work: Work[T]) -> T:
        """Do ``work`` in another thread; meant for reads of many rows."""
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._scanner, self._scan, work)

    def thread_connection(self, answer_seconds: float | None = None) -> "SqliteThreadConnection":
        """A connection for a thread other than the event loop's, opened when it is first used.

        A statement waits for nothing but a lock, and for that no longer than ``busy_seconds``.
        """
        return SqliteThreadConnection(self.path, self._connect)

    def locks(self) -> WorkerLocks:
        """Locks next to the file: all processes that share a SQLite file are on this host."""
        return WorkerLocks(self.path)

    async def change_count(self) -> int:
        """A number that changes when any process writes. Cheap."""
        self._require_open()
        # `data_version` does not count the writes of its own connection. So it needs a connection that never writes, to
        # see the writes of this process too.
        try:
            if self._version_connection is None:
                self._version_connection = self._connect(read_only=True)
            (version,) = self._version_connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error
        return int(version)

    def _require_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable("The database is closed.")

    def _scan(self, work: Work[T]) -> T:
        """Do ``work`` on a connection that no other thread uses meanwhile."""
        self._require_in_place()
        tx: SqliteTx | None
        try:
            tx = self._scan_txs.pop()  # atomic, so two threads never get the same connection
        except IndexError:
            tx = SqliteTx(self._connect(read_only=True))
        try:
            return self._snapshot(tx, work)
        except StoreUnavailable:  # the next scan opens the file again
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
                # End the snapshot at once: while it is open, SQLite cannot start its write-ahead log again from the
                # beginning.
                _roll_back(tx.connection)
        except sqlite3.Error as error:
            raise unavailable(error, self.path) from error

    def _close_reader(self) -> None:
        if self._read_tx is not None:
            _close(self._read_tx.connection)
            self._read_tx = None

    def _require_in_place(self) -> None:
        """Refuse to use a file that was removed or replaced.

        SQLite would continue to write to the removed file, and every answer would be lost with the process.
        """
        with contextlib.suppress(OSError):  # if the path cannot be read, SQLite's own error says why
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
            connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own handles ASCII only
            connection.execute("PRAGMA synchronous = FULL")
            # Some builds of SQLite, such as Debian's, write every freed page once more, with zeros. It costs a sixth of
            # all pages that the removal of a run writes. FAST clears only the pages that are written anyway.
            connection.execute("PRAGMA secure_delete = FAST")
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
                _report(jobs)  # only after the commit: a caller may answer its client as soon as it has the result
            if is_last:
                break
        if tx is not None:
            _close(tx.connection)

    def _next_jobs(self) -> tuple[list[_Job[Any]], bool]:
        """Wait for a job, and take all others that wait; True if the database closes after them."""
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
        """Execute and commit ``jobs``. Returns the connection to use next, or None after a fault, to reopen the file.

        A fault before any job has started, such as a locked file, fails all jobs that wait.
        """
        self._has_fault = False
        try:
            self._require_in_place()
            if tx is None:
                tx = SqliteTx(self._connect())
                wait_in_short_steps(tx.connection)
            self._commit_together(tx, jobs)
        except sqlite3.Error as error:
            self._has_fault = True
            _fail(jobs, unavailable(error, self.path))
        except BaseException as error:  # noqa: BLE001 - passed to the callers; the writer thread must not die
            self._has_fault = True
            _fail(jobs, error)
        if self._has_fault and tx is not None:
            _close(tx.connection)
            return None
        return tx

    def _commit_together(self, tx: SqliteTx, jobs: list[_Job[Any]]) -> None:
        """Commit all of ``jobs`` together. If the database itself fails, each job is retried in its own commit."""
        if len(jobs) == 1 or not self._commit_group(tx, jobs):
            for job in jobs:
                self._commit_alone(tx, job)

    def _commit_group(self, tx: SqliteTx, jobs: list[_Job[Any]]) -> bool:
        """Commit ``jobs`` in one transaction; False: nothing of them is committed."""
        # A savepoint for each job costs a copy of every page that it changes, and most groups have no job that fails.
        # So a group is tried without savepoints first, unless jobs have failed lately: then both tries would cost more.
        if self._groups_with_savepoints == 0:
            error = self._try_group(tx, jobs, _do)
            if error is None:
                return True
            if isinstance(error, sqlite3.Error) and is_database_fault(error):
                return False
        is_committed = self._try_group(tx, jobs, _do_in_savepoint) is None
        has_failure = any(job.error is not None for job in jobs)
        self._groups_with_savepoints = SAVEPOINT_GROUPS if has_failure else max(0, self._groups_with_savepoints - 1)
        return is_committed

    def _try_group(
        self, tx: SqliteTx, jobs: list[_Job[Any]], do: Callable[[SqliteTx, _Job[Any]], object]
    ) -> BaseException | None:
        """Commit ``jobs`` in one transaction; the error, if nothing of them is committed.

        :param do: does one job; what it raises undoes the group.
        """
        begin_write(tx.connection, self._busy_seconds)
        try:
            for job in jobs:
                do(tx, job)
            tx.connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - no result has been reported yet, so every job may run again
            # Nothing of the group is committed, even if it was the COMMIT that failed.
            _roll_back(tx.connection)
            return error
        return None

    def _commit_alone(self, tx: SqliteTx, job: _Job[Any]) -> None:
        job.result = job.error = None
        begin_write(tx.connection, self._busy_seconds)
        try:
            job.result = drive(job.work(tx))
            tx.connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(tx.connection)
            job.error = error
            if is_database_fault(error):
                job.error, self._has_fault = unavailable(error, self.path), True
        except BaseException as error:  # noqa: BLE001 - passed to the caller that awaits the job
            _roll_back(tx.connection)
            job.error = error
        job.is_done = True


def _do(tx: SqliteTx, job: _Job[Any]) -> None:
    job.result = drive(job.work(tx))


def _do_in_savepoint(tx: SqliteTx, job: _Job[Any]) -> None:
    tx.connection.execute("SAVEPOINT job")
    try:
        job.result = drive(job.work(tx))
    except BaseException as error:
        if isinstance(error, sqlite3.Error) and is_database_fault(error):
            raise  # a fault of the database concerns the whole group
        job.error = error
        tx.connection.execute("ROLLBACK TO job")  # undoes this job only, but leaves the savepoint open
    tx.connection.execute("RELEASE job")


def _roll_back(connection: sqlite3.Connection) -> None:
    """Roll back, unless SQLite has done so itself, as it may after a full disk or an I/O error."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _close(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        connection.close()


def _lower(value: str | float | bytes | None) -> str | float | bytes | None:
    return value.lower() if isinstance(value, str) else value


def _fail(jobs: list[_Job[Any]], error: BaseException) -> None:
    for job in jobs:
        # A job that was committed on its own before the fault keeps its result.
        if not job.is_done:
            job.error = error


def _report(jobs: list[_Job[Any]]) -> None:
    """Pass the results to the callers, with one wake-up for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, loop_jobs in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed, so its callers are gone
            loop.call_soon_threadsafe(_resolve, loop_jobs)


def _resolve(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        if job.future.done():  # the caller was cancelled; its transaction is committed all the same
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
