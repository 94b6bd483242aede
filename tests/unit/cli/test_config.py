"""``musterd config show``, and the file ``.env``."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musterd.cli import env_file
from musterd.cli.main import main
from musterd.core.settings import Settings

Shown = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose ``.env`` is read. Its variables end with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    monkeypatch.setattr(env_file, "_loaded", set())
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return tmp_path


@pytest.fixture
def shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> Shown:
    def show() -> dict[str, dict[str, Any]]:
        assert main(["config", "show", "--json"]) == 0
        return {setting["name"]: setting for setting in json.loads(capsys.readouterr().out)}

    return show


def test_each_setting_has_its_value_and_its_source(folder: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("MUSTERD_CONCURRENCY=7\nMUSTERD_DRAIN_SECONDS=3\nOTHER=1\n")
    monkeypatch.setenv("MUSTERD_DRAIN_SECONDS", "4")
    settings = shown()
    facts = {name: (settings[name]["value"], settings[name]["source"]) for name in settings}
    assert facts["MUSTERD_CONCURRENCY"] == (7, ".env")
    assert facts["MUSTERD_DRAIN_SECONDS"] == (4, "environment"), "a variable that is set wins"
    assert facts["MUSTERD_DB"] == ("sqlite:///musterd.db", "default")
    assert facts["DOCS_ENABLED"] == (True, "default")
    assert len(settings) == len(Settings.model_fields)
    assert os.environ["OTHER"] == "1", "as keys of providers"


@pytest.mark.parametrize("variable", ["OS_SECURITY_KEY", "os_security_key", "MUSTERD_SECURITY_KEY"])
def test_secrets_are_hidden(
    shown: Shown, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "topsecret")
    monkeypatch.setenv("MUSTERD_DB", "postgresql://ada:topsecret@db.example/x")
    monkeypatch.setenv("MUSTERD_BUS", "nats://ada:topsecret@nats.example:4222")
    settings = shown()
    assert settings["OS_SECURITY_KEY"] == {
        "name": "OS_SECURITY_KEY",
        "value": None,
        "source": "environment",
        "is_hidden": True,
    }
    assert settings["MUSTERD_DB"]["value"] == "postgresql://ada@db.example/x"
    assert settings["MUSTERD_WEBHOOK_SECRET"]["is_hidden"] is False
    assert main(["config", "show"]) == 0
    lines = capsys.readouterr().out
    assert "topsecret" not in lines + str(settings)
    rows = {line.split()[0]: line.split()[1:] for line in lines.splitlines()}
    assert rows["OS_SECURITY_KEY"] == ["(hidden)", "environment"]
    assert rows["MUSTERD_WEBHOOK_SECRET"] == ["-", "default"]
    assert rows["MUSTERD_TRUSTED_PROXIES"] == ["127.0.0.1,::1", "default"]


def test_a_wrong_value_in_the_file_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").write_text("MUSTERD_CONCURRENCY=many\n")
    assert main(["config", "show"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("musterd: MUSTERD_CONCURRENCY: ")


def test_a_file_that_cannot_be_read_is_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").write_bytes(b"A=\xff\n")
    assert main(["config", "show"]) == 2
    assert "it is not UTF-8" in capsys.readouterr().err
