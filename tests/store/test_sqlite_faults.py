"""SQLite's faults: the caller is told, the operator reads what to do, nothing is half written, and it goes on after."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd.core.errors import StoreUnavailable
from musterd.store import sessions
from musterd.store.database import Statement, Tx
from musterd.store.sqlite import SqliteDatabase
from musterd.store.sqlite_errors import unavailable
from musterd.store.sqlite_tx import SqliteTx
from tests.support.store import Records

Lines = list[MutableMapping[str, Any]]
PUT = Statement("test put", "INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, 0, :content, 0)")


class FaultyDatabase(SqliteDatabase):
    """SQLite on a disk that has room for so many ``pages``."""

    pages: int | None = None

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = super()._connect(read_only=read_only)
        if self.pages is not None:
            connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return connection

    async def limit(self, pages: int) -> None:
        """Let the file grow to so many pages, on every connection from now on."""
        self.pages = pages

        async def work(tx: Tx) -> None:
            assert isinstance(tx, SqliteTx)
            tx.connection.execute(f"PRAGMA max_page_count = {pages}")

        await self.write(work)


@pytest.fixture
async def database(sqlite_file: Path) -> AsyncIterator[FaultyDatabase]:
    db = FaultyDatabase(sqlite_file, busy_seconds=0)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
def records(database: FaultyDatabase) -> Records:
    return Records(database)


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as logs:
        yield logs


def advice(lines: Lines) -> set[tuple[str, str]]:
    """What was logged as gone wrong, and what to do."""
    return {(line["what"], line["do"]) for line in lines if line["event"] == "database unavailable"}


def put(database: SqliteDatabase, name: str, size: int = 0) -> "asyncio.Future[int]":
    return asyncio.ensure_future(database.write(lambda tx: tx.run(PUT, {"hash": name, "content": bytes(size)})))


@contextlib.contextmanager
def held(path: Path, how: str = "IMMEDIATE") -> Iterator[None]:
    """Another program holds the file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {how}")
        yield
        other.execute("ROLLBACK")


# The disk is full


