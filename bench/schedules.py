"""Schedules: how late they fire when many are due in the same second, doubles, and what many of them cost while idle.

Three processes share a database. The schedules are written into it directly. The peer is not measured: its scheduler
makes one call after another and waits for each.
"""

import asyncio
import time
from functools import partial

from bench.deployment import Alone, Worker, deployed, until
from bench.figures import Bar, Figure
from bench.measures import Measure
from bench.servers import NoFigure
from bench.stores import Postgres, Sqlite, Store, select
from bench.trial import SETTLE_SECONDS, Bench
from musterd.features.schedules import store as schedules
from musterd.features.schedules.records import OPERATOR, Definition, Overlap, Schedule, SessionPolicy
from musterd.store.database import Tx
from musterd.store.open_database import open_database

DUE_AT_ONCE = 1_000
IDLE = 10_000
IDLE_SECONDS = 20
LEAD_SECONDS = 10.0
PROCESSES = 3
LOOK_SECONDS = 0.1


def schedule(number: int, at: float) -> Schedule:
    definition = Definition(
        endpoint="/agents/clerk/runs",
        payload={"message": f"schedule {number}"},
        at=at,
        overlap=Overlap.PARALLEL,
        session=SessionPolicy.NEW,
    )
    return Schedule(
        id=f"schedule-{number}",
        owner=None,
        name=f"schedule {number}",
        definition=definition,
        maker=OPERATOR,
        enabled=True,
        created_at=at - LEAD_SECONDS,
        next_run_at=at,
    )


async def add(url: str, count: int, at: float) -> None:
    """Write schedules into the database."""

    async def work(tx: Tx) -> None:
        for number in range(count):
            await schedules.add(tx, schedule(number, at))

    database = open_database(url)
    await database.open()
    await database.write(work)
    await database.close()


async def measure_due_at_once(bench: Bench) -> list[Figure]:
    """Many schedules that are due in the same second, on three processes and each database."""
    with Postgres() as postgres:
        return [figure for store in (Sqlite(), postgres) for figure in await _due_at_once(bench, store)]


async def _due_at_once(bench: Bench, store: Store) -> list[Figure]:
    count = bench.times(DUE_AT_ONCE)
    async with deployed(bench, store, {"BENCH_MODEL": "scripted"}) as deployment:
        processes: list[Alone] = [await deployment.start(Worker) for _ in range(PROCESSES)]
        await deployment.meet()
        at = float(int(time.time()) + int(LEAD_SECONDS) + 1)
        await add(deployment.url, count, at)
        if time.time() > at - 1:
            raise NoFigure("the schedules were not stored in time")
        await asyncio.sleep(at - 1 - time.time())
        before = sum(process.cpu() for process in processes) + store.cpu()

        async def have_fired(share: float) -> bool:
            await asyncio.sleep(LOOK_SECONDS)  # each look connects to the database, which costs it milliseconds
            (row,) = await select(deployment.url, "SELECT count(*) AS n FROM firings")
            return bool(row["n"] >= share * count)

        # Seen from outside: the times in the rows are those before the commits.
        await until(partial(have_fired, 0.99), "99 % of the schedules have fired")
        p99_ms = (time.time() - at) * 1000
        await until(partial(have_fired, 1), "all schedules have fired")
        stored_ms = (time.time() - at) * 1000
        await asyncio.sleep(SETTLE_SECONDS)
        cpu = sum(process.cpu() for process in processes) + store.cpu() - before
        rows = await select(deployment.url, "SELECT schedule_id, run_id FROM firings")
    doubles = len(rows) - len({row["schedule_id"] for row in rows})
    name = f"{count:,} schedules due in one second on {PROCESSES} processes, {store.name}"
    return [
        Figure(name=f"{name}: firings with a run", unit="", ours=sum(row["run_id"] is not None for row in rows)),
        Figure(name=f"{name}: doubles", unit="", ours=doubles, bar=Bar(at_most=0)),
        Figure(name=f"{name}: lateness p99", unit="ms", ours=p99_ms, bar=Bar(at_most=1000)),
        Figure(name=f"{name}: lateness of the last", unit="ms", ours=stored_ms),
        Figure(name=f"{name}: CPU a firing and its run", unit="ms", ours=cpu * 1000 / count),
    ]


async def measure_idle(bench: Bench) -> list[Figure]:
    """What a process costs that has nothing to do, without schedules and with many that are due later."""
    count = bench.times(IDLE)
    async with deployed(bench, Sqlite(), {"BENCH_MODEL": "scripted"}) as deployment:
        process = await deployment.start(Worker)
        without = await _idle_cost(bench, process)
        await add(deployment.url, count, time.time() + 86_400)
        with_many = await _idle_cost(bench, process)
    return [
        Figure(name="idle, without schedules: CPU a second", unit="ms", ours=without),
        Figure(name=f"idle, {count:,} schedules: CPU a second", unit="ms", ours=with_many),
    ]


async def _idle_cost(bench: Bench, process: Alone) -> float:
    seconds = max(IDLE_SECONDS * bench.scale, 2)
    await asyncio.sleep(SETTLE_SECONDS)
    before = process.cpu()
    await asyncio.sleep(seconds)
    return (process.cpu() - before) * 1000 / seconds


SCHEDULES: dict[str, Measure] = {
    "due-at-once": measure_due_at_once,
    "idle": measure_idle,
}
