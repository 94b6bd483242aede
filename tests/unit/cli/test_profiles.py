"""``musterd profile``, and which server a command talks to."""

import io
import json
import sys
from pathlib import Path

import pytest

from musterd.cli.main import main
from musterd.cli.remote.command_failed import CommandFailed
from musterd.cli.remote.profiles import Profile
from musterd.cli.remote.server_options import ServerOptions, server_of

A, B = "http://a.example", "https://b.example"


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of the profiles, which does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO("sesame\n"))
    return tmp_path / "musterd" / "profiles.json"


def test_only_the_owner_can_read_the_file_and_tokens_are_never_printed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "add", "a", f"{A}/", "--token-stdin"]) == 0
    assert main(["profile", "add", "b", B]) == 0
    file.chmod(0o644)
    assert main(["profile", "use", "b"]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert main(["profile", "ls"]) == 0
    assert main(["profile", "ls", "--json"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"\ta\t{A}\tyes\n*\tb\t{B}\tno\n[")
    assert "sesame" not in out + err
    assert json.loads(file.read_text())["profiles"]["a"] == {"url": A, "token": "sesame"}


def test_a_removed_profile_is_no_longer_used(capsys: pytest.CaptureFixture[str]) -> None:
    main(["profile", "add", "a", A])
    assert server_of(ServerOptions()).url == A
    assert main(["profile", "rm", "a"]) == 0
    assert server_of(ServerOptions()).url == "http://127.0.0.1:7777"
    assert main(["profile", "use", "a"]) == 2
    assert 'There is no profile "a" (none yet).' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "environment", "server"),
    [
        ({}, {}, (A, "of-a")),
        ({"profile": "b"}, {"MUSTERD_URL": "http://e"}, (B, "of-b")),
        ({}, {"MUSTERD_URL": "http://e"}, ("http://e", None)),
        ({}, {"MUSTERD_URL": "http://e", "MUSTERD_TOKEN": "env"}, ("http://e", "env")),
        ({"url": "http://o"}, {}, ("http://o", None)),
        ({"url": "http://o", "token": "t"}, {"MUSTERD_TOKEN": "env"}, ("http://o", "t")),
        ({"profile": "b", "token": "t"}, {}, (B, "t")),
    ],
)
def test_the_server_and_its_token(
    options: dict[str, str],
    environment: dict[str, str],
    server: tuple[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, url in (("a", A), ("b", B)):
        main(["profile", "add", name, url, "--token", f"of-{name}"])
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert server_of(ServerOptions(**options)) == Profile(url=server[0], token=server[1])


@pytest.mark.parametrize("content", ["", "[]", '{"profiles": 1}', '{"profiles": {"a": {}}}'])
def test_a_file_that_is_none_is_named(content: str, file: Path) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(CommandFailed, match=r"profiles\.json is not a file of profiles"):
        server_of(ServerOptions())


@pytest.mark.parametrize("url", ["nothing", "ftp://x", "http://", "http://x:99999", "http://[::1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert main(["profile", "add", "a", url]) == 2


def test_neither_the_token_nor_the_profile_shows_it() -> None:
    assert "sesame" not in repr(ServerOptions(token="sesame")) + repr(Profile(url=A, token="sesame"))
