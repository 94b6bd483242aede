"""Standard input and output of the command line, whatever they are connected to."""

import io
import os
import sys
from typing import TextIO


def replace_closed_streams() -> None:
    """Let a stream that is closed (``<&-``) be empty, or take everything: Python has none in its place.

    Opened before anything else, the null device also gets the number of the stream, which a database would get.
    """
    sys.stdin = sys.stdin or _null_device("r")
    sys.stdout = sys.stdout or _null_device("w")
    sys.stderr = sys.stderr or _null_device("w")


def _null_device(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]


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
