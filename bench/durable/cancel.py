"""Latency of a cancel in the process that drives the run, and from another process."""

from bench.deployment import Alone, Deployment, Front, Worker, deployed
from bench.durable.pickup import WARM_UP
from bench.figures import Bar, Figure, beside
from bench.measures.cancel import MODEL_SECONDS, one
from bench.trial import Bench, Samples, Side

CANCELS = 40


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the table of single processes has the peer's."""
    figures = []
    for store in bench.stores:
        async with deployed(bench, store) as deployment:
            alone = await deployment.client_of(await deployment.start(Alone))
            figures += await cancels(deployment, alone, "in the process that drives the run", 100)
        async with deployed(bench, store) as deployment:
            front = await deployment.client_of(await deployment.start(Front))
            await deployment.start(Worker)
            await deployment.meet()
            figures += await cancels(deployment, front, "from another process", 250)
    return figures


async def cancels(deployment: Deployment, side: Side, where: str, max_ms: float) -> list[Figure]:
    """Cancel one run after another."""
    bench = deployment.bench
    seconds = [await one(bench, side) for _ in range(WARM_UP + bench.times(CANCELS))][WARM_UP:]
    samples = Samples(seconds=seconds)
    name = f"cancel to stopped {where}, a model that takes {MODEL_SECONDS} s, {deployment.store.name}"
    return [
        beside(f"{name}: p50", "ms", [samples], lambda of: of.percentile(0.5), Bar(at_most=max_ms)),
        beside(f"{name}: longest", "ms", [samples], lambda of: of.percentile(1)),
    ]
