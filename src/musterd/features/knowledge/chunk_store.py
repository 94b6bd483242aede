"""The statements on chunks, their words and their embeddings.

A chunk is found if its version is the published version of its content. Its embedding is stored under the hash of its
text, so that equal texts are paid once.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.core.jsontypes import JsonObject
from musterd.features.knowledge.records import Content, Status, StoredBase, StoredChunk, Viewer
from musterd.knowledge.word_queries import either
from musterd.store.database import Row, Statement, Tx

ADD = Statement(
    "chunk_add",
    """INSERT INTO chunks (id, content_id, version, number, text, place, text_hash)
       VALUES (:id, :content_id, :version, :number, :text, :place, :text_hash)""",
)
ADD_WORDS = Statement(
    "chunk_add_words",
    "INSERT INTO chunk_words (rowid, text) SELECT id, WORDS(text) FROM chunks WHERE id BETWEEN :first AND :last",
)
# The words before the chunks: SQLite reads the text of the chunk to know which words to remove.
REMOVE_WORDS = Statement("chunks_remove_words", "DELETE FROM chunk_words WHERE IN_NUMBERS(rowid, :ids)")
REMOVE = Statement("chunks_remove", "DELETE FROM chunks WHERE IN_NUMBERS(id, :ids)")
UNNEEDED = Statement(
    "chunks_unneeded",
    """SELECT id, text_hash FROM chunks
       WHERE content_id = :content_id AND version <> :published_version AND version <> :job_version LIMIT :limit""",
)
OF_VERSION = Statement(
    "chunks_of_version",
    "SELECT id, text_hash FROM chunks WHERE content_id = :content_id AND version = :version LIMIT :limit",
)
LOCK = Statement("chunks_lock", "SELECT text_hash FROM chunks WHERE IN_NUMBERS(id, :ids) ORDER BY id LOCK_ROW")
LOCK_EMBEDDINGS = Statement(
    "embeddings_lock",
    "SELECT text_hash FROM embeddings WHERE IN_LIST(text_hash, :hashes) ORDER BY text_hash, embedder LOCK_ROW",
)
REMOVE_UNUSED = Statement(
    "embeddings_remove_unused",
    """DELETE FROM embeddings WHERE IN_LIST(text_hash, :hashes)
       AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.text_hash = embeddings.text_hash)""",
)
REMOVE_OF_EMBEDDER = Statement(
    "embeddings_remove_of_embedder",
    """DELETE FROM embeddings WHERE embedder = :embedder AND text_hash IN (
         SELECT text_hash FROM embeddings WHERE embedder = :embedder LIMIT :limit)
       AND NOT EXISTS (SELECT 1 FROM knowledge_bases b WHERE b.embedder = :embedder)""",
)
ADD_EMBEDDING = Statement(
    "embedding_add",
    """INSERT INTO embeddings (embedder, text_hash, vector) VALUES (:embedder, :text_hash, :vector)
       ON CONFLICT DO NOTHING""",
)
_WITHOUT_EMBEDDING = """NOT EXISTS (
         SELECT 1 FROM embeddings e WHERE e.embedder = :embedder AND e.text_hash = c.text_hash)"""
TO_EMBED = Statement(
    "chunks_to_embed",
    f"""SELECT c.number, c.text, c.place, c.text_hash FROM chunks c
        WHERE c.content_id = :content_id AND c.version = :version AND c.number > :after AND {_WITHOUT_EMBEDDING}
        ORDER BY c.number LIMIT :limit""",
)
PUBLISHED_CHUNK = "t.id = c.content_id AND t.published_version = c.version"
TO_EMBED_AGAIN = Statement(
    "chunks_to_embed_again",
    f"""SELECT c.id, c.number, c.text, c.place, c.text_hash FROM chunks c CROSS JOIN contents t
        WHERE c.id > :after AND c.id <= :last AND {PUBLISHED_CHUNK} AND {_WITHOUT_EMBEDDING}
        ORDER BY c.id LIMIT :limit""",
)
FIRST_CHANGED = Statement(
    "chunks_first_changed",
    f"""SELECT min(c.id) AS id FROM contents t CROSS JOIN chunks c
        WHERE t.knowledge_id = :knowledge_id AND t.changed_version > :version AND {PUBLISHED_CHUNK}""",
)
CHANGED = Statement(
    "contents_changed",
    """SELECT id, published_version, chunks FROM contents
       WHERE knowledge_id = :knowledge_id AND changed_version > :version ORDER BY id""",
)
VECTORS = Statement(
    "chunk_vectors",
    f"""SELECT c.id, c.content_id, e.vector FROM contents t CROSS JOIN chunks c CROSS JOIN embeddings e
        WHERE IN_LIST(t.id, :contents) AND {PUBLISHED_CHUNK}
          AND e.embedder = :embedder AND e.text_hash = c.text_hash""",
)
_MAY_SEE = "(t.owner IS NULL OR t.owner = :owner OR :sees_all = 1)"
# Only as many rows as are needed are looked up in the other tables. Postgres ranks the rows of the inner statement
# first because of its order. SQLite makes one statement of both, gets the rows in the order of their rank from its
# index, and begins with them because of CROSS JOIN.
_BY_WORDS = f"""SELECT ranked.id FROM (SELECT w.rowid AS id, WORDS_RANK(w, :query) AS rank FROM chunk_words w
                  WHERE HAS_ANCHORS(w, :anchors, :others) AND ROWID_BETWEEN(w, :first, :last) ORDER BY rank) AS ranked
                CROSS JOIN chunks c CROSS JOIN contents t
                WHERE c.id = ranked.id AND {PUBLISHED_CHUNK} AND {_MAY_SEE}"""
_BY_RANK = "ORDER BY ranked.rank LIMIT :limit"
BY_WORDS = Statement("chunks_by_words", f"{_BY_WORDS} {_BY_RANK}")
ALLOWED_BY_WORDS = Statement("chunks_allowed_by_words", f"{_BY_WORDS} AND IN_LIST(t.id, :allowed) {_BY_RANK}")
WORD_COUNTS = Statement("chunk_word_counts", "SELECT word, count FROM WORD_COUNTS(chunk_words, :words) AS counts")
HITS = Statement(
    "chunk_hits",
    f"""SELECT c.id, c.content_id, c.number, c.text, c.place, t.name, t.metadata, t.origin, t.size
        FROM chunks c CROSS JOIN contents t WHERE IN_NUMBERS(c.id, :ids) AND {PUBLISHED_CHUNK} AND {_MAY_SEE}""",
)
PUBLISHED = Statement(
    "chunks_published",
    f"SELECT c.id FROM chunks c CROSS JOIN contents t WHERE IN_NUMBERS(c.id, :ids) AND {PUBLISHED_CHUNK}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedChunk:
    """A chunk that searches find, with what its content adds to an answer."""

    id: int
    content_id: str
    number: int
    text: str
    place: str | None
    name: str
    metadata: JsonObject
    origin: str | None
    size: int


# --- what a job stores --------------------------------------------------------------------------------


async def add(tx: Tx, content: Content, first_id: int, chunks: Sequence[StoredChunk]) -> None:
    """Store chunks of the job's version, which no search finds yet."""
    rows = [
        {
            "id": first_id + offset,
            "content_id": content.id,
            "version": content.job_version,
            "number": chunk.number,
            "text": chunk.text,
            "place": chunk.place,
            "text_hash": chunk.hash,
        }
        for offset, chunk in enumerate(chunks)
    ]
    await tx.many(ADD, rows)
    await tx.run(ADD_WORDS, {"first": first_id, "last": first_id + len(rows) - 1})
    # A removal that has not seen these chunks may be removing the embeddings of the same texts. This waits for it, so
    # that the job then sees which texts have none.
    await _lock_embeddings(tx, {chunk.hash for chunk in chunks})


