"""Reading all events of a long run again."""

import time

from bench.client import ENDED, RUNS, Client, leader_work, new_session
from bench.figures import Bar, Figure
from bench.servers import Musterd, NoFigure, Server
from bench.streams.listener import listen
from bench.streams.memory import peak_of
from bench.trial import Bench

WORDS = 24_000  # some are stored together: more than 20,000 events
PACE_MS = 2
TRIES = 3


async def measure(bench: Bench) -> list[Figure]:
    words = bench.times(WORDS)
    with Musterd(bench.model.base_url, {"MUSTERD_DELTA_SECONDS": "0"}) as server:
        async with Client(server.url) as client:
            await client.run(leader_work())
            session = new_session()
            run = await client.start(f"[[WORDS {words} {PACE_MS}]]", session)
            query = {"session_id": session, "wait": "60"}
            status = "PENDING"
            while status not in ENDED:
                status = (await client.answer("GET", f"{RUNS}/{run['run_id']}", params=query))["status"]
            if status != "COMPLETED":
                raise NoFigure(f"the long run ended {status}")
            return await _resumed(server, client, run["run_id"], session)


async def _resumed(server: Server, client: Client, run_id: str, session: str) -> list[Figure]:
    taken = []
    with peak_of(server) as peak:
        for _ in range(TRIES):
            before, began = server.cpu(), time.perf_counter()
            listener = await listen(server.url, "POST", f"{RUNS}/{run_id}/resume", form={"session_id": session})
            await listener.end()
            taken.append((time.perf_counter() - began, server.cpu() - before, listener.events))
    if len({events for _, _, events in taken}) != 1:
        raise NoFigure("a run that has ended was told differently")
    seconds, cpu, events = min(taken)
    began, pages, after = time.perf_counter(), 0, -1
    has_more = True
    while has_more:
        query = {"session_id": session, "after": str(after), "limit": "1000"}
        page = await client.answer("GET", f"{RUNS}/{run_id}/events", params=query)
        after, has_more, pages = page["last_event_index"], page["has_more"], pages + 1
    name = f"a run of {events:,} events"
    return [
        Figure(name=f"{name}, resumed from its start: time", unit="ms", ours=seconds * 1000),
        Figure(name=f"{name}, resumed from its start: CPU", unit="ms", ours=cpu * 1000),
        Figure(name=f"{name}, resumed from its start: CPU an event", unit="µs", ours=cpu * 1e6 / events),
        Figure(name=f"{name}, resumed from its start: memory", unit="MB", ours=peak.grown / 1000, bar=Bar(at_most=32)),
        Figure(name=f"{name}, in {pages} pages: time", unit="ms", ours=(time.perf_counter() - began) * 1000),
    ]
