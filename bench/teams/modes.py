"""CPU and latency of one run in each mode."""

from functools import partial

from bench.client import new_session
from bench.figures import Bar, Figure
from bench.measures.runs import shape as figures_of
from bench.servers import Musterd, NoFigure, Peer
from bench.teams.shapes import SHAPES, Shape
from bench.trial import Bench, Side

BAR = Bar(ratio=0.5)


class Teams(Musterd):
    source = "bench/teams/app.py"


class PeerTeams(Peer):
    app = "bench/peer/teams.py"


async def act(side: Side, *, shape: Shape) -> object:
    form = {"message": shape.message(), "session_id": new_session(), "stream": "false"}
    run = await side.client.answer("POST", f"/teams/{shape.team}/runs", data=form)
    if run["status"] != "COMPLETED" or shape.shows not in str(run["content"]):
        raise NoFigure(f"{side.server.name}: {shape.name} ended {run['status']} with {str(run['content'])[:300]!r}")
    return run


async def measure(bench: Bench) -> list[Figure]:
    figures: list[Figure] = []
    for shape in SHAPES:
        async with bench.sides(ours=Teams, peer=PeerTeams) as sides:
            work = partial(act, shape=shape)
            samples = await bench.compare(sides, work, ours=shape.ours, peer=shape.peer, clients=4)
        figures += figures_of(shape.name, BAR, samples)
    return figures