async def to_embed(tx: Tx, content: Content, embedder: str, after: int, limit: int) -> list[StoredChunk]:
    """Chunks of the job's version without an embedding, in order.

    :param after: the number of the last one that is known to have one.
    """
    params = {
        "content_id": content.id,
        "version": content.job_version,
        "embedder": embedder,
        "after": after,
        "limit": limit,
    }
    return [_chunk(row) for row in await tx.all(TO_EMBED, params)]


async def first_changed(tx: Tx, knowledge_id: str, version: int) -> int | None:
    """The smallest id of a chunk that was published after a version of the knowledge base; None: there is none."""
    row = await tx.one(FIRST_CHANGED, {"knowledge_id": knowledge_id, "version": version})
    return None if row is None or row["id"] is None else int(row["id"])


async def to_embed_again(
    tx: Tx, base: StoredBase, embedder: str, after: int, limit: int
) -> list[tuple[int, StoredChunk]]:
    """Published chunks of a knowledge base without an embedding, by id.

    :param after: the id of the last one that is known to have one.
    """
    params = {"after": after, "last": base.last_chunk, "embedder": embedder, "limit": limit}
    return [(row["id"], _chunk(row)) for row in await tx.all(TO_EMBED_AGAIN, params)]


async def add_embeddings(tx: Tx, embedder: str, vectors: Mapping[str, bytes]) -> None:
    """Store embeddings by the hash of their text. Their chunks must exist when the transaction ends."""
    # In one order, so that two transactions with some of the same texts cannot deadlock.
    rows = [{"embedder": embedder, "text_hash": key, "vector": vectors[key]} for key in sorted(vectors)]
    await tx.many(ADD_EMBEDDING, rows)


