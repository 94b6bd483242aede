"""Server processes of a team, killed and restarted on one database, with the model in a separate process."""

import contextlib
import http.client
import json
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musterd.core import clock
from tests.support.forked_process import ForkedProcess
from tests.support.process import environment_of, select, settings_for

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02

APP = '''
import os, threading
from musterd import Agent, Team, tool

MODEL = os.environ.get("TEST_MODEL", "scripted")

@tool
def stay() -> str:
    """Stay until the test says so."""
    mark = os.environ["TEST_MARK"]
    open(mark, "w").close()
    while not os.path.exists(mark + ".go"):
        threading.Event().wait(0.02)
    return "gone"

helper = Agent(id="helper", name="Helper", role="Helps")
desk = Team(id="desk", name="Desk", model=MODEL, members=[helper], tools=[stay])
'''


def until(fact: Callable[[], bool], what: str) -> None:
    """Poll until ``fact`` holds; fail if it never does."""
    deadline = clock.monotonic() + PATIENCE_SECONDS
    waiting = threading.Event()
    while not fact():
        assert clock.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        waiting.wait(LOOK_SECONDS)


@dataclass
class ServerProcess:
    """One server process.

    :param url: of its database.
    :param log_file: where its log output is written.
    :param env: additional environment variables.
    :param sessions: of the runs that were started so far, on any process of the database.
    """

    app: Path
    url: str
    log_file: Path
    env: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    process: ForkedProcess = field(init=False)
    port: int = 0

    def start(self) -> "ServerProcess":
        """Start it and wait until it serves."""
        words = ["serve", str(self.app), "--port", "0", "--db", self.url]
        self.process = ForkedProcess(words, {**os.environ, **self.env}, self.log_file)
        line = self.process.stdout.readline()
        assert line.startswith("musterd: serving on "), line or self.log
        self.port = int(line.strip().rsplit(":", 1)[1])
        return self

    @property
    def log(self) -> str:
        """Its log output."""
        return self.log_file.read_text()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def terminate(self) -> int:
        """Ask it to stop, wait, and return its exit code."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        return code

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, Any]:
        """One request; the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            body = urllib.parse.urlencode(form) if form else None
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None

    def post(self, message: str, run_id: str, session: str = "s1") -> str:
        """Start a run in the background; its status."""
        form = {"message": message, "run_id": run_id, "session_id": session, "background": "true", "stream": "false"}
        status, body = self.ask("POST", "/teams/desk/runs", form)
        assert status == 202, body
        self.sessions[run_id] = session
        return str(body["status"])

    def get(self, run_id: str, wait: int = 0) -> dict[str, Any]:
        """The run now, or after it has finished."""
        status, body = self.ask("GET", f"/teams/desk/runs/{run_id}?wait={wait}&session_id={self.sessions[run_id]}")
        assert status == 200, body
        return dict(body)

    def end_of(self, run_id: str) -> dict[str, Any]:
        """The run once it has ended."""
        view: dict[str, Any] = {}

        def has_ended() -> bool:
            view.update(self.get(run_id))
            return view["status"] in ("COMPLETED", "ERROR", "CANCELLED")

        until(has_ended, f"the end of {run_id}")
        return view


@dataclass
class TeamDeployment:
    """A folder with an app, a database, and the processes that were started on them."""

    folder: Path
    url: str
    env: dict[str, str] = field(default_factory=dict)
    started: list[ServerProcess] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)

    def start(self, **env: str) -> ServerProcess:
        """One more process on the database."""
        app = self.folder / "app.py"
        app.write_text(APP)
        own = {"TEST_MARK": str(self.mark), **environment_of(settings_for(self.url))}
        log_file = self.folder / f"log{len(self.started)}"
        process = ServerProcess(app, self.url, log_file, {**own, **self.env, **env}, self.sessions).start()
        self.started.append(process)
        return process

    @property
    def mark(self) -> Path:
        """The file that a tool writes when it starts."""
        return self.folder / "mark"

    def let_go(self) -> None:
        """Release the tool."""
        self.mark.with_name(f"{self.mark.name}.go").touch()

    def rows(self, text: str) -> list[tuple[object, ...]]:
        """Rows of a statement."""
        return [tuple(row.values()) for row in select(self.url, text, {})]

    @property
    def locks(self) -> list[str]:
        """The lock files of workers."""
        return [path.name for path in self.folder.iterdir() if ".worker-" in path.name]

    def close(self) -> None:
        """Kill all remaining processes."""
        for process in self.started:
            if process.process.poll() is None:
                process.kill()


@contextlib.contextmanager
def team_deployment(folder: Path, url: str, **env: str) -> Iterator[TeamDeployment]:
    """A place for processes, none of which is left at the end."""
    deployment = TeamDeployment(folder, url, env)
    try:
        yield deployment
    finally:
        deployment.close()
