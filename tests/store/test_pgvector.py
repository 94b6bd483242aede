"""Searches of vectors in Postgres with pgvector, beside the exact ones in memory."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from pydantic import ValidationError

from musterd import Settings
from musterd.core.errors import StartError
from musterd.features.knowledge import chunk_store, pgvector_store, store
from musterd.features.knowledge.database_vectors import READ_CHUNKS, DatabaseVectors
from musterd.features.knowledge.indexes import Indexes, LoadedVectors
from musterd.features.knowledge.pgvector_store import Extension, HnswIndex
from musterd.features.knowledge.pgvector_upkeep import PgvectorUpkeep, require_pgvector
from musterd.features.knowledge.records import text_hash
from musterd.knowledge.problems import IndexMissing, LengthsDiffer, NoMemory
from musterd.store.database import Database, Statement, Tx
from musterd.store.open_database import open_database
from tests.support.pgvector import create_extension, create_index
from tests.support.published_chunks import publish, stored_base
from tests.support.store import Records

EMBEDDER = "fake:it's 100% \\ :odd"
LENGTH = 32


@pytest.fixture
async def database(postgres_url: str, anyio_backend: Any) -> AsyncIterator[Database]:
    """A database with the extension."""
    create_extension(postgres_url)
    async with opened(postgres_url) as database:
        yield database


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """An open database."""
    database = open_database(url)
    await database.open()
    yield database
    await database.close()


def clustered(count: int, seed: int = 1, length: int = LENGTH) -> list[bytes]:
    """Vectors around some centres, as those of texts about some topics."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(20, length))
    rows = centres[random.integers(0, len(centres), count)] + random.normal(size=(count, length)) * 0.6
    scaled = rows * (127 / np.abs(rows).max(axis=1, keepdims=True))
    return [row.tobytes() for row in np.rint(scaled).astype(np.int8)]


def cosine(one: bytes, other: bytes) -> float:
    first, second = (np.frombuffer(vector, dtype=np.int8).astype(float) for vector in (one, other))
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def indexes(database: Database, limit_bytes: int) -> Indexes:
    settings = Settings(db="postgresql://unused", knowledge_pgvector=True, knowledge_memory_bytes=limit_bytes)
    return Indexes(database, settings)


def upkeep_of(database: Database, indexes: Indexes, declared: str | None = None) -> PgvectorUpkeep:
    return PgvectorUpkeep(database, indexes, lambda base_id: declared)


async def searched(
    database: Database, query: bytes, contents: Sequence[str] | None = None, *, limit: int = 10, limit_bytes: int = 0
) -> list[tuple[int, float]]:
    """The nearest chunks of the knowledge base ``docs``."""
    base = await stored_base(database, "docs")
    vectors = await indexes(database, limit_bytes).at_least(base, len(query))
    assert isinstance(vectors, DatabaseVectors if limit_bytes == 0 else LoadedVectors)
    return await vectors.search(query, limit, contents)


async def index_names(database: Database) -> dict[str, bool]:
    """The indexes that exist, and whether they are complete."""
    rows = await Records(database).select(pgvector_store.INDEXES.text)
    return {row["name"]: row["is_valid"] for row in rows}


async def test_the_index_finds_nearly_all_that_the_exact_search_finds(database: Database) -> None:
    vectors = clustered(3000)
    for number in range(30):
        part = vectors[number * 100 : number * 100 + 100]
        await publish(database, "docs", f"content {number}", part, embedder=EMBEDDER)
    await create_index(database, EMBEDDER, LENGTH)
    few = [f"docs content {number}" for number in range(3)]
    most = [f"docs content {number}" for number in range(25)]
    for contents, least in ((None, 0.95), (most, 0.95), (few, 1.0)):
        hits = total = 0
        for query in clustered(20, seed=2):
            exact = await searched(database, query, contents, limit_bytes=10**9)
            result = await searched(database, query, contents)
            assert len(result) == len(exact) == 10
            assert result == sorted(result, key=lambda item: (-item[1], item[0]))
            # The same cosines, so that the answer does not say where it was searched.
            assert {item for item in result if item[0] in dict(exact)} <= set(exact)
            hits += len(dict(result).keys() & dict(exact).keys())
            total += len(exact)
        assert hits / total >= least, contents


