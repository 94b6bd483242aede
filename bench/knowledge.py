"""Knowledge bases without a server: documents into vectors, and searches by vectors.

It runs in this process. The texts are docstrings (``bench/docstrings.py``). The peer is not measured here.
"""

import asyncio
import re
import sqlite3
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.docstrings import Document, corpus
from bench.figures import Bar, Figure
from bench.measures import Measure
from bench.pgvector import measure_pgvector
from bench.trial import Bench
from bench.words import measure_words
from musterd.knowledge.embedding import Embedder
from musterd.knowledge.minilm_embedder import MiniLMEmbedder
from musterd.knowledge.ranking import fused
from musterd.knowledge.reading import ReadingLimits, Source, read
from musterd.knowledge.splitting import split
from musterd.knowledge.static_embedder import StaticEmbedder, mean_vectors
from musterd.knowledge.vectors import VectorIndex
from tests.support import documents

SIZES = (10_000, 100_000)
MINILM_SIZE = 2000
QUERIES = 500
NEAREST = 10
PAGES = 10
READINGS = 20
CANDIDATES = 50
WEIGHTS = (1, 0.5, 0.25)
WORD = re.compile(r"\w+")


async def measure_reading(bench: Bench) -> list[Figure]:
    """One document after the other, each in a process of its own."""
    page = "A line of text in the middle of a page of a document that is read. " * 20
    figures = []
    for name, content in (
        (f"PDF of {PAGES} pages", documents.pdf(*[page] * PAGES)),
        ("Word document of a page", documents.word()),
        ("HTML page of 100 kB", b"<html>" + f"<h2>Heading</h2><p>{page}".encode() * 75),
        ("text of 100 kB", page.encode() * 75),
    ):
        seconds = []
        for _ in range(bench.times(READINGS)):
            began = time.perf_counter()
            sections = await read(Source(content=content), reader=None, limits=ReadingLimits())
            split(sections, characters=1200, kind="html" if name.startswith("HTML") else "text")
            seconds.append(time.perf_counter() - began)
        figures.append(Figure(name=f"{name}: read and split, p50", unit="ms", ours=statistics.median(seconds) * 1000))
    return figures


async def measure_index(bench: Bench) -> list[Figure]:
    """Embedding and search of many chunks."""
    figures = []
    for size in SIZES:
        documents, chunks = corpus(bench.times(size))
        figures += await _index(documents[: bench.times(QUERIES)], chunks)
    return figures


async def _index(documents: Sequence[Document], chunks: Sequence[str]) -> list[Figure]:
    embedder, index = StaticEmbedder(), VectorIndex()
    await embedder.query("load the weights")
    name = f"{len(chunks):,} chunks"
    began = time.process_time()
    for start in range(0, len(chunks), embedder.batch_size):
        batch = chunks[start : start + embedder.batch_size]
        index.add(range(start, start + len(batch)), await embedder.documents(batch))
    built = time.process_time() - began
    searches = _Searches(index, documents, chunks)
    await searches.run()
    return [
        Figure(name=f"{name}: embedded and added, each CPU second", unit="", ours=len(chunks) / built),
        Figure(name=f"{name}: memory of the index", unit="MB", ours=index.memory_bytes / 1e6),
        Figure(
            name=f"{name}: search with its embedding, p50",
            unit="ms",
            ours=searches.percentile(0.5),
            bar=Bar(at_most=15),
        ),
        Figure(name=f"{name}: search with its embedding, p99", unit="ms", ours=searches.percentile(0.99)),
        Figure(name=f"{name}: search with its embedding, CPU", unit="ms", ours=searches.cpu_ms),
        Figure(name=f"{name}: the same {NEAREST} as with float32", unit="", ours=searches.agreement()),
        Figure(name=f"{name}: the right document among {NEAREST}, by vectors alone", unit="", ours=searches.recall()),
    ]


