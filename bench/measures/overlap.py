"""Fifty background runs at once: in one session, which must keep their order, and in fifty sessions."""

import asyncio
import time
from dataclasses import dataclass

from bench.client import ENDED, RUNS, leader_work, new_session
from bench.figures import Bar, Figure, beside
from bench.trial import Bench, Side, drive

RUNS_AT_ONCE = 50
GIVE_UP_SECONDS = 8  # without any change
SLOWEST_LOOK_SECONDS = 0.5


@dataclass
class Outcome:
    """How fifty runs went."""

    completed: int
    in_order: bool
    seconds: float
    cpu_ms: float


async def measure(bench: Bench) -> list[Figure]:
    figures = []
    for title, count in (("one session", 1), (f"{RUNS_AT_ONCE} sessions", RUNS_AT_ONCE)):
        async with bench.sides() as sides:
            outcomes = [await at_once(bench, side, count) for side in sides]
        name = f"{RUNS_AT_ONCE} background runs at once, {title}"
        figures.append(beside(f"{name}: completed", "", outcomes, lambda of: of.completed, Bar(at_least=RUNS_AT_ONCE)))
        if count == 1:
            figures.append(beside(f"{name}: in order", "", outcomes, lambda of: of.in_order, Bar(at_least=True)))
        figures.append(beside(f"{name}: until the last ended", "ms", outcomes, lambda of: of.seconds * 1000))
        figures.append(beside(f"{name}: CPU", "ms", outcomes, lambda of: of.cpu_ms))
    return figures


async def at_once(bench: Bench, side: Side, sessions: int) -> Outcome:
    """Start fifty runs at once over so many sessions and watch until they ended or nothing moves any more."""
    names = [new_session() for _ in range(sessions)]
    await drive(side, lambda _: side.client.run(leader_work()), 16, clients=8)
    await asyncio.to_thread(bench.model.reset)
    messages = [leader_work() for _ in range(RUNS_AT_ONCE)]
    before, began = side.server.cpu(), time.perf_counter()
    accepted = await asyncio.gather(
        *(side.client.start(message, names[n % sessions]) for n, message in enumerate(messages))
    )
    states, ended, cpu = await watch(side, [(run["run_id"], run["session_id"]) for run in accepted])
    return Outcome(
        completed=states.count("COMPLETED"),
        in_order=sessions == 1 and await is_in_order(bench, side, names[0]),
        seconds=ended - began,
        cpu_ms=(cpu - before) * 1000,
    )


async def watch(side: Side, runs: list[tuple[str, str]]) -> tuple[list[str], float, float]:
    """Ask for the runs that have not ended, ever more seldom.

    Returns their states, and the time and the CPU at the last change.
    """
    states = ["PENDING"] * len(runs)
    changed, cpu, pause = time.perf_counter(), side.server.cpu(), 0.02
    while not ENDED.issuperset(states) and time.perf_counter() - changed < GIVE_UP_SECONDS:
        await asyncio.sleep(pause)
        left = [place for place, state in enumerate(states) if state not in ENDED]
        seen = await asyncio.gather(*(side.client.state(*runs[place]) for place in left))
        has_moved = any(states[place] != state and state in ENDED for place, state in zip(left, seen, strict=True))
        for place, state in zip(left, seen, strict=True):
            states[place] = state
        if has_moved:
            changed, cpu, pause = time.perf_counter(), side.server.cpu(), 0.02
        else:
            pause = min(2 * pause, SLOWEST_LOOK_SECONDS)
    return states, changed, cpu


async def is_in_order(bench: Bench, side: Side, session: str) -> bool:
    """Say whether all runs came to the model in the order in which they were accepted, one at a time."""
    report = await asyncio.to_thread(bench.model.report)
    listed = await side.client.answer("GET", RUNS, params={"session_id": session})
    accepted = [run["run_input"] for run in listed]
    return len(accepted) == RUNS_AT_ONCE and list(report["by_text"]) == accepted and report["peak"] == 1
