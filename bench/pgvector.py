"""Searches of vectors in Postgres with pgvector, beside exact ones over the same vectors.

It runs in this process and on a Postgres server of its own, with the server's code: the index is built by its upkeep.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from bench.docstrings import corpus
from bench.figures import Bar, Figure
from bench.stores import Postgres
from bench.trial import Bench
from musterd import Settings
from musterd.features.knowledge.indexes import Indexes, Vectors
from musterd.features.knowledge.pgvector_upkeep import PgvectorUpkeep
from musterd.features.knowledge.searching import CANDIDATES
from musterd.knowledge.static_embedder import StaticEmbedder
from musterd.knowledge.vectors import VectorIndex
from musterd.store.database import Database
from musterd.store.open_database import open_database
from tests.support.pgvector import create_extension
from tests.support.published_chunks import publish, stored_base

SIZES = (10_000, 100_000)
CONTENT_CHUNKS = 500
QUERIES = 500
NEAREST = 10
FILTERED_SHARE = 0.1
MEMORY = "512MB"
"""For the build of an index; Postgres' default of 64 MB is less than that of 100,000 chunks takes."""
BASE = "bench"


@dataclass
class _Searches:
    """Searches that were made."""

    seconds: list[float] = field(default_factory=list)
    same: int = 0
    expected: int = 0

    def figures(self, name: str, *, bar: Bar | None = None) -> list[Figure]:
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[int(share * (len(ordered) - 1))] * 1000 for share in (0.5, 0.99))
        return [
            Figure(name=f"{name}, p50", unit="ms", ours=p50, bar=bar),
            Figure(name=f"{name}, p99", unit="ms", ours=p99),
            Figure(name=f"{name}: the same {NEAREST} as exactly", unit="", ours=self.same / self.expected),
        ]


async def measure_pgvector(bench: Bench) -> list[Figure]:
    """The build of an index and searches by it."""
    figures = []
    with Postgres() as postgres:
        for size in SIZES:
            with postgres.fresh() as url:
                create_extension(url)
                with psycopg.connect(url, autocommit=True) as connection:
                    statement = f"ALTER DATABASE {connection.info.dbname} SET maintenance_work_mem = '{MEMORY}'"
                    connection.execute(statement.encode())
                database = open_database(url)
                await database.open()
                try:
                    figures += await _figures(postgres, database, url, bench.times(size), bench.times(QUERIES))
                finally:
                    await database.close()
    return figures


async def _figures(postgres: Postgres, database: Database, url: str, size: int, queries: int) -> list[Figure]:
    documents, texts = corpus(size)
    embedder, exact = StaticEmbedder(), VectorIndex()
    ids: dict[str, list[int]] = {}
    for start in range(0, size, CONTENT_CHUNKS):
        vectors = await embedder.documents(texts[start : start + CONTENT_CHUNKS])
        name = f"content {start}"
        ids[f"{BASE} {name}"] = await publish(database, BASE, name, vectors, embedder=embedder.name)
        exact.add(ids[f"{BASE} {name}"], vectors)
    postgres.tidy(url)
    indexes = Indexes(database, Settings(db=url, knowledge_pgvector=True, knowledge_memory_bytes=0))
    began, cpu = time.perf_counter(), postgres.cpu()
    await PgvectorUpkeep(database, indexes, lambda base_id: None).once()
    name, built, build_cpu = f"{size:,} chunks, pgvector", time.perf_counter() - began, postgres.cpu() - cpu
    query_vectors = [await embedder.query(document.query) for document in documents[:queries]]
    in_database = await indexes.at_least(await stored_base(database, BASE), len(query_vectors[0]))
    few = list(ids)[: max(1, int(len(ids) * FILTERED_SHARE))]
    cpu = postgres.cpu()
    everywhere = await _search(in_database, exact, query_vectors, None, None)
    search_cpu = (postgres.cpu() - cpu) * 1000 / len(query_vectors)
    allowed = {chunk for content in few for chunk in ids[content]}
    filtered = await _search(in_database, exact, query_vectors, few, allowed)
    return [
        Figure(name=f"{name}: build of the index", unit="s", ours=built),
        Figure(name=f"{name}: build of the index, CPU of Postgres", unit="s", ours=build_cpu),
        Figure(name=f"{name}: size of the index", unit="MB", ours=_index_bytes(url) / 1e6),
        *everywhere.figures(f"{name}: search", bar=Bar(at_most=15)),
        Figure(name=f"{name}: search, CPU of Postgres", unit="ms", ours=search_cpu),
        *filtered.figures(f"{name}: search in a tenth of the contents"),
    ]


async def _search(
    vectors: Vectors,
    exact: VectorIndex,
    queries: Sequence[bytes],
    contents: Sequence[str] | None,
    allowed: set[int] | None,
) -> _Searches:
    searches = _Searches()
    for query in queries:
        began = time.perf_counter()
        result = await vectors.search(query, CANDIDATES, contents)
        searches.seconds.append(time.perf_counter() - began)
        expected = exact.search(query, NEAREST, allowed)
        # By cosines: of texts that are equally near, either is right.
        least = expected[-1][1] if expected else 0.0
        searches.same += sum(cosine >= least - 1e-6 for _, cosine in result[:NEAREST])
        searches.expected += len(expected)
    return searches


def _index_bytes(url: str) -> int:
    statement = "SELECT sum(pg_relation_size(indexrelid)) FROM pg_stat_user_indexes WHERE indexrelname LIKE %s"
    with psycopg.connect(url) as connection:
        row = connection.execute(statement, ["embeddings_hnsw_%"]).fetchone()
    return 0 if row is None else int(row[0] or 0)
