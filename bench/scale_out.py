"""Several processes on Postgres: with NATS, and with the local bus.

Clients, the accepting process, the workers, Postgres and NATS share the cores of the machine.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

from bench.client import leader_work, new_session
from bench.deployment import Deployment, Front, Worker, deployed
from bench.durable import cancel, recovery, scaling
from bench.figures import Bar, Figure
from bench.measures.cancel import until_ended
from bench.servers import NoFigure, cpu_seconds
from bench.stores import Store, select
from bench.trial import Bench, Samples, Side
from tests.support.nats import NatsServer, binary

Measure = Callable[[Bench], Awaitable[Sequence[Figure]]]

WORKERS = (1, 2, 4, 8)
ROUNDS = 3
PACED_RUNS = 300
RUNS_A_SECOND = 20
IDLE_RUNS = 100
TAKE_OVERS = 3
CANCEL_MS, CLAIM_MS, TAKE_OVER_MS, MAX_GROWTH = 50, 60, 6000, 1.2
"""What NATS has to keep to."""
LOCAL_CANCEL_MS = 250
CLAIMED = "SELECT started_at - queued_at AS seconds FROM runs WHERE parent_id IS NULL ORDER BY created_at"
LOCAL, NATS = "local bus", "NATS"


@contextmanager
def started_nats() -> Iterator[NatsServer]:
    """Start NATS, for a block."""
    if binary() is None:
        raise NoFigure("nats-server is missing: it comes with the test requirements")
    with closing(NatsServer()) as nats:
        nats.start()
        yield nats


def environment(bus: str, nats: NatsServer) -> dict[str, str]:
    """Return what chooses a bus, for the processes on a new database."""
    return {} if bus == LOCAL else {"MUSTERD_BUS": nats.url, "MUSTERD_BUS_PREFIX": nats.prefix()}


def bar_of(bus: str, at_most: float) -> Bar | None:
    """Return the bar of NATS; the local bus has none here."""
    return Bar(at_most=at_most) if bus == NATS else None


def postgres(bench: Bench) -> Store:
    """Return the only database under test."""
    (store,) = bench.stores
    return store


async def workers(bench: Bench) -> list[Figure]:
    """Runs a second and their CPU with 1, 2, 4 and 8 workers; the scripted model answers at once.

    In rounds, of which the medians count, because the machine is up to twice as fast in one minute as in the next.
    """
    figures: list[Figure] = []
    with started_nats() as nats:
        for bus in (LOCAL, NATS):
            rounds = [await scaling_round(bench, bus, nats) for _ in range(bench.times(ROUNDS))]
            for count in WORKERS:
                outcomes = [outcome_of[count] for outcome_of in rounds]
                figures += scaling_figures(f"{bus}, {count} worker{'s' * (count > 1)}", outcomes)
            growth = statistics.median(outcome_of[4].all_ms / outcome_of[1].all_ms for outcome_of in rounds)
            name = f"{bus}: CPU of a run with four workers, divided by that with one"
            figures.append(Figure(name=name, unit="", ours=growth, bar=bar_of(bus, MAX_GROWTH)))
    return figures


async def scaling_round(bench: Bench, bus: str, nats: NatsServer) -> dict[int, scaling.Outcome]:
    """Measure each number of workers once, each with a new database."""
    outcomes = {}
    for count in WORKERS:
        variables = {**scaling.SCRIPTED, **environment(bus, nats)}
        async with deployed(bench, postgres(bench), variables) as deployment:
            bus_cpu = partial(cpu_seconds, nats.pid)
            outcomes[count] = await scaling.with_workers(deployment, count, leader_work, bus_cpu)
    return outcomes


def scaling_figures(name: str, outcomes: Sequence[scaling.Outcome]) -> list[Figure]:
    """Return the medians of several rounds."""

    def figure(what: str, unit: str, value: Callable[[scaling.Outcome], float]) -> Figure:
        return Figure(name=f"{name}: {what}", unit=unit, ours=statistics.median(map(value, outcomes)))

    return [
        figure("runs a second", "", lambda of: of.per_second),
        figure("CPU a run, all processes", "ms", lambda of: of.all_ms),
        figure("CPU a run, workers", "ms", lambda of: of.workers_ms),
        figure("CPU a run, Postgres", "ms", lambda of: of.postgres_ms),
        figure("CPU a run, NATS", "ms", lambda of: of.bus_ms),
        figure("commits a run", "", lambda of: of.commits),
        figure("idle, CPU a second of a process", "ms", lambda of: of.idle_process_ms),
        figure("idle, CPU a second of Postgres", "ms", lambda of: of.idle_postgres_ms),
    ]


async def dispatch(bench: Bench) -> list[Figure]:
    """Time from the acceptance of a run to its claim by another process, read from its row."""
    figures: list[Figure] = []
    with started_nats() as nats:
        for bus in (LOCAL, NATS):
            variables = {**scaling.SCRIPTED, **environment(bus, nats)}
            async with deployed(bench, postgres(bench), variables) as deployment:
                front = await deployment.client_of(await deployment.start(Front))
                for _ in range(2):
                    await deployment.start(Worker)
                await deployment.meet()
                await one_after_another(front, bench.times(IDLE_RUNS))
                idle = await waits_for_claim(deployment, 0)
                await paced(front, bench.times(PACED_RUNS))
                await scaling.all_of(deployment, front, 1, leader_work)  # which also waits for the others
                loaded = await waits_for_claim(deployment, len(idle.seconds))
            for load, samples in (("idle", idle), (f"{RUNS_A_SECOND} runs a second", loaded)):
                name = f"{bus}: accepted to claimed, two workers, {load}"
                p50, p99 = samples.percentile(0.5), samples.percentile(0.99)
                figures += [
                    Figure(name=f"{name}: p50", unit="ms", ours=p50),
                    Figure(name=f"{name}: p99", unit="ms", ours=p99, bar=bar_of(bus, CLAIM_MS)),
                ]
    return figures


async def one_after_another(front: Side, runs: int) -> None:
    """Start runs, each after the end of the one before."""
    for _ in range(runs):
        session = new_session()
        run = await front.client.start(leader_work(), session)
        await until_ended(front, run["run_id"], session)


async def paced(front: Side, runs: int) -> None:
    """Start so many runs, evenly in time."""
    began = time.perf_counter()

    async def start(number: int) -> None:
        await asyncio.sleep(began + number / RUNS_A_SECOND - time.perf_counter())
        await front.client.start(leader_work(), new_session())

    await asyncio.gather(*map(start, range(runs)))


async def waits_for_claim(deployment: Deployment, skipped: int) -> Samples:
    """Return how long each run waited for its claim, without the first ones."""
    rows = await select(deployment.url, CLAIMED)
    return Samples(seconds=[row["seconds"] for row in rows[skipped:]])


async def cancels(bench: Bench) -> list[Figure]:
    """Time from a cancel to the end of a run that another process drives."""
    figures: list[Figure] = []
    with started_nats() as nats:
        for bus, max_ms in ((LOCAL, LOCAL_CANCEL_MS), (NATS, CANCEL_MS)):
            async with deployed(bench, postgres(bench), environment(bus, nats)) as deployment:
                front = await deployment.client_of(await deployment.start(Front))
                await deployment.start(Worker)
                await deployment.meet()
                figures += await cancel.cancels(deployment, front, f"from another process, {bus}", max_ms)
    return figures


async def take_overs(bench: Bench) -> list[Figure]:
    """Kill -9 of one of two workers."""
    with started_nats() as nats:
        kills = [
            await recovery.take_over(bench, postgres(bench), environment(NATS, nats))
            for _ in range(bench.times(TAKE_OVERS))
        ]
    return recovery.rows("kill -9, another process goes on, NATS", kills, Bar(at_most=TAKE_OVER_MS))


SCALE_OUT: dict[str, Measure] = {
    "dispatch": dispatch,
    "cancels": cancels,
    "workers": workers,
    "take-overs": take_overs,
}
