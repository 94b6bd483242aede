"""Databases with pgvector, and chunks with vectors in them without a server."""

from collections.abc import Sequence

import psycopg
import pytest

from musterd.features.knowledge import chunk_store, pgvector_store, store
from musterd.features.knowledge.pgvector_store import HnswIndex
from musterd.features.knowledge.records import Content, NewContent, SourceKind, StoredBase, StoredChunk
from musterd.store.database import Database, Tx
from musterd.store.open_database import open_database

EACH_VECTORS = pytest.mark.parametrize("vectors_in", ["memory", "database", "index"], indirect=True)
"""A test of searches, wherever the vectors are."""


def create_extension(url: str, schema: str = "public") -> None:
    """Do what an operator does before the first start."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE EXTENSION vector SCHEMA {schema}".encode())


async def create_index(database: Database, embedder: str, length: int) -> HnswIndex:
    """Build an index at once, in place of the server's upkeep."""
    extension = await database.scan(pgvector_store.extension)
    schema, index = extension.schema, HnswIndex(embedder, length)
    assert schema is not None, "the database has the extension"
    await database.write(lambda tx: pgvector_store.create_function(tx, schema))
    await database.read(lambda tx: tx.run(index.create(schema), {}))
    return index


async def create_index_of(url: str, embedder: str, length: int) -> None:
    """The same, in a database that is not open."""
    database = open_database(url)
    await database.open()
    await create_index(database, embedder, length)
    await database.close()


async def publish(
    database: Database, base_id: str, name: str, vectors: Sequence[bytes], *, embedder: str, owner: str | None = None
) -> list[int]:
    """Publish a content with a chunk for each vector; return the ids of the chunks."""

    async def work(tx: Tx) -> list[int]:
        base = await store.ensure_base(tx, base_id, embedder, None, 1.0)
        new = NewContent(source=SourceKind.TEXT, name=name, content=name.encode())
        content = Content.of(new, f"{base_id} {name}", base_id, owner, 1.0)
        await store.add(tx, content)
        job = await store.claim(tx, [base_id], "w", 2.0)
        assert job is not None
        chunks = [StoredChunk.of(number, f"{base_id} {name} {number}", None) for number in range(len(vectors))]
        first = await store.allocate(tx, base_id, len(chunks))
        await chunk_store.add(tx, job, first, chunks)
        hashes = [chunk.hash for chunk in chunks]
        await chunk_store.add_embeddings(tx, embedder, dict(zip(hashes, vectors, strict=True)))
        await store.note_split(tx, job, len(chunks), 3.0)
        moved = await store.move_base(tx, base_id)
        await store.publish(tx, job, moved.version, 4.0)
        assert base.first_chunk <= first
        return list(range(first, first + len(chunks)))

    return await database.write(work)


async def stored_base(database: Database, base_id: str) -> StoredBase:
    """A knowledge base as it is stored now."""
    base = await database.scan(lambda tx: store.base(tx, base_id))
    assert base is not None
    return base
