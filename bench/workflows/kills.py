"""A server that is killed at each step of a workflow: what is repeated, and when the run goes on.

The kill comes when a step has begun. All steps are retry-safe, so the one that was cut off is made again.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.client import Client
from bench.figures import Bar, Figure
from bench.servers import WORK, Musterd, NoFigure
from bench.stores import select
from bench.trial import Bench
from musterd.loop.run_tree import digest

CALLS = 6
"""Calls of functions in a run: one, two iterations, two branches, one."""
LOOK_SECONDS = 0.005
GIVE_UP_SECONDS = 60
RUNS = "/workflows/line/runs"
STORED = "SELECT path FROM journal WHERE root_id = 'r' AND kind = 'function' AND state = 'completed'"


class Killed(Musterd):
    source = "bench/workflows/killed_app.py"


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What one kill did.

    :param from_kill: seconds from the kill to the next step.
    :param from_start: seconds from the start of the next process to it.
    :param repeated: steps that were stored and were made again.
    """

    from_kill: float
    from_start: float
    repeated: int


@dataclass(frozen=True)
class Note:
    """One call of a step."""

    at: float
    run_id: str
    key: str


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: the peer leaves such a run RUNNING for ever."""
    kills = [await one(bench, number) for number in range(CALLS)]
    name = f"kill -9 in each of {CALLS} steps, then a start"
    start = max(kill.from_start for kill in kills) * 1000
    return [
        Figure(
            name=f"{name}: stored steps repeated",
            unit="",
            ours=sum(kill.repeated for kill in kills),
            bar=Bar(at_most=0),
        ),
        Figure(
            name=f"{name}: kill to next step, longest", unit="ms", ours=max(kill.from_kill for kill in kills) * 1000
        ),
        Figure(name=f"{name}: start of the process to it, longest", unit="ms", ours=start, bar=Bar(at_most=1000)),
    ]


async def one(bench: Bench, number: int) -> Kill:
    """Kill a server when the step of this number has begun."""
    with tempfile.TemporaryDirectory(prefix="db-", dir=WORK) as folder:
        db, path = Path(folder) / "bench.db", Path(folder) / "notes"
        path.touch()
        environment = {"BENCH_NOTES": str(path)}
        form = {"message": "go", "session_id": "s", "run_id": "r", "stream": "false", "background": "true"}
        with Killed(bench.model.base_url, environment, db) as server:
            async with Client(server.url) as client:
                await client.answer("POST", RUNS, expect=202, data=form)
                await begun(path, number + 1)
                server.process.kill()
                killed_at = time.perf_counter()
                await asyncio.to_thread(server.process.wait)
            stored = {digest("r", row["path"]) for row in await select(server.db_url, STORED)}
        with Killed(bench.model.base_url, environment, db) as server:
            async with Client(server.url) as client:
                run = await client.answer("GET", f"{RUNS}/r", params={"session_id": "s", "wait": str(GIVE_UP_SECONDS)})
        if run["status"] != "COMPLETED":
            raise NoFigure(f"the run is {run['status']} after a kill in step {number}")
        anew = [note for note in notes(path) if note.at > killed_at]
        if (made := len({note.key for note in notes(path)})) != CALLS:
            raise NoFigure(f"{made} steps were made, not {CALLS}")
        return Kill(
            from_kill=anew[0].at - killed_at,
            from_start=anew[0].at - server.began,
            repeated=sum(note.key in stored for note in anew),
        )


async def begun(path: Path, count: int) -> None:
    """Wait until so many steps have begun."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            if len(notes(path)) >= count:
                return
            await asyncio.sleep(LOOK_SECONDS)


def notes(path: Path) -> list[Note]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [Note(float(at), run_id, key) for at, run_id, key in lines]
