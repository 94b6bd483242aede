"""Knowledge bases in a server: their use cases, their jobs, and searches by requests and by runs."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import Conflict, InvalidInput, NotFound, StartError, StoreUnavailable, Unavailable
from musterd.core.knowledge import Hits, KnowledgeUnavailable, Search
from musterd.declare.knowledge import Knowledge
from musterd.declare.problems import noting_problems
from musterd.features.knowledge import folders, store
from musterd.features.knowledge.contents import Contents
from musterd.features.knowledge.fetching import Fetcher
from musterd.features.knowledge.indexes import Indexes
from musterd.features.knowledge.ingestion import Ingestion, JobResources
from musterd.features.knowledge.pgvector_upkeep import PgvectorUpkeep, require_pgvector
from musterd.features.knowledge.records import NAME_LENGTH, Content, NewContent, SourceKind, Viewer
from musterd.features.knowledge.reembedding import Reembedding
from musterd.features.knowledge.removal import remove_unneeded
from musterd.features.knowledge.reranking import Rerankers
from musterd.features.knowledge.searching import Searcher
from musterd.http.server import Server
from musterd.knowledge.embedding import check_embedder_name
from musterd.knowledge.reading import limits_of
from musterd.wire.components import DB_ID

log = structlog.get_logger("musterd.knowledge")

LOOK_SECONDS = 0.25
"""How often a request that waits for a content looks whether another process has changed it."""


class Pulse:
    """Wakes all that wait whenever something has changed in this process."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Wake all that wait now."""
        self._event.set()
        self._event = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """What the next change sets. To be read before the state that is waited for."""
        return self._event


