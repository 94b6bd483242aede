"""The text form of log lines and their printer, for the commands and for applications that embed musterd."""

import contextlib
import os
from collections.abc import MutableMapping
from typing import TextIO

import structlog


class LossyPrinter(structlog.PrintLogger):
    """Prints lines. One that cannot be written is lost: a full disk or a closed pipe must not fail what is logged."""

    def msg(self, message: str) -> None:
        """Print a line."""
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def console_renderer(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    """Render lines for people who read ``stream``: in colour on a terminal, exceptions as plain tracebacks."""
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and not os.environ.get("NO_COLOR"),  # https://no-color.org
        # structlog's default prints the values of variables, which may hold secrets, and takes 0.1 s for an exception.
        exception_formatter=structlog.dev.plain_traceback,
    )


def escape_control_characters(
    logger: object, method: str, line: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Escape control characters in values, so that text from clients cannot send commands to a terminal."""
    for key, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[key] = "".join(sign if sign.isprintable() else _escaped(sign) for sign in value)
    return line


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
