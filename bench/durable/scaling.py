"""Runs per second and their CPU with 1, 2 and 4 workers on Postgres, with the scripted model in the process.

Clients, the accepting process, the workers and Postgres share the cores of the machine. It also reports the stored size
of a run and the cost of idle processes.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.client import leader_work, new_session
from bench.deployment import PATIENCE_SECONDS, Deployment, Front, Worker, deployed
from bench.figures import Figure, beside
from bench.servers import NoFigure
from bench.stores import Postgres, select
from bench.trial import Bench, Side, drive

WORKERS = (1, 2, 4)
RUNS = 1000
WARM_UP = 100
CLIENTS = 16
IDLE_SECONDS = 4
LOOK_SECONDS = 0.1  # each look is a connection, and Postgres's work
SCRIPTED = {"BENCH_MODEL": "scripted"}
NOT_ENDED = "SELECT count(*) AS n FROM runs WHERE state IN ('queued', 'ready', 'running')"
NOT_COMPLETED = "SELECT count(*) AS n FROM runs WHERE state <> 'completed'"
ROOTS = "SELECT count(*) AS n FROM runs WHERE parent_id IS NULL"
SIZE = "SELECT sum(pg_total_relation_size(relid))::bigint AS n FROM pg_stat_user_tables"
COMMITS = "SELECT xact_commit AS n FROM pg_stat_database WHERE datname = current_database()"

numbers = itertools.count()


def member_work() -> str:
    """Return a message that the leader gives to a member, who calls a tool: four model calls."""
    return f'Number {next(numbers)} [[DELEGATE clerk: <TOOL note {{"text": "n"}}>]]'


KINDS: dict[str, tuple[Callable[[], str], tuple[int, ...]]] = {
    "leader only": (leader_work, WORKERS),
    "leader + member with a tool": (member_work, (2,)),
}


@dataclass
class Outcome:
    """What so many workers did."""

    per_second: float
    front_ms: float
    workers_ms: float
    postgres_ms: float
    bus_ms: float
    commits: float
    kb_a_run: float
    idle_process_ms: float
    idle_postgres_ms: float

    @property
    def all_ms(self) -> float:
        """CPU of a run in all processes."""
        return self.front_ms + self.workers_ms + self.postgres_ms + self.bus_ms


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer runs in one process."""
    figures = []
    for store in bench.stores:
        if not isinstance(store, Postgres):
            continue
        for kind, (work, counts) in KINDS.items():
            for count in counts:
                async with deployed(bench, store, SCRIPTED) as deployment:
                    outcome = await with_workers(deployment, count, work)
                figures += figures_of(f"{count} worker{'s' * (count > 1)} on Postgres, {kind}", outcome)
    return figures


def figures_of(name: str, outcome: Outcome) -> list[Figure]:
    return [
        beside(f"{name}: runs a second", "", [outcome], lambda of: of.per_second),
        beside(f"{name}: CPU a run, accepting", "ms", [outcome], lambda of: of.front_ms),
        beside(f"{name}: CPU a run, workers", "ms", [outcome], lambda of: of.workers_ms),
        beside(f"{name}: CPU a run, Postgres", "ms", [outcome], lambda of: of.postgres_ms),
        beside(f"{name}: commits a run", "", [outcome], lambda of: of.commits),
        beside(f"{name}: kept of a run, with indexes", "kB", [outcome], lambda of: of.kb_a_run),
        beside(f"{name}: idle, CPU a second of a process", "ms", [outcome], lambda of: of.idle_process_ms),
        beside(f"{name}: idle, CPU a second of Postgres", "ms", [outcome], lambda of: of.idle_postgres_ms),
    ]


def no_cpu() -> float:
    return 0.0


async def with_workers(
    deployment: Deployment, count: int, work: Callable[[], str], bus_cpu: Callable[[], float] = no_cpu
) -> Outcome:
    """Start so many workers and have them do the runs that clients start through another process.

    :param bus_cpu: returns the CPU of the bus's own processes so far, in seconds.
    """
    front = await deployment.client_of(await deployment.start(Front))
    workers = [await deployment.start(Worker) for _ in range(count)]
    await deployment.meet()
    await all_of(deployment, front, WARM_UP, work)
    runs = deployment.bench.times(RUNS)

    def cpu() -> list[float]:
        return [front.server.cpu(), sum(worker.cpu() for worker in workers), deployment.store.cpu(), bus_cpu()]

    before, commits = cpu(), await number(deployment, COMMITS)
    began = time.perf_counter()
    await all_of(deployment, front, runs, work)
    seconds = time.perf_counter() - began
    after, commits = cpu(), await number(deployment, COMMITS) - commits
    if await number(deployment, NOT_COMPLETED):
        raise NoFigure("a run did not complete")
    milliseconds = [(now - then) * 1000 / runs for now, then in zip(after, before, strict=True)]
    front_ms, workers_ms, postgres_ms, bus_ms = milliseconds
    kilobytes = await number(deployment, SIZE) / 1000 / await number(deployment, ROOTS)
    await deployment.meet()
    before = cpu()
    await asyncio.sleep(IDLE_SECONDS)
    idle = [(now - then) * 1000 / IDLE_SECONDS for now, then in zip(cpu(), before, strict=True)]
    return Outcome(
        per_second=runs / seconds,
        front_ms=front_ms,
        workers_ms=workers_ms,
        postgres_ms=postgres_ms,
        bus_ms=bus_ms,
        commits=commits / runs,
        kb_a_run=kilobytes,
        idle_process_ms=(idle[0] + idle[1]) / (1 + count),
        idle_postgres_ms=idle[2],
    )


async def number(deployment: Deployment, text: str) -> float:
    """Return the number that a statement gives."""
    (row,) = await select(deployment.url, text)
    return float(row["n"])


async def all_of(deployment: Deployment, front: Side, runs: int, work: Callable[[], str]) -> None:
    """Start so many runs and wait until none is left."""
    await drive(front, lambda _: front.client.start(work(), new_session()), runs, CLIENTS)
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while await number(deployment, NOT_ENDED):
        if time.perf_counter() > deadline:
            raise NoFigure(f"{runs} runs have not ended within {PATIENCE_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)
