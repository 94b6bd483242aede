"""Commands whose output is not read to its end, as in ``musterd db info | head -1``."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_command_without_a_reader_ends_like_other_programs(tmp_path: Path, options: list[str]) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    command = [sys.executable, "-m", "musterd", "db", "info", "--db", f"sqlite:///{tmp_path}/empty.db", *options]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")
