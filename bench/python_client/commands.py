"""How long commands take that a person waits for."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from bench.client import Client, leader_work, new_session
from bench.figures import Bar, Figure
from bench.servers import ROOT, Musterd, NoFigure
from bench.trial import Bench

TRIES = 10
RUNS = 50


async def measure(bench: Bench) -> list[Figure]:
    """The help of the command line, and the list of a local server's runs."""
    with Musterd(bench.model.base_url) as server:
        async with Client(server.url) as client:
            for _ in range(bench.times(RUNS)):
                await client.run(leader_work(), new_session())
        environment = {**os.environ, **server.surroundings(), "MUSTERD_URL": server.url}
        commands = {"--help": ["--help"], "runs --help": ["runs", "--help"], "runs ls": ["runs", "ls"]}
        milliseconds = {name: _fastest(arguments, environment) for name, arguments in commands.items()}
    return [
        Figure(
            name=f"musterd {name}: time",
            unit="ms",
            ours=time_ms,
            bar=Bar(at_most=300) if name.endswith("--help") else None,
        )
        for name, time_ms in milliseconds.items()
    ]


def _fastest(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """The least time of several tries: the others waited for something else on this machine."""
    return min(_once(arguments, environment) for _ in range(TRIES)) * 1000


def _once(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "musterd", *arguments], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    if done.returncode or not done.stdout:
        raise NoFigure(f"musterd {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-300:]!r}")
    return time.perf_counter() - began
