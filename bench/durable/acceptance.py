"""Latency of accepting a background run with 1, 8 and 64 concurrent clients, while accepted runs execute."""

import asyncio
import contextlib

from bench.client import Client, leader_work, new_session
from bench.deployment import until
from bench.figures import Figure, beside
from bench.servers import Musterd, Peer, Server
from bench.stores import Store
from bench.trial import Bench, Samples, Side, drive

OURS = {1: 200, 8: 640, 64: 1024}
PEERS = {1: 50, 8: 160, 64: 256}
QUIET_SECONDS = 0.3


async def measure(bench: Bench) -> list[Figure]:
    figures = []
    for store in bench.stores:
        figures += await on(bench, store)
    return figures


async def on(bench: Bench, store: Store) -> list[Figure]:
    """Accept on one kind of database."""
    kinds: list[type[Server]] = [Musterd, Peer] if bench.with_peer else [Musterd]
    samples: dict[int, list[Samples]] = {clients: [] for clients in OURS}
    for kind in kinds:
        with store.fresh() as url, kind(bench.model.base_url, db=url) as server:
            async with contextlib.AsyncExitStack() as stack:
                side = Side(server, await stack.enter_async_context(Client(server.url)))
                await starts(bench, side, 16, 8)
                for clients, into in samples.items():
                    count = (OURS if side.is_ours else PEERS)[clients]
                    into.append(Samples(seconds=await starts(bench, side, bench.times(count), clients)))
    figures = []
    for clients, sides in samples.items():
        name = f"acceptance of a background run, {clients} client{'s' * (clients > 1)}, {store.name}"
        figures += [
            beside(f"{name}: p50", "ms", sides, lambda of: of.percentile(0.5)),
            beside(f"{name}: p99", "ms", sides, lambda of: of.percentile(0.99)),
        ]
    return figures


async def starts(bench: Bench, side: Side, count: int, clients: int) -> list[float]:
    """Start so many runs; return how long each request took, once all have asked their model."""
    before = (await asyncio.to_thread(bench.model.report))["total"]
    seconds = await drive(side, lambda _: side.client.start(leader_work(), new_session()), count, clients)

    async def have_asked() -> bool:
        return bool((await asyncio.to_thread(bench.model.report))["total"] >= before + count)

    await until(have_asked, f"{count} runs have asked their model")
    await asyncio.sleep(QUIET_SECONDS)
    return seconds
