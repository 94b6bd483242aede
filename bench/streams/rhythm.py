"""Many concurrent streams of ten words per second each, with default settings: whether words arrive on time."""

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

from bench.client import RUNS, Client, leader_work, new_session
from bench.figures import Bar, Figure, beside
from bench.servers import Musterd, NoFigure, Peer, Server
from bench.streams.listener import Listener, request
from bench.streams.memory import Peak, peak_of
from bench.trial import Bench, Side, drive

STREAMS = (100, 200, 400)
PEERS_MOST = 200
"""Above it the peer falls behind, and more would say nothing."""
WORDS, PACE_MS = 60, 100
LATE = Bar(at_most=200)
JUDGED = 200
"""The number of streams that must keep their rhythm."""


class Timed(Listener):
    """A reader that notes when text came."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self.times: list[float] = []

    def data_received(self, data: bytes) -> None:
        """Note the time of each piece of the answer that holds words; events of the end are not."""
        super().data_received(data)
        if b"RunContent\n" in data:
            self.times.append(time.perf_counter())


@dataclass
class Outcome:
    """What a server took for them, and how late their words were."""

    late_ms: list[float]
    cpu_ms: float
    seconds: float
    peak: Peak

    def share(self, share: float) -> float:
        """How late a word was at most, for such a share of all words."""
        return sorted(self.late_ms)[int(share * (len(self.late_ms) - 1))]


async def measure(bench: Bench) -> list[Figure]:
    figures = []
    for streams in STREAMS:
        count = bench.times(streams)
        has_peer = bench.with_peer and streams <= PEERS_MOST
        outcomes = []
        for kind in [Musterd, Peer] if has_peer else [Musterd]:
            outcomes.append(await _outcome(bench, kind, count))
        name = f"{count:,} streams at once, ten words a second"
        bar = LATE if streams == JUDGED else None
        figures += [
            beside(f"{name}: p99 of how late a word is", "ms", outcomes, lambda of: of.share(0.99), bar),
            beside(f"{name}: latest word", "ms", outcomes, lambda of: of.share(1)),
            beside(f"{name}: until the last had ended", "s", outcomes, lambda of: of.seconds),
            beside(f"{name}: CPU a second", "ms", outcomes, lambda of: of.cpu_ms / of.seconds),
            beside(f"{name}: memory a stream", "kB", outcomes, lambda of, n=count: of.peak.grown / n),
        ]
    return figures


async def _outcome(bench: Bench, kind: type[Server], count: int) -> Outcome:
    with kind(bench.model.base_url) as server:
        async with Client(server.url) as client:
            await drive(Side(server, client), lambda side: side.client.stream(leader_work()), 20, clients=4)
        before, began = server.cpu(), time.perf_counter()
        with peak_of(server) as peak:
            listeners = await asyncio.gather(*(_read(server) for _ in range(count)))
        seconds = time.perf_counter() - began
        cpu = (server.cpu() - before) * 1000
    if not all(listener.has_end for listener in listeners):
        raise NoFigure(f"{server.name}: {sum(not of.has_end for of in listeners)} streams were cut off")
    # Words that come together are in rhythm if the piece is: gaps are taken between pieces.
    late = [max(0.0, (later - earlier) * 1000 - PACE_MS) for of in listeners for earlier, later in pairwise(of.times)]
    return Outcome(late, cpu, seconds, peak)


async def _read(server: Server) -> Timed:
    form = {"message": f"[[WORDS {WORDS} {PACE_MS}]]", "session_id": new_session(), "stream": "true"}
    address = urlsplit(server.url)
    sent = request("POST", RUNS, form)
    loop = asyncio.get_running_loop()
    _, listener = await loop.create_connection(lambda: Timed(sent), address.hostname or "", address.port or 80)
    await listener.closed
    return listener
