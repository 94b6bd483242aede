"""Runs per second and their CPU with 1, 2 and 4 workers on Postgres: the leader alone, scripted in the process.

Clients, the accepting process, the workers and Postgres share the machine's cores.
"""

import time
from dataclasses import dataclass

from bench.client import leader_work, new_session
from bench.figures import Figure, beside
from bench.site import Front, Site, Worker, site, until
from bench.stores import Postgres, select
from bench.trial import Bench, Side, drive

WORKERS = (1, 2, 4)
RUNS = 1000
WARM_UP = 100
CLIENTS = 16
SCRIPTED = {"BENCH_MODEL": "scripted"}
NOT_ENDED = "SELECT count(*) AS n FROM runs WHERE state IN ('queued', 'ready', 'running')"
NOT_COMPLETED = "SELECT count(*) AS n FROM runs WHERE state <> 'completed'"


@dataclass
class Outcome:
    """What so many workers did."""

    per_second: float
    front_ms: float
    workers_ms: float
    postgres_ms: float


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer runs in one process."""
    figures = []
    for store in bench.stores:
        if not isinstance(store, Postgres):
            continue
        for count in WORKERS:
            async with site(bench, store, SCRIPTED) as found:
                outcome = await with_workers(found, count)
            name = f"{count} worker{'s' * (count > 1)} on Postgres, leader only"
            figures += [
                beside(f"{name}: runs a second", "", [outcome], lambda of: of.per_second),
                beside(f"{name}: CPU a run, accepting", "ms", [outcome], lambda of: of.front_ms),
                beside(f"{name}: CPU a run, workers", "ms", [outcome], lambda of: of.workers_ms),
                beside(f"{name}: CPU a run, Postgres", "ms", [outcome], lambda of: of.postgres_ms),
            ]
    return figures


async def with_workers(found: Site, count: int) -> Outcome:
    """Start so many workers and have them do the runs that clients start through another process."""
    front = await found.client_of(await found.start(Front))
    workers = [await found.start(Worker) for _ in range(count)]
    await found.meet()
    await all_of(found, front, WARM_UP)
    runs = found.bench.times(RUNS)
    before = [front.server.cpu(), sum(worker.cpu() for worker in workers), found.store.cpu()]
    began = time.perf_counter()
    await all_of(found, front, runs)
    seconds = time.perf_counter() - began
    after = [front.server.cpu(), sum(worker.cpu() for worker in workers), found.store.cpu()]
    (left,) = await select(found.url, NOT_COMPLETED)
    assert left["n"] == 0
    took = [(now - then) * 1000 / runs for now, then in zip(after, before, strict=True)]
    return Outcome(runs / seconds, *took)


async def all_of(found: Site, front: Side, runs: int) -> None:
    """Start so many runs and wait until none is left."""
    await drive(front, lambda _: front.client.start(leader_work(), new_session()), runs, CLIENTS)

    async def are_ended() -> bool:
        return not (await select(found.url, NOT_ENDED))[0]["n"]

    await until(are_ended, f"{runs} runs have ended")
