"""Keys that a person presses while no command asks for anything: they are not shown, and are no answer later."""

import contextlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def hidden_keys() -> Iterator[None]:
    """Do not show what is typed: a new line would move what is drawn again and again. Ctrl+C works as always."""
    termios = _termios()
    if termios is None or not _is_in_foreground():
        yield
        return
    settings = termios.tcgetattr(sys.stdin)
    without_echo = [*settings]
    without_echo[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSANOW, without_echo)
    try:
        yield
    finally:
        if _is_in_foreground():
            termios.tcsetattr(sys.stdin, termios.TCSANOW, settings)


def forget_typed_keys() -> None:
    """Drop what was typed before a question was there: it would be taken for the answer."""
    if (termios := _termios()) is not None:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _termios() -> ModuleType | None:
    """The settings of terminals; None if standard input is none, or on Windows."""
    if not sys.stdin.isatty():
        return None
    try:
        import termios
    except ImportError:
        return None
    return termios


def _is_in_foreground() -> bool:
    """Whether this command may change the settings: a shell's command in the background is stopped if it tries."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # the terminal is not that of a shell
        return True
