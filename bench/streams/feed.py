"""What an open page costs that follows all runs: while nothing happens, while runs wait, and while they write.

The readers come and go on one server. What they cost is the CPU with them, less the CPU without them just before.
"""

import asyncio
import statistics

from bench.client import Client, leader_work, new_session
from bench.figures import Bar, Figure
from bench.measures.waiting import open_calls
from bench.servers import Musterd, Server
from bench.streams.listener import Listener, listen
from bench.trial import Bench

PATH = "/runs/changes"
RUNS = 50
PAGES = 20
ROUNDS, SECONDS = 5, 6
SLOW = "[[SLEEP 600000]]"
WRITING = "[[WORDS 6000 100]]"


async def measure(bench: Bench) -> list[Figure]:
    figures: list[Figure] = []
    for name, message in (("nothing happens", ""), ("wait for the model", SLOW), ("write ten words a second", WRITING)):
        runs = f"{RUNS} runs " if message else ""
        with Musterd(bench.model.base_url) as server:
            async with Client(server.url) as client:
                await client.run(leader_work())
                for _ in range(RUNS if message else 0):
                    await client.start(message, new_session())
                if message:
                    await open_calls(bench, RUNS)
            await asyncio.sleep(2)
            for pages in (1, PAGES):
                most = 1.0 if not message and pages == 1 else 2.0 if message == SLOW and pages == 1 else None
                words = "one open page" if pages == 1 else f"{pages} open pages"
                figures.append(
                    Figure(
                        name=f"{words}, {runs}{name}: CPU a second more",
                        unit="ms",
                        ours=await _cost_of(server, pages, bench.times(ROUNDS)),
                        bar=None if most is None else Bar(at_most=most),
                    )
                )
        await open_calls(bench, 0)
    return figures


async def _cost_of(server: Server, pages: int, rounds: int) -> float:
    """The CPU that so many readers add, in ms a second."""
    costs = []
    for _ in range(max(1, rounds)):
        without = await _cpu_a_second(server)
        readers = [await listen(server.url, "GET", PATH) for _ in range(pages)]
        await asyncio.gather(*(reader.began for reader in readers))
        await asyncio.sleep(1)
        costs.append(await _cpu_a_second(server) - without)
        await _leave(readers)
    return max(0.0, statistics.median(costs))


async def _cpu_a_second(server: Server) -> float:
    before = server.cpu()
    await asyncio.sleep(SECONDS)
    return (server.cpu() - before) * 1000 / SECONDS


async def _leave(readers: list[Listener]) -> None:
    for reader in readers:
        reader.leave()
    await asyncio.gather(*(reader.closed for reader in readers))
    await asyncio.sleep(1)
