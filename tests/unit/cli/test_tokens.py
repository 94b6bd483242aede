"""``musterd token``: accounts are made and revoked without a server, and what it prints is the token alone."""

import json
from pathlib import Path

import pytest

from musterd.cli.main import main

pytestmark = pytest.mark.usefixtures("log_to_stderr")


@pytest.fixture
def db(sqlite_file: Path) -> str:
    return f"sqlite:///{sqlite_file}"


def test_an_account_is_made_listed_and_revoked(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "ci", "--scope", "teams:run", "--scope", "teams:desk:read", "--db", db]) == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("msa_")
    assert len(token.splitlines()) == 1, "so that a script can take it"
    assert main(["token", "create", "root", "--scope", "agent_os:admin", "--never-expires", "--db", db]) == 0
    capsys.readouterr()
    assert main(["token", "ls", "--db", db]) == 0
    listed = capsys.readouterr().out
    assert token not in listed
    root, ci = listed.splitlines()
    assert "\troot\tnever expires\tagent_os:admin" in root
    assert ci.startswith(f"{token[:12]}…\tci\tvalid until ")
    assert main(["token", "revoke", "ci", "--db", db]) == 0
    assert main(["token", "ls", "--db", db]) == 0
    assert "\tci\trevoked " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["create", "a b"], "invalid account name"),
        (["create", "ci", "--scope", "everything"], "invalid scope"),
        (["revoke", "nobody"], "nobody: there is no such service account — musterd token ls lists them"),
    ],
)
def test_what_cannot_be_done(db: str, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert main(["token", *arguments, "--db", db]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


@pytest.mark.parametrize("arguments", [["ls"], ["revoke", "ci"]])
def test_a_database_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["token", *arguments, "--db", f"sqlite:///{tmp_path}/slip.db"]) == 2
    assert "no musterd database" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_accounts_are_listed_as_the_api_lists_them(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "ci", "--db", db]) == 0
    token = capsys.readouterr().out.strip()
    assert main(["token", "ls", "--json", "--db", db]) == 0
    output = capsys.readouterr().out
    (account,) = json.loads(output)
    assert (account["name"], account["revoked_at"], account["user_id"]) == ("ci", None, "service:ci")
    assert token not in output


def test_a_name_is_taken_once(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "create", "ci", "--db", db]) == 0
    assert main(["token", "create", "ci", "--db", db]) == 2
    assert "already" in capsys.readouterr().err
