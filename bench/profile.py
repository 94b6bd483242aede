"""Profiles the CPU of a server with py-spy and sums the samples by function and by package.

Only threads that hold the interpreter's lock are sampled, because py-spy considers a thread that waits on a queue
busy.
"""

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers import PEER_VENV, WORK

RATE = 500  # samples a second
SHOWN = 30
EVERYTHING = 0.9  # what holds more than that is the way in, and says nothing


class Profiler:
    """Samples a process while a block runs; the samples of several blocks add up."""

    def __init__(self) -> None:
        self.stacks: Counter[str] = Counter()

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        """Sample `pid` during the block."""
        into = WORK / "pyspy.txt"
        command = [str(PEER_VENV / "bin" / "py-spy"), "record", "--pid", str(pid), "--rate", str(RATE)]
        command += ["--format", "raw", "--output", str(into), "--full-filenames", "--gil", "--duration", "unlimited"]
        sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            sampler.send_signal(signal.SIGINT)
            sampler.wait()
        self.add(into)

    def add(self, samples: Path) -> None:
        """Read py-spy's raw form: frames from the outermost to the innermost, then how often."""
        for line in samples.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            self.stacks[stack] += int(count)

    def report(self) -> str:
        """Return the packages and the functions that took most, as shares of all samples."""
        total = sum(self.stacks.values()) or 1
        packages: Counter[str] = Counter()
        own: Counter[str] = Counter()
        cumulative: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            frames = [short(frame) for frame in stack.split(";")]
            packages[frames[-1].split("/")[0]] += count
            own[frames[-1]] += count
            for frame in set(frames):
                cumulative[frame] += count
        cumulative = Counter({frame: count for frame, count in cumulative.items() if count < EVERYTHING * total})
        parts = [
            ("package, own", packages),
            ("function, own", own),
            ("function, with what it calls", cumulative),
        ]
        return "\n\n".join(listing(title, counts, total) for title, counts in parts)


def short(frame: str) -> str:
    """Cut `function (…/site-packages/pkg/file.py:12)` to `pkg/file.py function`."""
    match = re.fullmatch(r"(.*) \((.*?)(?::\d+)?\)", frame)
    if not match:
        return frame
    function, path = match.groups()
    path = re.sub(r".*(?:site-packages|lib/python3\.\d+|src)/", "", path)
    if "/" not in path:
        path = f"stdlib/{path}"
    return f"{path} {function}"


def listing(title: str, counts: Counter[str], total: int) -> str:
    lines = [f"{count / total:6.1%}  {name}" for name, count in counts.most_common(SHOWN)]
    return "\n".join([f"# {title}", *lines])
