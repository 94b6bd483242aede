"""A command in a terminal of its own, with a person who reads its screen and types."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from types import TracebackType
from typing import Self

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
ROWS, COLUMNS = 40, 100


class Terminal:
    """Runs a command of musterd. Its standard output is a pipe, the rest is the terminal.

    :param words: the command.
    :param environment: in addition to that of this process.
    """

    def __init__(self, *words: str, environment: Mapping[str, str]) -> None:
        self._keyboard, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        # A shell lets programs in the background ignore Ctrl+C, and their children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "musterd", *words],
            env={**os.environ, "TERM": "xterm-256color", **environment},
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        os.close(terminal)
        self.text = ""
        """Everything that was shown, without colours and movements of the cursor."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        os.close(self._keyboard)

    def until(self, text: str) -> None:
        """Read the screen until it shows a text."""
        while text not in self.text:
            piece = self._read()
            assert piece, f"it ended without {text!r}:\n{self.text}"
            self.text += _CONTROL.sub("", piece)

    def until_match(self, pattern: str) -> None:
        """Read the screen until what it has shown matches."""
        while not re.search(pattern, self.text, re.DOTALL):
            piece = self._read()
            assert piece, f"it ended without {pattern!r}:\n{self.text}"
            self.text += _CONTROL.sub("", piece)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._keyboard, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl+C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """The exit code, and what was written to standard output."""
        assert self._process.stdout is not None
        while piece := self._read():
            self.text += _CONTROL.sub("", piece)
        out = self._process.stdout.read()
        return self._process.wait(), out

    def _read(self) -> str:
        try:
            return os.read(self._keyboard, 65536).decode(errors="replace")
        except OSError:  # the other side was closed
            return ""
