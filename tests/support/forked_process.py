"""Server processes that start quickly, because they are forked from a process that has already imported the server.

After the fork they run the same code as ``python -m musterd``. The import takes seven times as long as the rest of the
start, and the tests start hundreds of processes.
"""

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired

IMPORTED = ["tests.support.started_server"]


class ForkedProcess:
    """A process of the server with the methods of :class:`subprocess.Popen`.

    :param folder: its working directory; None: that of the first process that was started.
    """

    def __init__(self, words: list[str], environment: dict[str, str], log: Path, folder: Path | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        reader, said = context.Pipe(duplex=False)
        self._process = context.Process(target=_main, args=(words, environment, said, log, folder), daemon=True)
        self._process.start()
        said.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()))
        reader.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired("musterd", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _main(words: list[str], environment: dict[str, str], said: Connection, log: Path, folder: Path | None) -> None:
    if folder is not None:
        os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(said.fileno(), sys.stdout.fileno())
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    # Opened again, as a new process does: the command line configures them, which depends on what they are.
    sys.stdout, sys.stderr = (open(stream, "w", encoding="utf-8", buffering=1, closefd=False) for stream in (1, 2))  # noqa: SIM115
    from musterd.cli import main
    from musterd.core import faults

    vars(faults)["_fault"] = faults._parse_fault(environment.get(faults.VARIABLE))  # as at the import
    sys.exit(main(words))
