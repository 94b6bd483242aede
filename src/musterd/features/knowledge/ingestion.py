"""The job of a content: read, split, embed, publish. Each step is stored when it is done.

One job at a time is at work in a process. A process that dies leaves its job under its id; when its row in ``workers``
is gone, another process takes the job up and goes on at the first step that is not stored. Chunks and embeddings are
stored before they can be found, in slices, so that runs that commit meanwhile wait for one slice at most. One
transaction publishes them: a search finds all of the old chunks or all of the new ones.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from musterd.core import clock, faults
from musterd.core.errors import StoreUnavailable
from musterd.core.threads import in_thread
from musterd.declare.knowledge import Knowledge
from musterd.engine.slices import Slices
from musterd.features.knowledge import chunk_store, sources, store
from musterd.features.knowledge.embedders import Embedders
from musterd.features.knowledge.fetching import Fetcher
from musterd.features.knowledge.records import Content, SourceKind, StoredChunk
from musterd.features.knowledge.store import Lost
from musterd.knowledge import reading, splitting
from musterd.knowledge.embedding import Embedder
from musterd.knowledge.problems import EmbedderFailed, KnowledgeProblem
from musterd.store.database import Database, Tx

log = structlog.get_logger("musterd.knowledge")

SLICE = 200
"""How many chunks one transaction stores or removes: about 20 ms of the database's time."""
EMBEDDING_TRIES = 3
RETRY_SECONDS = 1.0
"""The wait before the second try; each further one is twice as long."""
UNEXPECTED = (
    "The content could not be processed; the server's log says why. Add it again, or for a file of a folder run "
    "musterd knowledge sync."
)
NOT_REPLACED = "The replacement failed; searches still find the earlier text."
CRASHED = (
    f"The server crashed {store.MAX_CRASHES} times while it read this content, so it is not read again by itself. "
    "Add it again, or for a file of a folder run musterd knowledge sync; if it fails again, split or convert it."
)


@dataclass(frozen=True, slots=True)
class JobResources:
    """What jobs of this process work with.

    :param changed: called after each change that a client may wait for.
    """

    database: Database
    slices: Slices
    embedders: Embedders
    fetcher: Fetcher
    limits: reading.ReadingLimits
    max_chunks: int
    worker: str
    changed: Callable[[], None]


class Ingestion:
    """The jobs of a process."""

    def __init__(self, resources: JobResources, knowledge: Mapping[str, Knowledge]) -> None:
        self._resources = resources
        self._database = resources.database
        self._knowledge = knowledge
        self._job: Content | None = None
        self._last_owner: str | None = None
        self._loaded: set[str] = set()
        """The knowledge bases whose embedder is loaded, or cannot be."""

    async def work(self) -> None:
        """Do jobs until there is none left."""
        while (job := await self._resume() or await self._claim()) is not None:
            # Kept while the database is away, so that the process that returns to its job does not count as crashed.
            self._job = job
            try:
                await self._do(job)
            except (StoreUnavailable, asyncio.CancelledError):
                raise
            except BaseException:
                self._job = None
                raise
            self._job = None
            self._resources.changed()

    async def release(self) -> None:
        """Leave the job to another process, because this one stops."""
        if (job := self._job) is not None:
            self._job = None
            await self._database.write(lambda tx: store.release(tx, job, clock.now()))

    async def _resume(self) -> Content | None:
        """The job that was kept while the database was away; None: there is none, or it is lost."""
        if (job := self._job) is not None:
            self._job = await self._database.write(lambda tx: store.resume(tx, job, clock.now()))
        return self._job

    async def _claim(self) -> Content | None:
        worker, after = self._resources.worker, self._last_owner
        base = await self._database.read(lambda tx: store.next_base(tx, self._knowledge, worker, after_owner=after))
        if base is None:
            return None
        # Before a job is claimed: a process that dies while it loads must not count as a crash of a document.
        await self._load_embedder(self._knowledge[base])
        job = await self._database.write(
            lambda tx: store.claim(tx, self._loaded, worker, clock.now(), after_owner=after)
        )
        if job is not None:
            self._last_owner = job.owner
        return job

    async def _load_embedder(self, knowledge: Knowledge) -> None:
        if knowledge.id in self._loaded:
            return
        faults.point("embedder_loading")
        # Any exception: the jobs that need it meet it again, and fail alone. Here it would stop those of all bases.
        with contextlib.suppress(Exception):
            if (embedder := self._resources.embedders.declared(knowledge).embedder) is not None:
                await embedder.load()
        # Also if it cannot be used: otherwise a job that needs it would never be claimed, and would not fail.
        self._loaded.add(knowledge.id)

    async def _do(self, job: Content) -> None:
        knowledge = self._knowledge[job.knowledge_id]
        try:
            if job.crashes >= store.MAX_CRASHES:
                await self._fail(job, CRASHED)
                return
            await _Job(self._resources, knowledge, job).run()
        except KnowledgeProblem as error:
            log.warning("content failed", content=job.id, knowledge=knowledge.id, reason=str(error))
            await self._fail(job, str(error))
        except Lost:
            log.info("the job of a content was given up", content=job.id, knowledge=knowledge.id)
        except StoreUnavailable:
            raise
        except Exception as error:
            # A job is an attempt: a fault in one, or in an embedder, must not leave it unfinished or stop the others.
            log.exception("content failed unexpectedly", content=job.id, knowledge=knowledge.id, exc_info=error)
            await self._fail(job, UNEXPECTED)

    async def _fail(self, job: Content, message: str) -> None:
        if job.is_published:
            message = f"{NOT_REPLACED} {message}"

        async def work(tx: Tx) -> None:
            await store.fail(tx, job, message, clock.now())
            await sources.remove(tx, job.id)

        try:
            await self._database.write(work)
        except Lost:  # deleted or replaced in the meantime
            return


