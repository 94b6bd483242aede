"""Builds the indexes of vectors in Postgres that searches need, and removes those that none needs any more."""

from collections.abc import Callable, Collection, Mapping
from functools import partial

import structlog

from musterd.core.errors import StartError
from musterd.features.knowledge import database_vectors, pgvector_store, store
from musterd.features.knowledge.indexes import Indexes
from musterd.features.knowledge.pgvector_store import MAX_LENGTH, Extension, HnswIndex
from musterd.features.knowledge.records import StoredBase
from musterd.store.database import Database, Tx

log = structlog.get_logger("musterd.knowledge")

OLDEST_VERSION = (0, 8)
"""The first one that goes on searching if owners and filters leave too few results."""
EARLY = 0.75
"""The share of the bounds from which on an index is built, so that it is there when it is needed."""


async def require_pgvector(database: Database) -> None:
    """Check that the database has the extension.

    :raises StartError: it has not; the message says what to do.
    """
    extension = await database.scan(pgvector_store.extension)
    if (cure := _cure(extension)) is not None:
        raise StartError(f"MUSTERD_KNOWLEDGE_PGVECTOR needs the extension pgvector in the database — {cure}")


def _cure(extension: Extension) -> str | None:
    oldest = ".".join(map(str, OLDEST_VERSION))
    if extension.version is not None and _is_new(extension.version):
        return None
    if extension.available is None or not _is_new(extension.available):
        return f"install pgvector {oldest} or newer on the database server, then execute CREATE EXTENSION vector"
    if extension.version is None:
        return "execute CREATE EXTENSION vector as its owner or a superuser"
    return f"it is {extension.version} there: execute ALTER EXTENSION vector UPDATE"


def _is_new(version: str) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_VERSION


class PgvectorUpkeep:
    """The indexes of vectors in the database, of all knowledge bases.

    :param indexes: decides which knowledge bases are searched in the database.
    :param declared: the name of the embedder that a knowledge base declares, by its id. It answers later on.
    """

    def __init__(self, database: Database, indexes: Indexes, declared: Callable[[str], str | None]) -> None:
        self._database = database
        self._indexes = indexes
        self._declared = declared
        self._done: list[StoredBase] = []

    async def once(self) -> None:
        """Build an index that is missing, and remove what is left of others; return when nothing is left to do.

        A build takes minutes. If it is cut off, the next look in any process begins it anew.
        """
        bases = await self._database.scan(store.bases)
        if bases == self._done:
            return
        needed, embedders, is_known = dict[str, HnswIndex](), set[str](), True
        for base in bases:
            chunks = await self._indexes.chunks(base)
            for embedder in {base.embedder, self._declared(base.id)} - {None}:
                assert embedder is not None
                embedders.add(embedder)
                if chunks <= database_vectors.READ_CHUNKS * EARLY:
                    continue
                length = await self._database.scan(partial(pgvector_store.length, embedder=embedder))
                if length is None:
                    is_known = False  # nothing is embedded by it yet
                elif length <= MAX_LENGTH and not self._indexes.fits(int(chunks / EARLY), length):
                    index = HnswIndex(embedder, length)
                    needed[index.name] = index
        if await self._keep(needed, embedders) and is_known:
            self._done = bases

    async def _keep(self, needed: Mapping[str, HnswIndex], embedders: Collection[str]) -> bool:
        """Do what is to do; False: another process builds an index, so look again."""
        extension = await self._database.scan(pgvector_store.extension)
        if extension.schema is None or not extension.may_index:
            log.warning("indexes of vectors must be built by a process whose role owns the tables")
            return True
        schema, prefixes = extension.schema, tuple(HnswIndex.prefix(embedder) for embedder in embedders)

        # Statements on their own, because an index that is built beside reads and writes needs several transactions. If
        # the connection is lost, this is repeated, so it looks first.
        async def work(tx: Tx) -> bool:
            existing = {row["name"]: row for row in await tx.all(pgvector_store.INDEXES, {})}
            if any(row["is_building"] for row in existing.values()):
                return False
            for name, row in existing.items():
                if not row["is_valid"] or not name.startswith(prefixes):  # what a build that was cut off has left
                    await tx.run(pgvector_store.drop(name), {})
            for name, index in needed.items():
                if name not in existing or not existing[name]["is_valid"]:
                    log.info("building a vector index", index=name, embedder=index.embedder)
                    await tx.run(index.create(schema), {})
                    await tx.run(pgvector_store.without_statistics(name), {})
                    log.info("vector index built", index=name, embedder=index.embedder)
            return True

        if needed:
            await self._database.write(lambda tx: pgvector_store.create_function(tx, schema))
        return await self._database.read(work)
