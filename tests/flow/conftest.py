"""Servers for the flow tests: each test has its own, on a file of its own."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Knowledge, create_app
from musterd.features.knowledge import database_vectors
from musterd.http import readiness
from tests.support.app import Serve, app_on, copied_file, in_process, on_loopback, settings_for
from tests.support.clients import Connect, EitherClient, either_client
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient
from tests.support.knowledge_contents import DIMENSIONS, FakeEmbedders, ServeDocs, fake_embedders
from tests.support.pgvector import create_extension, create_index_of


@pytest.fixture(autouse=True)
def patient_readiness() -> Iterator[None]:
    """A busy machine does not make a server unready: it would answer 503, which is true but not what is tested."""
    with pytest.MonkeyPatch.context() as patch:  # its own: what a test patches is put back before its server stops
        patch.setattr(readiness, "STUCK_SECONDS", 60)
        patch.setattr(readiness, "LONGEST_SECONDS", 60)
        yield


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Path:
    """The test's own database."""
    return copied_file(template, tmp_path)


@pytest.fixture
def serve(database: Path) -> Serve:
    """Serve the sample in this process: ``async with serve(security_key="…") as client``."""

    @contextlib.asynccontextmanager
    async def serving(client_options: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[ServerClient]:
        model = options.setdefault("model", HeldModel())
        async with in_process(app_on(database, **options), model, **(client_options or {})) as client:
            yield client

    return serving


@pytest.fixture
def serve_live(database: Path) -> Serve:
    """Serve the sample on loopback, by the server that production uses."""

    @contextlib.asynccontextmanager
    async def serving(client_options: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[ServerClient]:
        model = options.setdefault("model", HeldModel())
        async with on_loopback(app_on(database, **options), model, **(client_options or {})) as client:
            yield client

    return serving


@pytest.fixture(params=["sync", "async"])
def client_kind(request: pytest.FixtureRequest) -> str:
    """Which client of the package a test has: each has its turn."""
    return str(request.param)


@pytest.fixture
def connect(client_kind: str, serve_live: Serve) -> Connect:
    """Serve the sample on loopback to a client of the package."""

    @contextlib.asynccontextmanager
    async def connecting(token: str | None = None, **settings: Any) -> AsyncIterator[tuple[ServerClient, EitherClient]]:
        async with (
            serve_live(**settings) as server,
            either_client(client_kind, str(server.http.base_url), token=token) as client,
        ):
            yield server, client

    return connecting


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[ServerClient]:
    """The sample, served in this process with everything as shipped."""
    async with serve() as serving:
        yield serving


@pytest.fixture
def embedders() -> Iterator[FakeEmbedders]:
    """The embedders of knowledge bases, without models."""
    with fake_embedders() as embedders:
        yield embedders


@pytest.fixture
async def vectors_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings: vectors are searched in memory, or in Postgres without and with an index; :data:`EACH_VECTORS`."""
    kind = getattr(request, "param", "memory")
    if kind == "memory":
        return {}
    url = request.getfixturevalue("postgres_url")
    create_extension(url)
    if kind == "index":
        monkeypatch.setattr(database_vectors, "READ_CHUNKS", 0)
        await create_index_of(url, "fake:builtin", DIMENSIONS)
    return {"db": url, "knowledge_pgvector": True, "knowledge_memory_bytes": 0}


@pytest.fixture
def serve_docs(database: Path, embedders: FakeEmbedders, vectors_in: dict[str, Any]) -> ServeDocs:
    """Serve knowledge bases in this process."""

    @contextlib.asynccontextmanager
    async def serving(*knowledge: Knowledge, **settings: Any) -> AsyncIterator[ServerClient]:
        declared = knowledge or (Knowledge(id="docs", name="Docs"),)
        chosen = settings_for(database, **{**vectors_in, **settings})
        async with in_process(create_app(knowledge=declared, settings=chosen)) as client:
            yield client

    return serving


@pytest.fixture
async def docs(serve_docs: ServeDocs) -> AsyncIterator[ServerClient]:
    """A server with one knowledge base."""
    async with serve_docs() as client:
        yield client
