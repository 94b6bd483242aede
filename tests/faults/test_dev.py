"""``musterd dev``: a real process that restarts its server after each change."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support import scanned
from tests.support.process import PATIENCE_SECONDS, until

TEAM = """\
from musterd import Agent, Team
desk = Team(id="desk", name="{name}", model="scripted", members=[Agent(id="writer", role="Writes")])
"""


class Dev:
    """The command, and a client of its servers."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "musterd", "dev", "team.py", "--port", "0", *options],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.http = scanned.Client(timeout=2 * PATIENCE_SECONDS, trust_env=False)

    def serves(self) -> str:
        """Wait until a server serves; its URL."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line.startswith("musterd: serving on "), self.log
        self.http.base_url = line.split()[-1]
        return line.split()[-1]

    def name(self) -> str:
        """The name of the team that is served."""
        (team,) = self.http.get("/teams").json()
        return str(team["name"])

    @property
    def log(self) -> str:
        """What it and its servers print to standard error."""
        return self._log.read_text()

    def close(self) -> None:
        """End it and its server."""
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(PATIENCE_SECONDS)
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        self.http.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "team.py").write_text(TEAM.format(name="First"))
    return tmp_path


@pytest.fixture
def dev(folder: Path) -> Iterator[Dev]:
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {folder}/opened\n')
    browser.chmod(0o755)
    dev = Dev(folder, "--open", BROWSER=str(browser), MUSTERD_LOG_JSON="true")
    yield dev
    dev.close()


def test_a_change_restarts_the_server_and_its_runs_go_on(dev: Dev, folder: Path) -> None:
    url = dev.serves()
    assert dev.name() == "First"
    form = {"message": "[[DELEGATE writer: <WORDS 30 300>]]", "run_id": "r1", "session_id": "s1", "background": "true"}
    assert dev.http.post("/teams/desk/runs", data=form).status_code == 202
    (folder / "team.py").write_text(TEAM.format(name="The second"))
    assert dev.serves() == url, "the page finds the new process at the same port"
    assert dev.name() == "The second"
    run = dev.http.get("/teams/desk/runs/r1", params={"session_id": "s1", "wait": 60}).json()
    assert (run["status"], run["attempts"]) == ("COMPLETED", 2)
    assert "team.py changed, the server restarts" in dev.log
    assert "  teams     desk" in dev.log.splitlines(), "logs are for people"
    until((folder / "opened").exists, "the page is opened")
    assert (folder / "opened").read_text() == f"{url}/ui/\n", "and only once"


def test_a_fault_is_shown_and_the_next_change_starts_the_server_again(dev: Dev, folder: Path) -> None:
    dev.serves()
    (folder / "team.py").write_text(TEAM.format(name="The second").replace("members", "membrs"))
    until(lambda: "starts again after the next change" in dev.log, "the server is down")
    assert "team.py:2: team 'desk' has no field 'membrs' — did you mean 'members'?" in dev.log
    with pytest.raises(httpx2.TransportError):
        dev.name()
    (folder / "team.py").write_text(TEAM.format(name="Number three"))
    dev.serves()
    assert dev.name() == "Number three"


def test_ctrl_c_ends_the_command_and_its_server(dev: Dev) -> None:
    dev.serves()
    dev.popen.send_signal(signal.SIGINT)
    assert dev.popen.wait(PATIENCE_SECONDS) == 0
    assert dev.log.splitlines()[-1].endswith("stopped")
    with pytest.raises(httpx2.TransportError):
        dev.name()
