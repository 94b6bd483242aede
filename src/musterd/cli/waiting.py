"""Signs of life on standard error while a command waits."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator

from musterd.cli.output import console, duration, say
from musterd.cli.typed_keys import hidden_keys
from musterd.core import clock

SILENCE_SECONDS = 1.5
REFRESHES_PER_SECOND = 4


def can_redraw() -> bool:
    """Whether standard error is a terminal on which lines can be drawn again."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


class Heartbeat:
    """Prints something whenever nothing was printed for a while.

    A thread does it, because the main thread waits for a server.

    :param seconds: the longest silence.
    :param beat: prints a line.
    """

    def __init__(self, seconds: float, beat: Callable[[], None]) -> None:
        self._seconds = seconds
        self._beat = beat
        self._printed_at = clock.monotonic()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self) -> None:
        """Something was printed."""
        self._printed_at = clock.monotonic()

    def start(self) -> None:
        """Begin, as if something had just been printed."""
        self.note()
        self._is_over.clear()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End. Nothing is printed after this returns."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._is_over.wait(max(0.0, self._printed_at + self._seconds - clock.monotonic())):
            if clock.monotonic() - self._printed_at >= self._seconds:
                self._beat()
                self.note()


@contextlib.contextmanager
def waiting_for(text: str) -> Iterator[None]:
    """Say what is waited for, if it takes a while, and for how long already."""
    started_at = clock.monotonic()

    def line() -> str:
        return f"… {text}  {duration(clock.monotonic() - started_at)}"

    if can_redraw():
        from rich.live import Live
        from rich.text import Text

        terminal = console(sys.stderr)
        live = Live(
            get_renderable=lambda: Text(line(), style="dim", no_wrap=True, overflow="ellipsis"),
            console=terminal,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )
        with hidden_keys(), live:
            yield
        return
    heartbeat = Heartbeat(SILENCE_SECONDS, lambda: say(line()))
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()
