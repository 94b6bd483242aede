"""Exports into files: what they replace, and who can read them."""

import io
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.exports import write_export


def test_only_the_owner_can_read_the_file_that_replaces_another(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b"old")
    file.chmod(0o644)
    with pytest.raises(CommandFailed, match="--force") as caught:
        write_export(b"new", file, replaces=False)
    assert (caught.value.exit_code, file.read_bytes()) == (ExitCode.USAGE, b"old")
    write_export(b"new", file, replaces=True)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_control_characters_are_escaped_on_a_terminal(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    value = {"text": "\x1b[2J\x7f\x9b2J\r\n\té"}
    content = json.dumps(value, ensure_ascii=False, indent=2).encode()
    output = io.BytesIO()
    stdout = io.TextIOWrapper(output)
    monkeypatch.setattr(stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", stdout)
    write_export(content, None, replaces=False)
    written = output.getvalue()
    assert json.loads(written) == value
    if is_terminal:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", written.decode())
    else:
        assert written == content


@pytest.mark.parametrize("replaces", [True, False])
def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, replaces: bool) -> None:
    file = tmp_path / "run.json"
    if replaces:
        file.write_bytes(b"old")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a disk that is full after so many bytes
    try:
        with pytest.raises(CommandFailed, match=r"run\.json cannot be written: File too large"):
            write_export(b"x" * 2000, file, replaces=replaces)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("replaces", [True, False])
@pytest.mark.parametrize(
    "make",
    [lambda path: path.symlink_to(path.with_name("target")), os.mkfifo, os.mkdir],
    ids=["link", "fifo", "directory"],
)
def test_only_a_regular_file_is_replaced(tmp_path: Path, make: Callable[[Path], None], replaces: bool) -> None:
    target, path = tmp_path / "target", tmp_path / "other"
    target.write_bytes(b"old")
    make(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # so that a fifo could be written to
    try:
        with pytest.raises(CommandFailed, match="not a regular file and is never replaced"):
            write_export(b"new", path, replaces=replaces)
    finally:
        os.close(reader)
    assert (target.read_bytes(), {*tmp_path.iterdir()}) == (b"old", {target, path})
