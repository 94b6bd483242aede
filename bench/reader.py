"""A subscriber of a run that records each event and when it arrived."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.client import RUNS, Client

END = "TeamRunCompleted"
GIVE_UP_SECONDS = 60


@dataclass
class Reader:
    """One run and what a reader was told of it. The same request under the same run id tells it from the beginning.

    :param events_by_index: every event by its index, once for each time that it was asked for.
    :param doubled: events that came twice in one answer.
    """

    run_id: str
    message: str
    session: str
    events_by_index: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    doubled: int = 0
    ended_at: float = 0.0

    async def read(self, client: Client) -> None:
        """Start the run, or ask for it again, and read until its end or until the connection is lost."""
        form = {"message": self.message, "session_id": self.session, "run_id": self.run_id}
        form |= {"stream": "true", "background": "true"}
        rest, seen = b"", set[int]()
        try:
            async with client.http.post(RUNS, data=form) as response:
                async for piece in response.content.iter_any():
                    *frames, rest = (rest + piece).split(b"\n\n")
                    for frame in frames:
                        self.take(frame, seen)
        except (aiohttp.ClientError, ConnectionError):
            return  # it was killed

    def take(self, frame: bytes, seen: set[int]) -> None:
        """Note one event of an answer in which so many were seen."""
        data = next((line[6:] for line in frame.split(b"\n") if line.startswith(b"data: ")), None)
        if data is None:
            return
        event = json.loads(data)
        index = event["event_index"]
        self.events_by_index.setdefault(index, []).append(event)
        self.doubled += index in seen
        seen.add(index)
        if event["event"] == END and event["run_id"] == self.run_id:
            self.ended_at = time.perf_counter()


async def read_all(readers: list[Reader], client: Client) -> None:
    """Have them all read, until each run has ended or its connection is lost."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        await asyncio.gather(*(reader.read(client) for reader in readers))