async def embed_again(tx: Tx, embedder: str, ids: Collection[int], vectors: Mapping[str, bytes]) -> None:
    """Store embeddings of these chunks, except those of texts whose chunks were removed meanwhile.

    :param vectors: the embeddings by the hash of their text.
    """
    rows = await tx.all(LOCK, {"ids": jsontext.dumps(sorted(ids))})
    left = {row["text_hash"] for row in rows}
    await add_embeddings(tx, embedder, {key: vector for key, vector in vectors.items() if key in left})


# --- removal ------------------------------------------------------------------------------------------


async def remove_unneeded(tx: Tx, content: Content, limit: int) -> int:
    """Remove chunks that no search and no job needs, with their words and embeddings; return how many.

    :param content: all its chunks are unneeded if it is deleted.
    """
    is_deleted = content.status is Status.DELETED
    params = {
        "content_id": content.id,
        "published_version": -1 if is_deleted else content.published_version,
        "job_version": -1 if is_deleted else content.job_version,
        "limit": limit,
    }
    return await _remove(tx, await tx.all(UNNEEDED, params), with_embeddings=True)


async def remove_version(tx: Tx, content: Content, limit: int) -> int:
    """Remove chunks of the job's version; return how many. Embeddings stay: they are paid."""
    params = {"content_id": content.id, "version": content.job_version, "limit": limit}
    return await _remove(tx, await tx.all(OF_VERSION, params), with_embeddings=False)


async def _remove(tx: Tx, rows: Sequence[Row], *, with_embeddings: bool) -> int:
    if not rows:
        return 0
    ids = {"ids": jsontext.dumps([row["id"] for row in rows])}
    await tx.run(REMOVE_WORDS, ids)
    await tx.run(REMOVE, ids)
    if with_embeddings:
        hashes = {row["text_hash"] for row in rows}
        # Only a statement after the lock sees the chunks that others have stored, or removed, until they released it.
        await _lock_embeddings(tx, hashes)
        await tx.run(REMOVE_UNUSED, {"hashes": jsontext.dumps(sorted(hashes))})
    return len(rows)


