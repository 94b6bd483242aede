"""Standard input and output of the command line, whatever they are connected to."""

import io
import sys
from typing import TextIO


def accept_any_text() -> None:
    """Let no character end a command: what an encoding lacks is printed as an escape, and odd bytes can be read.

    A model's answer may have any character, and the work is done when it is printed.
    """
    for stream, errors in (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def has_any_character(stream: TextIO | None) -> bool:
    """Whether the encoding of a stream has all characters."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
