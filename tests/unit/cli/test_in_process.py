"""``musterd openapi`` and ``musterd serve SOURCE --get PATH``: the application without a server."""

import json
from pathlib import Path

import pytest

from musterd.cli.main import main

TEAM = """\
from musterd import Agent, Team
desk = Team(id="desk", model="scripted", members=[Agent(id="writer")])
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team.py").write_text(TEAM)
    return "team.py"


def test_a_request_is_answered_without_a_server_and_creates_nothing(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OS_SECURITY_KEY", "a-long-secret-key")
    assert main(["serve", source, "--get", "/teams"]) == 0
    assert [team["id"] for team in json.loads(capfd.readouterr().out)] == ["desk"]
    assert main(["serve", source, "--get", "/sessions?type=team"]) == 0
    assert json.loads(capfd.readouterr().out)["data"] == []
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["team.py"]


def test_a_request_reads_the_database(source: str, sqlite_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{sqlite_file}"
    assert main(["db", "info", "--json", "--db", url]) == 0
    instance = json.loads(capfd.readouterr().out)["instance"]
    assert main(["serve", source, "--db", url, "--get", "/info"]) == 0
    assert instance in capfd.readouterr().out


def test_a_request_that_fails_prints_its_answer_and_its_status(source: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", source, "--get", "/teams/nope"]) == 1
    output = capfd.readouterr()
    assert json.loads(output.out)["detail"] == "Team not found"
    assert output.err.splitlines()[-1] == "musterd: 404 Not Found"


def test_the_openapi_document_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCS_ENABLED", "false")
    assert main(["openapi"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "/teams/{team_id}/runs" in document["paths"]
    assert list(tmp_path.iterdir()) == []