async def _lock_embeddings(tx: Tx, hashes: Collection[str]) -> None:
    """Lock the embeddings of texts until the transaction ends, in an order that is the same for all."""
    await tx.all(LOCK_EMBEDDINGS, {"hashes": jsontext.dumps(sorted(hashes))})


async def remove_embedder(tx: Tx, embedder: str, limit: int) -> int:
    """Remove embeddings of an embedder with which no knowledge base is searched; return how many."""
    return await tx.run(REMOVE_OF_EMBEDDER, {"embedder": embedder, "limit": limit})


# --- searches -----------------------------------------------------------------------------------------


async def changed(tx: Tx, knowledge_id: str, version: int) -> list[tuple[str, int]]:
    """The contents whose chunks changed after a version of the knowledge base, each with its number of chunks.

    Those that are published no more are among them, with 0.
    """
    rows = await tx.all(CHANGED, {"knowledge_id": knowledge_id, "version": version})
    return [(row["id"], row["chunks"] if row["published_version"] else 0) for row in rows]


async def vectors(tx: Tx, embedder: str, contents: Collection[str]) -> list[tuple[int, str, bytes]]:
    """The published chunks of contents, each with its content and its embedding."""
    params = {"contents": jsontext.dumps(sorted(contents)), "embedder": embedder}
    return [(row["id"], row["content_id"], bytes(row["vector"])) for row in await tx.all(VECTORS, params)]


async def word_counts(tx: Tx, base: StoredBase, words: Sequence[str], chunks: int, limit: int) -> list[int]:
    """About how many chunks have each word, published or not.

    :param chunks: how many chunks the knowledge base has.
    :param limit: up to what number the count must be right.
    """
    params = {
        "words": jsontext.dumps(list(words)),
        "first": base.first_chunk,
        "last": base.last_chunk,
        "limit": limit,
        "rows": chunks,
    }
    counts = {row["word"]: int(row["count"]) for row in await tx.all(WORD_COUNTS, params)}
    return [counts[word] for word in words]


async def by_words(
    tx: Tx,
    base: StoredBase,
    words: Sequence[str],
    viewer: Viewer,
    allowed: Collection[str] | None,
    limit: int,
    *,
    anchors: Sequence[str],
) -> list[int]:
    """The ids of the chunks that have some of the words, the best first.

    :param allowed: the contents to search; None: all.
    :param anchors: those of the words of which a chunk must have one.
    """
    params: dict[str, Any] = {
        "query": either(words),
        "anchors": either(anchors),
        "others": either(word for word in words if word not in anchors),
        "first": base.first_chunk,
        "last": base.last_chunk,
        "limit": limit,
        **_viewer(viewer),
    }
    if allowed is None:
        rows = await tx.all(BY_WORDS, params)
    else:
        rows = await tx.all(ALLOWED_BY_WORDS, {**params, "allowed": jsontext.dumps(sorted(allowed))})
    return [row["id"] for row in rows]


async def hits(tx: Tx, ids: Collection[int], viewer: Viewer) -> dict[int, PublishedChunk]:
    """The chunks with these ids that a search of this caller finds now."""
    rows = await tx.all(HITS, {"ids": jsontext.dumps(list(ids)), **_viewer(viewer)})
    names = PublishedChunk.__dataclass_fields__
    return {
        row["id"]: PublishedChunk(**{name: row[name] for name in names} | {"metadata": json.loads(row["metadata"])})
        for row in rows
    }


async def published(tx: Tx, ids: Collection[int]) -> set[int]:
    """Those of the ids that are chunks of a published version, for any caller."""
    return {row["id"] for row in await tx.all(PUBLISHED, {"ids": jsontext.dumps(list(ids))})}


def _viewer(viewer: Viewer) -> dict[str, Any]:
    return {"owner": viewer.owner, "sees_all": int(viewer.sees_all)}


def _chunk(row: Row) -> StoredChunk:
    return StoredChunk(number=row["number"], text=row["text"], place=row["place"], hash=row["text_hash"])
