"""Embeds the published chunks that have no embedding of the declared embedder.

After a change of the embedder those are all chunks. The old vectors answer until all of them have new ones.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from musterd.core import clock, faults
from musterd.core.errors import StoreUnavailable
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge import chunk_store, store
from musterd.features.knowledge.indexes import Indexes
from musterd.features.knowledge.ingestion import SLICE, JobResources, embedded
from musterd.features.knowledge.records import StoredBase, StoredChunk
from musterd.knowledge.embedding import Embedder
from musterd.knowledge.problems import KnowledgeProblem
from musterd.store.database import Tx

log = structlog.get_logger("musterd.knowledge")

WAIT_SECONDS = 60.0
"""How long to wait after an embedder has failed, or if another process embeds the knowledge base. The others go on."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk over the chunks of a knowledge base.

    :param base: the knowledge base when the walk began.
    :param after: the id of the last chunk that is known to have an embedding.
    """

    base: StoredBase
    embedder: Embedder
    spec: str | None
    after: int

    @property
    def is_change(self) -> bool:
        """Whether another embedder answers searches until the walk ends."""
        return self.base.embedder != self.embedder.name


class Reembedding:
    """The knowledge bases whose chunks this process embeds.

    A process that declares another embedder, or none, publishes chunks without the embeddings. So each knowledge base
    is looked through after the start, and later what was published since.
    """

    def __init__(self, resources: JobResources, knowledge: Mapping[str, Knowledge], indexes: Indexes) -> None:
        self._resources = resources
        self._indexes = indexes
        self._database = resources.database
        self._knowledge = knowledge
        self._walks: dict[str, _Walk] = {}
        self._complete: dict[str, int] = {}
        """The version of a knowledge base up to which all chunks have the embeddings."""
        self._replaceable: dict[str, str | None] = {}
        """The embedder of a knowledge base that this process may replace. A later one belongs to a newer process, and
        two processes must not change it to and fro."""
        self._not_before: dict[str, float] = {}

    async def step(self) -> bool:
        """Embed one batch of the first knowledge base that need not wait; False: there is nothing to do now."""
        now = clock.monotonic()
        for base in await self._database.fetch(store.bases):
            if base.id not in self._knowledge or self._not_before.get(base.id, 0.0) > now:
                continue
            try:
                if (walk := self._walks.get(base.id) or await self._begin(base)) is None:
                    continue
                await self._step(walk)
            except KnowledgeProblem as error:
                log.info("re-embedding of a knowledge base postponed", knowledge=base.id, reason=str(error))
                self._wait(base.id)
            except StoreUnavailable:
                raise
            except Exception as error:
                # A fault in one knowledge base must not keep the others from being embedded.
                log.exception("re-embedding of a knowledge base failed", knowledge=base.id, exc_info=error)
                self._wait(base.id)
            return True
        return False

    def _wait(self, knowledge_id: str) -> None:
        self._walks.pop(knowledge_id, None)
        self._not_before[knowledge_id] = clock.monotonic() + WAIT_SECONDS

    async def _begin(self, base: StoredBase) -> _Walk | None:
        """A walk over the chunks that were published since the last one; None: there is nothing to do."""
        replaceable = self._replaceable.setdefault(base.id, base.embedder)
        choice = self._resources.embedders.declared(self._knowledge[base.id])
        if choice.embedder is None or base.embedder not in (choice.name, replaceable):
            return None
        version = self._complete.get(base.id, -1)
        is_change = base.embedder != choice.name
        if version == base.version and not is_change:
            return None
        first = await self._database.fetch(lambda tx: chunk_store.first_changed(tx, base.id, version))
        walk = _Walk(base, choice.embedder, choice.spec, base.last_chunk if first is None else first - 1)
        # Looked at without a claim, so that a publication that leaves nothing to do costs no write.
        if is_change or await self._next(walk):
            return walk
        self._complete[base.id] = base.version
        return None

    async def _next(self, walk: _Walk) -> list[tuple[int, StoredChunk]]:
        """The next chunks without an embedding."""
        name, limit = walk.embedder.name, walk.embedder.batch_size
        return await self._database.fetch(lambda tx: chunk_store.to_embed_again(tx, walk.base, name, walk.after, limit))

    async def _step(self, walk: _Walk) -> None:
        """Embed one batch of a knowledge base, or end the walk.

        :raises KnowledgeProblem: this process cannot do it now.
        """
        base, embedder = walk.base, walk.embedder
        if not await self._database.write(lambda tx: store.claim_base(tx, base.id, self._resources.worker)):
            raise KnowledgeProblem("another process does it")
        if chunks := await self._next(walk):
            vectors = await embedded(embedder, [chunk for _, chunk in chunks])
            faults.point("content_reembedding")
            ids = [chunk_id for chunk_id, _ in chunks]
            await self._database.write(lambda tx: _store(tx, walk, ids, vectors))
            faults.point("content_reembedded")
            self._walks[base.id] = replace(walk, after=chunks[-1][0])
            return
        self._walks.pop(base.id, None)
        self._complete[base.id] = base.version
        if walk.is_change and not await self._indexes.is_ready(base, embedder.name):
            raise KnowledgeProblem("the new vectors are being indexed")
        if await self._database.write(lambda tx: _end(tx, walk, self._resources.worker)):
            self._replaceable[base.id] = embedder.name
            log.info("embedder of a knowledge base changed", knowledge=base.id, embedder=embedder.name)
            await self._remove_vectors(base.embedder)

    async def _remove_vectors(self, embedder: str | None) -> None:
        if embedder is not None:
            await self._resources.slices.until_done(lambda tx: chunk_store.remove_embedder(tx, embedder, SLICE))


async def _store(tx: Tx, walk: _Walk, ids: Collection[int], vectors: Mapping[str, bytes]) -> None:
    """Store embeddings of these chunks, and let searches see them if they use the embedder already."""
    # Before the base is locked, as publications do.
    await chunk_store.embed_again(tx, walk.embedder.name, ids, vectors)
    base = await store.lock_base(tx, walk.base.id)
    if base.embedder == walk.embedder.name:
        await store.move_base(tx, base.id)


async def _end(tx: Tx, walk: _Walk, worker: str) -> bool:
    """Search with the walk's embedder from now on; False: it does so already, or contents were published meanwhile."""
    base = await store.lock_base(tx, walk.base.id)
    await store.release_base(tx, base.id, worker)
    if not walk.is_change or base.version != walk.base.version:
        return False
    await store.switch(tx, base.id, walk.embedder.name, walk.spec)
    return True
