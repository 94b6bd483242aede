"""A program in a tmux terminal. Tests read its screen and press keys."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.process import until

TMUX = shutil.which("tmux")
MUSTERD = (sys.executable, "-m", "musterd")
_SETTINGS = "set -g remain-on-exit on\nset -g remain-on-exit-format ''\nset -g status off\n"


class TmuxTerminal:
    """Runs a program, whose output is on the screen.

    :param words: the arguments of the program: by default a command of musterd.
    :param program: the program with its first arguments.
    :param environment: in addition to that of this process.
    """

    def __init__(
        self,
        *words: str,
        program: Sequence[str] = MUSTERD,
        environment: Mapping[str, str],
        columns: int = 100,
        rows: int = 40,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()  # not tmp_path, which may be too long for the name of a socket
        settings = Path(self._folder.name) / "tmux.conf"
        settings.write_text(_SETTINGS)
        self._client = [str(TMUX), "-u", "-S", f"{self._folder.name}/tmux", "-f", str(settings)]
        command = shlex.join([*program, *words])
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), f"exec {command}", environment=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tmux("kill-server")
        self._folder.cleanup()

    def screen(self, *, with_styles: bool = False) -> str:
        """What the terminal shows now, without the spaces at the ends of lines.

        :param with_styles: with the sequences that set colors.
        """
        return self._tmux("capture-pane", "-p", *(["-e"] if with_styles else [])).rstrip()

    def until(self, *texts: str, is_whole: Callable[[str], bool] = bool) -> str:
        """Wait until the screen shows these texts, and return it.

        :param is_whole: whether all of a screen is drawn: a large one comes in several parts.
        """
        screen = ""

        def shows_all() -> bool:
            nonlocal screen
            screen = self.screen()
            return all(text in screen for text in texts) and is_whole(screen)

        try:
            until(shows_all, f"{texts} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{screen}") from error
        return screen

    def type(self, text: str, key: str = "Enter") -> None:
        """Type a text and press a key."""
        if text:
            self._tmux("send-keys", "-l", "--", text)
        self.press(key)

    def press(self, key: str) -> None:
        """Press a key, such as ``C-c``."""
        self._tmux("send-keys", key)

    def end(self) -> int:
        """Wait until the command has ended; its exit code."""
        # The output is complete when the pane is dead; the exit code may come later.
        until(lambda: self._fact("pane_dead") == "1", "the end of the output")
        until(lambda: self._fact("pane_dead_status") != "", "an exit code")
        return int(self._fact("pane_dead_status"))

    def _fact(self, name: str) -> str:
        return self._tmux("display-message", "-p", f"#{{{name}}}").strip()

    def _tmux(self, *words: str, environment: Mapping[str, str] | None = None) -> str:
        variables = {**os.environ, **(environment or {})}
        return subprocess.run(
            [*self._client, *words],
            check=True,
            capture_output=True,
            text=True,
            env={name: value for name, value in variables.items() if name not in ("COLUMNS", "LINES")},
        ).stdout
