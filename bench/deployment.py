"""Server processes that share a database, and a record of their model calls and tool calls."""

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.client import Client
from bench.servers import WORK, Musterd, NoFigure
from bench.stores import Store
from bench.trial import Bench, Side
from tests.support.model_server import ModelServer

PATIENCE_SECONDS = 60
LOOK_SECONDS = 0.005
INTRODUCTION_SECONDS = 1.5  # a process looks once a second who else is there

T = TypeVar("T")


class Alone(Musterd):
    """Accepts runs and drives them."""

    source = "bench/recovery_app.py"


class Front(Alone):
    """Accepts runs and answers, and drives none."""

    options = ("--no-worker",)


class Worker(Alone):
    """Drives runs, and listens nowhere."""

    def command(self) -> list[str]:
        python, *_ = super().command()
        return [python, "-m", "musterd", "worker", self.source, "--db", self.db_url]

    def popen(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command(), env=environment, stdout=subprocess.PIPE, stderr=self.log)

    def wait_until_healthy(self) -> None:
        assert self.process.stdout is not None
        if not self.process.stdout.readline().startswith(b"musterd: working"):
            raise NoFigure(f"a worker did not start; see {self.log.name}")

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass(frozen=True, order=True)
class ObservedCall:
    """A call of a model or of a tool: when it came, and what it was about."""

    at: float
    what: str


@dataclass
class CallLog:
    """What the processes' models and tools were asked so far.

    :param notes: where the tool of bench/recovery_app.py writes.
    """

    model: ModelServer
    notes: Path

    async def seen(self) -> list[ObservedCall]:
        """Return every call in the order in which they came."""
        calls = [ObservedCall(at, what) for at, what in await asyncio.to_thread(self.model.calls)]
        for line in self.notes.read_text().splitlines() if self.notes.exists() else []:
            at, _, text = line.partition(" ")
            calls.append(ObservedCall(float(at), f"note {text}"))
        return sorted(calls)

    async def first(self, is_it: Callable[[ObservedCall], bool], what: str) -> ObservedCall:
        """Wait for the first call like this."""

        async def look() -> ObservedCall | None:
            return next(filter(is_it, await self.seen()), None)

        return await until(look, what)


@dataclass
class Deployment:
    """One database with the processes on it, which are started, killed and told to end by the measurement."""

    bench: Bench
    store: Store
    url: str
    calls: CallLog
    stack: contextlib.AsyncExitStack
    environment: dict[str, str] = field(default_factory=dict)

    async def start(self, kind: type[Alone]) -> Alone:
        """Start a process and wait until it serves, or works."""
        environment = {"BENCH_NOTES": str(self.calls.notes), **self.environment}
        process = kind(self.bench.model.base_url, environment, self.url)
        await asyncio.to_thread(process.__enter__)
        self.stack.callback(process.__exit__)
        return process

    async def client_of(self, process: Alone) -> Side:
        """Open a client of a process."""
        return Side(process, await self.stack.enter_async_context(Client(process.url)))

    async def meet(self) -> None:
        """Give the processes the time to learn of each other."""
        await asyncio.sleep(INTRODUCTION_SECONDS)


@contextlib.asynccontextmanager
async def deployed(
    bench: Bench, store: Store, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Deployment]:
    """Give a site with a fresh database and no process yet; end what is left of it."""
    WORK.mkdir(exist_ok=True)
    with store.fresh() as url, tempfile.TemporaryDirectory(prefix="notes-", dir=WORK) as folder:
        await asyncio.to_thread(bench.model.reset)
        async with contextlib.AsyncExitStack() as stack:
            calls = CallLog(bench.model, Path(folder) / "notes")
            yield Deployment(bench, store, url, calls, stack, dict(environment or {}))


async def until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Look until there is something; return it."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while not (result := await look()):
        if time.perf_counter() > deadline:
            raise NoFigure(f"not within {PATIENCE_SECONDS} s: {what}")
        await asyncio.sleep(LOOK_SECONDS)
    return result


def longest(values: Iterable[float]) -> float:
    """Return the longest of some durations in ms."""
    return max(values) * 1000
