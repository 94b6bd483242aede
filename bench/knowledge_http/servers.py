"""The servers with a knowledge base, and how documents come into it."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import psycopg

from bench.client import Client
from bench.embeddings import EmbeddingServer
from bench.figures import Bar, Figure
from bench.knowledge_names import CHUNK_CHARACTERS, SCHEMA, TABLE
from bench.servers import Musterd, NoFigure, Peer
from bench.stores import Postgres, Sqlite, Store, cpu_with_children, select
from bench.trial import Bench, Side, drive

SQLITE, POSTGRES, BUILTIN = "SQLite", "Postgres", "SQLite with the builtin embedder"
CLIENTS = 4
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 300
COUNT = f"SELECT count(*) AS n FROM {SCHEMA}.{TABLE}"  # noqa: S608 - of constants
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
numbers = itertools.count()


class Ours(Musterd):
    """musterd with runs and chunks in one database."""

    source = "bench/knowledge_http/app.py"
    splitting: Mapping[str, str] = {}

    def __init__(self, model_url: str, environment: Mapping[str, str], store: Store, url: str) -> None:
        super().__init__(model_url, environment, url)
        self.store = store

    def cpu(self) -> float:
        """Return the CPU of the process, of its children and of the database."""
        return cpu_with_children(self.process.pid) + self.store.cpu()

    def tidy(self) -> None:
        """Do now what the database does by itself some minutes after many rows were added."""
        self.store.tidy(self.db_url)

    async def chunks(self) -> int:
        """Return how many chunks searches find."""
        rows = await select(self.db_url, "SELECT status, status_message, chunks FROM contents")
        if messages := [row["status_message"] for row in rows if row["status"] == "failed"]:
            raise NoFigure(f"{self.name}: a document failed: {messages[0]}")
        return sum(row["chunks"] for row in rows)


class PeerWithVectors(Peer):
    """agno with contents and chunks in Postgres, and with sessions in SQLite unless ``db`` says otherwise."""

    app = "bench/peer/knowledge.py"
    splitting: Mapping[str, str] = {
        "reader_id": "text",
        "chunker": "FixedSizeChunker",
        "chunk_size": str(CHUNK_CHARACTERS),
    }

    def __init__(
        self, model_url: str, environment: Mapping[str, str], store: Store, url: str, db: str | None = None
    ) -> None:
        super().__init__(model_url, {**environment, "BENCH_VECTORS": url}, db)
        self.store = store
        self.vectors_url = url

    def cpu(self) -> float:
        """Return the CPU of the process, of its children and of Postgres."""
        return cpu_with_children(self.process.pid) + self.store.cpu()

    def tidy(self) -> None:
        """Do now what the database does by itself some minutes after many rows were added."""
        self.store.tidy(self.vectors_url)

    async def chunks(self) -> int:
        """Return how many chunks searches find."""
        try:
            (row,) = await select(self.vectors_url, COUNT)
        except psycopg.errors.UndefinedTable:  # it is made for the first document
            return 0
        return int(row["n"])


@dataclass(frozen=True)
class Uploads:
    """Documents as encoded requests. They are created before the measurement, because encoding a long one takes 40 ms,
    during which the client cannot read responses."""

    bodies: Sequence[bytes]
    chunks: int


@dataclass(frozen=True)
class Base:
    """A server with its knowledge base.

    :param name: how a row of figures begins.
    """

    name: str
    side: Side

    @property
    def server(self) -> Ours | PeerWithVectors:
        assert isinstance(self.side.server, Ours | PeerWithVectors)
        return self.side.server

    def uploads(self, documents: Sequence[str]) -> Uploads:
        """The requests that add these documents."""
        forms = (
            {"name": f"document {next(numbers)}", "text_content": document, **self.server.splitting}
            for document in documents
        )
        chunks = sum(document.count("\n") + 1 for document in documents)
        return Uploads([urlencode(form).encode() for form in forms], chunks)

    async def add(self, uploads: Uploads) -> None:
        """Add documents and wait until searches find them."""
        expected = await self.server.chunks() + uploads.chunks
        waiting = iter(uploads.bodies)

        async def upload(side: Side) -> None:
            await side.client.answer("POST", "/knowledge/content", expect=202, data=next(waiting), headers=FORM)

        await drive(self.side, upload, len(uploads.bodies), CLIENTS)
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while (count := await self.server.chunks()) != expected:
            if time.perf_counter() > deadline:
                raise NoFigure(f"{self.server.name} has {count} chunks instead of {expected}")
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def bases(bench: Bench) -> AsyncIterator[list[Base]]:
    """Start ours with empty knowledge bases, and the peer's as the last one. Each Postgres is of one server alone."""
    async with AsyncExitStack() as stack:
        embeddings = {"BENCH_EMBEDDINGS_URL": stack.enter_context(EmbeddingServer()).base_url}
        started = list[Base]()
        for name in (SQLITE, POSTGRES, BUILTIN):
            store: Store = stack.enter_context(Postgres()) if name == POSTGRES else Sqlite()
            environment = {} if name == BUILTIN else embeddings
            url = stack.enter_context(store.fresh())
            server = stack.enter_context(Ours(bench.model.base_url, environment, store, url))
            started.append(Base(name, Side(server, await stack.enter_async_context(Client(server.url)))))
        if bench.with_peer:
            postgres = stack.enter_context(Postgres())
            url = stack.enter_context(postgres.fresh())
            peer = stack.enter_context(PeerWithVectors(bench.model.base_url, embeddings, postgres, url))
            started.append(Base("", Side(peer, await stack.enter_async_context(Client(peer.url)))))
        yield started


@asynccontextmanager
async def on_postgres(bench: Bench, peer: PeerWithVectors) -> AsyncIterator[Side]:
    """Start one more server of the peer with the same knowledge base, which keeps its sessions in Postgres too."""
    url = peer.vectors_url
    with PeerWithVectors(bench.model.base_url, peer.environment, peer.store, url, url) as server:
        async with Client(server.url) as client:
            yield Side(server, client)


def figures(
    name: str, unit: str, bases: Sequence[Base], values: Sequence[float], bar: Bar | None = None
) -> list[Figure]:
    """A figure for each of our knowledge bases, each beside the peer's."""
    peer = next((value for base, value in zip(bases, values, strict=True) if not base.side.is_ours), None)
    return [
        Figure(name=f"{name}, {base.name}", unit=unit, ours=value, peer=peer, bar=bar)
        for base, value in zip(bases, values, strict=True)
        if base.side.is_ours
    ]
