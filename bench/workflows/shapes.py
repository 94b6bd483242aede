"""CPU and latency of one run of each kind of workflow."""

from dataclasses import dataclass
from functools import partial

from bench.client import new_session, numbers
from bench.figures import Bar, Figure
from bench.measures.runs import shape as figures_of
from bench.servers import Musterd, NoFigure, Peer
from bench.trial import Bench, Side
from bench.workflow_declarations import BRANCHES, FUNCTIONS, IN_A_ROW, ITERATIONS

BAR = Bar(ratio=0.5)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One kind of workflow: how often it runs, and how many results its end must have."""

    name: str
    workflow: str
    ours: int
    peer: int
    results: int


SHAPES = (
    Shape(name=f"{len(IN_A_ROW)} agents in a row", workflow="row", ours=300, peer=160, results=len(IN_A_ROW)),
    Shape(name=f"parallel, {len(BRANCHES)} agents", workflow="parallel", ours=120, peer=60, results=1 + len(BRANCHES)),
    Shape(
        name=f"condition, router, loop of {ITERATIONS}",
        workflow="choices",
        ours=400,
        peer=200,
        results=3 + 1 + 1 + ITERATIONS,
    ),
    Shape(name=f"{FUNCTIONS} functions in a row", workflow="functions", ours=300, peer=160, results=FUNCTIONS),
)


class Workflows(Musterd):
    source = "bench/workflows/app.py"


class PeerWorkflows(Peer):
    app = "bench/peer/workflows.py"


async def act(side: Side, *, shape: Shape) -> object:
    message = f"number {next(numbers)}"
    form = {"message": message, "session_id": new_session(), "stream": "false"}
    run = await side.client.answer("POST", f"/workflows/{shape.workflow}/runs", data=form)
    results = count_results(run["step_results"])
    if run["status"] != "COMPLETED" or message not in str(run["content"]) or results != shape.results:
        end = f"{run['status']} with {results} results and {str(run['content'])[:300]!r}"
        raise NoFigure(f"{side.server.name}: {shape.name} ended {end}")
    return run


def count_results(results: list[dict[str, object]]) -> int:
    """Count the results of steps, also of those in containers."""
    below = (result.get("steps") or [] for result in results)
    return len(results) + sum(count_results(steps) for steps in below if isinstance(steps, list))


async def measure(bench: Bench) -> list[Figure]:
    figures: list[Figure] = []
    for shape in SHAPES:
        async with bench.sides(ours=Workflows, peer=PeerWorkflows) as sides:
            samples = await bench.compare(sides, partial(act, shape=shape), ours=shape.ours, peer=shape.peer, clients=4)
        figures += figures_of(shape.name, BAR, samples)
    return figures
