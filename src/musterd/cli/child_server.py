"""``musterd serve`` in a child process, for commands that need a server of their own."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from musterd.cli.ready_line import address_in
from musterd.cli.stop_signals import hangup
from musterd.cli.waiting import waiting_for
from musterd.core import clock

START_SECONDS = 60
STOP_SECONDS = 30
LOG_LINES = 15


class ServerDidNotStart(Exception):
    """A server did not start. The message has the last lines of its log."""


@dataclass(frozen=True, kw_only=True)
class ChildServer:
    """A server in a child process.

    :param log_file: has its log.
    """

    url: str
    process: "subprocess.Popen[str]" = field(repr=False)
    log_file: Path

    def end(self) -> str | None:
        """How it has ended, with the last lines of its log; None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        words = f"signal {-status}" if status < 0 else f"exit code {status}"
        return "\n".join([f"The server has ended ({words}). Its log ends with:", *_last_lines(self.log_file)])


def start_server(
    source: str,
    *options: str,
    on_line: Callable[[str], None],
    variables: Mapping[str, str] | None = None,
    log: IO[bytes] | None = None,
) -> subprocess.Popen[str]:
    """Start a server.

    :param source: as for ``musterd serve``.
    :param options: of ``musterd serve``.
    :param on_line: takes each line that it prints, on a thread of its own, so that the server never blocks on its
        output. The last one is empty.
    :param variables: of its environment, in addition to those of this process.
    :param log: gets its log, by default standard error.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "musterd", "serve", source, *options],
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # Ctrl+C reaches this process alone, which may need the server to cancel a run, and stops it in the end.
        process_group=0,
    )
    assert server.stdout is not None
    threading.Thread(target=_read, args=(server.stdout, on_line), daemon=True).start()
    return server


@contextlib.contextmanager
def child_server(
    source: str, log_file: Path, *options: str, variables: Mapping[str, str] | None = None
) -> Iterator[ChildServer]:
    """Serve a source on a free port of loopback.

    :param log_file: gets its log.
    :raises ServerDidNotStart: it did not start.
    """
    lines: queue.Queue[str] = queue.Queue()
    with _ended_by_signals(), log_file.open("wb") as log:
        server = start_server(source, "--port", "0", *options, on_line=lines.put, variables=variables, log=log)
        try:
            yield ChildServer(url=_url(lines, log_file), process=server, log_file=log_file)
        finally:
            server.terminate()
            try:
                with waiting_for("the server is stopping"):
                    server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _read(output: IO[str], on_line: Callable[[str], None]) -> None:
    with output:
        for line in output:
            on_line(line)
    on_line("")


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and a terminal that closes, end the command as an exception, so that its server is stopped.

    The terminal sends the server no signal, because the server has a process group of its own.
    """

    def end(signal_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt the end of the server
        sys.exit(128 + signal_number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, *hangup())}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _url(lines: "queue.Queue[str]", log_file: Path) -> str:
    """The URL that the server prints."""
    deadline = clock.monotonic() + START_SECONDS
    with contextlib.suppress(queue.Empty), waiting_for("the server is starting"):
        while line := lines.get(timeout=max(0.0, deadline - clock.monotonic())):
            if (address := address_in(line)) is not None:
                return address
    raise ServerDidNotStart("\n".join(_last_lines(log_file)))


def _last_lines(log_file: Path) -> list[str]:
    return log_file.read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
