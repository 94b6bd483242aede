"""Embedders without a model, and what tests do with knowledge bases over HTTP."""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol

import pytest

from musterd.declare.knowledge import Knowledge
from musterd.knowledge import embedding
from tests.support.http import ServerClient

CONTENT = "/knowledge/content"

DIMENSIONS = 64
SYNONYMS = {"automobile": "car", "cars": "car"}
"""Words that the embedder takes for the same, and a search by words does not."""


class FakeEmbedder:
    """Embeds a text by the words that it has.

    :param name: another one has other vectors.
    """

    vector_weight = 1.0
    batch_size = 4

    def __init__(self, name: str = "fake:1") -> None:
        self.name = name
        self.texts: list[str] = []
        self.problem: Exception | None = None
        self.dimensions = DIMENSIONS

    async def load(self) -> None:
        """Do nothing: it has no weights."""

    async def documents(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each text, which is counted."""
        self._require_health()
        self.texts += texts
        return [self._vector(text) for text in texts]

    async def query(self, text: str) -> bytes:
        """The vector of a query."""
        self._require_health()
        return self._vector(text)

    def _require_health(self) -> None:
        if self.problem is not None:
            raise self.problem

    def _vector(self, text: str) -> bytes:
        values = [0] * self.dimensions
        for word in re.findall(r"\w+", text.lower()):
            known = f"{self.name} {SYNONYMS.get(word, word)}"
            values[int.from_bytes(hashlib.blake2b(known.encode(), digest_size=2).digest()) % self.dimensions] += 20
        return bytes(min(value, 127) for value in values)


class FakeEmbedders:
    """The embedders of a test by their names, in place of those that need a model."""

    def __init__(self) -> None:
        self._embedders: dict[str, FakeEmbedder] = {}
        self.is_available = True

    def __getitem__(self, spec: str) -> FakeEmbedder:
        return self._embedders.setdefault(spec, FakeEmbedder(spec if ":" in spec else f"fake:{spec}"))

    def of(self, knowledge: Knowledge, settings: object) -> FakeEmbedder:
        """The embedder that a knowledge base declares."""
        return self[knowledge.embedder]

    @property
    def texts(self) -> list[str]:
        """All texts that were embedded."""
        return [text for embedder in self._embedders.values() for text in embedder.texts]

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Let knowledge bases use these embedders."""
        patch.setattr(embedding, "embedder_of", self.of)
        patch.setattr(embedding, "is_available", lambda knowledge: self.is_available)


@contextmanager
def fake_embedders() -> Iterator[FakeEmbedders]:
    """Fake embedders while a test runs."""
    with pytest.MonkeyPatch.context() as patch:
        embedders = FakeEmbedders()
        embedders.install(patch)
        yield embedders


def text_form(text: str, name: str | None = None, **fields: Any) -> dict[str, Any]:
    """The form that adds a text."""
    return {"text_content": text, **({} if name is None else {"name": name}), **fields}


def hold(embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Let an embedder wait; return what it sets when it has texts, and what it waits for."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    embed = embedder.documents

    async def held(texts: Sequence[str]) -> list[bytes]:
        begun.set()
        await go_on.wait()
        return await embed(texts)

    monkeypatch.setattr(embedder, "documents", held)
    return begun, go_on


class ServeDocs(Protocol):
    """Serves knowledge bases in this process; by default one that is called docs."""

    def __call__(self, *knowledge: Knowledge, **settings: Any) -> AbstractAsyncContextManager[ServerClient]: ...


async def add(client: ServerClient, text: str, name: str | None = None, **fields: Any) -> str:
    """Add a text and wait until it is found; its id."""
    query = {"knowledge_id": fields.pop("knowledge_id")} if "knowledge_id" in fields else {}
    answer = await client.http.post(CONTENT, data=text_form(text, name, **fields), params=query)
    assert answer.status_code == 202, answer.text
    content_id: str = answer.json()["id"]
    status = await client.get(f"{CONTENT}/{content_id}/status", wait=60, **query)
    assert status["status"] == "completed", status
    return content_id


async def until_listed(client: ServerClient, count: int, status: str = "completed") -> list[str]:
    """The names of all contents once that many have ended with this status."""
    while True:
        page = await client.get(CONTENT, status=status, sort_by="name", sort_order="asc")
        if page["meta"]["total_count"] == count:
            return [content["name"] for content in page["data"]]
        for content in (await client.get(CONTENT, status="processing"))["data"]:
            await client.http.get(f"{CONTENT}/{content['id']}", params={"wait": 10})


async def search(client: ServerClient, query: str, **fields: Any) -> dict[str, Any]:
    """The answer of a search."""
    answer = await client.http.post("/knowledge/search", json={"query": query, **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def names(client: ServerClient, query: str, **fields: Any) -> list[str]:
    """The names of the contents that a search finds, the best first."""
    return [hit["name"] for hit in (await search(client, query, **fields))["data"]]
