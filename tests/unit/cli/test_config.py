"""``musterd config show``, and the file ``.env``."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musterd.cli import env_file
from musterd.cli.main import main
from musterd.cli.remote.server_options import NO_OPTIONS, server_of
from musterd.core.settings import Settings

Shown = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose ``.env`` is read. Its variables end with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    monkeypatch.setattr(env_file, "_loaded", set())
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MUSTERD_URL", raising=False)
    monkeypatch.delenv("MUSTERD_TOKEN", raising=False)
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
    assert len(settings) == len(Settings.model_fields) + 3, "and those of clients"
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


CLIENT = ("MUSTERD_URL", "MUSTERD_TOKEN", "profile")


def test_the_server_that_commands_talk_to_is_shown_with_its_source(
    folder: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def client() -> list[tuple[Any, str, bool]]:
        settings = shown()
        return [(settings[name]["value"], settings[name]["source"], settings[name]["is_hidden"]) for name in CLIENT]

    assert client() == [
        ("http://127.0.0.1:7777", "default", False),
        (None, "default", False),
        (None, "default", False),
    ]
    file = str(folder / "config" / "musterd" / "profiles.json")
    assert main(["profile", "add", "work", "https://ada:topsecret@a.example", "--token", "topsecret"]) == 0
    assert client() == [
        ("https://ada@a.example", "profile work", False),
        (None, "profile work", True),
        ("work", file, False),
    ]
    monkeypatch.setenv("MUSTERD_URL", "https://b.example")
    monkeypatch.setenv("MUSTERD_TOKEN", "topsecret")
    assert client() == [
        ("https://b.example", "environment", False),
        (None, "environment", True),
        (None, "default", False),
    ], "a variable that names a server comes before the profile in use, with its token"
    assert main(["config", "show"]) == 0
    output = capsys.readouterr()
    assert "topsecret" not in output.out + output.err
    assert output.out.splitlines()[-2].split() == ["MUSTERD_TOKEN", "(hidden)", "environment"]


@pytest.mark.parametrize("environment", [{}, {"MUSTERD_URL": "http://127.0.0.1:1"}, {"MUSTERD_TOKEN": "exported"}])
@pytest.mark.parametrize("has_profile", [True, False])
def test_the_file_names_no_server_and_what_is_shown_is_what_commands_do(
    folder: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], has_profile: bool
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(folder))
    if has_profile:
        assert main(["profile", "add", "work", "http://127.0.0.1:2", "--token", "of-work"]) == 0
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (folder / ".env").write_text("MUSTERD_URL=http://127.0.0.1:3\nMUSTERD_TOKEN=of-file\nXDG_CONFIG_HOME=/other\n")
    before = server_of(NO_OPTIONS)  # as commands that read no settings do
    settings = shown()
    assert settings["MUSTERD_URL"]["value"] == before.url != "http://127.0.0.1:3"
    assert settings["MUSTERD_TOKEN"]["is_hidden"] == bool(before.token)
    assert before.token != "of-file"
    assert {settings[name]["source"] for name in CLIENT}.isdisjoint({".env"})
    assert os.environ["MUSTERD_TOKEN"], "the file was read"
    assert server_of(NO_OPTIONS) == before, "as commands do that have read settings"


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
