"""Searches by words in a knowledge base, on SQLite and on Postgres, in this process."""

import time
from collections.abc import Sequence

from bench.docstrings import Document, corpus
from bench.figures import Bar, Figure
from bench.stores import Postgres, Sqlite, Store
from bench.trial import Bench
from musterd import Knowledge, Settings
from musterd.core.knowledge import Search
from musterd.features.knowledge.embedders import Embedders
from musterd.features.knowledge.indexes import Indexes
from musterd.features.knowledge.reranking import Rerankers
from musterd.features.knowledge.searching import Searcher
from musterd.store.database import Database
from musterd.store.open_database import open_database
from tests.support.published_chunks import publish

SIZES = (10_000, 100_000)
CONTENT_CHUNKS = 500
QUERIES = 500
NEAREST = 10
BASE = Knowledge(id="bench", search_type="keyword")
EMBEDDER = "none"


async def measure_words(bench: Bench) -> list[Figure]:
    """Queries of several words, of which some are frequent and some rare."""
    figures = []
    with Postgres() as postgres:
        for store in (Sqlite(), postgres):
            for size in SIZES:
                with store.fresh() as url:
                    database = open_database(url)
                    await database.open()
                    try:
                        documents = await _filled(database, bench.times(size))
                        store.tidy(url)
                        figures += await _figures(store, database, bench.times(size), documents[: bench.times(QUERIES)])
                    finally:
                        await database.close()
    return figures


async def _filled(database: Database, size: int) -> Sequence[Document]:
    documents, texts = corpus(size)
    for start in range(0, size, CONTENT_CHUNKS):
        part = texts[start : start + CONTENT_CHUNKS]
        await publish(database, BASE.id, f"content {start}", [b"\1"] * len(part), embedder=EMBEDDER, texts=part)
    return documents


async def _figures(store: Store, database: Database, size: int, documents: Sequence[Document]) -> list[Figure]:
    settings = Settings()
    searcher = Searcher(database, Embedders(settings), Indexes(database, settings), Rerankers(settings))
    seconds, hits = list[float](), 0
    for document in documents:
        search = Search(query=document.query, search_type="keyword", limit=NEAREST)
        began = time.perf_counter()
        result = await searcher.search(BASE, search)
        seconds.append(time.perf_counter() - began)
        hits += any(hit.text in document.chunks for hit in result.hits)
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] * 1000 for share in (0.5, 0.99))
    name = f"{size:,} chunks, {store.name}: search by words"
    return [
        Figure(name=f"{name}, p50", unit="ms", ours=p50, bar=Bar(at_most=15)),
        Figure(name=f"{name}, p99", unit="ms", ours=p99),
        Figure(name=f"{name}: the right document among {NEAREST}", unit="", ours=hits / len(documents)),
    ]
