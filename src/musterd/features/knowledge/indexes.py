"""The vectors of knowledge bases in the memory of this process, kept in step with the database."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from musterd.features.knowledge import chunk_store, store
from musterd.features.knowledge.records import StoredBase
from musterd.knowledge.vectors import VectorIndex
from musterd.store.database import Database, Tx

log = structlog.get_logger("musterd.knowledge")

GROUP_CHUNKS = 2000
"""About how many vectors one read of the database loads."""
GROUP_CONTENTS = 200


@dataclass(slots=True)
class LoadedIndex:
    """The vectors of one knowledge base and embedder.

    :param version: the version of the knowledge base that it has.
    :param ids: the chunks of each content.
    :param used: a number that grows with each use.
    """

    embedder: str
    vectors: VectorIndex = field(default_factory=VectorIndex)
    version: int = -1
    ids: dict[str, list[int]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    used: int = 0

    def chunks_of(self, contents: Iterable[str]) -> set[int]:
        """The chunks of some contents."""
        return {chunk_id for content in contents for chunk_id in self.ids.get(content, ())}


class Indexes:
    """The indexes of a process.

    :param limit_bytes: how much memory they may take together.
    """

    def __init__(self, database: Database, limit_bytes: int) -> None:
        self._database = database
        self._limit_bytes = limit_bytes
        self._indexes: dict[str, LoadedIndex] = {}
        self._too_large: dict[str, int] = {}
        self._uses = 0

    async def at_least(self, base: StoredBase) -> LoadedIndex | None:
        """The index of a knowledge base, at its version or a later one; None: there is not enough memory for it."""
        assert base.embedder is not None
        if self._too_large.get(base.id) == base.version:
            return None
        index = self._indexes.get(base.id)
        if index is None or index.embedder != base.embedder:
            index = self._indexes[base.id] = LoadedIndex(base.embedder)
        self._uses += 1
        index.used = self._uses
        async with index.lock:  # one search loads, the others wait for it
            if index.version < base.version:
                await self._refresh(index, base)
        return index if self._make_room(base) else None

    async def forget(self, index: LoadedIndex, ids: Sequence[int]) -> None:
        """Remove chunks that do not exist any more."""
        await asyncio.to_thread(index.vectors.remove, ids)

    async def _refresh(self, index: LoadedIndex, base: StoredBase) -> None:
        """Load what has changed since the version of the index."""
        after = index.version

        async def read(tx: Tx) -> tuple[int, list[tuple[str, int]]]:
            current = await store.base(tx, base.id)
            return (0 if current is None else current.version), await chunk_store.changed(tx, base.id, after)

        version, changed = await self._database.scan(read)
        for group in _groups(changed):
            # Contents may change again meanwhile; then the next refresh finds them.
            rows = await self._database.scan(
                lambda tx, group=group: chunk_store.vectors(tx, index.embedder, group)  # type: ignore[misc]
            )
            old = [chunk_id for content in group for chunk_id in index.ids.pop(content, ())]
            await asyncio.to_thread(_replace, index.vectors, old, rows)
            for chunk_id, content_id, _ in rows:
                index.ids.setdefault(content_id, []).append(chunk_id)
        index.version = version

    def _make_room(self, base: StoredBase) -> bool:
        """Drop the indexes that were not used for longest, until the others fit; False: this one alone does not."""
        while sum(index.vectors.memory_bytes for index in self._indexes.values()) > self._limit_bytes:
            oldest = min(self._indexes, key=lambda base_id: self._indexes[base_id].used)
            del self._indexes[oldest]
            if oldest == base.id:
                self._too_large[base.id] = base.version
                log.warning("a knowledge base is searched by words alone: MUSTERD_KNOWLEDGE_MEMORY", knowledge=base.id)
                return False
        return True


def _groups(contents: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    """Contents in groups that have about the same number of chunks."""
    group, chunks = list[str](), 0
    for content_id, count in contents:
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
