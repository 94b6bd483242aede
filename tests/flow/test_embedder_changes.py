"""Knowledge bases whose embedder is changed, fails, or is another one in another process."""

import pytest
from structlog.testing import capture_logs

from musterd import Knowledge
from musterd.features.knowledge import reembedding
from musterd.features.knowledge.indexes import Indexes
from musterd.knowledge.problems import EmbedderFailed
from tests.support.http import ServerClient
from tests.support.knowledge_contents import CONTENT, FakeEmbedders, ServeDocs, add, hold, names, search
from tests.support.loop_clock import LoopClock
from tests.support.store import Records

OLD = Knowledge(id="docs", embedder="fake:old")
NEW = Knowledge(id="docs", embedder="fake:new")
BY_WORDS = Knowledge(id="docs", embedder="fake:old", search_type="keyword")
AWAY = EmbedderFailed("The embedder is away.")


async def until_found(client: ServerClient, query: str, expected: set[str]) -> None:
    """Wait until a search by vectors finds these contents."""
    while set(await names(client, query, search_type="vector")) != expected:
        await client.http.get(CONTENT)


async def embedder_of(client: ServerClient) -> str | None:
    """The embedder with which the knowledge base is searched."""
    (row,) = await Records(client.server.database).select("SELECT embedder FROM knowledge_bases")
    embedder: str | None = row["embedder"]
    return embedder


async def until_searched_with(client: ServerClient, name: str) -> None:
    """Wait until the knowledge base is searched with an embedder."""
    while await embedder_of(client) != name:
        await client.http.get(CONTENT)


async def test_new_contents_need_the_declared_embedder_alone(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_docs(OLD) as client:
        await add(client, "A red car.", "one")
    is_ready = False

    async def ready(self: Indexes, base: object, embedder: str) -> bool:
        return is_ready

    monkeypatch.setattr(Indexes, "is_ready", ready)
    embedders["fake:old"].problem = AWAY
    async with serve_docs(NEW) as client:
        await add(client, "Rain in Bergen.", "two")
        assert await embedder_of(client) == "fake:old"
        results = await search(client, "rain car")
        assert {hit["name"] for hit in results["data"]} == {"one", "two"}
        assert results["meta"]["degraded"] == "vector"
        is_ready = True
        LoopClock(monkeypatch).put_forward(reembedding.WAIT_SECONDS + 1)
        await until_searched_with(client, "fake:new")
        await until_found(client, "rain automobile", {"one", "two"})
    assert embedders["fake:old"].texts == ["A red car."]
    assert sorted(embedders["fake:new"].texts) == ["A red car.", "Rain in Bergen."]


async def test_a_base_that_is_searched_by_words_embeds_nothing(serve_docs: ServeDocs, embedders: FakeEmbedders) -> None:
    async with serve_docs(OLD) as client:
        await add(client, "A red car.", "one")
    embedders["fake:old"].problem = AWAY
    async with serve_docs(BY_WORDS) as client:
        await add(client, "Rain in Bergen.", "two")
        assert await names(client, "rain") == ["two"]
        assert (await search(client, "rain", search_type="hybrid"))["meta"]["degraded"] == "vector"
    embedders["fake:old"].problem = None
    assert embedders["fake:old"].texts == ["A red car."]
    async with serve_docs(OLD) as client:
        await until_found(client, "rain automobile", {"one", "two"})
    assert embedders["fake:old"].texts == ["A red car.", "Rain in Bergen."]


async def test_a_process_that_still_declares_the_old_embedder_neither_changes_it_back_nor_loses_contents(
    serve_docs: ServeDocs, embedders: FakeEmbedders
) -> None:
    async with serve_docs(OLD, upkeep_seconds=0.01) as old:
        await add(old, "A red car.", "one")
        async with serve_docs(NEW, upkeep_seconds=0.01) as new:
            await until_searched_with(new, "fake:new")
            for number, text in enumerate(("Rain in Bergen.", "Rain in Oslo.")):
                await add(old, text, f"rain {number}")
                await until_found(new, "rain", {"one", *(f"rain {before}" for before in range(number + 1))})
                await until_found(old, "rain", {"one", *(f"rain {before}" for before in range(number + 1))})
            assert await embedder_of(new) == "fake:new"


async def test_vectors_that_are_added_later_are_found_by_every_process(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_docs(OLD) as client:
        await add(client, "A red car.", "one")
    async with serve_docs(BY_WORDS) as client:
        await add(client, "Rain in Bergen.", "two")
    begun, go_on = hold(embedders["fake:old"], monkeypatch)
    async with serve_docs(OLD, upkeep_seconds=0.01) as first, serve_docs(OLD, upkeep_seconds=0.01) as second:
        await begun.wait()
        for client in (first, second):  # they load the vectors
            assert await names(client, "rain automobile", search_type="vector") == ["one"]
        go_on.set()
        for client in (first, second):
            await until_found(client, "rain automobile", {"one", "two"})


async def test_a_chunk_is_found_by_the_vector_that_another_content_with_its_text_got_later(
    serve_docs: ServeDocs, embedders: FakeEmbedders
) -> None:
    async with serve_docs(OLD) as client:
        await add(client, "A red car.", "one")
    async with serve_docs(BY_WORDS) as client:
        await add(client, "Rain in Bergen.", "two")
    embedders["fake:old"].problem = AWAY
    async with serve_docs(OLD) as client:
        with capture_logs() as logs:
            while not any(line["event"] == "re-embedding of a knowledge base postponed" for line in logs):
                await client.http.get(CONTENT)
        embedders["fake:old"].problem = None
        assert await names(client, "rain automobile", search_type="vector") == ["one"]
        await add(client, "Rain in Bergen.", "three")
        await until_found(client, "rain automobile", {"one", "two", "three"})
