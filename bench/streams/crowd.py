"""A thousand subscribers of one run. The peer cannot read a run that another request started."""

import asyncio

from bench.client import RUNS, Client, leader_work, new_session
from bench.figures import Bar, Figure
from bench.servers import Musterd, NoFigure, Server
from bench.streams.listener import listen
from bench.streams.memory import peak_of
from bench.trial import Bench

READERS = 1_000
WORDS, PACE_MS = 500, 20
SLOW_START_MS = 3000


async def measure(bench: Bench) -> list[Figure]:
    with Musterd(bench.model.base_url) as server:
        async with Client(server.url) as client:
            await client.run(leader_work())
            few = await _cpu_of(server, client, 1)
            count = bench.times(READERS)
            with peak_of(server) as peak:
                many = await _cpu_of(server, client, count)
    name = f"{count:,} readers of one run of {WORDS} words, {PACE_MS} ms apart"
    return [
        Figure(name=f"{name}: told everything", unit="", ours=count, bar=Bar(at_least=count)),
        Figure(name=f"{name}: CPU, all", unit="ms", ours=many),
        Figure(name=f"{name}: CPU a reader", unit="ms", ours=(many - few) / max(1, count - 1)),
        Figure(name=f"{name}: memory a reader", unit="kB", ours=peak.grown / count),
    ]


async def _cpu_of(server: Server, client: Client, readers: int) -> float:
    """The CPU in ms of one run with so many readers, all of whom must be told the same, to its end."""
    session = new_session()
    before = server.cpu()
    run = await client.start(f"[[SLEEP {SLOW_START_MS}]] [[WORDS {WORDS} {PACE_MS}]]", session)
    path = f"{RUNS}/{run['run_id']}/events?session_id={session}"
    listeners = [await listen(server.url, "GET", path) for _ in range(readers)]
    ended = await asyncio.gather(*(listener.end() for listener in listeners))
    if len({listener.events for listener in ended}) != 1:
        raise NoFigure(f"readers were told differently: {sorted(listener.events for listener in ended)}")
    return (server.cpu() - before) * 1000
