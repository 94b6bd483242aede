"""A workflow of 20 steps that each return 200 KB: what it stores, what it costs, and what a crash in it costs."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.figures import Figure
from bench.servers import WORK, Musterd, Server
from bench.stores import select
from bench.trial import Bench

CHARACTERS, STEPS, RUNS = 200_000, 20, 10
LOOK_SECONDS = 0.02
GIVE_UP_SECONDS = 60
RUNS_PATH = "/workflows/large/runs"
COMPLETED = "SELECT run_id FROM runs WHERE state = 'completed'"


class Large(Musterd):
    source = "bench/workflows/large_app.py"


async def measure(bench: Bench) -> list[Figure]:
    """Ours alone: what is measured is how often we store the same."""
    environment = {"BENCH_CHARACTERS": str(CHARACTERS)}
    count = bench.times(RUNS)
    with Large(bench.model.base_url, environment) as server:
        async with Client(server.url) as client:
            await begin(client, "warm")
            await until(server, COMPLETED, 1)
            before_bytes, cpu = await stored(server), server.cpu()
            reset_peak(server)
            before = peak_mb(server)
            for number in range(count):
                await begin(client, f"r{number}")
                await until(server, COMPLETED, number + 2)
            cpu_ms, size = (server.cpu() - cpu) * 1000 / count, (await stored(server) - before_bytes) / count
            peak = peak_mb(server) - before
            reads = [await read(server, client, f"{RUNS_PATH}/r0{path}?session_id=s") for path in ("", "/events")]
    recovery_ms, recovery_peak = await recovered(bench, environment)
    name = f"{STEPS} steps of 200 KB"
    return [
        Figure(name=f"{name}: stored", unit="MB", ours=size / 1e6),
        Figure(name=f"{name}: CPU", unit="ms", ours=cpu_ms),
        Figure(name=f"{name}: peak of memory above idle", unit="MB", ours=peak),
        Figure(name=f"{name}: GET of the run, CPU", unit="ms", ours=reads[0]),
        Figure(name=f"{name}: GET of its events, CPU", unit="ms", ours=reads[1]),
        Figure(name=f"{name}: start after a kill in the last, and its end: CPU", unit="ms", ours=recovery_ms),
        Figure(name=f"{name}: the same: peak of memory", unit="MB", ours=recovery_peak),
    ]


async def begin(client: Client, run_id: str) -> None:
    form = {"message": "go", "session_id": "s", "run_id": run_id, "stream": "false", "background": "true"}
    await client.answer("POST", RUNS_PATH, expect=202, data=form)


async def until(server: Server, text: str, count: int) -> None:
    """Wait until so many rows are stored. Not by a poll, which would read the results."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            if len(await select(server.db_url, text)) >= count:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def stored(server: Server) -> int:
    """The bytes of the database."""
    (row,) = await select(
        server.db_url, "SELECT page_count * page_size AS n FROM pragma_page_count(), pragma_page_size()"
    )
    return int(row["n"])


async def read(server: Server, client: Client, path: str) -> float:
    """The CPU of one answer in ms."""
    before = server.cpu()
    answer: Any = await client.answer("GET", path)
    assert answer
    return (server.cpu() - before) * 1000


async def recovered(bench: Bench, environment: dict[str, str]) -> tuple[float, float]:
    """Kill a server in the last step, and start another one: its CPU in ms, and its peak of memory in MB."""
    with tempfile.TemporaryDirectory(prefix="db-", dir=WORK) as folder:
        db = Path(folder) / "bench.db"
        with Large(bench.model.base_url, {**environment, "BENCH_HANGS": "1"}, db) as server:
            async with Client(server.url) as client:
                await begin(client, "r")
                await until(server, "SELECT path FROM journal WHERE root_id = 'r' AND kind = 'function'", STEPS)
                server.process.kill()
                await asyncio.to_thread(server.process.wait)
        with Large(bench.model.base_url, environment, db) as server:
            before = server.start_cpu_seconds
            await until(server, COMPLETED, 1)
            return (server.cpu() - before) * 1000, peak_mb(server)


def reset_peak(server: Server) -> None:
    """Let the peak of the process's memory begin anew at what it is now."""
    time.sleep(1)
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")


def peak_mb(server: Server) -> float:
    """The most memory of the process that was in RAM."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
