"""Characters that standard output lacks, input that is no text, and streams that are closed."""

import errno
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from musterd.cli.main import main
from tests.unit.cli.conftest import Respond

ANSWER = "\N{HORIZONTAL ELLIPSIS}\N{GRINNING FACE}\udcff"
RUN = {"run_id": "r1", "session_id": "s1", "team_id": "desk", "status": "COMPLETED", "content": ANSWER}
NO_TEXT = "an\udcff"


@pytest.fixture(autouse=True)
def server(respond_with: Callable[[Respond], None]) -> None:
    """A server that has a run and a team, and starts nothing."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        assert request.method == "GET"
        if request.url.path.endswith("/events"):
            return httpx2.Response(204)
        lists = {"/teams": [{"id": "desk", "name": "Desk"}], "/agents": [], "/workflows": []}
        body = json.dumps(lists.get(request.url.path, RUN))
        return httpx2.Response(200, content=body, headers={"content-type": "application/json"})

    respond_with(respond)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_answer_with_any_character_is_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    out = io.TextIOWrapper(content, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["runs", "show", "r1"]) == 0
    printed = content.getvalue().decode(encoding)
    assert printed.replace("\N{HORIZONTAL ELLIPSIS}", r"\u2026").splitlines()[-1].startswith(r"\u2026")
    content.truncate(0)
    content.seek(0)
    assert main(["runs", "show", "r1", "--json"]) == 0
    assert json.loads(content.getvalue().decode(encoding))["content"] == ANSWER


def test_a_message_that_is_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x89PNG\xff")))
    assert main(["run", "desk"]) == 2
    assert capsys.readouterr().err == "musterd: Standard input is not UTF-8 text. Send other files with --file.\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x89PNG\xff\n"), encoding="utf-8"))
    assert main(["chat", "desk"]) == 2
    assert "musterd: An argument or the input is not valid text.\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["run", "desk", NO_TEXT],
        ["run", "desk", "hello", "--session", NO_TEXT],
        ["runs", "show", NO_TEXT],
        ["runs", "ls", "--search", NO_TEXT],
        ["sessions", "rename", "s1", NO_TEXT],
    ],
)
def test_an_argument_that_is_no_text(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == "musterd: An argument or the input is not valid text.\n"


def test_closed_streams_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["runs", "show", "r1"]) == 0
    assert main(["runs", "watch", "r1"]) == 0
    assert main(["run", "desk", "--session", NO_TEXT]) == 2


def test_a_file_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (file := tmp_path / "a.txt").write_text("secret")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["run", "desk", "hello", "--file", str(file)]) == 2
    assert capsys.readouterr().err == f"musterd: {file} cannot be read: Permission denied.\n"
