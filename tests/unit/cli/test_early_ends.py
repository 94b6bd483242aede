"""Commands that end early, because ``| head -1`` closes their output or a user presses Ctrl+C."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from musterd.cli.main import main


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_command_without_a_reader_ends_like_other_programs(tmp_path: Path, options: list[str]) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    command = [sys.executable, "-m", "musterd", "db", "info", "--db", f"sqlite:///{tmp_path}/empty.db", *options]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_ctrl_c_during_an_import_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["musterd.cli.main"], "app", interrupted)
    assert main(["runs", "ls"]) == 130
    assert capsys.readouterr() == ("", "")
