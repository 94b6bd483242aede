"""Cancel of a run whose model does not respond: time until it is CANCELLED and its model call has ended."""

import asyncio
import time

from bench.client import ENDED, RUNS, new_session
from bench.figures import Bar, Figure, beside
from bench.trial import Bench, Samples, Side

MODEL_SECONDS = 5
LOOK_SECONDS = 0.002


async def measure(bench: Bench) -> list[Figure]:
    samples = []
    async with bench.sides() as sides:
        for side in sides:
            times = bench.times(40 if side.is_ours else 3)
            samples.append(Samples(seconds=[await one(bench, side) for _ in range(times)]))
    name = f"cancel to stopped, a model that takes {MODEL_SECONDS} s"
    bar = Bar(at_most=100)
    return [
        beside(f"{name}: p50", "ms", samples, lambda of: of.percentile(0.5), bar),
        beside(f"{name}: longest", "ms", samples, lambda of: of.percentile(1), bar),
    ]


async def one(bench: Bench, side: Side) -> float:
    """Start a run, wait until the model was asked, cancel; return the seconds until it has stopped."""
    session = new_session()
    run = await side.client.start(f"[[SLEEP {MODEL_SECONDS * 1000}]] {session}", session)
    await until_open(bench, 1)
    began = time.perf_counter()
    await side.client.answer("POST", f"{RUNS}/{run['run_id']}/cancel", params={"session_id": session})
    await until_ended(side, run["run_id"], session)
    await until_open(bench, 0)
    return time.perf_counter() - began


async def until_ended(side: Side, run_id: str, session: str) -> None:
    """Wait until the server says that the run has ended."""
    while True:
        if await side.client.state(run_id, session) in ENDED:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def until_open(bench: Bench, calls: int) -> None:
    """Wait until so many calls are open at the model."""
    while True:
        if await asyncio.to_thread(bench.model.open_calls) == calls:
            return
        await asyncio.sleep(LOOK_SECONDS)
