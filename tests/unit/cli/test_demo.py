"""The demo and its team."""

import contextlib
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from musterd.cli import demo as room
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
    run = json.loads(out[out.index("{\n") : out.rindex("}") + 1])
    assert run["status"] == "COMPLETED"
    assert run["content"].startswith("Paris: 18 degrees")
    assert "\x1b" not in out


def test_it_falls_back_to_the_script_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "missing", lambda _settings: "install it.")
    served: list[str] = []

    def server(model: str, _folder: Path) -> contextlib.AbstractContextManager[str]:
        served.append(model)
        raise room.DemoFailed("the server did not start.")

    monkeypatch.setattr(room, "_server", server)
    assert room.demo() == 1
    assert served == ["scripted"]
    assert capsys.readouterr().out.splitlines() == [
        "The embedded model cannot run here: install it.",
        "The demo did not work: the server did not start.",
    ]


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
    class Client:
        def __init__(self, _url: str, _key: str) -> None:
            self.polls = ["RUNNING", status]

        def start(self) -> dict[str, Any]:
            return {"run_id": "r", "session_id": "s", "status": "PENDING"}

        def run(self, receipt: dict[str, Any], wait_seconds: int) -> dict[str, Any]:
            return {**receipt, "status": self.polls.pop(0), "content": "words"}

        def members(self, _receipt: dict[str, Any]) -> list[dict[str, Any]]:
            return [{"agent_id": "a", "status": "RUNNING", "run_input": "t"}]

    monkeypatch.setattr(room, "_Client", Client)
    monkeypatch.setattr(room, "_server", lambda _model, _folder: contextlib.nullcontext("http://x"))
    assert room.demo(scripted=True) == code
    out = capsys.readouterr().out
    assert "a: works on “t”" in out
    assert (out.splitlines()[-1] == "COMPLETED") is (status == "COMPLETED")


def test_a_server_that_does_not_start_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    monkeypatch.setattr(room, "_sample", lambda: broken)
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
