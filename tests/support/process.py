"""Processes of the server, as people start them: they are killed, stopped and told to end."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx2

from musterd.core import clock
from musterd.store.sqlite_tx import SqliteTx

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.005


def until(fact: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for a fact in another process: look until it is there."""
    pause, deadline = threading.Event(), clock.monotonic() + seconds
    while not (found := fact()):
        assert clock.monotonic() < deadline, f"{what}: not within {seconds} s"
        pause.wait(LOOK_SECONDS)
    return found


class Site:
    """A folder with a database, and the processes that share it.

    :param house: the Python file that they serve.
    """

    def __init__(self, folder: Path, template: Path, house: Path) -> None:
        self.folder = folder
        self.house = house
        self.db = Path(shutil.copy(template, folder / "musterd.db"))
        self._processes: list[Process] = []

    def serve(self, *options: str, fault: str = "", **settings: Any) -> "Process":
        """Start ``musterd serve`` and wait until it serves."""
        return self._start("serve", ("--port", "0", *options), fault, settings)

    def work(self, *options: str, fault: str = "", **settings: Any) -> "Process":
        """Start ``musterd worker`` and wait until it works."""
        return self._start("worker", options, fault, settings)

    def _start(self, command: str, options: tuple[str, ...], fault: str, settings: dict[str, Any]) -> "Process":
        given = {f"MUSTERD_{name.upper()}": str(value) for name, value in settings.items()}
        source = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": source, "MUSTERD_TEST_FOLDER": str(self.folder), **given}
        if fault:
            environment["MUSTERD_TEST_FAULT"] = fault
        words = [sys.executable, "-m", "musterd", command, str(self.house), "--db", f"sqlite:///{self.db}", *options]
        log = self.folder / f"log{len(self._processes)}"
        process = Process(words, environment, log)
        self._processes.append(process)
        return process.started()

    def close(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            process.end()

    # --- what stands in the database and in the file of counts ------------------------------------

    def select(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a statement."""
        with contextlib.closing(sqlite3.connect(self.db, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(text, params)]

    def tx(self) -> "contextlib.closing[_Reading]":
        """A connection that store functions can be driven on."""
        return contextlib.closing(_Reading(self.db))

    def state(self, run_id: str) -> str:
        """The run's state; empty when there is no such run."""
        rows = self.select("SELECT state FROM runs WHERE run_id = :run_id", run_id=run_id)
        return str(rows[0]["state"]) if rows else ""

    def run(self, run_id: str) -> dict[str, Any]:
        """The run's row."""
        (row,) = self.select("SELECT * FROM runs WHERE run_id = :run_id", run_id=run_id)
        return row

    def counts(self) -> Counter[str]:
        """What happened, and how often."""
        path = self.folder / "counts"
        return Counter(path.read_text().splitlines()) if path.exists() else Counter()

    def reached(self, name: str) -> None:
        """Wait until a tool waits for ``name``."""
        until((self.folder / f"{name}.reached").exists, f"a tool waits for {name}")

    def release(self, name: str) -> None:
        """Let the tool that waits for ``name`` go on."""
        (self.folder / name).touch()


class _Reading(SqliteTx):
    def __init__(self, path: Path) -> None:
        connection = sqlite3.connect(path, timeout=10)
        connection.row_factory = sqlite3.Row
        super().__init__(connection)

    def close(self) -> None:
        self.connection.close()


class Process:
    """One process of the server, and a client of it."""

    def __init__(self, words: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as file:
            self.popen = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=file, text=True)
        self.http = httpx2.Client(timeout=PATIENCE_SECONDS, trust_env=False)

    def started(self) -> Self:
        """Wait until it says that it serves, or works."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line.startswith("musterd: "), f"{line!r}\n{self.log}"
        if "http://" in line:
            self.http.base_url = line.split()[-1]
        return self

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def post(
        self,
        message: str,
        run_id: str,
        to: str = "agents/solo",
        session_id: str = "s1",
        seconds: float = PATIENCE_SECONDS,
    ) -> httpx2.Response | None:
        """Start a run in the background; None when the process dies over it, or says nothing for so long."""
        data = {"message": message, "run_id": run_id, "session_id": session_id}
        data |= {"background": "true", "stream": "false"}
        with contextlib.suppress(httpx2.TransportError):
            return self.http.post(f"/{to}/runs", data=data, timeout=seconds)
        return None

    def accepted(self, message: str, run_id: str, to: str = "agents/solo", session_id: str = "s1") -> None:
        """Start a run in the background."""
        answer = self.post(message, run_id, to, session_id)
        assert answer is not None
        assert answer.status_code == 202, answer.text

    def ended(self, run_id: str, to: str = "agents/solo") -> dict[str, Any]:
        """The run once it has ended or paused."""
        answer = self.http.get(f"/{to}/runs/{run_id}", params={"session_id": "s1", "wait": PATIENCE_SECONDS})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def kill(self) -> None:
        """End it as a power cut does."""
        self.popen.kill()
        self.popen.wait()

    def died(self) -> None:
        """Wait until it has died by its own hand."""
        assert self.popen.wait(PATIENCE_SECONDS) == -signal.SIGKILL, self.log

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def is_closed(self) -> bool:
        """Whether it takes no more requests."""
        try:
            self.http.get("/-/live")
        except httpx2.TransportError:
            return True
        return False

    def has_stopped(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        state = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def exit_code(self) -> int:
        """Wait until it has ended."""
        return self.popen.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Kill it, if it is still there."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        self.http.close()


def sites(template: Path, folder: Path, house: Path) -> Iterator[Site]:
    """The body of a fixture that gives a site."""
    site = Site(folder, template, house)
    yield site
    site.close()
