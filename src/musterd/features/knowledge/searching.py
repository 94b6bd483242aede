"""A search in a knowledge base: by words and by vectors, joined by rank."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from musterd.core.knowledge import Hit, Hits, KnowledgeUnavailable, Search
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge import chunk_store, store
from musterd.features.knowledge.chunk_store import PublishedChunk
from musterd.features.knowledge.embedders import Embedders
from musterd.features.knowledge.indexes import Indexes, Vectors
from musterd.features.knowledge.metadata_search import matching_ids
from musterd.features.knowledge.records import StoredBase, Viewer
from musterd.features.knowledge.reranking import Rerankers
from musterd.knowledge.problems import KnowledgeProblem
from musterd.knowledge.ranking import fused
from musterd.knowledge.word_queries import anchors, words_of
from musterd.store.database import Database, Tx

log = structlog.get_logger("musterd.knowledge")

CANDIDATES = 50
"""How many chunks words and vectors give each, at least."""
RANKED_CHUNKS = 2000
"""Among more chunks, a search by words ranks those that have the rarest of its words, as many as have about so many
chunks. Ranking costs about 1 µs each, and a chunk without these words is rarely among the best."""
COUNTED_CHUNKS = 4 * RANKED_CHUNKS
TRIES = 3
"""How often a search begins anew because chunks were replaced meanwhile."""
NO_VECTORS = "The knowledge base cannot be searched by vectors here."


@dataclass(frozen=True, slots=True)
class _Query:
    """The vector of a query.

    :param problem: why there is none.
    """

    vector: bytes | None = None
    weight: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is searched.

    :param base: the knowledge base, at the version that the search sees at least.
    :param contents: the contents to search; None: all that the caller may see.
    """

    base: StoredBase
    viewer: Viewer
    contents: Collection[str] | None


@dataclass(frozen=True, slots=True)
class _Nearest:
    """What a search by vectors gives.

    :param index: where they were searched; None: they could not be.
    :param cosines: the chunks with their cosines, the nearest first.
    :param problem: why they could not be searched.
    """

    index: Vectors | None = None
    cosines: Sequence[tuple[int, float]] = ()
    problem: str = ""


class Searcher:
    """Searches the knowledge bases of a process."""

    def __init__(self, database: Database, embedders: Embedders, indexes: Indexes, rerankers: Rerankers) -> None:
        self._database = database
        self._embedders = embedders
        self._indexes = indexes
        self._rerankers = rerankers

    async def search(self, knowledge: Knowledge, search: Search) -> Hits:
        """The chunks that match best.

        :raises KnowledgeUnavailable: it can only be answered with vectors, and there are none.
        """
        scope = await self._scope(knowledge, search)
        if scope is None:
            return Hits()
        query = await self._query(knowledge, scope.base, search)
        hits, is_complete = await self._once(scope, search, query)
        for _ in range(TRIES - 1):
            if is_complete or (scope := await self._scope(knowledge, search)) is None:
                break
            hits, is_complete = await self._once(scope, search, query)
        return replace(hits, hits=await self._rerankers.ordered(knowledge, search.query, hits.hits))

    async def _scope(self, knowledge: Knowledge, search: Search) -> _Scope | None:
        """What to search now; None: the knowledge base has never had a content."""
        base, contents = await self._database.read(lambda tx: store.base(tx, knowledge.id)), None
        if base is None:
            return None
        viewer = Viewer(search.owner)
        if search.filters is not None:  # contents are chosen before chunks are ranked
            contents = await matching_ids(self._database, knowledge.id, viewer, search.filters)
        elif knowledge.per_user:
            contents = await self._database.fetch(lambda tx: store.visible(tx, knowledge.id, viewer))
        return _Scope(base, viewer, contents)

    async def _query(self, knowledge: Knowledge, base: StoredBase, search: Search) -> _Query:
        if search.search_type == "keyword":
            return _Query()
        try:
            embedder = self._embedders.answering(knowledge, base)
            if embedder is None:
                return _Query(problem=NO_VECTORS)
            return _Query(await embedder.query(search.query), embedder.vector_weight)
        except KnowledgeProblem as error:
            log.warning("a query could not be embedded", knowledge=knowledge.id, reason=str(error))
            return _Query(problem=str(error))

    async def _once(self, scope: _Scope, search: Search, query: _Query) -> tuple[Hits, bool]:
        """The hits, and whether all of them still exist."""
        limit = max(CANDIDATES, search.limit)
        by_words, nearest = await asyncio.gather(
            self._by_words(scope, search, limit), self._nearest(scope, query, limit)
        )
        is_degraded = nearest.index is None and search.search_type != "keyword"
        if is_degraded and search.search_type == "vector":
            raise KnowledgeUnavailable(nearest.problem)
        if search.search_type == "vector":
            scores = {chunk_id: max(min(cosine, 1.0), 0.0) for chunk_id, cosine in nearest.cosines}
        else:
            ids = [chunk_id for chunk_id, _ in nearest.cosines]
            scores = dict(fused(by_words, ids, vector_weight=query.weight))
        best = list(scores)[: search.limit]
        by_id = await self._database.fetch(lambda tx: chunk_store.hits(tx, best, scope.viewer))
        is_complete = len(by_id) == len(best) or not await self._forget(nearest.index, set(best) - by_id.keys())
        hits = tuple(_hit(by_id[chunk_id], scores[chunk_id]) for chunk_id in best if chunk_id in by_id)
        return Hits(hits=hits, version=scope.base.version, missing="vector" if is_degraded else None), is_complete

    async def _by_words(self, scope: _Scope, search: Search, limit: int) -> list[int]:
        words = words_of(search.query)
        if search.search_type == "vector" or not words:
            return []
        chunks = await self._indexes.chunks(scope.base)

        async def find(tx: Tx) -> list[int]:
            by_words = partial(chunk_store.by_words, tx, scope.base, words, scope.viewer, scope.contents, limit)
            rarest = words
            if chunks > RANKED_CHUNKS:
                counts = await chunk_store.word_counts(tx, scope.base, words, chunks, COUNTED_CHUNKS)
                rarest = anchors(words, counts, RANKED_CHUNKS)
            ids = await by_words(anchors=rarest)
            if len(rarest) < len(words) and len(ids) < search.limit:
                ids = await by_words(anchors=words)
            return ids

        return await self._database.fetch(find)

    async def _nearest(self, scope: _Scope, query: _Query, limit: int) -> _Nearest:
        if query.vector is None or scope.base.embedder is None:
            return _Nearest(problem=query.problem or NO_VECTORS)
        try:
            index = await self._indexes.at_least(scope.base, len(query.vector))
            return _Nearest(index, await index.search(query.vector, limit, scope.contents))
        except KnowledgeProblem as error:
            log.warning("the vectors cannot be searched", knowledge=scope.base.id, reason=str(error))
            return _Nearest(problem=str(error))

    async def _forget(self, index: Vectors | None, ids: Collection[int]) -> bool:
        """Drop chunks that were replaced or deleted meanwhile; return whether there were any."""
        published = await self._database.fetch(lambda tx: chunk_store.published(tx, ids))
        gone = [chunk_id for chunk_id in ids if chunk_id not in published]
        if index is not None and gone:
            await index.forget(gone)
        return bool(gone)


def _hit(chunk: PublishedChunk, score: float) -> Hit:
    return Hit(
        chunk_id=str(chunk.id),
        content_id=chunk.content_id,
        name=chunk.name,
        text=chunk.text,
        number=chunk.number + 1,
        place=chunk.place,
        metadata=chunk.metadata,
        score=score,
        origin=chunk.origin,
    )