async def test_a_full_disk_refuses_and_takes_again(records: Records, database: FaultyDatabase, lines: Lines) -> None:
    await records.accept("r1")
    before = await records.everything()
    await database.limit(1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await put(database, "big", 1_000_000)
    assert advice(lines) == {("the disk is full", "free space on its volume")}
    assert await records.everything() == before, "nothing is half written, and reading goes on"
    database.pages = 100_000
    await database.limit(100_000)
    assert await put(database, "big", 1_000_000) == 1
    await records.accept("r2")


async def test_a_full_disk_fails_only_what_does_not_fit(database: FaultyDatabase, lines: Lines) -> None:
    """The group's commit fails as a whole; then each is tried alone."""
    (used,) = await Records(database).select("PRAGMA page_count")
    is_held, is_open = threading.Event(), threading.Event()

    async def hold(tx: Tx) -> None:
        is_held.set()
        is_open.wait()

    await database.limit(used["page_count"] + 5)
    gate = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(is_held.wait)
    writes = [put(database, "small"), put(database, "big", 1_000_000), put(database, "small too")]
    is_open.set()
    await gate
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [int, StoreUnavailable, int]
    assert [row["hash"] for row in await Records(database).select("SELECT hash FROM blobs")] == ["small", "small too"]
    assert len(advice(lines)) == 1


# Another program holds it


async def test_a_held_file_is_waited_for_no_longer_than_told(records: Records, sqlite_file: Path, lines: Lines) -> None:
    with held(sqlite_file):
        with pytest.raises(StoreUnavailable):
            await records.accept("r1")
        assert await records.counts() == {}, "reading goes on"
    assert {what for what, _ in advice(lines)} == {"another program has locked the database"}
    assert (await records.accept("r1")).run.seq == 0


async def test_many_that_wait_for_a_held_file_wait_once(database: FaultyDatabase, sqlite_file: Path) -> None:
    """Not one after the other: 256 times the busy time would be 20 minutes."""
    begun: list[str] = []
    is_held, is_open = threading.Event(), threading.Event()

    async def hold(tx: Tx) -> None:
        assert isinstance(tx, SqliteTx)
        tx.connection.set_trace_callback(begun.append)
        is_held.set()
        is_open.wait()

    gate = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(is_held.wait)
    waiting = [put(database, f"{number}") for number in range(100)]
    other = sqlite3.connect(sqlite_file, isolation_level=None, timeout=60, check_same_thread=False)
    locking = asyncio.ensure_future(asyncio.to_thread(other.execute, "BEGIN IMMEDIATE"))
    is_open.set()
    await gate
    await locking
    results = await asyncio.gather(*waiting, return_exceptions=True)
    other.close()
    failed = [result for result in results if isinstance(result, StoreUnavailable)]
    assert len(failed) in (0, len(waiting)), "all or none: they are one group"
    assert begun.count("BEGIN IMMEDIATE") <= 2
    assert await put(database, "after") == 1


async def test_a_wait_that_is_over_in_time_is_no_fault(sqlite_file: Path) -> None:
    database = SqliteDatabase(sqlite_file, busy_seconds=60)
    await database.open()
    with held(sqlite_file):
        writing = put(database, "a")
        assert len(await database.read(lambda tx: tx.all(Statement("test all", "SELECT * FROM blobs"), {}))) == 0
    assert await writing == 1
    await database.close()


# The file or its folder cannot be written


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only files")
async def test_a_read_only_file(sqlite_file: Path, lines: Lines) -> None:
    os.chmod(sqlite_file, 0o400)
    database = SqliteDatabase(sqlite_file)
    await database.open()
    with pytest.raises(StoreUnavailable):
        await put(database, "a")
    assert {what for what, _ in advice(lines)} == {"the file or its folder is read-only"}
    os.chmod(sqlite_file, 0o600)
    assert await put(database, "a") == 1
    await database.close()


async def test_a_file_that_becomes_writable_is_written_again(
    sqlite_file: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite opens what it may not write for reading, and that connection stays so: a new one is needed."""
    is_read_only = True

    class ReadOnly(SqliteDatabase):
        def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
            if not is_read_only:
                return super()._connect(read_only=read_only)
            uri = f"file:{self.path}?mode=ro"
            return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    database = ReadOnly(sqlite_file)
    await database.open()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await put(database, "a")
    assert {what for what, _ in advice(lines)} == {"the file or its folder is read-only"}
    is_read_only = False
    with contextlib.suppress(StoreUnavailable):
        await put(database, "b")
    assert await put(database, "c") == 1
    await database.close()


async def test_a_file_that_cannot_be_opened_now_is_opened_later(database: FaultyDatabase, lines: Lines) -> None:
    path, database.path = database.path, database.path / "nowhere" / "musterd.db"
    for use in (database.write, database.scan):
        with pytest.raises(StoreUnavailable):
            await use(lambda tx: tx.run(PUT, {"hash": "a", "content": b""}))
    assert {what for what, _ in advice(lines)} == {"the file cannot be opened"}
    database.path = path
    assert await put(database, "a") == 1


# The file is damaged


async def test_a_damaged_page_is_told_and_spares_the_rest(records: Records, sqlite_file: Path, lines: Lines) -> None:
    database = records.database
    await records.accept("r1")
    await database.close()
    with contextlib.closing(sqlite3.connect(sqlite_file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'blobs'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with sqlite_file.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    records.database = database = SqliteDatabase(sqlite_file)
    await database.open()
    for use in (database.write, database.read, database.scan):
        with pytest.raises(StoreUnavailable):
            await use(lambda tx: tx.all(Statement("test blobs", "SELECT content FROM blobs"), {}))
    with pytest.raises(StoreUnavailable):
        await put(database, "a")
    assert advice(lines) == {("the file is damaged", "stop the server and restore the file from a backup")}
    assert (await records.row("r1")).run_id == "r1"
    assert (await records.accept("r2")).run.seq == 1
    await database.close()


# The words


@pytest.mark.parametrize(
    "code, what",
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "the file or its folder is read-only"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another program has locked the database"),
        (sqlite3.SQLITE_PROTOCOL, "another program has locked the database"),
        (sqlite3.SQLITE_IOERR_FSYNC, "the disk reports an error"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "the file is damaged"),
        (sqlite3.SQLITE_NOTADB, "the file is not a SQLite database"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "the file cannot be opened"),
        (sqlite3.SQLITE_PERM, "the file is not accessible"),
    ],
)
def test_every_fault_has_words_and_a_cure(code: int, what: str, lines: Lines) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    message = unavailable(error, Path("/data/musterd.db"))
    (line,) = lines
    assert (line["what"], line["file"], line["error"]) == (what, "/data/musterd.db", "as SQLite says it")
    assert line["do"]
    assert "/data" not in message.message, "a client learns nothing of our files"
    assert message.retry_after_seconds


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_file_that_is_not_there_any_more(
    database: FaultyDatabase, records: Records, sqlite_file: Path, lines: Lines, is_replaced: bool
) -> None:
    """SQLite would go on writing into a file that has no name, and nobody would ever find the runs."""
    await records.accept("r1")
    copied = sqlite_file.with_name("kept.db")
    os.rename(sqlite_file, copied)
    if is_replaced:
        shutil.copy(copied, sqlite_file)
    with pytest.raises(StoreUnavailable):
        await records.accept("r2")
    with pytest.raises(StoreUnavailable):
        await database.scan(lambda tx: sessions.list_deleted(tx, 1e9))
    assert (sqlite_file.name in os.listdir(sqlite_file.parent)) == is_replaced, "no empty one is made in its place"
    assert advice(lines) == {("the file was replaced", "restore it; stop the server before you replace it")}
    os.replace(copied, sqlite_file)
    await records.accept("r3")
    assert await records.states() == {"r1": "ready", "r3": "queued"}
