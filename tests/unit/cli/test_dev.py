"""Which files ``musterd dev`` watches."""

import socket
from pathlib import Path

import pytest

from musterd.cli.dev import _Reloader, snapshot, watched_folder
from musterd.cli.main import main


def test_sources_are_watched_and_what_tools_leave_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watched = ["team.py", "teams.yaml", "tools/weather.py", "x.yml", ".env"]
    others = [
        "musterd.db",
        "notes.md",
        ".git/x.py",
        "env/pyvenv.cfg",
        "env/x.py",
        "node_modules/x.py",
        "a/__pycache__/x.py",
    ]
    for name in (*watched, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert sorted(map(str, snapshot(Path()))) == sorted(watched)


def test_changes_additions_and_removals_show(tmp_path: Path) -> None:
    file = tmp_path / "team.py"
    file.write_text("1")
    first = snapshot(tmp_path)
    file.write_text("12")
    second = snapshot(tmp_path)
    (tmp_path / "other.py").write_text("")
    third = snapshot(tmp_path)
    file.unlink()
    assert len({str(state) for state in (first, second, third, snapshot(tmp_path))}) == 4


def test_the_folder_has_all_that_a_source_can_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app" / "desk").mkdir(parents=True)
    for package in ("app", "app/desk"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "app" / "desk" / "team.py").touch()
    assert watched_folder("app/desk/team.py:desk").resolve() == tmp_path
    assert watched_folder("app.desk.team").resolve() == tmp_path
    assert watched_folder("other/teams.yaml").resolve() == tmp_path / "other"


@pytest.mark.parametrize("is_built", [True, False])
def test_a_page_that_is_not_installed_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_built: bool
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: is_built)
    reloader = _Reloader("team.py", [], 0, opens_page=True)
    reloader._pass_on("musterd: serving on http://127.0.0.1:7777\n")
    assert opened == (["http://127.0.0.1:7777/ui/"] if is_built else [])
    assert ("has no page" in capsys.readouterr().err) is not is_built


def test_an_address_in_use_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "team.py").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["dev", str(tmp_path / "team.py"), "--port", port]) == 2
    assert capsys.readouterr().err == (
        f"musterd: cannot listen on 127.0.0.1:{port}: another program listens there — stop it, or choose another port "
        "with --port\n"
    )
