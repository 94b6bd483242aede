"""What a server costs before it has done anything."""

import asyncio
import statistics

from bench.figures import Bar, Figure
from bench.servers import Musterd, Peer, Server
from bench.trial import Bench

STARTS = 5
IDLE_SECONDS = 1


async def measure(bench: Bench) -> list[Figure]:
    kinds: list[type[Server]] = [Musterd, Peer] if bench.with_peer else [Musterd]
    found: dict[type[Server], list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    for _ in range(STARTS):
        for kind in kinds:
            with kind(bench.model.base_url) as server:
                await asyncio.sleep(IDLE_SECONDS)
                found[kind].append((server.start_cpu_seconds, server.start_seconds, server.rss() / 1000))
    middle = [[statistics.median(values) for values in zip(*found[kind], strict=True)] for kind in kinds]
    ours, peer = middle[0], middle[1] if bench.with_peer else [None, None, None]
    named = [
        ("start: CPU until /health answers", "s", Bar(at_most=1.5)),
        ("start: time until /health answers", "s", None),
        ("memory, idle", "MB", Bar(at_most=110)),
    ]
    return [
        Figure(name=name, unit=unit, ours=ours[n], peer=peer[n], bar=bar)
        for n, (name, unit, bar) in enumerate(named)
    ]
