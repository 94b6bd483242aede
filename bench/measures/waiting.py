"""Memory and idle CPU while a thousand runs wait for a slow model."""

import asyncio
import time
from dataclasses import dataclass

from bench.client import Client, leader_work, new_session
from bench.figures import Bar, Figure, beside
from bench.servers import Musterd, Peer, Server
from bench.trial import Bench, Side, drive

RUNS_WAITING = 1000
SLOW = "[[SLEEP 600000]]"
PATIENCE_SECONDS = 30
IDLE_SECONDS = 3
LIMITS = ("MUSTERD_CONCURRENCY", "MUSTERD_MODEL_CALLS", "MUSTERD_PROVIDER_CALLS")
ENVIRONMENT = dict.fromkeys(LIMITS, str(RUNS_WAITING))


@dataclass
class Outcome:
    """What a server that waits costs."""

    waiting: int
    rss_mb: float
    kb_a_run: float
    idle_cpu_ms: float


async def measure(bench: Bench) -> list[Figure]:
    kinds: list[type[Server]] = [Musterd, Peer] if bench.with_peer else [Musterd]
    outcomes = []
    for kind in kinds:
        with kind(bench.model.base_url, ENVIRONMENT) as server:
            async with Client(server.url) as client:
                outcomes.append(await one(bench, Side(server, client)))
        await open_calls(bench, 0)
    name = f"{RUNS_WAITING:,} runs that wait"
    return [
        beside(f"{name}: at the model", "", outcomes, lambda of: of.waiting, Bar(at_least=RUNS_WAITING)),
        beside(f"{name}: memory", "MB", outcomes, lambda of: of.rss_mb),
        beside(f"{name}: memory a run", "kB", outcomes, lambda of: of.kb_a_run, Bar(at_most=40)),
        beside(f"{name}: CPU a second", "ms", outcomes, lambda of: of.idle_cpu_ms),
    ]


async def one(bench: Bench, side: Side) -> Outcome:
    """Warm the server up, let a thousand runs wait, and look."""
    await drive(side, lambda _: side.client.run(leader_work()), 100, clients=8)
    await asyncio.sleep(1)
    before = side.server.rss()
    await drive(side, lambda _: side.client.start(SLOW, new_session()), RUNS_WAITING, clients=16)
    waiting = await open_calls(bench, RUNS_WAITING)
    await asyncio.sleep(1)
    after, cpu = side.server.rss(), side.server.cpu()
    await asyncio.sleep(IDLE_SECONDS)
    return Outcome(
        waiting=waiting,
        rss_mb=after / 1000,
        kb_a_run=(after - before) / max(1, waiting),
        idle_cpu_ms=(side.server.cpu() - cpu) * 1000 / IDLE_SECONDS,
    )


async def open_calls(bench: Bench, target: int) -> int:
    """Wait until so many calls are open at the model, or patience ends; return how many are."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while (count := await asyncio.to_thread(bench.model.open_calls)) != target:
        if time.perf_counter() > deadline:
            break
        await asyncio.sleep(0.1)
    return count
