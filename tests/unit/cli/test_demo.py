"""The demo and its team."""

import contextlib
import itertools
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd.cli import demo as room
from musterd.cli import demo_output
from musterd.cli.main import main
from musterd.models.local import weights


def test_it_runs_the_sample_team_over_http(capfd: pytest.CaptureFixture[str]) -> None:
    assert room.demo(scripted=True) == 0
    out = capfd.readouterr().out
    lines = out.splitlines()
    assert "model: scripted (its answers follow a script" in lines[0]
    assert "weather-agent: called get_weather(" in out
    assert "calendar-agent: COMPLETED" in out
    assert "desk: COMPLETED" in out
    assert lines[-1] == "COMPLETED"
    said = dict(part.split(":\n", 1) for part in out.split("\n\n") if ":\n" in part)
    assert said["The answer"].startswith("Paris: 18 degrees")
    assert said["Who did what"].splitlines()[0] == "desk (leader): asked weather-agent, calendar-agent, and answered"
    assert said["Tokens"] == "60 read, 30 written"
    run_id, address = said["The run"].splitlines()[:2]
    assert f"/teams/desk/runs/{run_id}?session_id=" in address
    assert re.search(rf"page: http://127\.0\.0\.1:\d+/ui/#/runs/{run_id}$", out, re.MULTILINE)
    assert "The server stops now." in out
    assert len([line for line in lines if " s  … " not in line]) < 40  # a slow machine has more signs of work
    assert "{\n" not in out
    assert "\x1b" not in out


def test_a_signal_to_end_it_stops_its_server_and_removes_its_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "musterd", "demo", "--scripted", "--keep"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        (address,) = itertools.islice((line for line in process.stdout if "serving on" in line), 1)
        port = int(address.rpartition(":")[2])
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    assert list(tmp_path.glob("musterd-demo-*")) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_the_whole_run_is_printed_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "_Client", client_of("COMPLETED"))
    monkeypatch.setattr(room, "_server", lambda _model, _folder, _progress: contextlib.nullcontext("http://x"))
    assert room.demo(scripted=True, as_json=True) == 0
    out = capsys.readouterr().out
    run = json.loads(out[out.index("{\n") : out.rindex("}") + 1])
    assert (run["status"], run["content"]) == ("COMPLETED", "words")


def client_of(*polls: str, on_poll: Callable[[], object] = lambda: None) -> type:
    """A client whose run has these states, poll by poll."""

    class Client:
        def __init__(self, _url: str, _key: str) -> None:
            self.polls = list(polls)

        def start(self) -> dict[str, Any]:
            return {"run_id": "r", "session_id": "s", "status": "PENDING"}

        def run(self, receipt: dict[str, Any], wait_seconds: int) -> dict[str, Any]:
            on_poll()
            return {**receipt, "status": self.polls.pop(0), "content": "words"}

        def members(self, _receipt: dict[str, Any]) -> list[dict[str, Any]]:
            return [{"agent_id": "a", "status": "RUNNING", "run_input": "t"}]

    return Client


@pytest.mark.parametrize("status", ["COMPLETED", "ERROR"])
def test_in_a_terminal_it_keeps_serving_after_the_answer(
    status: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[str] = []
    monkeypatch.setattr(room, "_Client", client_of(status))
    monkeypatch.setattr(room, "_server", lambda _model, _folder, _progress: contextlib.nullcontext("http://x"))
    monkeypatch.setattr(room, "_wait_for_interrupt", lambda _console, page: waits.append(page))
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert room.demo(scripted=True) == (0 if status == "COMPLETED" else 1)
    assert waits == ["http://x/ui/#/runs/r"]
    assert "The server stops now" not in capsys.readouterr().out
    assert room.demo(scripted=True, keep=False) in (0, 1)
    assert len(waits) == 1


def test_it_says_that_work_goes_on_while_the_server_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_output, "SILENCE_SECONDS", 0.01)
    ticks, enough = itertools.count(1), threading.Event()
    show = demo_output.ProgressPrinter._print

    def counted(progress: demo_output.ProgressPrinter, text: str) -> None:
        show(progress, text)
        if "… working: a" in text and next(ticks) == 3:
            enough.set()

    # The second poll is not answered before three lines were printed.
    polls: Iterator[Callable[[], object]] = iter([lambda: None, enough.wait])
    monkeypatch.setattr(demo_output.ProgressPrinter, "_print", counted)
    monkeypatch.setattr(room, "_Client", client_of("RUNNING", "COMPLETED", on_poll=lambda: next(polls)()))
    monkeypatch.setattr(room, "_server", lambda _model, _folder, _progress: contextlib.nullcontext("http://x"))
    assert room.demo(scripted=True) == 0
    assert capsys.readouterr().out.count(" s  … working: a\n") >= 3


def test_a_person_is_never_left_without_a_line_for_two_seconds() -> None:
    assert demo_output.SILENCE_SECONDS < 2


def test_it_falls_back_to_the_script_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "missing", lambda _settings: "install it.")
    served: list[str] = []

    def server(model: str, _folder: Path, _progress: object) -> contextlib.AbstractContextManager[str]:
        served.append(model)
        raise room.DemoFailed("the server did not start.")

    monkeypatch.setattr(room, "_server", server)
    assert room.demo() == 1
    assert served == ["scripted"]
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "The embedded model cannot run here: install it."
    assert second.startswith("Starting a server with the news desk team, model: scripted (")
    assert third == "The demo failed: the server did not start."


def test_a_setting_that_cannot_be_read_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTERD_CONCURRENCY", "many")
    assert main(["demo"]) == 2
    assert capsys.readouterr().err.startswith("musterd: MUSTERD_CONCURRENCY: ")


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", 0), ("ERROR", 1), ("CANCELLED", 1)])
def test_it_succeeds_only_when_the_run_completes(
    status: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "_Client", client_of("RUNNING", status))
    monkeypatch.setattr(room, "_server", lambda _model, _folder, _progress: contextlib.nullcontext("http://x"))
    assert room.demo(scripted=True) == code
    out = capsys.readouterr().out
    assert "a: working on “t”" in out
    assert (out.splitlines()[-1] == "COMPLETED") is (status == "COMPLETED")


def test_a_server_that_does_not_start_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(room, "sample", lambda name: broken)
    assert room.demo(scripted=True) == 1
    out = capfd.readouterr().out
    assert "the server did not start." in out
    assert "nothing_of_this_name" in out


@pytest.mark.parametrize(
    ("tool", "argument", "result"),
    [
        ("get_weather", "Paris", "Paris: 18 degrees, light rain, wind 12 km/h"),
        ("get_weather", "Atlantis", "No weather station in Atlantis."),
        ("get_events", "friday", "friday: 11:00 press conference at the town hall"),
        ("get_events", "May", "May is not a day of the week."),
    ],
)
def test_the_samples_tools_always_answer_the_same(tool: str, argument: str, result: str) -> None:
    sample = runpy.run_path(str(Path(__file__).resolve().parents[3] / "examples" / "newsroom.py"))
    assert sample[tool](argument) == result
