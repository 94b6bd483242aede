"""Embeds the contents of a knowledge base again when it declares another embedder, while the old vectors answer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from musterd.core import clock, faults
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge import chunk_store, store
from musterd.features.knowledge.indexes import Indexes
from musterd.features.knowledge.ingestion import SLICE, Places, embedded
from musterd.features.knowledge.records import StoredBase
from musterd.knowledge.embedding import Embedder
from musterd.knowledge.problems import KnowledgeProblem
from musterd.store.database import Tx

log = structlog.get_logger("musterd.knowledge")

WAIT_SECONDS = 60.0
"""How long to wait after an embedder has failed, or if another process embeds the knowledge base. The others go on."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """A walk over the chunks of a knowledge base.

    :param base: the knowledge base when the walk began.
    :param after: the id of the last chunk that is known to have an embedding.
    """

    base: StoredBase
    embedder: Embedder
    spec: str | None
    after: int


class Reembedding:
    """The knowledge bases that a process embeds again.

    Each is also looked through once after the start, because its packages may have been missing before.
    """

    def __init__(self, places: Places, knowledge: Mapping[str, Knowledge], indexes: Indexes) -> None:
        self._places = places
        self._indexes = indexes
        self._database = places.database
        self._knowledge = knowledge
        self._passes: dict[str, _Pass] = {}
        self._left = set(knowledge)
        self._not_before: dict[str, float] = {}

    async def step(self) -> bool:
        """Embed one batch of the first knowledge base that need not wait; False: there is nothing to do now."""
        now = clock.monotonic()
        knowledge_id = min((one for one in self._left if self._not_before.get(one, 0.0) <= now), default=None)
        if knowledge_id is None:
            return False
        try:
            walk = self._passes.get(knowledge_id) or await self._begin(knowledge_id)
        except KnowledgeProblem as error:
            return self._wait(knowledge_id, str(error))
        if walk is None:
            self._left.discard(knowledge_id)
            return True
        if not await self._database.write(lambda tx: store.claim_base(tx, knowledge_id, self._places.worker)):
            return self._wait(knowledge_id, "another process does it")
        try:
            await self._step(walk)
        except KnowledgeProblem as error:
            return self._wait(knowledge_id, str(error))
        return True

    def _wait(self, knowledge_id: str, reason: str) -> bool:
        log.info("a knowledge base is not embedded now", knowledge=knowledge_id, reason=reason)
        self._passes.pop(knowledge_id, None)
        self._not_before[knowledge_id] = clock.monotonic() + WAIT_SECONDS
        return True  # another knowledge base may go on

    async def _begin(self, knowledge_id: str) -> _Pass | None:
        base = await self._database.fetch(lambda tx: store.base(tx, knowledge_id))
        choice = self._places.embedders.declared(self._knowledge[knowledge_id])
        if base is None or choice.embedder is None:
            return None
        return _Pass(base, choice.embedder, choice.spec, base.first_chunk - 1)

    async def _step(self, walk: _Pass) -> None:
        """Embed one batch of a knowledge base, or end the walk."""
        base, embedder = walk.base, walk.embedder
        chunks = await self._database.fetch(
            lambda tx: chunk_store.to_embed_again(tx, base, embedder.name, walk.after, embedder.batch_size)
        )
        if chunks:
            vectors = await embedded(embedder, [chunk for _, chunk in chunks])
            faults.point("content_reembedding")
            ids = [chunk_id for chunk_id, _ in chunks]
            await self._database.write(lambda tx: chunk_store.embed_again(tx, embedder.name, ids, vectors))
            faults.point("content_reembedded")
            self._passes[base.id] = replace(walk, after=chunks[-1][0])
            return
        self._passes.pop(base.id, None)
        if base.embedder != embedder.name and not await self._indexes.is_ready(base, embedder.name):
            raise KnowledgeProblem("the new vectors are being indexed")
        if await self._database.write(lambda tx: _end(tx, walk, self._places.worker)):
            self._left.discard(base.id)
            if base.embedder != embedder.name:
                log.info("a knowledge base has another embedder", knowledge=base.id, embedder=embedder.name)
                await self._remove_vectors(base.embedder)

    async def _remove_vectors(self, embedder: str | None) -> None:
        if embedder is not None:
            await self._places.slices.until_done(lambda tx: chunk_store.remove_embedder(tx, embedder, SLICE))


async def _end(tx: Tx, walk: _Pass, worker: str) -> bool:
    """Search with the walk's embedder from now on; False: contents were published after the walk had begun."""
    base = await store.lock_base(tx, walk.base.id)
    if base.embedder != walk.embedder.name:
        if base.version != walk.base.version:
            return False
        await store.switch(tx, base.id, walk.embedder.name, walk.spec)
    await store.release_base(tx, base.id, worker)
    return True