class KnowledgeService(Contents):
    """The knowledge bases that a process declares.

    :raises DeclarationError: a declared embedder does not exist.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server.database, server.settings)
        settings = server.settings
        self._server = server
        self._knowledge: Mapping[str, Knowledge] = server.registry.knowledge
        for knowledge in self._knowledge.values():
            with noting_problems():
                check_embedder_name(knowledge, settings)
        self._pulse = Pulse()
        self._on_change = self._pulse.beat
        resources = JobResources(
            database=server.database,
            slices=self._slices,
            embedders=self._embedders,
            fetcher=Fetcher(self._reach, settings.body_bytes),
            limits=limits_of(settings),
            max_chunks=settings.knowledge_chunks,
            worker=server.worker.worker_id,
            changed=self._pulse.beat,
        )
        self._ingestion = Ingestion(resources, self._knowledge)
        self._indexes = Indexes(server.database, settings)
        self._reembedding = Reembedding(resources, self._knowledge, self._indexes)
        self._pgvector: PgvectorUpkeep | None = None
        if settings.knowledge_pgvector:
            self._pgvector = PgvectorUpkeep(server.database, self._indexes, self._declared_embedder)
        self._rerankers = Rerankers(settings)
        self._searcher = Searcher(server.database, self._embedders, self._indexes, self._rerankers)
        self._folders = [knowledge for knowledge in self._knowledge.values() if knowledge.folder is not None]

    # --- upkeep -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Store the knowledge bases that are declared.

        :raises StartError: vectors are to be searched in the database, and it cannot.
        """
        if self._pgvector is not None:
            await require_pgvector(self._database)
        for knowledge in self._knowledge.values():
            choice, now = self._choice(knowledge), clock.now()
            await self._database.write(
                lambda tx, one=knowledge, choice=choice, now=now: store.ensure_base(  # type: ignore[misc]
                    tx, one.id, choice.name, choice.spec, now
                )
            )

    async def upkeep(self) -> None:
        """Do jobs until the server stops. A content that is added to this process is taken up at once."""
        while self._knowledge:
            changed = self._pulse.next
            await self._sync_folders()
            await self._ingestion.work()
            await remove_unneeded(self._database, self._slices)
            if await self._reembedding.step():
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._server.settings.upkeep_seconds):
                    await changed.wait()

    async def index_vectors(self) -> None:
        """Build the indexes of vectors that the database misses. Contents are ingested meanwhile."""
        if self._pgvector is not None:
            await self._pgvector.once()

    def _declared_embedder(self, knowledge_id: str) -> str | None:
        knowledge = self._knowledge.get(knowledge_id)
        return None if knowledge is None else self._choice(knowledge).name

    async def close(self) -> None:
        """Leave the job to another process."""
        self._rerankers.close()
        try:
            await self._ingestion.release()
        except StoreUnavailable as error:
            log.warning("a job could not be released; it is taken up later", reason=error.message)

    async def _sync_folders(self) -> None:
        while self._folders:
            knowledge = self._folders[-1]
            folder, limit = Path(str(knowledge.folder)), self._server.settings.body_bytes
            try:
                await folders.sync(self._database, self, knowledge, folder, limit)
            except StartError as error:  # the contents stay as they are
                log.warning("folder not synchronized", knowledge=knowledge.id, reason=error.message)
            self._folders.pop()

    # --- the knowledge bases of a request ---------------------------------------------------------

    def chosen(self, knowledge_id: str | None, db_id: str | None) -> Knowledge:
        """The knowledge base that a request names. It need not be named if there is one.

        :raises NotFound: there is none of this name.
        :raises InvalidInput: there are several and none is named.
        """
        if db_id is not None and db_id != DB_ID:
            raise NotFound(f"Knowledge instance with db_id '{db_id}' not found")
        if knowledge_id is not None:
            if (knowledge := self._knowledge.get(knowledge_id)) is None:
                raise NotFound(f"Knowledge base '{knowledge_id}' not found")
            return knowledge
        if not self._knowledge:
            raise NotFound("No knowledge base is declared")
        if len(self._knowledge) > 1:
            words = f"Name one of the knowledge bases: {', '.join(self._knowledge)}"
            raise InvalidInput.at(("query", "knowledge_id"), "missing", words)
        return next(iter(self._knowledge.values()))

    async def settled(self, knowledge: Knowledge, content_id: str, caller: Caller, wait_seconds: float) -> Content:
        """A content after its job has ended, or as it is after ``wait_seconds``, at most the longest wait of a poll.

        :raises NotFound: there is none that this caller may see.
        """
        ends_at = clock.monotonic() + min(wait_seconds, self._server.settings.wait_max_seconds)
        while True:
            changed = self._pulse.next
            content = await self.view(knowledge, content_id, caller)
            left = ends_at - clock.monotonic()
            if content.status.is_final or left <= 0 or self._server.is_stopping:
                return content
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await changed.wait()

    async def find(self, knowledge: Knowledge, search: Search, caller: Caller) -> Hits:
        """Search for a request.

        :raises Unavailable: there is no answer without vectors, and there are none.
        """
        try:
            return await self._searcher.search(knowledge, replace(search, owner=caller.user_id))
        except KnowledgeUnavailable as error:
            raise Unavailable(str(error)) from error

    # --- the knowledge bases of runs --------------------------------------------------------------

    async def search(self, knowledge: Knowledge, search: Search) -> Hits:
        """Search for a run.

        :raises KnowledgeUnavailable: there is no answer.
        """
        with _in_words_for_models():
            return await self._searcher.search(knowledge, search)

    async def filter_keys(self, knowledge: Knowledge, owner: str | None) -> Sequence[str]:
        """The keys of the metadata of the contents that a user may see, in alphabetical order.

        :raises KnowledgeUnavailable: the database is away.
        """
        with _in_words_for_models():
            return await self._keys(knowledge, Viewer(owner))

    async def add_text(self, knowledge: Knowledge, *, name: str, text: str, owner: str | None) -> str:
        """Add a text for a run's user, or replace the one that a run has added under this name; return its id.

        :raises KnowledgeUnavailable: people have added a content of this name, or the database is away.
        """
        new = NewContent(source=SourceKind.RUN, name=name[:NAME_LENGTH], content=text.encode())
        with _in_words_for_models():
            added = await self.add(knowledge, new, Caller(user_id=owner, label=owner or ""))
        return added.content.id


@contextlib.contextmanager
def _in_words_for_models() -> Iterator[None]:
    """Let a run go on without the knowledge base while the database is away, or if a name is taken.

    :raises KnowledgeUnavailable: one of these.
    """
    try:
        yield
    except Conflict as error:
        raise KnowledgeUnavailable(error.message) from error
    except StoreUnavailable as error:
        raise KnowledgeUnavailable("The knowledge base cannot be reached now.") from error
