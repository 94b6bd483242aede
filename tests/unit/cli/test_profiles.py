"""``musterd profile``, and which server a command talks to."""

import io
import json
import shlex
import sys
from pathlib import Path

import pytest

from musterd.cli.main import main
from musterd.cli.remote.command_failed import CommandFailed
from musterd.cli.remote.profiles import Profile, complete_profiles
from musterd.cli.remote.server_options import ServerOptions, StartedServer, command, server_of

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


@pytest.mark.parametrize(
    "url", ["nothing", "ftp://x", "http://", "http://x:99999", "http://[::1", "http://a..b", f"http://{'a' * 64}.b"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    assert main(["profile", "add", "a", url]) == 2


def test_the_password_of_a_url_is_never_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "http://ada:topsecret@127.0.0.1:1"
    assert main(["profile", "add", "a", url]) == 0
    assert main(["profile", "use", "a"]) == 0
    assert main(["profile", "ls"]) == 0
    assert main(["profile", "ls", "--json"]) == 0
    assert main(["runs", "ls"]) == 4
    assert main(["runs", "ls", "--url", url]) == 4
    assert main(["profile", "add", "b", "http://ada:topsecret@127.0.0.1:none"]) == 2
    monkeypatch.setenv("MUSTERD_URL", "ada:topsecret@host")
    assert main(["runs", "ls"]) == 2
    out, err = capsys.readouterr()
    assert "topsecret" not in out + err
    assert out.startswith("*\ta\thttp://ada@127.0.0.1:1\tno\n")
    assert "musterd: http://ada@127.0.0.1:1 cannot be reached: " in err
    assert server_of(ServerOptions(profile="a")).url == url
    assert complete_profiles(None) == {"a": "http://ada@127.0.0.1:1"}


@pytest.mark.parametrize(
    ("options", "arguments", "text"),
    [
        (ServerOptions(), ("r1",), "musterd runs watch r1"),
        (ServerOptions(), ("my run; rm -r $HOME",), "musterd runs watch 'my run; rm -r $HOME'"),
        (ServerOptions(url="http://ada:topsecret@h"), ("r1",), "musterd runs watch r1 --url http://ada@h"),
        (ServerOptions(profile="at work"), ("r1", "--session", "it's"), None),
        (StartedServer(url="http://127.0.0.1:1", source="a b.py"), ("r1",), "musterd runs watch r1"),
    ],
)
def test_a_command_can_be_copied_into_a_shell(
    options: ServerOptions, arguments: tuple[str, ...], text: str | None
) -> None:
    words = command("runs watch", options, *arguments)
    profile = ["--profile", options.profile] if options.profile else []
    assert words == text or shlex.split(words) == ["musterd", "runs", "watch", *arguments, *profile]


def test_neither_the_token_nor_the_profile_shows_it() -> None:
    assert "sesame" not in repr(ServerOptions(token="sesame")) + repr(Profile(url=A, token="sesame"))


def test_a_token_that_no_header_can_have_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "ls", "--url", "http://127.0.0.1:1", "--token", "sesäme"]) == 2
    assert main(["profile", "add", "a", A, "--token", "ses\0ame"]) == 2
    assert capsys.readouterr().err == "musterd: The token has characters that an HTTP header cannot have.\n" * 2