class _Searches:
    """Searches for the first lines of documents."""

    def __init__(self, index: VectorIndex, documents: Sequence[Document], chunks: Sequence[str]) -> None:
        self._index = index
        self._documents = documents
        self._chunks = chunks
        self._results: list[set[int]] = []
        self._seconds: list[float] = []
        self.cpu_ms = 0.0

    async def run(self) -> None:
        embedder = StaticEmbedder()
        cpu = time.process_time()
        for document in self._documents:
            began = time.perf_counter()
            vector = await embedder.query(document.query)
            result = await asyncio.to_thread(self._index.search, vector, NEAREST)
            self._seconds.append(time.perf_counter() - began)
            self._results.append({number for number, _ in result})
        self.cpu_ms = (time.process_time() - cpu) * 1000 / len(self._documents)

    def percentile(self, share: float) -> float:
        return sorted(self._seconds)[int(share * (len(self._seconds) - 1))] * 1000

    def agreement(self) -> float:
        """The share of results that exact search over the embedder's own numbers returns too."""
        rows = mean_vectors(self._chunks)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        same = 0
        for document, result in zip(self._documents, self._results, strict=True):
            scores = rows @ mean_vectors([document.query])[0]
            same += len(result & {*np.argpartition(-scores, NEAREST)[:NEAREST].tolist()})
        return same / NEAREST / len(self._documents)

    def recall(self) -> float:
        """The share of searches that return a chunk of the right document."""
        hits = 0
        for document, result in zip(self._documents, self._results, strict=True):
            hits += any(self._chunks[number] in document.chunks for number in result)
        return hits / len(self._documents)


async def measure_ranking(bench: Bench) -> list[Figure]:
    """How often words, vectors and both together return the right document."""
    documents, chunks = corpus(bench.times(SIZES[0]))
    return await _ranking(documents[: bench.times(QUERIES)], chunks, StaticEmbedder())


async def measure_minilm(bench: Bench) -> list[Figure]:
    """The embedder ``minilm`` beside the builtin one, in fewer chunks: it needs a hundred times their CPU."""
    figures = []
    documents, chunks = corpus(bench.times(MINILM_SIZE))
    for embedder in (StaticEmbedder(), MiniLMEmbedder()):
        await embedder.query("load the weights")
        began = time.process_time()
        ranking = await _ranking(documents[: bench.times(QUERIES)], chunks, embedder)
        seconds = time.process_time() - began
        model, _, _ = embedder.name.partition(":")
        cpu = Figure(name=f"{len(chunks):,} chunks and the queries: CPU", unit="s", ours=seconds)
        figures += [replace(figure, name=f"{model}, {figure.name}") for figure in (cpu, *ranking)]
    return figures


async def _ranking(documents: Sequence[Document], chunks: Sequence[str], embedder: Embedder) -> list[Figure]:
    index, words = VectorIndex(), _word_index(chunks)
    index.add(range(len(chunks)), await embedder.documents(chunks))
    ranks: dict[str, list[int | None]] = defaultdict(list)
    for document in documents:
        by_words = _search_words(words, document.query)
        by_vectors = [number for number, _ in index.search(await embedder.query(document.query), CANDIDATES)]
        for name, order in _orders(by_words, by_vectors).items():
            rank = next((at for at, number in enumerate(order) if chunks[number] in document.chunks), None)
            ranks[name].append(rank)
    return [
        Figure(
            name=f"{len(chunks):,} chunks, {name}: the right document {place}",
            unit="",
            ours=sum(rank is not None and rank < limit for rank in places) / len(places),
        )
        for name, places in ranks.items()
        for limit, place in ((1, "first"), (NEAREST, f"among {NEAREST}"))
    ]


def _word_index(chunks: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE chunks USING fts5 (text, tokenize = 'porter unicode61')")
    connection.executemany("INSERT INTO chunks (rowid, text) VALUES (?, ?)", enumerate(chunks))
    return connection


def _search_words(connection: sqlite3.Connection, query: str) -> list[int]:
    terms = " OR ".join(f'"{term}"' for term in WORD.findall(query))
    sql = "SELECT rowid FROM chunks WHERE text MATCH ? ORDER BY rank LIMIT ?"
    return [number for (number,) in connection.execute(sql, (terms, CANDIDATES))]


def _orders(by_words: Sequence[int], by_vectors: Sequence[int]) -> dict[str, Sequence[int]]:
    orders = {"words": by_words, "vectors": by_vectors}
    for weight in WEIGHTS:
        both = fused(by_words, by_vectors, vector_weight=weight)
        orders[f"both, vectors with weight {weight}"] = [number for number, _ in both]
    return orders


KNOWLEDGE: dict[str, Measure] = {
    "reading": measure_reading,
    "index": measure_index,
    "ranking": measure_ranking,
    "minilm": measure_minilm,
    "words": measure_words,
    "pgvector": measure_pgvector,
}
