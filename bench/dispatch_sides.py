"""The two processes of a dispatch: one accepts runs, and the other claims them. Started by `python -m bench.dispatch`.

Each prints `ready`, waits for a line, does its work, and prints as JSON when it handled which run.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from unittest.mock import patch

import procrastinate
import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.records import Input, RunRow
from musterd.core.settings import Settings
from musterd.core.states import RunState
from musterd.declare import Registry
from musterd.declare.agent import Agent
from musterd.engine.worker import ProcessRole
from musterd.http.server import Server
from musterd.service.runs import RunRequest
from musterd.store import acceptance
from musterd.store.acceptance import Accepted, Candidate
from musterd.store.database import Statement, Tx
from musterd.store.rows import RUN_COLUMNS, run_row

QUEUE, TASK = "agent:solo", "drive"
AT_ONCE = 16
WAYS = ("ours", "procrastinate")

DEFER = Statement(
    "bench_defer",
    """SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(:queue, :task, 0, NULL, NULL, CAST(:args AS jsonb), NULL)
                                          ::procrastinate_job_to_defer_v1]) AS ids""",
)
CLAIM_ONE = Statement(
    "bench_claim_one",
    f"""UPDATE runs SET state = 'running', attempt = attempt + 1, worker = :worker, version = version + 1,
                        started_at = COALESCE(started_at, :now)
        WHERE run_id = :run_id AND state = 'ready' AND cancel_requested_at IS NULL RETURNING {RUN_COLUMNS}""",  # noqa: S608 - constants
)

Times = dict[str, float]


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def wait_to_begin() -> None:
    """Say that this process is ready, and wait until it is to begin."""
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)


def server_on(url: str, process_role: ProcessRole) -> Server:
    registry = Registry.of(agents=[Agent(id="solo", model="scripted")], teams=[])
    settings = Settings(db=url, concurrency=AT_ONCE, queue_depth=1_000_000)
    return Server(registry, settings, (), process_role)


async def accept(way: str, url: str, count: int, clients: int, apart_seconds: float) -> Times:
    """Accept so many runs, as the server does; return when each was about to be committed."""
    deferred: Times = {}
    stored = acceptance.accept

    async def accept_and_defer(tx: Tx, candidate: Candidate) -> Accepted:
        accepted = await stored(tx, candidate)
        assert accepted.run.state is RunState.READY
        run_id = accepted.run.run_id
        if way != "ours":
            await tx.one(DEFER, {"queue": QUEUE, "task": TASK, "args": json.dumps({"run_id": run_id})})
        deferred[run_id] = time.perf_counter()
        return accepted

    server = server_on(url, ProcessRole(drives_runs=False))
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            request = RunRequest(input=Input(message="hello"), run_id=clock.new_id(), is_background=True)
            await server.runs.start(server.component("agent", "solo"), request, Caller())
            if apart_seconds:
                await asyncio.sleep(apart_seconds)

    with patch.object(acceptance, "accept", accept_and_defer):
        async with server.running():
            await wait_to_begin()
            await asyncio.gather(*(client() for _ in range(clients)))
    return deferred


async def take(way: str, url: str, count: int) -> Times:
    """Take so many runs; return when each was this worker's."""
    return await (take_by_claim(url, count) if way == "ours" else take_by_jobs(url, count))


async def take_by_claim(url: str, count: int) -> Times:
    """Claim with the engine as it is; a run that is begun is over at once."""
    taken: Times = {}
    has_all = asyncio.Event()
    server = server_on(url, ProcessRole())

    def begin(run: RunRow) -> None:
        taken[run.run_id] = time.perf_counter()
        if len(taken) == count:
            has_all.set()

    with patch.object(server.worker, "_begin", begin):
        async with server.running():
            await wait_to_begin()
            await has_all.wait()
            say("taken")
    return taken


async def take_by_jobs(url: str, count: int) -> Times:
    """Have procrastinate's worker bring the runs; each is claimed by its id."""
    taken: Times = {}
    has_all = asyncio.Event()
    server = server_on(
        url, ProcessRole(drives_runs=False)
    )  # the rest of a worker: it shows that it lives, hears of cancels
    database, worker = server.database, server.worker.worker_id
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name=TASK, queue=QUEUE)
    async def drive(run_id: str) -> None:
        async def claim(tx: Tx) -> RunRow | None:
            row = await tx.one(CLAIM_ONE, {"run_id": run_id, "worker": worker, "now": clock.now()})
            return None if row is None else run_row(row)

        if await database.write(claim) is not None:
            taken[run_id] = time.perf_counter()
        if len(taken) == count:
            has_all.set()

    async with server.running(), app.open_async():
        working = asyncio.create_task(
            app.run_worker_async(
                queues=[QUEUE],
                concurrency=AT_ONCE,
                listen_notify=True,
                delete_jobs="successful",
                install_signal_handlers=False,
            )
        )
        await wait_to_begin()
        await has_all.wait()
        say("taken")
        working.cancel()
        await asyncio.wait([working])  # those under way are finished and deleted
    return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("act", choices=("accept", "take"))
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("clients", type=int, nargs="?", default=1)
    parser.add_argument("apart_seconds", type=float, nargs="?", default=0)
    chosen = parser.parse_args()
    logging.disable(logging.INFO)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if chosen.act == "accept":
        times = asyncio.run(accept(chosen.way, chosen.url, chosen.count, chosen.clients, chosen.apart_seconds))
    else:
        times = asyncio.run(take(chosen.way, chosen.url, chosen.count))
    say(times)


if __name__ == "__main__":
    main()
