"""Runs measurements: both servers in turns, with every response checked and CPU read from outside."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from bench.client import Client
from bench.profile import Profiler
from bench.servers import Musterd, Peer, Server
from bench.stores import Store
from tests.support.model_server import ModelServer

CLIENTS = 8
SETTLE_SECONDS = 0.3  # work that a server does after its last answer belongs to the round


@dataclass
class Samples:
    """What the rounds of one side gave."""

    cpu_ms: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """CPU for each request in ms: the median of the rounds, so that a disturbed one does not count."""
        return statistics.median(self.cpu_ms)

    def percentile(self, share: float) -> float:
        """Latency in ms that `share` of the requests stayed under."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))] * 1000


@dataclass
class Side:
    """One server under test with its client."""

    server: Server
    client: Client

    @property
    def is_ours(self) -> bool:
        return isinstance(self.server, Musterd)


ToolCallContext = Callable[[Side], Awaitable[object]]


@dataclass
class Bench:
    """What every measurement is handed: the model, who takes part, how much work; for durability, the databases."""

    model: ModelServer
    with_peer: bool
    profiler: Profiler | None = None
    scale: float = 1
    stores: Sequence[Store] = ()

    def times(self, count: int) -> int:
        """Return how often to do what a full run does `count` times."""
        return max(1, round(count * self.scale))

    @asynccontextmanager
    async def sides(
        self, environment: Mapping[str, str] | None = None, *, ours: type[Musterd] = Musterd, peer: type[Peer] = Peer
    ) -> AsyncIterator[list[Side]]:
        """Start a fresh server for each side."""
        kinds: list[type[Server]] = [ours, peer] if self.with_peer else [ours]
        async with AsyncExitStack() as stack:
            sides = []
            for kind in kinds:
                server = stack.enter_context(kind(self.model.base_url, environment))
                sides.append(Side(server, await stack.enter_async_context(Client(server.url))))
            yield sides

    async def compare(
        self, sides: list[Side], act: ToolCallContext, *, ours: int, peer: int, rounds: int = 4, clients: int = CLIENTS
    ) -> list[Samples]:
        """Do `act` that often on each side, in turns; return the samples of each."""
        counts = [self.times(ours if side.is_ours else peer) for side in sides]
        samples = [Samples() for _ in sides]
        for side, count in zip(sides, counts, strict=True):
            await drive(side, act, min(count, 2 * clients), clients)
        for turn in range(rounds):
            for place in range(len(sides)) if turn % 2 else reversed(range(len(sides))):
                side, into = sides[place], samples[place]
                share = max(1, counts[place] // rounds)
                with self.watching(side):
                    await self.round(side, act, share, clients, into)
        return samples

    def watching(self, side: Side) -> AbstractContextManager[None]:
        """Sample our side during a block, where a profile is wanted."""
        if side.is_ours and self.profiler:
            return self.profiler.watch(side.server.process.pid)
        return nullcontext()

    async def round(self, side: Side, act: ToolCallContext, count: int, clients: int, into: Samples) -> None:
        """Do `act` `count` times and add what it took."""
        before = side.server.cpu()
        into.seconds += await drive(side, act, count, clients)
        await asyncio.sleep(SETTLE_SECONDS)
        into.cpu_ms.append((side.server.cpu() - before) * 1000 / count)


async def drive(side: Side, act: ToolCallContext, count: int, clients: int) -> list[float]:
    """Do `act` `count` times from `clients` clients at once; return how long each took."""
    seconds: list[float] = []
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            began = time.perf_counter()
            await act(side)
            seconds.append(time.perf_counter() - began)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(clients, count)):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return seconds
