"""Several processes of the server on one database, SQLite or Postgres: some are killed, others come."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from musterd.core.events import Event
from musterd.store import events
from musterd.store.database import Statement, Tx, Work
from musterd.store.open import open_database
from tests.support.postgres import PostgresServer
from tests.support.process import ROOT, Process

T = TypeVar("T")
SERVER = PostgresServer()


@contextlib.contextmanager
def new_database(kind: str, template: Path, folder: Path) -> Iterator[str]:
    """The URL of a database without records: ``sqlite``, in ``folder``, or ``postgres``."""
    if kind == "sqlite":
        yield f"sqlite:///{shutil.copy(template, folder / 'musterd.db')}"
    else:
        with SERVER.database() as url:
            yield url


@contextlib.contextmanager
def fleet(folder: Path, url: str, house: Path, **settings: Any) -> "Iterator[Fleet]":
    """A fleet, none of which is left at the end."""
    found = Fleet(folder, url, house, **settings)
    try:
        yield found
    finally:
        found.close()


class Fleet:
    """Processes that share a database and a folder.

    :param url: the database.
    :param house: the Python file that they serve.
    :param settings: of each of them.
    """

    def __init__(self, folder: Path, url: str, house: Path, **settings: Any) -> None:
        self.folder = folder
        self.url = url
        self._house = house
        self._settings = settings
        self._connection = open_database(url).apart()
        self._processes: list[Process] = []

    def serve(self, *options: str, **settings: Any) -> Process:
        """Start ``musterd serve`` and wait until it serves."""
        return self._begin("serve", ("--port", "0", *options), settings).started()

    def work(self, **settings: Any) -> Process:
        """Start ``musterd worker`` and wait until it works."""
        return self.begin_work(**settings).started()

    def begin_work(self, **settings: Any) -> Process:
        """Start ``musterd worker``."""
        return self._begin("worker", (), settings)

    def _begin(self, command: str, options: tuple[str, ...], settings: dict[str, Any]) -> Process:
        given = {f"MUSTERD_{name.upper()}": str(value) for name, value in {**self._settings, **settings}.items()}
        source = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": source, "MUSTERD_TEST_FOLDER": str(self.folder), **given}
        words = [sys.executable, "-m", "musterd", command, str(self._house), "--db", self.url, *options]
        process = Process(words, environment, self.folder / f"log{len(self._processes)}")
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            process.end()
        self._connection.close()

    @property
    def log(self) -> str:
        """What all of them have logged."""
        return "".join(process.log for process in self._processes)

    # --- what stands in the database and in the file of counts ------------------------------------

    def do(self, work: Work[T]) -> T:
        """Do a store function's work."""
        return self._connection.do(work)

    def select(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a statement."""

        async def work(tx: Tx) -> list[dict[str, Any]]:
            return [{name: row[name] for name in row.keys()} for row in await tx.all(Statement(text, text), params)]  # noqa: SIM118 - iterating gives values

        return self.do(work)

    def number(self, text: str, **params: Any) -> int:
        """The number that a statement gives."""
        (row,) = self.select(text, **params)
        (number,) = row.values()
        return int(number)

    def told(self, run_id: str) -> list[tuple[int, Event]]:
        """The stored events of a run, each with its index."""
        return self.do(lambda tx: events.every(tx, run_id))

    def calls(self) -> list[str]:
        """What was called, in order."""
        path = self.folder / "counts"
        return path.read_text().splitlines() if path.exists() else []

    def runs_of(self, process: Process) -> int:
        """How many runs it drives."""
        return self.number(
            """SELECT count(*) AS n FROM runs WHERE state = 'running' AND parent_id IS NULL
               AND worker = (SELECT id FROM workers WHERE pid = :pid)""",
            pid=process.popen.pid,
        )
