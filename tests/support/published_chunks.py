"""Chunks in a knowledge base, stored without a server."""

from collections.abc import Sequence

from musterd.features.knowledge import chunk_store, store
from musterd.features.knowledge.records import Content, NewContent, SourceKind, StoredBase, StoredChunk
from musterd.store.database import Database, Tx


async def publish(
    database: Database,
    base_id: str,
    name: str,
    vectors: Sequence[bytes],
    *,
    embedder: str,
    texts: Sequence[str] | None = None,
) -> list[int]:
    """Publish a content with a chunk for each vector; return the ids of the chunks.

    :param texts: the texts of the chunks, each another one; None: they are made up.
    """
    texts = texts or [f"{base_id} {name} {number}" for number in range(len(vectors))]

    async def work(tx: Tx) -> list[int]:
        await store.ensure_base(tx, base_id, embedder, None, 1.0)
        new = NewContent(source=SourceKind.TEXT, name=name, content=name.encode())
        content = Content.of(new, f"{base_id} {name}", base_id, None, 1.0)
        await store.add(tx, content)
        job = await store.claim(tx, [base_id], "w", 2.0)
        assert job is not None
        chunks = [StoredChunk.of(number, text, None) for number, text in enumerate(texts)]
        first = await store.allocate(tx, base_id, len(chunks))
        await chunk_store.add(tx, job, first, chunks)
        hashes = [chunk.hash for chunk in chunks]
        await chunk_store.add_embeddings(tx, embedder, dict(zip(hashes, vectors, strict=True)))
        await store.note_split(tx, job, len(chunks), 3.0)
        moved = await store.move_base(tx, base_id)
        await store.publish(tx, job, moved.version, 4.0)
        return list(range(first, first + len(chunks)))

    return await database.write(work)


async def stored_base(database: Database, base_id: str) -> StoredBase:
    """A knowledge base as it is stored now."""
    base = await database.scan(lambda tx: store.base(tx, base_id))
    assert base is not None
    return base
