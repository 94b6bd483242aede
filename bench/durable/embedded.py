"""Durable runs per second of one process on two cores, over HTTP, with SQLite and the scripted model in the process."""

import os
import time
from dataclasses import dataclass

from bench.client import leader_work
from bench.deployment import Alone, Deployment, deployed
from bench.figures import Bar, Figure, beside
from bench.stores import Sqlite
from bench.trial import Bench, drive

RUNS = 1500
WARM_UP = 100
CLIENTS = 32
ROUNDS = 3
CORES = 2


@dataclass
class Outcome:
    """How many runs were done."""

    per_second: float
    cpu_ms: float


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer has no scripted model of its own."""
    async with deployed(bench, Sqlite(), {"BENCH_MODEL": "scripted"}) as deployment:
        outcome = await best(deployment)
    name = f"embedded: leader only, scripted in the process, {CLIENTS} clients"
    return [
        beside(f"{name}: runs a second", "", [outcome], lambda of: of.per_second, Bar(at_least=150)),
        beside(f"{name}: CPU a run", "ms", [outcome], lambda of: of.cpu_ms),
    ]


async def best(deployment: Deployment) -> Outcome:
    """Do rounds of runs on two cores of the machine, clients included; return the middle one."""
    alone = await deployment.client_of(await deployment.start(Alone))
    allowed = os.sched_getaffinity(0)
    two = set(sorted(allowed)[:CORES])
    os.sched_setaffinity(alone.server.process.pid, two)
    os.sched_setaffinity(0, two)
    try:
        await drive(alone, lambda _: alone.client.run(leader_work()), WARM_UP, CLIENTS)
        outcomes = []
        for _ in range(ROUNDS):
            runs = deployment.bench.times(RUNS)
            before, began = alone.server.cpu(), time.perf_counter()
            await drive(alone, lambda _: alone.client.run(leader_work()), runs, CLIENTS)
            seconds = time.perf_counter() - began
            outcomes.append(Outcome(runs / seconds, (alone.server.cpu() - before) * 1000 / runs))
    finally:
        os.sched_setaffinity(0, allowed)
    return sorted(outcomes, key=lambda of: of.per_second)[ROUNDS // 2]