@dataclass(frozen=True, slots=True)
class _LastBatch:
    """The embeddings that are stored with the publication, by the hash of their text."""

    embedder: str = ""
    vectors: Mapping[str, bytes] = field(default_factory=dict)


class _Job:
    """One job."""

    def __init__(self, resources: JobResources, knowledge: Knowledge, job: Content) -> None:
        self._resources = resources
        self._database = resources.database
        self._knowledge = knowledge
        self._job = job

    async def run(self) -> None:
        """Do what is not stored yet.

        :raises Lost: the content was deleted or replaced, or another process works on it.
        """
        if self._job.chunk_total is None:
            await self._store_chunks(await self._read())
        self._resources.changed()
        await self._publish(await self._embed())

    # --- read and split ---------------------------------------------------------------------------

    async def _read(self) -> list[StoredChunk]:
        job = self._job
        if (properties := await self._database.fetch(lambda tx: sources.properties(tx, job.id))) is not None:
            self._job = job = job.with_properties(properties)
        source = await self._source()
        sections = await reading.read(source, reader=job.reader, limits=self._resources.limits)
        faults.point("content_read")
        return await in_thread(self._split, sections, reading.kind_of(source, job.reader))

    def _split(self, sections: Sequence[reading.Section], kind: str) -> list[StoredChunk]:
        characters = self._job.chunk_characters or self._knowledge.chunk_characters
        chunks = splitting.split(
            sections,
            characters=characters,
            overlap=min(self._job.chunk_overlap, characters - 1),
            kind=kind,
            max_chunks=self._resources.max_chunks,
        )
        return [StoredChunk.of(number, chunk.text, chunk.place) for number, chunk in enumerate(chunks)]

    async def _source(self) -> reading.Source:
        """The bytes of the content. Those of a URL are stored first: a repetition must split the same ones."""
        job = self._job
        content = await self._database.fetch(lambda tx: sources.get(tx, job.id))
        media_type, file_name = job.media_type, job.origin
        if job.source is SourceKind.URL:
            file_name = sources.file_name(job.origin or "")
            if content is None:
                page = await self._resources.fetcher.fetch(job.origin or "")
                content, media_type = page.content, page.media_type
                source = reading.Source(content=content, file_name=file_name, media_type=media_type)
                kind = reading.kind_of(source, job.reader)
                await self._database.write(lambda tx: self._keep(tx, source, kind))
        if content is None:
            raise Lost
        return reading.Source(content=content, file_name=file_name, media_type=media_type)

    async def _keep(self, tx: Tx, source: reading.Source, kind: str) -> None:
        job, size, now = self._job, len(source.content), clock.now()
        await store.hold(tx, job, now)
        # Read in this transaction, because a request may have changed them since the job began.
        properties = await sources.properties(tx, job.id)
        if properties is None:
            await store.fetched(tx, job, size=size, media_type=source.media_type, kind=kind, now=now)
        else:
            changed = replace(properties, size=size, media_type=source.media_type, kind=kind)
            await sources.put_properties(tx, job.id, changed, now)
        await sources.put(tx, job.id, source.content, now)

    async def _store_chunks(self, chunks: Sequence[StoredChunk]) -> None:
        if self._job.attempts > 1:
            # Those that an attempt has left that was cut off between two slices. They may differ from these.
            await self._resources.slices.until_done(self._remove_slice)
        slices = [chunks[start : start + SLICE] for start in range(0, len(chunks), SLICE)] or [[]]
        await self._resources.slices.each(slices[:-1], self._store_slice)
        await self._resources.slices.one(self._store_slice(slices[-1], total=len(chunks)))
        faults.point("content_split")

    async def _remove_slice(self, tx: Tx) -> int:
        await store.hold(tx, self._job, clock.now())  # the chunks may be those of a process that took the job over
        return await chunk_store.remove_version(tx, self._job, SLICE)

    def _store_slice(
        self, chunks: Sequence[StoredChunk], total: int | None = None
    ) -> Callable[[Tx], Coroutine[Any, Any, int]]:
        """Store some chunks.

        :param total: how many chunks the content has, if these are the last ones.
        """

        async def work(tx: Tx) -> int:
            first = await store.allocate(tx, self._job.knowledge_id, len(chunks))
            if total is None:
                await store.hold(tx, self._job, clock.now())
            else:
                await store.note_split(tx, self._job, total, clock.now())
            await chunk_store.add(tx, self._job, first, chunks)
            faults.point("content_storing")
            return len(chunks)

        return work

    # --- embed and publish ------------------------------------------------------------------------

    async def _embed(self) -> _LastBatch:
        """Embed the chunks that have no embedding of the declared embedder, and store all but the last batch.

        The knowledge base may still be searched with another embedder, which the job does not need.

        :raises EmbedderFailed: the declared embedder cannot be used.
        """
        embedder = self._resources.embedders.declared(self._knowledge).embedder
        if embedder is None:
            return _LastBatch()
        after = -1
        while True:
            chunks = await self._to_embed(embedder, after)
            vectors = await embedded(embedder, chunks) if chunks else {}
            faults.point("content_embedding")
            if len(chunks) < embedder.batch_size:
                return _LastBatch(embedder.name, vectors)
            after = chunks[-1].number  # those before it have embeddings
            await self._database.write(
                partial(self._store_vectors, embedder=embedder.name, vectors=vectors, done=after + 1)
            )
            self._resources.changed()
            faults.point("content_embedded")

    async def _to_embed(self, embedder: Embedder, after: int) -> list[StoredChunk]:
        job, limit = self._job, embedder.batch_size
        return await self._database.fetch(lambda tx: chunk_store.to_embed(tx, job, embedder.name, after, limit))

    async def _store_vectors(self, tx: Tx, embedder: str, vectors: Mapping[str, bytes], done: int) -> None:
        await store.note_done(tx, self._job, done, clock.now())
        await chunk_store.add_embeddings(tx, embedder, vectors)

    async def _publish(self, last: _LastBatch) -> None:
        """Store the last vectors, let searches find the chunks, and describe the content by them."""
        faults.point("content_publishing")

        async def work(tx: Tx) -> None:
            # Stored before the base is locked, because the publications of all its contents wait for that lock.
            await chunk_store.add_embeddings(tx, last.embedder, last.vectors)
            moved = await store.move_base(tx, self._job.knowledge_id)
            await store.publish(tx, self._job, moved.version, clock.now())
            # Read after the row is locked, because a request may have changed them since the job began.
            if (properties := await sources.properties(tx, self._job.id)) is not None:
                await store.set_properties(tx, self._job.id, properties)
            await sources.remove(tx, self._job.id)

        await self._database.write(work)
        faults.point("content_published")
        log.info("content published", content=self._job.id, knowledge=self._knowledge.id)


async def embedded(embedder: Embedder, chunks: Sequence[StoredChunk]) -> dict[str, bytes]:
    """The embeddings of chunks by the hash of their text, each text paid once.

    :raises EmbedderFailed: the embedder fails several times.
    """
    texts = {chunk.hash: chunk.text for chunk in chunks}
    wait_seconds = RETRY_SECONDS
    for tries_left in range(EMBEDDING_TRIES - 1, -1, -1):
        try:
            vectors = await embedder.documents(list(texts.values()))
            return dict(zip(texts, vectors, strict=True))
        except EmbedderFailed as error:
            if not tries_left or not error.is_retryable:
                raise
        await clock.sleep(wait_seconds)
        wait_seconds *= 2
    raise AssertionError("the last try returns or raises")
