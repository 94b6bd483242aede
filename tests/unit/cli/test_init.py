"""``musterd init``: a sample that runs, with a test that passes, and nothing overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from musterd import Settings, create_app
from musterd.cli.main import main
from musterd.declare import load

TEMPLATES = ["team", "workflow", "knowledge"]
MINUTE = 60


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def app_of(source: Path, database: Path) -> Starlette:
    return create_app(registry=load(str(source)), settings=Settings(db=f"sqlite:///{database}"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_sample_can_be_served_and_its_test_passes_with_plain_pytest(
    folder: Path, template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "desk", "--template", template]) == 0
    words = capsys.readouterr().out
    lines = [line[2:] for line in words.partition("Next:\n")[2].splitlines() if line.startswith("  ")]
    change, serve, run, test = [line for line in lines if not line.startswith(" ")]
    assert (change, serve, test) == ("cd desk", f"musterd dev {template}.py", f"pytest test_{template}.py")
    registry = load(str(folder / "desk" / f"{template}.py"))
    assert run.split()[2] in [component.id for component in registry.top_level()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"],
        cwd=folder / "desk",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * MINUTE,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("is_built", [True, False])
def test_the_page_is_named_only_if_it_is_installed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_built: bool
) -> None:
    monkeypatch.setattr("musterd.http.ui.is_built", lambda: is_built)
    assert main(["init"]) == 0
    assert ("open its page" in capsys.readouterr().out) is is_built


def test_the_knowledge_sample_answers_from_its_documents(folder: Path) -> None:
    assert main(["init", "--template", "knowledge"]) == 0
    with TestClient(app_of(folder / "knowledge.py", folder / "x.db"), base_url="http://localhost") as client:
        while client.get("/knowledge/content", params={"status": "completed"}).json()["meta"]["total_count"] < 2:
            pass  # the folder is compared after the start
        form = {"message": "What may a hotel cost?", "stream": "false"}
        run = client.post("/agents/handbook/runs", data=form).json()
    assert "1,600 kroner" in run["content"]
    assert run["references"][0]["references"][0]["name"] == "expenses.md"


def test_the_ignored_files_are_those_that_a_server_leaves(folder: Path) -> None:
    assert main(["init"]) == 0
    before = {path.name for path in folder.iterdir()}
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    with TestClient(app_of(folder / "team.py", folder / "musterd.db"), base_url="http://localhost"):
        names = {path.name for path in folder.iterdir()} - before - {".git"}
    assert {"musterd.db", "musterd.db-wal"} < names
    (folder / ".env").touch()
    listed = ["git", "ls-files", "--others", "--exclude-standard"]
    untracked = subprocess.run(listed, cwd=folder, check=True, capture_output=True, text=True).stdout.split()
    assert set(untracked) == before


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "team.py").write_text("mine")
    (folder / ".gitignore").write_text("mine too")
    assert main(["init"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[1:] == ["  team.py", "  .gitignore"]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"team.py": "mine", ".gitignore": "mine too"}


def test_a_folder_that_cannot_be_written_to_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "desk").write_text("a file")
    assert main(["init", "desk"]) == 2
    assert capsys.readouterr().err.startswith("musterd: desk")
