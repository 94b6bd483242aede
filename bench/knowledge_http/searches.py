"""Documents into a knowledge base, searches in it, runs that search, and memory, at 10,000 and 100,000 chunks."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from bench.client import new_session
from bench.figures import Bar, Figure, beside
from bench.knowledge_http import peer_table
from bench.knowledge_http.servers import BUILTIN, CLIENTS, POSTGRES, Base, PeerWithVectors, bases, figures, on_postgres
from bench.knowledge_http.texts import NEAREST, Texts, texts
from bench.servers import NoFigure
from bench.trial import SETTLE_SECONDS, Bench, Samples, Side

SMALL, LARGE = 10_000, 100_000
SMALL_DOCUMENT, LARGE_DOCUMENT = 20, 2_000
"""Chunks."""
QUERIES = 500
ROUNDS = 2
BY_VECTORS = {True: (400, 200), False: (300, 40)}
"""Searches of ours and of the peer, at the smaller size and at the larger one."""
BY_BOTH = {True: (400, 8), False: (200, 2)}
"""The peer ranks every chunk by its words."""
BAR, AIM = Bar(ratio=0.5), Bar(ratio=0.5, is_aim=True)
BUILTIN_P50 = Bar(at_most=15)


async def measure(bench: Bench) -> list[Figure]:
    small, large = bench.times(SMALL), bench.times(LARGE)
    corpus = await asyncio.to_thread(texts, large, QUERIES)
    async with bases(bench) as started:
        rows = await _ingestion(started, corpus, small)
        _tidy(started)
        rows += await _runs(bench, started, corpus)
        rows += await _searches(bench, started, corpus, small)
        rows += await _filled(started, corpus, small)
        _tidy(started)
        rows += await _searches(bench, started, corpus, large)
        name = f"{large:,} chunks: memory of the process"
        rows += figures(name, "MB", started, [base.server.rss() / 1024 for base in started])
    return rows


def _tidy(started: Sequence[Base]) -> None:
    for base in started:
        base.server.tidy()


async def _ingestion(started: Sequence[Base], corpus: Texts, size: int) -> list[Figure]:
    """Small documents, each in a request of its own."""
    documents = corpus.documents(0, size, SMALL_DOCUMENT)
    added = [await _added(base, documents) for base in started]
    name = f"{len(documents):,} documents of {SMALL_DOCUMENT} chunks"
    return [
        *figures(f"{name}: documents a second", "", started, [len(documents) / seconds for seconds, _ in added]),
        *figures(f"{name}: CPU a document", "ms", started, [cpu * 1000 / len(documents) for _, cpu in added], BAR),
    ]


async def _filled(started: Sequence[Base], corpus: Texts, first: int) -> list[Figure]:
    """Large documents, in all servers at once; the peer's table is filled directly."""
    documents = corpus.documents(first, len(corpus.chunks), LARGE_DOCUMENT)
    ours = [base for base in started if base.side.is_ours]
    tables = [base.server.vectors_url for base in started if isinstance(base.server, PeerWithVectors)]
    filling = [peer_table.fill(url, corpus, first) for url in tables]
    *added, _ = await asyncio.gather(*(_added(base, documents) for base in ours), asyncio.gather(*filling))
    count = len(corpus.chunks) - first
    name = f"{count:,} chunks in documents of {LARGE_DOCUMENT:,}: CPU for 1,000 chunks"
    return figures(name, "ms", ours, [cpu * 1e6 / count for _, cpu in added])


async def _added(base: Base, documents: Sequence[str]) -> tuple[float, float]:
    """Add documents; return the seconds, and the CPU in seconds."""
    uploads = base.uploads(documents)
    cpu, began = base.server.cpu(), time.perf_counter()
    await base.add(uploads)
    seconds = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    return seconds, base.server.cpu() - cpu


@dataclass
class _Searching:
    """Searches over HTTP, and what they returned by server."""

    search_type: str
    queries: Iterator[str]
    results: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    async def __call__(self, side: Side) -> None:
        query = next(self.queries)
        body = {"query": query, "search_type": self.search_type, "max_results": NEAREST}
        answer = await side.client.answer("POST", "/knowledge/search", json=body)
        if not answer["data"]:
            raise NoFigure(f"{side.server.name} finds nothing for {query!r}")
        self.results.setdefault(side.server.url, {})[query] = {hit["content"].strip() for hit in answer["data"]}


