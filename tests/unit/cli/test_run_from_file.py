"""``musterd run FILE``: a server is started for the file, and stopped at the end."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from musterd.cli import child_server
from musterd.cli.child_server import ServerDidNotStart
from musterd.cli.main import main
from musterd.cli.remote import following, local_server

NEWSROOM = Path(__file__).resolve().parents[3] / "examples" / "newsroom.py"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The scripted model, and a database of the test's own."""
    monkeypatch.setenv("MUSTERD_EXAMPLE_MODEL", "scripted")
    monkeypatch.setenv("MUSTERD_DB", f"sqlite:///{tmp_path}/own.db")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OS_SECURITY_KEY", "sesame")
    monkeypatch.chdir(tmp_path)


def test_a_team_of_a_file_answers(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    servers: list[subprocess.Popen[str]] = []
    start_server = child_server.start_server

    def start(*args: Any, **options: Any) -> subprocess.Popen[str]:
        servers.append(start_server(*args, **options))
        return servers[-1]

    monkeypatch.setattr(child_server, "start_server", start)
    assert main(["run", f"{NEWSROOM}:desk", "What is the weather in Paris?"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("Paris: 18 degrees")
    assert err.startswith(f"Starting a server with {NEWSROOM}:desk …\n")
    assert f"The run is stored. To look at it later:\n  serve it   musterd serve {NEWSROOM}:desk\n" in err
    assert [server.returncode for server in servers] == [0]


def test_a_file_that_does_not_exist_needs_no_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(child_server, "start_server")
    (tmp_path / "team.py").write_text("")
    assert main(["run", "tema.py:desk", "hello"]) == 2
    assert capfd.readouterr().err == "musterd: tema.py: the file does not exist — did you mean 'team.py'?\n"


@pytest.mark.parametrize(
    ("database", "bus"), [("sqlite:///own.db", ""), ("postgresql://db.example/own", "nats://nats.example:4222")]
)
def test_only_a_server_on_postgres_joins_the_bus(monkeypatch: pytest.MonkeyPatch, database: str, bus: str) -> None:
    monkeypatch.setenv("MUSTERD_BUS", "nats://nats.example:4222")
    monkeypatch.setenv("MUSTERD_DB", database)
    environments: list[dict[str, str]] = []

    def popen(_command: list[str], *, env: dict[str, str], **_options: Any) -> None:
        environments.append(env)
        raise ServerDidNotStart("It is not started here.")

    monkeypatch.setattr(subprocess, "Popen", popen)
    assert main(["run", f"{NEWSROOM}:desk", "hello"]) == 1
    assert [environment["MUSTERD_BUS"] for environment in environments] == [bus]


def test_a_file_that_cannot_be_served_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    assert main(["run", "broken.py", "hello"]) == 1
    err = capfd.readouterr().err
    assert "musterd: The server did not start.\n" in err
    assert "nothing_of_this_name" in err


LEAVING = """
import os

from musterd import Agent, tool


@tool
def leave() -> str:
    \"""End the process.\"""
    os.write(2, b"The roof fell in.\\n")
    os._exit(7)


desk = Agent(id="desk", name="Desk", tools=[leave], model="scripted")
"""


def test_a_server_that_ends_meanwhile_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 10)
    (tmp_path / "leaving.py").write_text(LEAVING)
    assert main(["run", "leaving.py", "[[TOOL leave {}]]"]) == 4
    err = capfd.readouterr().err
    assert "musterd: The server has ended (exit code 7). Its log ends with:\n" in err
    assert "\nThe roof fell in.\n" in err
    assert "  serve it   musterd serve leaving.py\n" in err


def test_the_signal_that_ended_a_server_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one\ntwo\n")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    child = child_server.ChildServer(url="http://127.0.0.1:1", process=process, log_file=tmp_path / "log")
    assert child.end() is None
    process.kill()
    process.communicate()
    assert child.end() == "The server has ended (signal 9). Its log ends with:\none\ntwo"


@pytest.mark.parametrize("option", [["--detach"], ["--url", "http://127.0.0.1:1"]])
def test_options_that_need_a_server(option: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{NEWSROOM}:desk", "hello", *option]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "is_file"), [("team.py:desk", True), ("a/teams.yaml", True), ("desk", False), ("a.b", False)]
)
def test_what_is_a_file(name: str, is_file: bool) -> None:
    assert local_server.is_source(name) is is_file
