"""A search of the vectors of a knowledge base in the database, if they do not fit into memory (decision 017)."""

from collections.abc import Collection, Sequence

from musterd.core.threads import in_thread
from musterd.features.knowledge import pgvector_store, store
from musterd.features.knowledge.pgvector_store import MAX_LENGTH, HnswIndex
from musterd.features.knowledge.records import StoredBase
from musterd.knowledge.problems import IndexMissing, LengthsDiffer
from musterd.knowledge.vectors import VectorIndex
from musterd.store.database import Database, Tx

READ_CHUNKS = 2000
"""Of so many chunks all vectors are read and compared. The index is for more: it would have to look at most of all
vectors to find those of a few contents."""


class DatabaseVectors:
    """The vectors of one knowledge base in the database.

    The database selects the nearest ones or, among few, all. Their cosines are computed here, as those in memory.

    :param base: the knowledge base, at some version. Each search sees the current one.
    :param chunks: how many chunks it has.
    """

    def __init__(self, database: Database, base: StoredBase, chunks: int) -> None:
        self._database = database
        self._base = base
        self._chunks = chunks

    async def search(self, vector: bytes, limit: int, contents: Collection[str] | None) -> list[tuple[int, float]]:
        """The nearest chunks with their cosines, the nearest first; equally near ones by id.

        :param contents: the contents to search; None: all.
        :raises IndexMissing: there are too many to search them without an index.
        :raises LengthsDiffer: the vector has another length than the stored ones.
        """
        if not any(vector):
            return []
        rows = await self._database.scan(lambda tx: self._candidates(tx, vector, limit, contents))
        return await in_thread(_nearest, rows, vector, limit)

    async def forget(self, ids: Collection[int]) -> None:
        """Nothing is kept here."""

    async def is_ready(self, length: int) -> bool:
        """Whether all of them can be searched now.

        :param length: how long they are.
        """
        if self._chunks <= READ_CHUNKS:
            return True
        index = self._index(length)
        return await self._database.scan(lambda tx: pgvector_store.begin_search(tx, index, 1))

    def _index(self, length: int) -> HnswIndex:
        assert self._base.embedder is not None
        return HnswIndex(self._base.embedder, length)

    async def _candidates(
        self, tx: Tx, vector: bytes, limit: int, contents: Collection[str] | None
    ) -> list[tuple[int, bytes]]:
        base, length = self._base, len(vector)
        assert base.embedder is not None
        chunks = self._chunks if contents is None else await store.chunks_of(tx, contents)
        if chunks <= READ_CHUNKS:
            return await pgvector_store.vectors(tx, base, contents)
        index = self._index(length)
        if await pgvector_store.begin_search(tx, index, limit):
            return await pgvector_store.nearest(tx, base, index, vector, contents, limit)
        stored = await pgvector_store.length(tx, base.embedder)
        if stored is not None and stored != length:
            raise LengthsDiffer(stored, length)
        raise IndexMissing(length, MAX_LENGTH)


def _nearest(rows: Sequence[tuple[int, bytes]], vector: bytes, limit: int) -> list[tuple[int, float]]:
    candidates = VectorIndex()
    candidates.add([chunk_id for chunk_id, _ in rows], [stored for _, stored in rows])
    return candidates.search(vector, limit)
