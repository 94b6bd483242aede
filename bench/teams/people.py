"""1,000 runs that wait for a person: memory, the list of approvals, and the latency of an approved call."""

import asyncio
import tempfile
import time
from pathlib import Path

from bench.client import Client, new_session
from bench.figures import Bar, Figure
from bench.servers import Musterd, NoFigure
from bench.trial import Bench, Samples, Side

WAITING = 1_000
DECISIONS = 100
LISTS = 40
RUNS = "/teams/clerks/runs"
PATIENCE_SECONDS = 120


class People(Musterd):
    source = "bench/teams/clerks.py"


async def measure(bench: Bench) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes"
        notes.touch()
        with People(bench.model.base_url, {"BENCH_NOTES": str(notes)}) as server:
            async with Client(server.url) as client:
                return await _measured(bench, Side(server, client), notes)


async def _measured(bench: Bench, side: Side, notes: Path) -> list[Figure]:
    client, server, count = side.client, side.server, bench.times(WAITING)
    await _pause(client, 20)
    before = server.rss()
    sessions = await _pause(client, count)
    memory = (server.rss() - before) / count
    cpu, lists = server.cpu(), Samples()
    for _ in range(LISTS):
        began = time.perf_counter()
        page = await client.answer("GET", "/approvals", params={"status": "pending", "limit": 100})
        lists.seconds.append(time.perf_counter() - began)
        if len(page["data"]) != min(100, count + 20):
            raise NoFigure(f"the inbox shows {len(page['data'])} approvals")
    cpu = (server.cpu() - cpu) * 1000 / LISTS
    decided = [await _decide(client, run_id, session, notes) for run_id, session in sessions[: bench.times(DECISIONS)]]
    decided.sort()
    return [
        Figure(name=f"{count:,} paused runs: memory a run", unit="kB", ours=memory),
        Figure(name=f"inbox of {count:,}, a page of 100: p50", unit="ms", ours=lists.percentile(0.5)),
        Figure(name=f"inbox of {count:,}, a page of 100: CPU", unit="ms", ours=cpu),
        Figure(
            name="decision to the start of the tool, p50",
            unit="ms",
            ours=decided[len(decided) // 2],
            bar=Bar(at_most=50),
        ),
        Figure(name="decision to the start of the tool, longest", unit="ms", ours=decided[-1]),
    ]


async def _pause(client: Client, count: int) -> list[tuple[str, str]]:
    """Start runs that wait for a person; their ids and sessions, once all do."""
    message = '[[DELEGATE clerk: <TOOL stamp {"text": "a"}>]]'
    started = []
    for _ in range(count):
        session = new_session()
        form = {"message": message, "session_id": session, "stream": "false", "background": "true"}
        run = await client.answer("POST", RUNS, expect=202, data=form)
        started.append((run["run_id"], session))
    deadline = time.perf_counter() + PATIENCE_SECONDS
    for run_id, session in started:
        while True:
            run = await client.answer("GET", f"{RUNS}/{run_id}", params={"session_id": session, "wait": "10"})
            if run["status"] == "PAUSED":
                break
            if run["status"] not in ("PENDING", "RUNNING") or time.perf_counter() > deadline:
                raise NoFigure(f"a run is {run['status']} and does not wait")
    return started


async def _decide(client: Client, run_id: str, session: str, notes: Path) -> float:
    """Approve a call; the milliseconds until its tool began."""
    run = await client.answer("GET", f"{RUNS}/{run_id}", params={"session_id": session})
    (requirement,) = run["requirements"]
    size = size_of(notes)
    began = time.perf_counter()
    await client.answer("POST", f"/approvals/{requirement['id']}/resolve", json={"status": "approved"})
    while size_of(notes) == size:
        if time.perf_counter() > began + PATIENCE_SECONDS:
            raise NoFigure("an approved call was not made")
        await asyncio.sleep(0.001)
    return (began_at(notes, size) - began) * 1000


def size_of(notes: Path) -> int:
    return notes.stat().st_size


def began_at(notes: Path, size: int) -> float:
    """When the tool began that wrote the line behind ``size``."""
    with notes.open() as file:
        file.seek(size)
        return float(file.readline().split()[0])
