"""The two processes of `python -m bench.readers_elsewhere`, which starts them.

Each prints `ready` and waits for a line. The driving process starts its runs, prints their ids, and at the end the time
at which each event was stored. The reading process gets the ids, prints `reading`, and at the end the time at which it
got each event.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from typing import Any
from unittest.mock import patch

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.records import Input
from musterd.core.settings import Settings
from musterd.declare import Registry
from musterd.declare.agent import Agent
from musterd.engine.broadcaster import Flush
from musterd.engine.process_role import ProcessRole
from musterd.http.server import Server
from musterd.service.run_ref import RunRef
from musterd.service.runs import RunRequest
from musterd.service.subscription import RunSubscription
from musterd.store.events import StoredFlush

APART_MS = 50
SETTLE_SECONDS = 2.5  # a process looks once a second for other processes
PATIENCE_SECONDS = 300.0
Times = dict[str, float]
"""When each event was stored or read, by run and index."""


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def next_line() -> Any:
    """Return the next value from the benchmark."""
    return json.loads(await asyncio.to_thread(sys.stdin.readline))


async def drive(server: Server, runs: int, words: int) -> None:
    """Drive the runs, and print when each event was stored."""
    stored: Times = {}
    publish = server.broadcaster.publish

    def timed_publish(root_id: str, flush: Flush, as_stored: StoredFlush) -> None:
        now = time.perf_counter()
        for offset in range(len(flush.events)):
            stored[f"{root_id} {flush.first_index + offset}"] = now
        publish(root_id, flush, as_stored)

    component = server.component("agent", "solo")
    async with server.running():
        await asyncio.sleep(SETTLE_SECONDS)
        say("ready")
        await next_line()
        with patch.object(server.broadcaster, "publish", timed_publish):
            run_ids = [clock.new_id() for _ in range(runs)]
            for run_id in run_ids:
                words_apart = Input(message=f"[[WORDS {words} {APART_MS}]]")
                await server.runs.start(component, RunRequest(input=words_apart, run_id=run_id), Caller())
            say(run_ids)
            for run_id in run_ids:
                await server.runs.settled_view(RunRef(component, run_id, None, Caller()), PATIENCE_SECONDS)
        say(stored)
        await next_line()


async def read(server: Server, readers: int) -> None:
    """Read the runs whose ids come from the benchmark, and print when the first reader of a run got each event."""
    received: Times = {}
    component = server.component("agent", "solo")

    async def follow(run_id: str, subscription: RunSubscription, known: int) -> None:
        while True:
            async for flush in subscription.available():
                now = time.perf_counter()
                for offset, event in enumerate(flush.events):
                    if flush.first_index + offset >= known:
                        received.setdefault(f"{run_id} {flush.first_index + offset}", now)
                    if event.kind == "run_completed":
                        subscription.close()
                        return
            await subscription.wait(PATIENCE_SECONDS)

    async with server.running():
        await asyncio.sleep(SETTLE_SECONDS)
        say("ready")
        following = []
        for run_id in await next_line():
            for _ in range(readers):
                followed, subscription = await server.runs.following.open(RunRef(component, run_id, None, Caller()), -1)
                following.append(asyncio.create_task(follow(run_id, subscription, followed.root.next_event)))
        say("reading")
        await asyncio.gather(*following)
        say(received)
        await next_line()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("act", choices=("drive", "read"))
    parser.add_argument("url")
    parser.add_argument("bus")
    parser.add_argument("prefix")
    for name in ("runs", "words", "readers"):
        parser.add_argument(name, type=int)
    chosen = parser.parse_args()
    logging.disable(logging.INFO)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    registry = Registry.of(agents=[Agent(id="solo", model="scripted")], teams=[])
    settings = Settings(db=chosen.url, bus=chosen.bus, bus_prefix=chosen.prefix, concurrency=chosen.runs)
    server = Server(registry, settings, (), ProcessRole(drives_runs=chosen.act == "drive"))
    if chosen.act == "drive":
        asyncio.run(drive(server, chosen.runs, chosen.words))
    else:
        asyncio.run(read(server, chosen.readers))


if __name__ == "__main__":
    main()
