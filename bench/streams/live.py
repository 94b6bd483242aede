"""A thousand live runs, each with a subscriber."""

import asyncio
import time
from dataclasses import dataclass

from bench.client import RUNS, Client, leader_work, new_session
from bench.figures import Bar, Figure, beside
from bench.measures.waiting import LIMITS
from bench.servers import Musterd, Peer, Server
from bench.streams.listener import Listener, listen
from bench.streams.memory import Peak, peak_of
from bench.trial import Bench, Side, drive

STREAMS = 1_000
WORDS, PACE_MS = 10, 1_000
ENVIRONMENT = dict.fromkeys(LIMITS, str(STREAMS))


@dataclass
class Outcome:
    """What a server took for them, and how many came to their end."""

    count: int
    ended: int
    cpu_ms: float
    seconds: float
    peak: Peak


async def measure(bench: Bench) -> list[Figure]:
    kinds: list[type[Server]] = [Musterd, Peer] if bench.with_peer else [Musterd]
    outcomes = []
    for kind in kinds:
        with kind(bench.model.base_url, ENVIRONMENT) as server:
            async with Client(server.url) as client:
                await drive(Side(server, client), lambda side: side.client.stream(leader_work()), 20, clients=4)
            outcomes.append(await _streamed(server, bench.times(STREAMS)))
    count = outcomes[0].count
    name = f"{count:,} runs at once, a reader each, {WORDS} words {PACE_MS / 1000:g} s apart"
    return [
        beside(f"{name}: told everything", "", outcomes, lambda of: of.ended, Bar(at_least=count)),
        beside(f"{name}: CPU a stream", "ms", outcomes, lambda of: of.cpu_ms / of.count, Bar(ratio=0.5)),
        beside(f"{name}: memory a stream", "kB", outcomes, lambda of: of.peak.grown / of.count),
        beside(f"{name}: until the last had ended", "s", outcomes, lambda of: of.seconds),
    ]


async def _streamed(server: Server, count: int) -> Outcome:
    before, began = server.cpu(), time.perf_counter()

    async def one() -> Listener:
        form = {"message": f"[[WORDS {WORDS} {PACE_MS}]]", "session_id": new_session(), "stream": "true"}
        listener = await listen(server.url, "POST", RUNS, form=form)
        await listener.closed
        return listener

    with peak_of(server) as peak:
        listeners = await asyncio.gather(*(one() for _ in range(count)))
    seconds, cpu = time.perf_counter() - began, (server.cpu() - before) * 1000
    return Outcome(count, sum(listener.has_end for listener in listeners), cpu, seconds, peak)
