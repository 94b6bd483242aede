"""CPU and latency of a run that remembers a fact about its user, and of one that does not."""

import itertools
import statistics
from functools import partial
from typing import Any

from bench.client import new_session
from bench.figures import Bar, Figure, beside
from bench.servers import Musterd, NoFigure, Peer
from bench.trial import Bench, Side

NAMES = {"plain": "an agent", "remembering": "an agent that remembers its user"}
BAR = Bar(ratio=0.5)
FIRST_TOKEN = Bar(at_most=5)
numbers = itertools.count()


class Remembering(Musterd):
    source = "bench/teams/remembering.py"


class PeerRemembering(Peer):
    app = "bench/peer/remembering.py"


async def measure(bench: Bench) -> list[Figure]:
    figures: list[Figure] = []
    async with bench.sides(ours=Remembering, peer=PeerRemembering) as sides:
        for agent, name in NAMES.items():
            work = partial(act, agent=agent)
            samples = await bench.compare(sides, work, ours=800, peer=400, clients=4)
            figures += [
                beside(f"{name}: CPU a run", "ms", samples, lambda of: of.cpu, BAR),
                beside(f"{name}: p50", "ms", samples, lambda of: of.percentile(0.5)),
            ]
        return [*figures, await first_token(bench, sides[0])]


async def first_token(bench: Bench, side: Side) -> Figure:
    """How much later the first token comes, of a model that takes 100 ms for it, with one run at a time."""
    seconds: dict[str, list[float]] = {agent: [] for agent in NAMES}
    for _ in range(bench.times(50)):
        for agent, of_agent in seconds.items():
            run = await act(side, agent=agent, pause="[[SLEEP 100]] ")
            of_agent.append(run["metrics"]["time_to_first_token"])
    plain, remembering = (statistics.median(of_agent) for of_agent in seconds.values())
    name = "first token of an agent that remembers: later by"
    return Figure(name=name, unit="%", ours=(remembering / plain - 1) * 100, bar=FIRST_TOKEN)


async def act(side: Side, *, agent: str, pause: str = "") -> dict[str, Any]:
    number = next(numbers)
    form = {"message": f"{pause}Hello. I like tea number {number}.", "session_id": new_session(), "stream": "false"}
    run: dict[str, Any] = await side.client.answer(
        "POST", f"/agents/{agent}/runs", data={**form, "user_id": f"user-{number}"}
    )
    calls = len(run["metrics"]["details"].get("memory_model", ()))
    if run["status"] != "COMPLETED" or bool(calls) is not (agent == "remembering"):
        raise NoFigure(f"{side.server.name}: a run of {agent} ended {run['status']} with {run['metrics']!r}")
    return run
