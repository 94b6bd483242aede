"""A server in a child process, for commands that need one only for themselves."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from musterd.cli.ready_line import address_in
from musterd.core import clock

START_SECONDS = 60
STOP_SECONDS = 30
LOG_LINES = 15


class ServerDidNotStart(Exception):
    """A server did not start. The message has the last lines of its log."""


@contextlib.contextmanager
def child_server(
    source: str, log_file: Path, options: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve a source on a free port of loopback; gives the URL.

    :param source: as for ``musterd serve``.
    :param log_file: gets its log.
    :param options: of ``musterd serve``.
    :param variables: of its environment, in addition to those of this process.
    :raises ServerDidNotStart: it did not start.
    """
    with _ended_by_sigterm(), log_file.open("wb") as stderr:
        process = start_process(
            [sys.executable, "-m", "musterd", "serve", source, "--port", "0", *options],
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            # Ctrl+C is for this process alone. It may need the server to cancel a run, and stops it in the end.
            process_group=0,
        )
        try:
            assert process.stdout is not None
            yield _url(process.stdout, log_file)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


start_process = subprocess.Popen[str]


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as an exception, so that its server is stopped."""

    def end(signal_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal_number, signal.SIG_IGN)  # a second signal must not interrupt the end of the server
        sys.exit(128 + signal_number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _url(output: IO[str], log_file: Path) -> str:
    """The URL that the server prints. A thread keeps reading its output, so that the server never blocks on it."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with output:
            for line in output:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = clock.monotonic() + START_SECONDS
    with contextlib.suppress(queue.Empty):
        while (line := lines.get(timeout=max(0.0, deadline - clock.monotonic()))) is not None:
            if (address := address_in(line)) is not None:
                return address
    log_lines = log_file.read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
    raise ServerDidNotStart("\n".join(log_lines))
