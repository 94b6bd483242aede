"""A server in a child process, for commands that are called with a file in place of a server."""

import contextlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from musterd.cli.remote.command_failed import CommandFailed, ExitCode
from musterd.cli.remote.output import say
from musterd.cli.remote.server_options import ServerOptions, StartedServer
from musterd.core import clock

START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_LINES = 15
start_process = subprocess.Popen[str]
_READY = "musterd: serving on "
_SUFFIXES = (".py", ".yaml", ".yml")


def is_source(name: str) -> bool:
    """Whether a name is a file that declares teams, maybe with one of them, such as ``team.py:desk``."""
    return Path(name.partition(":")[0]).suffix.lower() in _SUFFIXES


@contextlib.contextmanager
def server_for(name: str, options: ServerOptions) -> Iterator[ServerOptions]:
    """The server to talk to: one that is started for a file, or the one that the options name.

    :param name: a team, or a source.
    """
    if not is_source(name):
        yield options
        return
    if options.url or options.profile:
        raise CommandFailed(
            f"{name} is a file, which needs no server. Leave --url and --profile out, or give the id of a team.",
            ExitCode.USAGE,
        )
    with _ended_by_sigterm(), _serving(name) as url:
        yield StartedServer(url=url, token=options.token or _own_key(), source=name)


def _own_key() -> str | None:
    """The key that a server has with the settings of this process."""
    from musterd.cli.settings import settings_from

    return settings_from(None).security_key or None


@contextlib.contextmanager
def _serving(source: str) -> Iterator[str]:
    """Serve a source on a free port, on the database of the settings."""
    say(f"Starting a server with {source} …")
    with tempfile.NamedTemporaryFile(prefix="musterd-", suffix=".log") as log:
        process = start_process(
            [sys.executable, "-m", "musterd", "serve", source, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            process_group=0,  # Ctrl+C is for this process, which may go on to cancel a run
        )
        try:
            assert process.stdout is not None
            yield _url(process.stdout, Path(log.name))
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


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
            if line.startswith(_READY):
                return line.removeprefix(_READY).strip()
    log_lines = log_file.read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
    raise CommandFailed("\n".join(["The server did not start.", *log_lines]))


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as an exception, so that its server is stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread's program
        return

    def end(signal_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal_number, signal.SIG_IGN)  # a second signal must not interrupt the end of the server
        sys.exit(128 + signal_number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
