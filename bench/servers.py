"""Starts the servers under test on a free port, by default with an empty database, measures them and kills them."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".bench"
PEER_VENV = WORK / "venv-agno"
PEER_REQUIREMENTS = ROOT / "bench" / "peer" / "requirements.txt"
START_SECONDS = 120
CPU_CLOCK = 2  # clock_getcpuclockid(3): what the scheduler counted for a whole process, ended threads included


class NoFigure(Exception):
    """A server did not start, or did not do the work: a figure would mean nothing."""


def cpu_seconds(pid: int) -> float:
    """CPU of a process, all its threads: schedstat's counter, to the nanosecond, not clock ticks."""
    return time.clock_gettime_ns((~pid << 3) | CPU_CLOCK) / 1e9


def rss_kb(pid: int) -> int:
    """Memory of a process that is in RAM."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server under test; `with` starts and ends it."""

    name = ""

    def __init__(
        self, model_url: str, environment: Mapping[str, str] | None = None, db: Path | str | None = None
    ) -> None:
        self.model_url = model_url
        self.environment = dict(environment or {})
        self.kept_db = db

    def command(self) -> list[str]:
        raise NotImplementedError

    def surroundings(self) -> dict[str, str]:
        raise NotImplementedError

    def __enter__(self) -> "Server":
        WORK.mkdir(exist_ok=True)
        self.folder = tempfile.TemporaryDirectory(prefix="db-", dir=WORK)
        self.db = self.kept_db or Path(self.folder.name) / "bench.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (WORK / f"{self.name}.log").open("ab")
        environment = {**os.environ, **self.surroundings(), **self.environment}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling at every start is nobody's normal
        self.began = began = time.perf_counter()
        self.process = self.popen(environment)
        try:
            self.wait_until_healthy()
        except BaseException:
            self.__exit__()
            raise
        self.start_cpu_seconds = self.cpu()
        self.start_seconds = time.perf_counter() - began
        return self

    def popen(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command(), cwd=ROOT, env=environment, stdout=self.log, stderr=self.log)

    @property
    def db_url(self) -> str:
        """The database as a URL; a file is SQLite's."""
        return self.db if isinstance(self.db, str) else f"sqlite:///{self.db}"

    def wait_until_healthy(self) -> None:
        deadline = time.perf_counter() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError as refused:
                if self.process.poll() is not None or time.perf_counter() > deadline:
                    raise NoFigure(f"{self.name} did not start; see {self.log.name}") from refused
                time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def cpu(self) -> float:
        return cpu_seconds(self.process.pid)

    def rss(self) -> int:
        return rss_kb(self.process.pid)


class Musterd(Server):
    name = "musterd"
    source = "bench/app.py"
    options: tuple[str, ...] = ()

    def command(self) -> list[str]:
        place = ["--port", str(self.port), "--db", self.db_url]
        return [*self.launcher(), "serve", self.source, *place, *self.options]

    def launcher(self) -> list[str]:
        return [sys.executable, "-m", "musterd"]

    def surroundings(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
        return {"OPENAI_BASE_URL": self.model_url, "OPENAI_API_KEY": "none", "PYTHONPATH": path}


class Peer(Server):
    name = "agno"
    app = "bench/peer/app.py"

    def command(self) -> list[str]:
        return [str(PEER_VENV / "bin" / "python"), self.app, str(self.port)]

    def surroundings(self) -> dict[str, str]:
        quiet = {"AGNO_TELEMETRY": "false", "PYTHONPATH": ""}
        where = self.db_url.removeprefix("sqlite:///")
        return {"OPENAI_BASE_URL": self.model_url, "BENCH_DB": where, **quiet}


def install_peer() -> bool:
    """Make the peer's environment unless it is there; False, and a line, where it cannot be had."""
    stamp = PEER_VENV / ".installed"
    requirements = PEER_REQUIREMENTS.read_text()
    if stamp.exists() and stamp.read_text() == requirements:
        return True
    print("Installing the peer (agno 2.5.6) into .bench/ …", file=sys.stderr)
    python = str(PEER_VENV / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(PEER_VENV)],
        [*pip, "--requirement", str(PEER_REQUIREMENTS)],
    ):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            print("The peer cannot be installed here: musterd is measured alone.", file=sys.stderr)
            return False
    stamp.write_text(requirements)
    return True
