"""Processes that take part in a benchmark. Each runs a Python module, and prints JSON lines."""

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
        """Return the next value that it prints."""
        assert self._popen.stdout is not None
        stdout = self._popen.stdout.fileno()
        # Read without Python's buffer, because select() does not see lines that are already in it.
        while b"\n" not in self._received:
            ready, _, _ = select.select([stdout], [], [], PATIENCE_SECONDS)
            part = os.read(stdout, 65536) if ready else b""
            if not part:
                raise NoFigure(f"a process of the benchmark died or stopped responding; see {self._log.name}")
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def go(self, value: object = "go") -> None:
        """Let it continue, with a value."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{json.dumps(value)}\n")
        self._popen.stdin.flush()

    def status(self, name: str) -> int:
        """Return a number from its /proc status, such as Threads or VmRSS."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def end(self) -> None:
        """Kill the process."""
        self._popen.kill()
        self._popen.wait()
        self._log.close()
