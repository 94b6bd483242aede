"""Processes of a benchmark that take part in it: each is a Python module with arguments, which says JSON lines."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.servers import ROOT, WORK, NoFigure

PATIENCE_SECONDS = 300


class Part:
    """A process that does one part of the work.

    :param module: the module that it runs.
    :param arguments: the module's arguments.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        WORK.mkdir(exist_ok=True)
        self._log = (WORK / f"{module.rpartition('.')[2]}.log").open("ab")
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._received = b""
        self.pid = self._popen.pid

    def receive(self) -> Any:
        """Return the next thing that it says."""
        assert self._popen.stdout is not None
        said = self._popen.stdout.fileno()
        # Read without a buffer of Python's: select() would not see a line that is in it already.
        while b"\n" not in self._received:
            ready, _, _ = select.select([said], [], [], PATIENCE_SECONDS)
            part = os.read(said, 65536) if ready else b""
            if not part:
                raise NoFigure(f"a process of the benchmark died or came to nothing; see {self._log.name}")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def go(self, value: object = "go") -> None:
        """Have it go on, with a value."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{json.dumps(value)}\n")
        self._popen.stdin.flush()

    def status(self, name: str) -> int:
        """Return a number of /proc's status: Threads, VmRSS."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def end(self) -> None:
        """Kill it."""
        self._popen.kill()
        self._popen.wait()
        self._log.close()
