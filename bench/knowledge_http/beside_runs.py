"""Runs in a process that ingests documents meanwhile: how much later they end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.client import new_session
from bench.client import numbers as messages
from bench.figures import Bar, Figure
from bench.knowledge_http.servers import Base, bases, figures
from bench.knowledge_http.texts import Texts, texts
from bench.servers import NoFigure
from bench.trial import Bench, Samples

CHUNKS = 20_000
DOCUMENT_CHUNKS = 2_000
RUNS = 400
FIRST_DOCUMENT, FIRST_RUNS = 20, 20
EVERY_SECONDS = 0.025
MAX_AT_ONCE = 8
BAR = Bar(at_most=2)


@dataclass(frozen=True)
class _Outcome:
    """The runs before and during the ingestion, and the seconds that it took."""

    before: Samples
    during: Samples
    seconds: float


async def measure(bench: Bench) -> list[Figure]:
    """One run every 25 ms, before and during the ingestion."""
    count = bench.times(CHUNKS)
    corpus = await asyncio.to_thread(texts, count + FIRST_DOCUMENT, 1)
    async with bases(bench) as started:
        outcomes = [await _beside(bench, base, corpus, count) for base in started]
    p99s = [(of.before.percentile(0.99), of.during.percentile(0.99)) for of in outcomes]
    name = f"a run every {EVERY_SECONDS * 1000:.0f} ms"
    ingesting = f"{name}, {count:,} chunks are ingested"
    return [
        *figures(f"{name}: p99", "ms", started, [before for before, _ in p99s]),
        *figures(f"{ingesting}: p99", "ms", started, [during for _, during in p99s]),
        *figures(
            f"{ingesting}: p99, times the one before", "", started, [during / before for before, during in p99s], BAR
        ),
        *figures(f"{ingesting}: chunks a second", "", started, [count / of.seconds for of in outcomes]),
    ]


async def _beside(bench: Bench, base: Base, corpus: Texts, count: int) -> _Outcome:
    # A first document, because libraries are imported and weights are loaded for it.
    await base.add(base.uploads(corpus.documents(count, count + FIRST_DOCUMENT, FIRST_DOCUMENT)))
    await _runs(base, _Counted(FIRST_RUNS))
    before = await _runs(base, _Counted(bench.times(RUNS)))
    uploads = base.uploads(corpus.documents(0, count, DOCUMENT_CHUNKS))
    began = time.perf_counter()
    adding = asyncio.create_task(base.add(uploads))
    try:
        during = await _runs(base, adding.done)
    finally:
        await adding
    return _Outcome(before, during, time.perf_counter() - began)


class _Counted:
    """True after so many calls."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


async def _runs(base: Base, is_over: Callable[[], bool]) -> Samples:
    """Start a run every 25 ms, unless so many have not ended yet that the server falls behind."""
    samples, running = Samples(), set[asyncio.Task[None]]()

    async def run() -> None:
        began = time.perf_counter()
        form = {"message": f"Say hello number {next(messages)}", "session_id": new_session(), "stream": "false"}
        answer = await base.side.client.answer("POST", "/agents/plain/runs", data=form)
        samples.seconds.append(time.perf_counter() - began)
        if answer["status"] != "COMPLETED":
            raise NoFigure(f"{base.server.name}: a run ended {answer['status']}")

    async with asyncio.TaskGroup() as group:
        while not is_over():
            if len(running) < MAX_AT_ONCE:
                task = group.create_task(run())
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(EVERY_SECONDS)
    return samples
