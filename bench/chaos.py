"""A mixed load on several processes, while workers, NATS servers and Postgres are killed at random.

``python -m bench.chaos`` starts one process that accepts runs, two workers, three NATS servers and Postgres. It starts
runs in sessions, evenly in time, and meanwhile kills one of the others every few seconds and starts it again. In the
end every run must be completed with its own answer, and the runs of a session must have followed each other in the
order of their acceptance.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from bench.client import leader_work
from bench.deployment import Front, Worker
from bench.durable.recovery import MEMBER_MS, content, task
from bench.servers import NoFigure
from bench.stores import select
from musterd.client import AsyncClient
from tests.support.model_server import ModelServer
from tests.support.nats_cluster import NatsCluster, nats_cluster
from tests.support.own_postgres import OwnPostgres, own_postgres

WORKERS = 2
TEAM = "demo-team"
LOAD_SHARE = 0.9  # of the time in which something is killed; then the last runs follow without a new one
PATIENCE_SECONDS = 300
MEMBER_EVERY = 2
MODEL_MS = 1500  # long enough that a kill meets runs at work
ENDS = """SELECT session_id, run_id, state, attempt, started_at, ended_at FROM runs
          WHERE parent_id IS NULL ORDER BY session_id, seq"""


@dataclass
class Site:
    """The processes, and those that may be killed."""

    postgres: OwnPostgres
    nats: NatsCluster
    model: ModelServer
    environment: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self) -> None:
        worker = Worker(self.model.base_url, self.environment, self.postgres.url)
        worker.__enter__()
        self.workers.append(worker)

    def close(self) -> None:
        for worker in self.workers:
            worker.__exit__()


@asynccontextmanager
async def started() -> AsyncIterator[tuple[Site, Front]]:
    """Start everything."""
    async with AsyncExitStack() as stack:
        postgres, nats = stack.enter_context(own_postgres()), stack.enter_context(nats_cluster())
        model = stack.enter_context(ModelServer())
        for server in nats.servers.values():
            server.start()
        await nats.usable()
        environment = {"MUSTERD_BUS": nats.url, "MUSTERD_BUS_REPLICAS": "3"}
        site = Site(postgres, nats, model, environment)
        stack.callback(site.close)
        front = Front(model.base_url, environment, postgres.url)
        await asyncio.to_thread(front.__enter__)
        stack.callback(front.__exit__)
        for _ in range(WORKERS):
            await asyncio.to_thread(site.start_worker)
        yield site, front


async def kill_at_random(site: Site, until: float, chance: random.Random) -> Counter[str]:
    """Kill one thing after the other and start it again; return how often each kind was killed."""
    kills: Counter[str] = Counter()
    while time.perf_counter() < until:
        await asyncio.sleep(chance.uniform(3, 10))
        kind = chance.choice(("worker", "worker", "NATS", "Postgres"))
        kills[kind] += 1
        away_seconds = chance.uniform(0.2, 4)
        if kind == "worker":
            worker = site.workers.pop(chance.randrange(len(site.workers)))
            await asyncio.to_thread(worker.__exit__)
            await asyncio.sleep(away_seconds)
            await start_again(site)
        elif kind == "NATS":
            server = chance.choice(list(site.nats.servers.values()))
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(away_seconds)
            await asyncio.to_thread(server.start)
        else:
            await asyncio.to_thread(site.postgres.stop)
            await asyncio.sleep(away_seconds)
            await asyncio.to_thread(site.postgres.start)
    return kills


async def start_again(site: Site) -> None:
    """Start a worker, as often as is necessary: it does not start while NATS has no leader."""
    while True:
        try:
            await asyncio.to_thread(site.start_worker)
        except NoFigure:
            await asyncio.sleep(1)
        else:
            return


async def load(client: AsyncClient, runs: int, sessions: int, seconds: float, chance: random.Random) -> dict[str, str]:
    """Start runs evenly in time, and wait for the end of each; return the answers that are not the run's own, by id."""
    began, wrong = time.perf_counter(), dict[str, str]()

    async def one(number: int, session: str) -> None:
        await asyncio.sleep(began + seconds * number / runs - time.perf_counter())
        name = f"run{number:05}"
        has_member = number % MEMBER_EVERY == 0
        message = f"{name} [[{_delegations(name)}]]" if has_member else leader_work()
        answer = content(name) if has_member else f"Echo: {message}"
        run = await client.wait(await client.start(TEAM, message, session_id=session, run_id=name))
        if run.status != "COMPLETED" or run.content != answer:
            wrong[name] = f"{run.status}: {str(run.content)[:200]}"

    places = [f"session{chance.randrange(sessions):03}" for _ in range(runs)]
    await asyncio.gather(*(one(number, place) for number, place in enumerate(places)))
    return wrong


def _delegations(name: str) -> str:
    text = " || ".join(f"DELEGATE clerk: {task(name + part)}" for part in "ab")
    return text.replace(f"<SLEEP {MEMBER_MS}>", f"<SLEEP {MODEL_MS}>")


async def judge(url: str, runs: int) -> tuple[list[str], Counter[int]]:
    """Return what is wrong with the stored runs, and how many took how many attempts."""
    rows = await select(url, ENDS)
    faults = [] if len(rows) == runs else [f"{len(rows)} runs are stored, not {runs}"]
    faults += [f"{row['run_id']} is {row['state']}" for row in rows if row["state"] != "completed"]
    for before, after in pairwise(rows):
        if before["session_id"] != after["session_id"] or None in (before["ended_at"], after["started_at"]):
            continue
        if after["started_at"] < before["ended_at"]:
            faults.append(f"{after['run_id']} began before {before['run_id']} had ended")
    return faults, Counter(row["attempt"] for row in rows)


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=sys.modules[__name__].__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    seconds = chosen.minutes * 60
    of_load, of_kills = random.Random(chosen.seed), random.Random(chosen.seed)  # noqa: S311 - no secrets
    async with started() as (site, front):
        until = time.perf_counter() + seconds
        async with AsyncClient(front.url, retry_seconds=PATIENCE_SECONDS) as client, asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(load(client, chosen.runs, chosen.sessions, seconds * LOAD_SHARE, of_load))
            killing = tasks.create_task(kill_at_random(site, until, of_kills))
        wrong, kills = loading.result(), killing.result()
        faults, attempts = await judge(site.postgres.url, chosen.runs)
    faults += [f"{name}: {words}" for name, words in wrong.items()]
    print(f"{chosen.runs} runs in {chosen.sessions} sessions; kills: {dict(kills)}; runs by attempts: {dict(attempts)}")
    print("\n".join(faults) or "Each run is completed with its own answer, and each session in order.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
