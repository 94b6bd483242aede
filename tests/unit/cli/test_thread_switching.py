"""A thread that computes keeps the event loop of a server waiting for two milliseconds at most."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from musterd.cli.main import main
from musterd.cli.thread_switching import SWITCH_SECONDS


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    seconds = sys.getswitchinterval()
    yield
    sys.setswitchinterval(seconds)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_it_is_set_before_the_file_is_loaded(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("team.py").write_text("import sys\nraise ValueError(sys.getswitchinterval())\n")
    assert main([command, "team.py"]) == 2
    assert f"ValueError: {SWITCH_SECONDS}" in capsys.readouterr().err