async def _searches(bench: Bench, started: Sequence[Base], corpus: Texts, size: int) -> list[Figure]:
    """One search after the other: by vectors, by words and vectors, and in the peer's index by vectors."""
    name, is_small = f"{size:,} chunks, search", size < bench.times(LARGE)
    by_vectors = _Searching("vector", itertools.cycle(corpus.queries))
    samples = await _searched(bench, started, by_vectors, BY_VECTORS[is_small])
    recalls = [_recall(by_vectors.results[base.server.url], corpus, size) for base in started]
    rows = _of_searches(f"{name} by vectors", started, samples)
    rows += figures(f"{name} by vectors: recall@{NEAREST}", "", started, recalls)
    hybrid = _Searching("hybrid", itertools.cycle(corpus.queries))
    both = await _searched(bench, started, hybrid, BY_BOTH[is_small])
    rows += _of_searches(f"{name} by words and vectors", started, both)
    if isinstance(started[-1].server, PeerWithVectors):
        await peer_table.build_index(started[-1].server.vectors_url)
        indexed = _Searching("vector", itertools.cycle(corpus.queries))
        samples[-1:] = await _searched(bench, started[-1:], indexed, BY_VECTORS[True])
        recalls[-1] = _recall(indexed.results[started[-1].server.url], corpus, size)
        name = f"{name} by vectors, agno with an index"
        rows += figures(f"{name}: CPU", "ms", started, [of.cpu for of in samples], AIM)
        rows += figures(f"{name}: recall@{NEAREST}", "", started, recalls)
    return rows


async def _searched(
    bench: Bench, started: Sequence[Base], searching: _Searching, counts: tuple[int, int]
) -> list[Samples]:
    ours, peer = counts
    return await bench.compare(
        [base.side for base in started], searching, ours=ours, peer=peer, rounds=ROUNDS, clients=1
    )


def _of_searches(name: str, started: Sequence[Base], samples: Sequence[Samples]) -> list[Figure]:
    p50 = figures(f"{name}: p50", "ms", started, [of.percentile(0.5) for of in samples])
    return [
        *(replace(row, bar=BUILTIN_P50) if row.name.endswith(BUILTIN) else row for row in p50),
        *figures(f"{name}: p99", "ms", started, [of.percentile(0.99) for of in samples]),
        *figures(f"{name}: CPU", "ms", started, [of.cpu for of in samples], BAR),
    ]


def _recall(results: Mapping[str, set[str]], corpus: Texts, size: int) -> float:
    """The share of the nearest chunks that were found."""
    nearest = corpus.nearest(size, list(results))
    matches = sum(len(chunks & result) for chunks, result in zip(nearest, results.values(), strict=True))
    return matches / NEAREST / len(results)


async def _runs(bench: Bench, started: Sequence[Base], corpus: Texts) -> list[Figure]:
    """Runs of an agent whose model searches once and answers with what it gets."""
    queries = itertools.cycle(corpus.queries)

    async def run(side: Side) -> None:
        message = f"[[TOOL search_knowledge_base {json.dumps({'query': next(queries)})}]]"
        form = {"message": message, "session_id": new_session(), "stream": "false"}
        run = await side.client.answer("POST", "/agents/searching/runs", data=form)
        if run["status"] != "COMPLETED" or not run["references"] or not run["content"].startswith("Done: "):
            raise NoFigure(f"{side.server.name}: a run that searches ended {run['status']}: {run['content'][:300]!r}")

    async with AsyncExitStack() as stack:
        sides = [base.side for base in started]
        if isinstance(sides[-1].server, PeerWithVectors):
            sides.append(await stack.enter_async_context(on_postgres(bench, sides[-1].server)))
        samples = await bench.compare(sides, run, ours=300, peer=160, clients=CLIENTS)
    rows = list[Figure]()
    for place, base in enumerate(started):
        if base.side.is_ours:
            beside_it = samples[len(started) + (base.name == POSTGRES) - 1 :][:1] if bench.with_peer else []
            name, both = f"a run that searches, {base.name}", [samples[place], *beside_it]
            rows.append(beside(f"{name}: CPU", "ms", both, lambda of: of.cpu, BAR))
            rows.append(beside(f"{name}: p50", "ms", both, lambda of: of.percentile(0.5)))
    return rows
