"""Exports into files or to standard output."""

import stat
import sys
from pathlib import Path

from musterd.cli.output import say, with_escaped_controls
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.private_files import write_private
from musterd.cli.units import format_size


def write_export(content: bytes, path: Path | None, *, replaces: bool) -> None:
    """Write an export, into a file that only its owner can read: it has the texts of users.

    :param path: the file; None is standard output, and control characters are escaped if that is a terminal.
    :param replaces: whether an existing file may be replaced. Devices, fifos, folders and links never are.
    """
    if path is None:
        if sys.stdout.isatty():
            content = with_escaped_controls(content.decode(errors="replace")).encode()
        sys.stdout.buffer.write(content)
        return
    _require_free(path, replaces=replaces)
    try:
        write_private(path, content)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from error
    say(f"Wrote {format_size(len(content))} to {path}.")


def _require_free(path: Path, *, replaces: bool) -> None:
    try:
        mode = path.lstat().st_mode  # not following a link: the link itself would be replaced, not its target
    except OSError:  # there is none, or writing it will say why
        return
    if not stat.S_ISREG(mode):
        problem = f"{path} is not a regular file and is never replaced. Name another file."
        raise CommandFailed(problem, ExitCode.USAGE)
    if not replaces:
        raise CommandFailed(f"{path} exists. Name another file, or replace it with --force.", ExitCode.USAGE)
