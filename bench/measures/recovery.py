"""A server that is killed during a model call: time from its next start until the run continues."""

import asyncio
import tempfile
import time
from pathlib import Path

from bench.client import Client, leader_work, new_session
from bench.figures import Bar, Figure, beside
from bench.servers import WORK, Musterd
from bench.trial import Bench, Samples

KILLS = 5
LOOK_SECONDS = 0.005
GIVE_UP_SECONDS = 20


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer leaves such a run RUNNING for ever."""
    samples = Samples(seconds=[await one(bench) for _ in range(bench.times(KILLS))])
    name = "kill -9, then a start: run goes on after"
    return [beside(f"{name}, longest", "ms", [samples], lambda of: of.percentile(1), Bar(at_most=1000))]


async def one(bench: Bench) -> float:
    """Kill a server in the middle of a run; return the seconds from /health of the next to its model call."""
    with tempfile.TemporaryDirectory(prefix="db-", dir=WORK) as folder:
        db = Path(folder) / "bench.db"
        with Musterd(bench.model.base_url, db=db) as server:
            async with Client(server.url) as client:
                await client.run(leader_work())
                await client.start("[[SLEEP 60000]]", new_session())
            await calls(bench, 1)
        await calls(bench, 0)
        with Musterd(bench.model.base_url, db=db):
            began = time.perf_counter()
            await calls(bench, 1)
            took = time.perf_counter() - began
        await calls(bench, 0)
    return took


async def calls(bench: Bench, count: int) -> None:
    """Wait until so many calls are open at the model."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            if await asyncio.to_thread(bench.model.open_calls) == count:
                return
            await asyncio.sleep(LOOK_SECONDS)
