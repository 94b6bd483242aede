"""Several server processes on one SQLite or Postgres database, which tests kill and start."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from musterd.core.events import Event
from musterd.store import events
from tests.support.process import Deployment, Process
from tests.support.store import of_run


@contextlib.contextmanager
def fleet(folder: Path, url: str, components: Path, **settings: Any) -> "Iterator[Fleet]":
    """A fleet, none of which is left at the end."""
    processes = Fleet(folder, url, components, **settings)
    try:
        yield processes
    finally:
        processes.close()


class Fleet(Deployment):
    """Processes that share a database and a folder, and what they have done together.

    :param settings: of each process; by default the server's defaults.
    """

    def __init__(self, folder: Path, url: str, components: Path, **settings: Any) -> None:
        super().__init__(folder, url, components)
        self._settings = settings

    @property
    def log(self) -> str:
        """The log output of all processes."""
        return "".join(process.log for process in self._processes)

    def number(self, text: str, **params: Any) -> int:
        """The number that a statement returns."""
        (row,) = self.select(text, **params)
        (number,) = row.values()
        return int(number)

    def stored_events(self, run_id: str) -> list[tuple[int, Event]]:
        """The stored events of a run, each with its index."""
        return self.do(of_run(events.all_events, run_id))

    def calls(self) -> list[str]:
        """The tool calls, in order."""
        path = self.folder / "counts"
        return path.read_text().splitlines() if path.exists() else []

    def runs_of(self, process: Process) -> int:
        """The number of runs that the process drives."""
        return self.number(
            """SELECT count(*) AS n FROM runs WHERE state = 'running' AND parent_id IS NULL
               AND worker = (SELECT id FROM workers WHERE pid = :pid)""",
            pid=process.popen.pid,
        )
