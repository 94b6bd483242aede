"""The demo and its team."""

import itertools
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from musterd.cli import demo
from musterd.cli.main import main
from musterd.cli.remote.command_failed import CommandFailed
from musterd.client import Client
from musterd.models.local import weights
from tests.support.terminal import Terminal


@pytest.fixture(autouse=True)
def built_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page counts as built, even if the checkout of the test lacks it."""
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: True)


def test_an_installation_without_the_page_prints_no_link(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: False)
    assert demo.demo(scripted=True) == 0
    assert "/ui/" not in capfd.readouterr().err


def test_it_runs_the_sample_team_over_http(capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.demo(scripted=True) == 0
    out, err = capfd.readouterr()
    assert out == "Paris: 18 degrees, light rain, wind 12 km/h\n\nFriday: 11:00 press conference at the town hall\n"
    lines = [line for line in err.splitlines() if "…" not in line]
    assert "model: scripted (its answers follow a script" in lines[0]
    (page,) = [line for line in lines if re.fullmatch(r"page: http://127\.0\.0\.1:\d+/ui/#/runs/[-0-9a-f]{36}", line)]
    assert any(line.endswith('Weather Agent: calls get_weather(city="Paris")') for line in lines)
    end = next(index for index, line in enumerate(lines) if line.startswith("COMPLETED"))
    assert re.fullmatch(rf"COMPLETED  .* s, 90 tokens, \$0, run {page.rpartition('/')[2]}", lines[end])
    assert [re.split(r" {2,}", line)[1:3] for line in lines[end - 2 : end]] == [
        ["Weather Agent", "COMPLETED"],
        ["Calendar Agent", "COMPLETED"],
    ]
    assert lines[-2:] == [
        "  keep the server       musterd demo --keep",
        "  write your own team   musterd init my-team",
    ]
    assert len(lines) < 30
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("of_hangup", "sent", "code"),
    [
        (signal.SIG_DFL, [signal.SIGTERM], 128 + signal.SIGTERM),
        (signal.SIG_DFL, [signal.SIGHUP], 128 + signal.SIGHUP),
        (signal.SIG_IGN, [signal.SIGHUP, signal.SIGTERM], 128 + signal.SIGTERM),  # as nohup starts it
    ],
)
def test_a_signal_to_end_it_stops_its_server_and_removes_its_folder(
    of_hangup: signal.Handlers, sent: list[signal.Signals], code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "musterd", "demo", "--scripted", "--keep"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    before = signal.signal(signal.SIGHUP, of_hangup)  # children inherit it
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGHUP, before)
    with process:
        assert process.stderr is not None
        (line,) = itertools.islice((line for line in process.stderr if line.startswith("page: ")), 1)
        port = int(line.split("/")[2].rpartition(":")[2])
        for number in sent:
            process.send_signal(number)
        assert process.wait() == code
    assert list(tmp_path.glob("musterd-*")) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_in_a_terminal_it_keeps_serving_until_ctrl_c() -> None:
    with Terminal("demo", "--scripted", environment={}) as terminal:
        terminal.until("The server keeps running until you press Ctrl+C.")
        (url,) = re.findall(r"--url (\S+)", terminal.text)
        with Client(url) as client:
            assert [run.status for run in client.runs.list()] == ["COMPLETED"]
        terminal.interrupt()
        code, out = terminal.end()
    assert (code, out.startswith("Paris: 18 degrees")) == (0, True)


def test_it_falls_back_to_the_script_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "missing", lambda _settings: "install it.")
    models: list[str] = []

    def start(_source: str, *, db: str, variables: dict[str, str]) -> None:
        models.append(variables["MUSTERD_EXAMPLE_MODEL"])
        raise CommandFailed("It is not started here.")

    monkeypatch.setattr(demo, "started_server", start)
    assert main(["demo"]) == 1
    assert models == ["scripted"]
    first, second, _ = capsys.readouterr().err.splitlines()
    assert first == "The embedded model cannot run here: install it."
    assert second.startswith("Starting a server with the news desk team, model: scripted (")


def test_a_setting_that_cannot_be_read_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTERD_CONCURRENCY", "many")
    assert main(["demo"]) == 2
    assert capsys.readouterr().err.startswith("musterd: MUSTERD_CONCURRENCY: ")


def test_a_server_that_does_not_start_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(demo, "sample", lambda name: broken)
    assert main(["demo", "--scripted"]) == 1
    err = capfd.readouterr().err
    assert "musterd: The server did not start.\n" in err
    assert "nothing_of_this_name" in err


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
