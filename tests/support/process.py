"""Server processes that tests kill, suspend and stop."""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2

from musterd.core import clock
from musterd.core.errors import StoreUnavailable
from musterd.store.database import Params, Statement, Tx, Work
from musterd.store.open_database import open_database
from tests.support import scanned
from tests.support.forked_process import ForkedProcess

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.005
QUICK: dict[str, Any] = {"beat_seconds": 0.05, "upkeep_seconds": 0.05, "dead_seconds": 1.0}
"""Settings of processes that detect dead processes quickly, for databases without OS locks."""
SOON_DEAD: dict[str, Any] = {**QUICK, "dead_seconds": 8}
"""Settings of several processes one of which is killed, and none of which dies of standing still on a busy machine."""
ALL_LIVE: dict[str, Any] = {"dead_seconds": 60}
"""Settings of processes that are never considered dead, even on a slow machine."""


def until(fact: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait for a condition in another process by polling."""
    pause, deadline = threading.Event(), clock.monotonic() + seconds
    while not (value := fact()):
        assert clock.monotonic() < deadline, f"{what}: not within {seconds} s"
        pause.wait(LOOK_SECONDS)
    return value


def is_suspended(pid: int) -> bool:
    """Whether a process is suspended (SIGSTOP)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def settings_for(url: str) -> dict[str, Any]:
    """Settings of the processes on a database: the defaults if a lock shows that a process has died."""
    return {} if url.startswith("sqlite:") else QUICK


def environment_of(settings: dict[str, Any]) -> dict[str, str]:
    """Settings as environment variables."""
    return {f"MUSTERD_{name.upper()}": str(value) for name, value in settings.items()}


def do(url: str, work: Work[T]) -> T:
    """Drive store functions on a database that other processes use."""
    with contextlib.closing(open_database(url).thread_connection()) as connection:
        return connection.do(work)


def select(url: str, text: str, params: Params) -> list[dict[str, Any]]:
    """Rows of a statement on a database that other processes use."""
    return do(url, rows_of(text, params))


def rows_of(text: str, params: Params) -> Work[list[dict[str, Any]]]:
    """A store function that reads the rows of a statement."""

    async def work(tx: Tx) -> list[dict[str, Any]]:
        rows = await tx.all(Statement(f"test {text}", text), params)
        return [{name: row[name] for name in row.keys()} for row in rows]  # noqa: SIM118 - iterating gives values

    return work


class Deployment:
    """A folder and a database, and the processes that share them.

    :param components: the Python file that they serve.
    :param settings: of each process, in addition to those that fit the database.
    """

    def __init__(self, folder: Path, url: str, components: Path, **settings: Any) -> None:
        self.folder = folder
        self.components = components
        self._url = url
        self._settings = {**settings_for(url), **settings}
        self._processes: list[Process] = []
        # Kept open, because tests that wait for a row read it hundreds of times, some of them from several threads.
        self._reader = open_database(url).thread_connection()
        self._reading = threading.Lock()

    def serve(self, *options: str, fault: str = "", **settings: Any) -> "Process":
        """Start ``musterd serve`` and wait until it serves."""
        return self._start("serve", ("--port", "0", *options), fault, settings)

    def work(self, *options: str, fault: str = "", **settings: Any) -> "Process":
        """Start ``musterd worker`` and wait until it works."""
        return self._start("worker", options, fault, settings)

    def begin(self, command: str, *options: str, fault: str = "", **settings: Any) -> "Process":
        """Start a command without waiting."""
        return self._begin(command, options, fault, settings)

    def dies(self, fault: str) -> None:
        """Start ``musterd worker`` and wait until ``fault`` has killed it, even before it is ready."""
        self._begin("worker", (), fault, {}).died()

    def _start(self, command: str, options: tuple[str, ...], fault: str, settings: dict[str, Any]) -> "Process":
        return self._begin(command, options, fault, settings).started()

    def _begin(self, command: str, options: tuple[str, ...], fault: str, settings: dict[str, Any]) -> "Process":
        variables = environment_of({**self._settings, **settings})
        environment = {**os.environ, "MUSTERD_TEST_FOLDER": str(self.folder), **variables}
        if fault:
            environment["MUSTERD_TEST_FAULT"] = fault
        words = [command, str(self.components), "--db", self._url, *options]
        log = self.folder / f"log{len(self._processes)}"
        process = Process(words, environment, log)
        self._processes.append(process)
        return process

    def is_writable(self) -> bool:
        """Whether a new process could write: no process was stopped while it held SQLite's lock."""
        try:
            self.execute("UPDATE runs SET state = state WHERE run_id = ''")
        except StoreUnavailable:
            return False
        return True

    def close(self) -> None:
        """Kill the remaining processes."""
        for process in self._processes:
            process.end()
        self._reader.close()

    # --- what stands in the database and in the file of counts ------------------------------------

    def select(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """Rows of a statement."""
        with self._reading:
            try:
                return self._reader.do(rows_of(text, params))
            except StoreUnavailable:  # the server was restarted since the last call
                return self._reader.do(rows_of(text, params))

    def do(self, work: Work[T]) -> T:
        """Drive store functions."""
        return do(self._url, work)

    def execute(self, text: str) -> None:
        """Change rows directly in the database."""

        async def work(tx: Tx) -> None:
            await tx.run(Statement(f"test {text}", text), {})

        self.do(work)

    def state(self, run_id: str) -> str:
        """The run's state; empty when there is no such run."""
        rows = self.select("SELECT state FROM runs WHERE run_id = :run_id", run_id=run_id)
        return str(rows[0]["state"]) if rows else ""

    def run(self, run_id: str) -> dict[str, Any]:
        """The run's row."""
        (row,) = self.select("SELECT * FROM runs WHERE run_id = :run_id", run_id=run_id)
        return row

    def counts(self) -> Counter[str]:
        """The recorded actions with their counts."""
        path = self.folder / "counts"
        return Counter(path.read_text().splitlines()) if path.exists() else Counter()

    def reached(self, name: str) -> None:
        """Wait until a tool waits for ``name``."""
        until((self.folder / f"{name}.reached").exists, f"a tool waits for {name}")

    def release(self, name: str) -> None:
        """Release the tool that waits for ``name``."""
        (self.folder / name).touch()


class Process:
    """One process of the server, and a client of it."""

    def __init__(self, words: list[str], environment: dict[str, str], log: Path) -> None:
        self.popen = ForkedProcess(words, environment, log)
        self._log = log
        self.http = scanned.Client(timeout=2 * PATIENCE_SECONDS, trust_env=False)

    def started(self) -> Self:
        """Wait until it reports that it serves or works."""
        line = self.popen.stdout.readline()
        assert line.startswith("musterd: "), f"{line!r}\n{self.log}"
        if "http://" in line:
            self.http.base_url = line.split()[-1]
        return self

    @property
    def log(self) -> str:
        """Its log output."""
        return self._log.read_text()

    def post(
        self,
        message: str,
        run_id: str,
        to: str = "agents/solo",
        session_id: str = "s1",
        seconds: float = PATIENCE_SECONDS,
        **fields: str,
    ) -> httpx2.Response | None:
        """Start a run in the background; None if the process dies during the request or does not respond in time."""
        data = {"message": message, "run_id": run_id, "session_id": session_id, **fields}
        data |= {"background": "true", "stream": "false"}
        with contextlib.suppress(httpx2.TransportError):
            return self.http.post(f"/{to}/runs", data=data, timeout=seconds)
        return None

    def accepted(self, message: str, run_id: str, to: str = "agents/solo", session_id: str = "s1") -> None:
        """Start a run in the background."""
        answer = self.post(message, run_id, to, session_id)
        assert answer is not None
        assert answer.status_code == 202, answer.text

    def ended(self, run_id: str, to: str = "agents/solo", session_id: str = "s1") -> dict[str, Any]:
        """The run after it has finished or paused."""
        answer = self.http.get(f"/{to}/runs/{run_id}", params={"session_id": session_id, "wait": PATIENCE_SECONDS})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def kill(self) -> None:
        """Kill it immediately."""
        self.popen.kill()
        self.popen.wait()

    def died(self) -> None:
        """Wait until it has exited by itself."""
        assert self.popen.wait(PATIENCE_SECONDS) == -signal.SIGKILL, self.log

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def is_closed(self) -> bool:
        """Whether it accepts no more requests."""
        try:
            self.http.get("/-/live")
        except httpx2.TransportError:
            return True
        return False

    def has_stopped(self) -> bool:
        """Whether it is suspended (SIGSTOP)."""
        return is_suspended(self.popen.pid)

    def exit_code(self) -> int:
        """Wait until it has exited."""
        return self.popen.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Kill it if it is still running."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()
        self.http.close()


def deployment_of(url: str, folder: Path, components: Path, **settings: Any) -> Iterator[Deployment]:
    """The body of a fixture: a deployment, whose processes are killed at the end."""
    deployment = Deployment(folder, url, components, **settings)
    yield deployment
    deployment.close()
