"""``musterd dev``: serves a source, and restarts the server when a file changes.

The server is ``musterd serve`` in a process of its own. Changes are noticed by comparing the times of the files, which
takes milliseconds for a project, so no library for events of the file system is needed.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from musterd.cli.child_server import start_server
from musterd.cli.env_file import FILE as ENV_FILE
from musterd.cli.listening import listen
from musterd.cli.page import page_url
from musterd.cli.ready_line import address_in
from musterd.cli.stop_signals import SIGNALS, hangup
from musterd.core import clock
from musterd.core.source_files import SUFFIXES

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
PAUSE_SECONDS = 0.25
"""The least time between two looks at the files. A look that takes long is made less often."""
PAUSE_FACTOR = 20

Snapshot = dict[Path, tuple[int, int]]
"""The time of the last change and the size of each file."""


def dev(source: str, *, host: str, port: int, db: str | None, opens_page: bool) -> int:
    """Serve ``source`` until a signal arrives, and restart the server after each change of a file.

    :param opens_page: open the page in a browser once the server has started.
    :raises StartError: the address cannot be used. No change of a file would cure that.
    """
    listen(host, port).close()
    options = ["--host", host, *([] if db is None else ["--db", db])]
    _Reloader(source, options, port, opens_page=opens_page).run()
    return 0


class _Reloader:
    """The server, which is started anew after each change."""

    def __init__(self, source: str, options: list[str], port: int, *, opens_page: bool) -> None:
        self._source = source
        self._options = options
        self._port = port
        self._opens_page = opens_page
        self._folder = watched_folder(source)
        self._is_stopping = False
        # Not an Event: a signal handler that sets one can wait forever for the lock that the interrupted code holds.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._server: subprocess.Popen[str] | None = None
        self._stopped_server: subprocess.Popen[str] | None = None

    def run(self) -> None:
        """Serve until a signal arrives."""
        old_handlers = {number: signal.signal(number, self._on_signal) for number in (*SIGNALS, *hangup())}
        try:
            while not self._is_stopping:
                files = snapshot(self._folder)  # before the start, so that a change during it is noticed
                self._server = server = self._start()
                self._wait_for_change(files, server)
                # The old process ends first: it hands its runs over, and the new one needs its port.
                self._stop(server)
        finally:
            for number, handler in old_handlers.items():
                signal.signal(number, handler)

    def _start(self) -> "subprocess.Popen[str]":
        options = ("--port", str(self._port), *self._options)
        return start_server(self._source, *options, on_line=self._pass_on, variables={"MUSTERD_LOG_JSON": "false"})

    def _pass_on(self, line: str) -> None:
        """Print a line of the server. With the first address open the page; the next servers get the same port."""
        print(line, end="", flush=True)  # noqa: T201 - the output of the command
        if (url := address_in(line)) is not None:
            self._port = int(url.rpartition(":")[2])
            if self._opens_page:
                self._opens_page = False
                _open_page(page_url(url))

    def _wait_for_change(self, files: Snapshot, server: "subprocess.Popen[str]") -> None:
        """Wait until a file has changed, or the command is to stop."""
        pause, is_down, latest = PAUSE_SECONDS, False, files
        while not self._stops_within(pause):
            if not is_down and server.poll() is not None:
                is_down = True
                _say(f"the server has ended (exit code {server.returncode}); it starts again after the next change")
            started = clock.monotonic()
            before, latest = latest, snapshot(self._folder)
            pause = max(PAUSE_SECONDS, PAUSE_FACTOR * (clock.monotonic() - started))
            # Not before two looks agree, because editors and git write several files.
            if latest != files and latest == before:
                changed = min(path for path in {*files, *latest} if files.get(path) != latest.get(path))
                _say(f"{os.path.relpath(changed)} changed, the server restarts")
                return

    def _stops_within(self, seconds: float) -> bool:
        """Whether a signal has arrived, or does so in this time."""
        if not self._is_stopping:
            with contextlib.suppress(queue.Empty):
                self._signals.get(timeout=seconds)
        return self._is_stopping

    def _stop(self, server: "subprocess.Popen[str]") -> None:
        if self._stopped_server is not server:
            self._stopped_server = server
            server.terminate()
        server.wait()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
        self._signals.put(number)
        if self._server is not None:
            self._stopped_server = self._server
            self._server.terminate()  # the second one lets it stop at once


def can_open_page() -> bool:
    """Whether a person is here who has a browser with windows. Others would take the terminal over."""
    has_windows = sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and has_windows


def _open_page(url: str) -> None:
    if url:
        webbrowser.open(url)
    else:
        _say("this installation has no page to open; musterd doctor says what to do")


def watched_folder(source: str) -> Path:
    """The folder of a file with all modules that it can import, and for a module the working directory."""
    path = Path(source.partition(":")[0])
    if path.suffix not in SUFFIXES and "/" not in source:
        return Path()
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder /= ".."
    return folder


def snapshot(folder: Path) -> Snapshot:
    """The Python and YAML files below a folder, and ``.env`` in the working directory."""
    state: Snapshot = {}
    for path in (Path(ENV_FILE), *_files(folder)):
        try:
            status = path.stat()
        except OSError:
            continue  # it was removed, which shows as well
        state[path] = (status.st_mtime_ns, status.st_size)
    return state


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED
            and not name.startswith(".")
            and not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))
        ]
        yield from (Path(root, name) for name in names if name.endswith(SUFFIXES))


def _say(text: str) -> None:
    print(f"musterd: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the output of the command
