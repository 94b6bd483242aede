"""What a poll and an event of a stream cost a program that uses the client."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.client import Client, new_session
from bench.figures import Figure
from bench.servers import PEER_VENV, ROOT, Musterd, NoFigure
from bench.trial import Bench

CALLER = Path(__file__).with_name("caller.py")
POLLS = 2_000
STREAMS = 5
WORDS = 500
PACE_MS = 2  # slow enough for an event of its own
ROUNDS = 3


@dataclass(frozen=True)
class _Program:
    """The program that calls a server with one client (``caller.py``).

    :param session_id: the session of the run.
    :param run_id: a run that has ended, to poll.
    """

    client: str
    server: Musterd
    session_id: str
    run_id: str

    async def microseconds(self, work: str, message: str, count: int) -> float:
        """The least CPU of an answer or event, of several rounds."""
        return min([await self._once(work, message, count) for _ in range(ROUNDS)])

    async def _once(self, work: str, message: str, count: int) -> float:
        python = str(PEER_VENV / "bin" / "python") if self.client == "agentos" else sys.executable
        arguments = [self.client, self.server.url, self.session_id, self.run_id, work, message, str(count)]
        process = await asyncio.create_subprocess_exec(
            python, str(CALLER), *arguments, stdout=asyncio.subprocess.PIPE, env=self.server.surroundings(), cwd=ROOT
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise NoFigure(f"the program with {self.client} ended with {process.returncode}")
        result = json.loads(output)
        return float(result["cpu"]) * 1e6 / int(result["answers"])


async def measure(bench: Bench) -> list[Figure]:
    """Polls of a run that has ended, and streams of runs of many short events."""
    with Musterd(bench.model.base_url, {"MUSTERD_DELTA_SECONDS": "0"}) as server:
        async with Client(server.url) as client:
            run = await client.run("Say hello", session_id := new_session())
        message = f"[[WORDS {WORDS} {PACE_MS}]]"
        names = ["musterd", "httpx2", *(["agentos"] if bench.with_peer else [])]
        programs = {name: _Program(name, server, session_id, run["run_id"]) for name in names}
        polls = {name: await program.microseconds("poll", "", bench.times(POLLS)) for name, program in programs.items()}
        streams = {
            name: await program.microseconds("stream", message, bench.times(STREAMS))
            for name, program in programs.items()
        }
    return [
        Figure(name="CPU of a poll, beside AgentOSClient", unit="µs", ours=polls["musterd"], peer=polls.get("agentos")),
        Figure(name="CPU of a poll, httpx2 alone", unit="µs", ours=polls["httpx2"]),
        Figure(
            name="CPU of an event of a stream, beside AgentOSClient",
            unit="µs",
            ours=streams["musterd"],
            peer=streams.get("agentos"),
        ),
        Figure(name="CPU of an event of a stream, httpx2 alone", unit="µs", ours=streams["httpx2"]),
    ]
