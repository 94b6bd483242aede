"""Exports into files or to standard output."""

import os
import sys
from pathlib import Path

from musterd.cli.output import say
from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.units import format_size


def write_export(content: bytes, path: Path | None, *, replaces: bool) -> None:
    """Write an export, into a file that only its owner can read: it has the texts of users.

    :param path: the file; None is standard output.
    """
    if path is None:
        sys.stdout.buffer.write(content)
        return
    try:
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if replaces else os.O_EXCL)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise CommandFailed(f"{path} exists. Name another file, or replace it with --force.", ExitCode.USAGE) from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}.") from error
    say(f"Wrote {format_size(len(content))} to {path}.")
