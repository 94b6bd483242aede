"""Peak memory of a process during a block."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.servers import Server

FORGET_PEAK = "5"  # what proc(5) has for /proc/PID/clear_refs


@dataclass
class Peak:
    """How much memory a server had before, and at most meanwhile, in kB."""

    before: int = 0
    most: int = 0

    @property
    def grown(self) -> int:
        """By how much it grew."""
        return self.most - self.before


@contextlib.contextmanager
def peak_of(server: Server) -> Iterator[Peak]:
    """Watch a server's memory during a block."""
    folder = Path(f"/proc/{server.process.pid}")
    (folder / "clear_refs").write_text(FORGET_PEAK)
    peak = Peak(before=server.rss())
    yield peak
    lines = (folder / "status").read_text().splitlines()
    peak.most = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
