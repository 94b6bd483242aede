"""Time from a request to the first model call, if one process accepts the run and another drives it."""

import asyncio
import time

from bench.client import leader_work, new_session
from bench.deployment import Deployment, Front, ObservedCall, Worker, deployed
from bench.figures import Bar, Figure, beside
from bench.trial import Bench, Samples, Side

RUNS = 100
WARM_UP = 10


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer drives a run where it was accepted."""
    figures = []
    for store in bench.stores:
        async with deployed(bench, store) as deployment:
            front = await deployment.client_of(await deployment.start(Front))
            await deployment.start(Worker)
            await deployment.meet()
            seconds = [await one(deployment, front) for _ in range(WARM_UP + bench.times(RUNS))][WARM_UP:]
        samples = Samples(seconds=seconds)
        name = f"request to one process, model call from another, {store.name}"
        figures += [
            beside(f"{name}: p50", "ms", [samples], lambda of: of.percentile(0.5), Bar(at_most=50)),
            beside(f"{name}: p99", "ms", [samples], lambda of: of.percentile(0.99)),
        ]
    return figures


async def one(deployment: Deployment, front: Side) -> float:
    """Start a run; return the seconds from sending the request to the arrival of its model call."""
    message, session = leader_work(), new_session()

    def is_its(call: ObservedCall) -> bool:
        return call.what.startswith(f"{message}#")

    await asyncio.to_thread(deployment.bench.model.reset)
    began = time.perf_counter()
    await front.client.start(message, session)
    call = await deployment.calls.first(is_its, "the model call of a run that another process accepted")
    await asyncio.sleep(0.05)  # what follows the answer is not to meet the next run
    return call.at - began
