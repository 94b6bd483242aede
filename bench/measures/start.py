"""What a server costs before it has done anything: on a new database, and on one that is there."""

import asyncio
import statistics
import tempfile
from pathlib import Path

from bench.figures import Bar, Figure
from bench.servers import WORK, Musterd, Peer, Server
from bench.trial import Bench

STARTS = 3
IDLE_SECONDS = 1

Costs = tuple[float, float, float]


async def measure(bench: Bench) -> list[Figure]:
    kinds: list[type[Server]] = [Musterd, Peer] if bench.with_peer else [Musterd]
    found: dict[tuple[type[Server], bool], list[Costs]] = {}
    for turn in range(1 + STARTS):
        for kind in kinds:
            with tempfile.TemporaryDirectory(prefix="db-", dir=WORK) as folder:
                for is_new in (True, False):
                    costs = await one(bench, kind, Path(folder) / "bench.db")
                    if turn:  # the first compiles what was never started before
                        found.setdefault((kind, is_new), []).append(costs)
    middle = {key: [statistics.median(each) for each in zip(*all_, strict=True)] for key, all_ in found.items()}
    return [
        figure
        for is_new, title in ((False, "start"), (True, "start on a new database"))
        for figure in rows(title, middle[Musterd, is_new], middle.get((Peer, is_new)))
    ]


def rows(title: str, ours: list[float], peer: list[float] | None) -> list[Figure]:
    """Return the figures of one kind of start."""
    named = [
        ("CPU until /health answers", "s", Bar(at_most=1.5)),
        ("time until /health answers", "s", None),
        ("memory, idle", "MB", Bar(at_most=110)),
    ]
    return [
        Figure(name=f"{title}: {name}", unit=unit, ours=ours[n], peer=peer and peer[n], bar=bar)
        for n, (name, unit, bar) in enumerate(named)
    ]


async def one(bench: Bench, kind: type[Server], db: Path) -> Costs:
    """Start once and look at it when it has come to rest."""
    with kind(bench.model.base_url, db=db) as server:
        await asyncio.sleep(IDLE_SECONDS)
        return server.start_cpu_seconds, server.start_seconds, server.rss() / 1000
