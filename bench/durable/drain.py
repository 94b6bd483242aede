"""A graceful stop during a run: time until another process continues the run, and until the process has exited."""

import asyncio
import signal
import time

from bench.client import leader_work, new_session
from bench.deployment import PATIENCE_SECONDS, Deployment, Front, ObservedCall, Worker, deployed, longest, until
from bench.figures import Figure, beside
from bench.servers import NoFigure
from bench.stores import select
from bench.trial import Bench, Samples, drive

DRAINS = 5
WARM_UP, CLIENTS = 200, 40  # more at once than one worker takes: what loads with the first run is loaded in both
STEP_MS = 200
DRIVER = "SELECT pid FROM workers WHERE id IN (SELECT worker FROM runs WHERE state = 'running')"
ATTEMPTS = "SELECT max(attempt) AS attempts FROM runs"


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer leaves such a run RUNNING for ever."""
    figures = []
    for store in bench.stores:
        drains = []
        for _ in range(bench.times(DRAINS)):
            async with deployed(bench, store) as deployment:
                drains.append(await one(deployment))
        on, gone = ([each[place] for each in drains] for place in range(2))
        name = f"SIGTERM, a model call of {STEP_MS} ms just begun, {store.name}"
        figures += [
            beside(f"{name}: run goes on elsewhere, p50", "ms", [Samples(seconds=on)], lambda of: of.percentile(0.5)),
            beside(f"{name}: run goes on elsewhere, longest", "ms", [on], longest),
            beside(f"{name}: process gone, longest", "ms", [gone], longest),
        ]
    return figures


async def one(deployment: Deployment) -> tuple[float, float]:
    """Tell the worker to stop that makes a model call; return the seconds to the run's next step, and to its exit."""
    front = await deployment.client_of(await deployment.start(Front))
    workers = [await deployment.start(Worker) for _ in range(2)]
    await deployment.meet()
    await drive(front, lambda _: front.client.run(leader_work()), WARM_UP, CLIENTS)
    session = new_session()
    message = f'[[SLEEP {STEP_MS}]][[TOOL note {{"text": "{session}"}}]]'
    run = await front.client.start(message, session)
    await deployment.calls.first(lambda call: call.what.startswith(message), "the model call before the stop")
    (driver,) = await select(deployment.url, DRIVER)
    leaving = next(worker.process for worker in workers if worker.process.pid == driver["pid"])
    began = time.perf_counter()
    leaving.send_signal(signal.SIGTERM)
    gone = asyncio.create_task(asyncio.to_thread(leaving.wait, PATIENCE_SECONDS))
    exited = asyncio.ensure_future(moment_of(gone))
    goes_on: ObservedCall = await deployment.calls.first(lambda call: call.at > began, "a step after the stop")
    seconds = goes_on.at - began, await exited - began

    async def is_completed() -> bool:
        return await front.client.state(run["run_id"], session) == "COMPLETED"

    await until(is_completed, "the end of a run that was handed over")
    (outcome,) = await select(deployment.url, ATTEMPTS)
    if outcome["attempts"] != 2 or gone.result() != 0:
        raise NoFigure(f"a drained run took {outcome['attempt']} attempts, its worker left with {gone.result()}")
    return seconds


async def moment_of(gone: "asyncio.Task[int]") -> float:
    """Return when a process had ended."""
    await gone
    return time.perf_counter()
