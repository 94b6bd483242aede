"""The cost of starting a server, on a new and on an existing database."""

import asyncio
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Bar, Figure, beside
from bench.servers import WORK, Musterd, Peer, Server
from bench.trial import Bench

STARTS = 3
IDLE_SECONDS = 1

Costs = tuple[float, float, float]


CPU_BAR, MEMORY_BAR = Bar(at_most=0.75), Bar(at_most=90)


async def measure(bench: Bench) -> list[Figure]:
    return await compare(bench, [Musterd, Peer] if bench.with_peer else [Musterd], CPU_BAR, MEMORY_BAR)


async def compare(
    bench: Bench, kinds: Sequence[type[Server]], cpu_bar: Bar | None = None, memory_bar: Bar | None = None
) -> list[Figure]:
    """Start each kind of server several times, in turns."""
    costs_by_kind: dict[tuple[type[Server], bool], list[Costs]] = {}
    for turn in range(1 + STARTS):
        for kind in kinds:
            with tempfile.TemporaryDirectory(prefix="db-", dir=WORK) as folder:
                for is_new in (True, False):
                    costs = await one(bench, kind, Path(folder) / "bench.db")
                    if turn:  # the first compiles what was never started before
                        costs_by_kind.setdefault((kind, is_new), []).append(costs)
    figures = []
    for is_new, title in ((False, "start"), (True, "start on a new database")):
        sides = [middle(costs_by_kind[kind, is_new]) for kind in kinds]
        figures += [
            beside(f"{title}: CPU until /health answers", "s", sides, lambda of: of[0], cpu_bar),
            beside(f"{title}: time until /health answers", "s", sides, lambda of: of[1]),
            beside(f"{title}: memory, idle", "MB", sides, lambda of: of[2], memory_bar),
        ]
    return figures


def middle(starts: list[Costs]) -> Costs:
    """Return the median of each cost."""
    cpu, seconds, memory = (statistics.median(each) for each in zip(*starts, strict=True))
    return cpu, seconds, memory


async def one(bench: Bench, kind: type[Server], db: Path) -> Costs:
    """Start once and look at it when it has come to rest."""
    with kind(bench.model.base_url, db=db) as server:
        await asyncio.sleep(IDLE_SECONDS)
        return server.start_cpu_seconds, server.start_seconds, server.rss() / 1000