async def test_filters_leave_enough_results(database: Database) -> None:
    """The contents that are allowed are far from the query: most of what the index finds first is excluded."""
    vectors = clustered(READ_CHUNKS * 2, seed=3)
    query = vectors[0]
    order = sorted(vectors, key=lambda vector: -cosine(query, vector))
    await publish(database, "docs", "other", order[: READ_CHUNKS - 100], embedder=EMBEDDER)
    allowed = await publish(database, "docs", "allowed", order[READ_CHUNKS - 100 :], embedder=EMBEDDER)
    await create_index(database, EMBEDDER, LENGTH)
    result = await searched(database, query, ["docs allowed"], limit=50)
    assert len(result) == 50
    assert dict(result).keys() <= set(allowed)
    assert await searched(database, query, []) == []


@pytest.mark.parametrize("contents", [None, ["docs one", "docs two"]])
async def test_the_index_gives_the_order(database: Database, contents: list[str] | None) -> None:
    """Not a plan that computes the distance of each vector, also before Postgres has counted the rows."""
    await publish(database, "docs", "one", clustered(200), embedder=EMBEDDER)
    index = await create_index(database, EMBEDDER, LENGTH)
    base = await stored_base(database, "docs")
    plans = list[str]()

    async def explain(tx: Tx) -> None:
        assert await pgvector_store.begin_search(tx, index, 10)
        text = f"EXPLAIN {index.nearest(is_filtered=contents is not None).text}"
        params = {"first": base.first_chunk, "last": base.last_chunk, "contents": contents, "query": "[1]", "limit": 10}
        plans.extend(row["QUERY PLAN"] for row in await tx.all(Statement(f"explain {contents}", text), params))

    await database.scan(explain)
    assert any(f"Index Scan using {index.name}" in line for line in plans), plans
    assert not any("Sort" in line for line in plans), plans


async def test_each_base_is_searched_alone(database: Database) -> None:
    vectors = clustered(READ_CHUNKS + 1)
    own = await publish(database, "docs", "one", vectors, embedder=EMBEDDER)
    await publish(database, "others", "two", vectors, embedder=EMBEDDER)
    await create_index(database, EMBEDDER, LENGTH)
    result = await searched(database, vectors[7])
    assert result[0][0] == own[7]
    assert result[0][1] == pytest.approx(1.0)
    assert dict(result).keys() <= set(own)


async def test_what_changes_is_found_or_not_at_once(database: Database) -> None:
    vectors, others = clustered(READ_CHUNKS + 1), clustered(READ_CHUNKS + 1, seed=9)
    await create_index(database, EMBEDDER, LENGTH)
    first = await publish(database, "docs", "first", vectors, embedder=EMBEDDER)
    second = await publish(database, "docs", "second", others, embedder=EMBEDDER)
    assert (await searched(database, others[3]))[0][0] == second[3]
    deleted = await database.write(lambda tx: store.lock_any(tx, "docs second"))
    assert deleted is not None
    await database.write(lambda tx: store.delete(tx, deleted, 9.0))
    assert dict(await searched(database, others[3])).keys() <= set(first)


async def test_an_index_is_built_when_it_is_needed_and_removed_when_it_is_not(database: Database) -> None:
    upkeep = upkeep_of(database, indexes(database, 0))
    vectors = clustered(READ_CHUNKS + 1)
    await publish(database, "small", "one", vectors[:100], embedder=EMBEDDER)
    await upkeep.once()
    assert await index_names(database) == {}
    await publish(database, "docs", "one", vectors, embedder=EMBEDDER)
    with pytest.raises(IndexMissing, match="being indexed"):
        await searched(database, vectors[0])
    await upkeep_of(database, indexes(database, 10**9)).once()
    assert await index_names(database) == {}, "it fits into the memory of this process"
    await upkeep.once()
    index = HnswIndex(EMBEDDER, LENGTH)
    assert await index_names(database) == {index.name: True}
    assert (await searched(database, vectors[0]))[0][1] == pytest.approx(1.0)
    await upkeep.once()

    async def switch_all(embedder: str) -> None:
        for base_id in ("small", "docs"):
            await database.write(lambda tx, base_id=base_id: store.switch(tx, base_id, embedder, None))  # type: ignore[misc]

    await switch_all("fake:new")
    await upkeep.once()
    assert await index_names(database) == {}


