"""The vectors of knowledge bases: in the memory of this process, kept in step with the database, or in the database."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from musterd.core.settings import Settings
from musterd.core.threads import in_thread
from musterd.features.knowledge import chunk_store, pgvector_store, store
from musterd.features.knowledge.database_vectors import DatabaseVectors
from musterd.features.knowledge.records import StoredBase
from musterd.knowledge.problems import NoMemory
from musterd.knowledge.vectors import VectorIndex, memory_needed
from musterd.store.database import Database, Tx

GROUP_CHUNKS = 2000
"""About how many vectors one read of the database loads."""
GROUP_CONTENTS = 200


class Vectors(Protocol):
    """The vectors of one knowledge base and embedder."""

    async def search(self, vector: bytes, limit: int, contents: Collection[str] | None) -> list[tuple[int, float]]:
        """The nearest chunks with their cosines, the nearest first; equally near ones by id.

        :param contents: the contents to search; None: all.
        :raises KnowledgeProblem: they cannot be searched.
        """
        ...

    async def forget(self, ids: Collection[int]) -> None:
        """Leave out chunks that do not exist any more."""


@dataclass(slots=True)
class LoadedVectors:
    """The vectors of one knowledge base and embedder in memory.

    :param version: the version of the knowledge base that it has.
    :param ids: the chunks of each content.
    :param incomplete: the contents of which some chunks had no vector, with the number of all their chunks.
    :param used: a number that grows with each use.
    """

    embedder: str
    vectors: VectorIndex = field(default_factory=VectorIndex)
    version: int = -1
    ids: dict[str, list[int]] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    used: int = 0

    async def search(self, vector: bytes, limit: int, contents: Collection[str] | None) -> list[tuple[int, float]]:
        """The nearest chunks with their cosines, the nearest first; equally near ones by id.

        :raises LengthsDiffer: the vector has another length than those that are searched.
        """
        chunks = None if contents is None else {id_ for content in contents for id_ in self.ids.get(content, ())}
        return await in_thread(self.vectors.search, vector, limit, chunks)

    async def forget(self, ids: Collection[int]) -> None:
        """Remove chunks that do not exist any more."""
        await in_thread(self.vectors.remove, ids)


class Indexes:
    """The vectors of all knowledge bases, for searches in this process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._limit_bytes = settings.knowledge_memory_bytes
        self._has_pgvector = settings.knowledge_pgvector
        self._indexes: dict[str, LoadedVectors] = {}
        self._chunks: dict[str, tuple[int, int]] = {}
        self._uses = 0

    async def at_least(self, base: StoredBase, length: int) -> Vectors:
        """The vectors of a knowledge base, at its version or a later one.

        :param length: how long they are.
        :raises NoMemory: they do not fit into memory, and the database cannot search them.
        :raises LengthsDiffer: they differ in length.
        """
        assert base.embedder is not None
        if not self.fits(chunks := await self.chunks(base), length):
            self._indexes.pop(base.id, None)
            if not self._has_pgvector:
                raise NoMemory
            return DatabaseVectors(self._database, base, chunks)
        index = self._indexes.get(base.id)
        if index is None or index.embedder != base.embedder:
            index = self._indexes[base.id] = LoadedVectors(base.embedder)
        self._uses += 1
        index.used = self._uses
        async with index.lock:  # one search loads, the others wait for it
            if index.version < base.version:
                await self._refresh(index, base)
        self._make_room(index)
        return index

    def fits(self, chunks: int, length: int) -> bool:
        """Whether a knowledge base of so many chunks is searched in memory.

        :param length: how long its vectors are.
        """
        return memory_needed(chunks, length) <= self._limit_bytes

    async def is_ready(self, base: StoredBase, embedder: str) -> bool:
        """Whether the vectors of another embedder could be searched now."""
        if not self._has_pgvector:
            return True
        length = await self._database.scan(lambda tx: pgvector_store.length(tx, embedder))
        chunks = await self.chunks(base)
        if length is None or self.fits(chunks, length):
            return True
        return await DatabaseVectors(self._database, replace(base, embedder=embedder), chunks).is_ready(length)

    async def chunks(self, base: StoredBase) -> int:
        """How many chunks a knowledge base has, at its version or a later one."""
        version, chunks = self._chunks.get(base.id, (-1, 0))
        if version < base.version:
            chunks = await self._database.fetch(lambda tx: store.chunks(tx, base.id))
            self._chunks[base.id] = base.version, chunks
        return chunks

    async def _refresh(self, index: LoadedVectors, base: StoredBase) -> None:
        """Load what has changed since the version of the index.

        Vectors that are stored later, also for another content with the same text, do not change a content.
        """
        after = index.version

        async def read(tx: Tx) -> tuple[int, list[tuple[str, int]]]:
            current = await store.base(tx, base.id)
            return (0 if current is None else current.version), await chunk_store.changed(tx, base.id, after)

        version, changed = await self._database.scan(read)
        counts = {**index.incomplete, **dict(changed)}
        for group in _groups(counts):
            # Contents may change again meanwhile; then the next refresh finds them.
            rows = await self._database.fetch(
                lambda tx, group=group: chunk_store.vectors(tx, index.embedder, group)  # type: ignore[misc]
            )
            old = [chunk_id for content in group for chunk_id in index.ids.pop(content, ())]
            await in_thread(_replace, index.vectors, old, rows)
            for chunk_id, content_id, _ in rows:
                index.ids.setdefault(content_id, []).append(chunk_id)
            for content in group:
                if len(index.ids.get(content, ())) < counts[content]:
                    index.incomplete[content] = counts[content]
                else:
                    index.incomplete.pop(content, None)
        index.version = version

    def _make_room(self, index: LoadedVectors) -> None:
        """Drop the other indexes that were not used for longest, until the rest fits."""
        others = sorted((one.used, base_id) for base_id, one in self._indexes.items() if one is not index)
        for _, base_id in others:
            if sum(one.vectors.memory_bytes for one in self._indexes.values()) <= self._limit_bytes:
                return
            del self._indexes[base_id]


def _groups(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Contents in groups that have about the same number of chunks.

    :param counts: the number of chunks of each content.
    """
    group, chunks = list[str](), 0
    for content_id, count in counts.items():
        group.append(content_id)
        chunks += count
        if chunks >= GROUP_CHUNKS or len(group) >= GROUP_CONTENTS:
            yield group
            group, chunks = [], 0
    if group:
        yield group


def _replace(vectors: VectorIndex, old: Sequence[int], rows: Sequence[tuple[int, str, bytes]]) -> None:
    # The new ones first: a search that comes in between finds some twice, rather than none.
    ids = [chunk_id for chunk_id, _, _ in rows]
    vectors.add(ids, [vector for _, _, vector in rows])
    vectors.remove(set(old).difference(ids))
