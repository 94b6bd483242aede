"""Webhooks: the cost of a delivery, the cost for runs without webhooks, and the speed of sending a backlog.

The peer has no webhooks, so only musterd is measured. The receiver runs in the process of the clients and responds at
once.
"""

import asyncio
import socket
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import httptools

from bench.client import leader_work
from bench.deployment import Alone, deployed
from bench.figures import Bar, Figure
from bench.measures import Measure
from bench.servers import NoFigure, free_port
from bench.stores import Postgres, Sqlite, Store, select
from bench.trial import SETTLE_SECONDS, Bench, Side, drive

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RUNS = 600
PILED_UP = 1_000
WARM_UP = 60
CLIENTS = 16
ROUNDS = 5
PATIENCE_SECONDS = 120
LOOK_SECONDS = 0.05


class Receiver(asyncio.Protocol):
    """Takes messages on one connection, and notes when."""

    def __init__(self, taken: list[float]) -> None:
        self._taken = taken
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._taken.append(time.perf_counter())
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


@asynccontextmanager
async def receiving(port: int) -> AsyncIterator[list[float]]:
    """When a receiver took what."""
    taken: list[float] = []
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(taken), "127.0.0.1", port)
    try:
        yield taken
    finally:
        server.close()


def telling(port: int) -> dict[str, str]:
    """What a server is started with that tells this receiver of every run."""
    return {"MUSTERD_WEBHOOK_SECRET": SECRET, "MUSTERD_WEBHOOK_URLS": f"http://127.0.0.1:{port}/hooks"}


async def reached(taken: list[float], count: int) -> None:
    """Wait until so many messages have come."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while len(taken) < count:
        if time.perf_counter() > deadline:
            raise NoFigure(f"{len(taken)} of {count} messages came within {PATIENCE_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)


async def measure_costs(bench: Bench) -> list[Figure]:
    """The same runs on three servers, in turns: without webhooks, able to have some, and telling one."""
    port, runs = free_port(), bench.times(RUNS)
    environments = [{}, {"MUSTERD_WEBHOOK_SECRET": SECRET}, telling(port)]
    cpu_ms: list[list[float]] = [[] for _ in environments]
    async with receiving(port) as taken, AsyncExitStack() as stack:
        sides = [await _alone(bench, stack, environment) for environment in environments]
        for side in sides:
            await drive(side, _run, WARM_UP, CLIENTS)
        for number in range(1, ROUNDS + 1):
            for side, costs in zip(sides, cpu_ms, strict=True):
                before = side.server.cpu()
                await drive(side, _run, runs, CLIENTS)
                if side is sides[-1]:
                    await reached(taken, WARM_UP + number * runs)
                await asyncio.sleep(SETTLE_SECONDS)
                costs.append((side.server.cpu() - before) * 1000 / runs)
    without, able, delivering = map(statistics.median, cpu_ms)
    return [
        Figure(name="no webhooks set up: CPU a run", unit="ms", ours=without),
        Figure(name="a secret is set, the run has no webhook: CPU a run", unit="ms", ours=able),
        Figure(name="the run tells one webhook: CPU a run and its delivery", unit="ms", ours=delivering),
        Figure(name="CPU a delivery", unit="ms", ours=delivering - able, bar=Bar(at_most=3, is_aim=True)),
    ]


async def _run(side: Side) -> object:
    return await side.client.run(leader_work())


async def _alone(bench: Bench, stack: AsyncExitStack, environment: Mapping[str, str]) -> Side:
    deployment = await stack.enter_async_context(deployed(bench, Sqlite(), {"BENCH_MODEL": "scripted", **environment}))
    return await deployment.client_of(await deployment.start(Alone))


async def measure_backlog(bench: Bench) -> list[Figure]:
    """A server is started on what has piled up while the receiver answered nothing, on each database."""
    with Postgres() as postgres:
        return [figure for store in (Sqlite(), postgres) for figure in await _backlog(bench, store)]


async def _backlog(bench: Bench, store: Store) -> list[Figure]:
    port, count = free_port(), bench.times(PILED_UP)
    async with deployed(bench, store, {"BENCH_MODEL": "scripted", **telling(port)}) as deployment:
        with socket.create_server(("127.0.0.1", port)):  # it takes connections, and answers nothing
            filling = await deployment.client_of(await deployment.start(Alone))
            await drive(filling, _run, count, CLIENTS)
            filling.server.process.kill()
            filling.server.process.wait()
        (due,) = await select(deployment.url, "SELECT count(*) AS n FROM deliveries WHERE lease IS NULL")
        async with receiving(port) as taken:
            sending = await deployment.start(Alone)
            before = sending.cpu()
            await reached(taken, due["n"])
            await asyncio.sleep(SETTLE_SECONDS)
            cpu_ms = (sending.cpu() - before) * 1000 / due["n"]
    name = f"{count:,} deliveries that have piled up, {store.name}"
    rate = (len(taken) - 1) / (taken[-1] - taken[0])
    return [
        Figure(name=f"{name}: sent a second", unit="", ours=rate, bar=Bar(at_least=100, is_aim=True)),
        Figure(name=f"{name}: CPU a delivery", unit="ms", ours=cpu_ms),
    ]


WEBHOOKS: dict[str, Measure] = {
    "costs": measure_costs,
    "backlog": measure_backlog,
}