async def test_a_build_that_was_cut_off_is_begun_anew(database: Database, postgres_url: str) -> None:
    vectors = clustered(READ_CHUNKS + 1)
    await publish(database, "docs", "one", vectors, embedder=EMBEDDER)
    index = await create_index(database, EMBEDDER, LENGTH)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        statement = b"UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)"
        connection.execute(statement, [index.name])
    with pytest.raises(IndexMissing):
        await searched(database, vectors[0])
    await upkeep_of(database, indexes(database, 0)).once()
    assert await index_names(database) == {index.name: True}
    assert len(await searched(database, vectors[0])) == 10


async def test_another_embedder_has_its_index_before_it_answers(database: Database) -> None:
    vectors, chosen = clustered(READ_CHUNKS + 1), indexes(database, 0)
    await publish(database, "docs", "one", vectors, embedder=EMBEDDER)
    upkeep, base = upkeep_of(database, chosen, "fake:new"), await stored_base(database, "docs")
    await upkeep.once()
    old, new = HnswIndex(EMBEDDER, LENGTH), HnswIndex("fake:new", 16)
    assert await index_names(database) == {old.name: True}
    rows = {text_hash(f"docs one {number}"): vector[:16] for number, vector in enumerate(vectors)}
    await database.write(lambda tx: chunk_store.add_embeddings(tx, "fake:new", rows))
    assert not await chosen.is_ready(base, "fake:new")
    await upkeep.once()
    assert await index_names(database) == {old.name: True, new.name: True}
    assert await chosen.is_ready(base, "fake:new")


async def test_a_model_that_was_changed_under_its_name_is_noticed(database: Database) -> None:
    vectors = clustered(READ_CHUNKS + 1)
    await publish(database, "docs", "one", vectors, embedder=EMBEDDER)
    await create_index(database, EMBEDDER, LENGTH)
    with pytest.raises(LengthsDiffer):
        await searched(database, bytes(range(1, 17)))
    # Vectors of another length are stored, and found by none of this one.
    await publish(database, "docs", "two", [bytes(range(1, 17))], embedder=EMBEDDER)
    assert len(await searched(database, vectors[0])) == 10
    assert await searched(database, bytes(LENGTH)) == []


async def test_without_pgvector_a_base_that_does_not_fit_says_so(database: Database) -> None:
    await publish(database, "docs", "one", clustered(10), embedder=EMBEDDER)
    without = Indexes(database, Settings(knowledge_memory_bytes=100))
    with pytest.raises(NoMemory, match="MUSTERD_KNOWLEDGE_PGVECTOR"):
        await without.at_least(await stored_base(database, "docs"), LENGTH)


async def test_the_extension_may_be_in_a_schema_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(b'CREATE SCHEMA "Other"')
    create_extension(postgres_url, '"Other"')
    vectors = clustered(READ_CHUNKS + 1)
    async with opened(postgres_url) as database:
        await publish(database, "docs", "one", vectors, embedder=EMBEDDER)
        await upkeep_of(database, indexes(database, 0)).once()
        assert (await searched(database, vectors[5]))[0][1] == pytest.approx(1.0)


async def test_a_database_without_the_extension_is_refused(postgres_url: str) -> None:
    async with opened(postgres_url) as database:
        with pytest.raises(StartError, match=r"KNOWLEDGE_PGVECTOR.* — execute CREATE EXTENSION vector"):
            await require_pgvector(database)
        create_extension(postgres_url)
        await require_pgvector(database)


@pytest.mark.parametrize(
    ("version", "available", "words"),
    [
        (None, None, "install pgvector 0.8 or newer"),
        (None, "0.7.4", "install pgvector 0.8 or newer"),
        ("0.7.4", "0.8.1", "ALTER EXTENSION vector UPDATE"),
    ],
)
async def test_a_server_without_the_package_is_refused(
    database: Database, version: str | None, available: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def extension(tx: Tx) -> Extension:
        return Extension(version, available, schema=None, may_index=True)

    monkeypatch.setattr(pgvector_store, "extension", extension)
    with pytest.raises(StartError, match=words):
        await require_pgvector(database)


def test_sqlite_has_no_pgvector() -> None:
    with pytest.raises(ValidationError, match="requires MUSTERD_DB to name a Postgres database"):
        Settings(knowledge_pgvector=True)
