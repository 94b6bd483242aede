"""What a server does with knowledge bases by itself: it compares folders, and embeds again with another embedder."""

import asyncio
import contextlib
import errno
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import Knowledge
from musterd.core.errors import StartError
from musterd.core.knowledge import Hit
from musterd.engine.slices import Slices
from musterd.features.knowledge import database_vectors, folders, ingestion, reembedding, reranking
from musterd.features.knowledge.records import text_hash
from musterd.features.knowledge.removal import remove_unneeded
from musterd.features.knowledge.service import KnowledgeService
from musterd.features.knowledge.store import MAX_CRASHES
from musterd.knowledge import extra
from musterd.knowledge.problems import EmbedderFailed
from musterd.loop import task_abandonment
from tests.support.http import ServerClient
from tests.support.knowledge_contents import (
    CONTENT,
    FakeEmbedders,
    ServeDocs,
    add,
    hold,
    names,
    search,
    text_form,
    until_listed,
)
from tests.support.loop_clock import LoopClock
from tests.support.store import Records

TEXTS = {"one": "A red car.", "two": "Rain in Bergen.", "three": "Towers of Paris."}


async def until_embedded_by(client: ServerClient, name: str) -> None:
    """Wait until a knowledge base is searched with an embedder."""
    records = Records(client.server.database)
    while not await records.select("SELECT id FROM knowledge_bases WHERE embedder = :name", name=name):
        await records.database.write(_nothing)


async def _nothing(tx: object) -> None:
    pass


async def test_a_folder_is_compared_at_each_start(serve_docs: ServeDocs, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "below").mkdir(parents=True)
    (folder / "a.md").write_text("# Apples\n\nred")
    (folder / "below" / "b.txt").write_text("pears")
    (folder / ".hidden").write_text("nothing")
    (folder / "broken.pdf").write_text("no pdf")
    docs = Knowledge(id="docs", folder=folder)
    async with serve_docs(docs) as client:
        assert await until_listed(client, 2) == ["a.md", "below/b.txt"]
        await add(client, "uploaded", "by hand")
    (folder / "a.md").unlink()
    (folder / "below" / "b.txt").write_text("plums")
    (folder / "c.txt").write_text("cherries")
    async with serve_docs(docs) as client:
        while "plums" not in (await client.http.post("/knowledge/search", json={"query": "plums"})).text:
            await client.http.get(CONTENT)
        while "a.md" in [content["name"] for content in (await client.get(CONTENT))["data"]]:
            pass  # what is gone is deleted behind what is new
        assert await until_listed(client, 3) == ["below/b.txt", "by hand", "c.txt"]
        assert [hit["content"] for hit in (await search(client, "pears plums", search_type="keyword"))["data"]] == [
            "plums"
        ]


async def test_files_that_cannot_be_read_are_left_out_and_hold_up_nothing(
    serve_docs: ServeDocs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = tmp_path / "docs", tmp_path / "docs" / "kept.txt"
    folder.mkdir()
    kept.write_text("red apples")
    docs = Knowledge(id="docs", folder=folder)
    async with serve_docs(docs) as client:
        assert await until_listed(client, 1) == ["kept.txt"]
    (folder / "new.txt").write_text("pears")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("plums")
    opened = Path.open

    def refused(path: Path, *args: Any, **options: Any) -> Any:
        if path == kept:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refused)
    async with serve_docs(docs) as client:
        assert await until_listed(client, 2) == ["kept.txt", "new.txt"]
        await add(client, "by hand", "uploaded")
        contents = client.server.service(KnowledgeService)
        result = await folders.sync(client.server.database, contents, docs, folder, 1000)
    assert result.skipped == {"kept.txt": "it cannot be read: Permission denied", "caf?.txt": "its name is not UTF-8"}
    assert (result.added, result.removed) == ([], [])


async def test_a_folder_that_cannot_be_read_deletes_nothing(
    serve_docs: ServeDocs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs" / "below").mkdir(parents=True)
    (tmp_path / "docs" / "below" / "a.txt").write_text("red apples")
    docs = Knowledge(id="docs", folder=tmp_path / "docs")
    async with serve_docs(docs) as client:
        assert await until_listed(client, 1) == ["below/a.txt"]
        scandir = os.scandir

        def refused(path: Any) -> Any:
            if str(path).endswith("below"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refused)
        contents = client.server.service(KnowledgeService)
        with pytest.raises(StartError, match="below cannot be read: Permission denied"):
            await folders.sync(client.server.database, contents, docs, tmp_path / "docs", 1000)


async def test_a_file_of_a_folder_that_failed_is_read_again_at_the_next_start(
    serve_docs: ServeDocs, embedders: FakeEmbedders, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("red apples")
    docs = Knowledge(id="docs", folder=tmp_path / "docs")
    embedders["builtin"].problem = EmbedderFailed("The embedder is away.")
    async with serve_docs(docs) as client:
        assert await until_listed(client, 1, "failed") == ["a.txt"]
    embedders["builtin"].problem = None
    async with serve_docs(docs) as client:
        assert await until_listed(client, 1) == ["a.txt"]
        assert await names(client, "apples") == ["a.txt"]


@pytest.mark.parametrize(
    ("crashes", "is_manual", "expected"),
    [(MAX_CRASHES - 1, False, ["a.txt"]), (MAX_CRASHES, False, []), (MAX_CRASHES, True, ["a.txt"])],
)
async def test_a_file_that_has_stopped_the_server_again_and_again_is_tried_again_only_if_a_person_wants_it(
    serve_docs: ServeDocs, tmp_path: Path, crashes: int, is_manual: bool, expected: list[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("red apples")
    docs = Knowledge(id="docs", folder=tmp_path / "docs")
    async with serve_docs(docs) as client:
        await until_listed(client, 1)
        records = Records(client.server.database)
        await records.execute(f"UPDATE contents SET status = 'failed', crashes = {crashes}")  # noqa: S608
        contents = client.server.service(KnowledgeService)
        database = client.server.database
        result = await folders.sync(database, contents, docs, tmp_path / "docs", 1000, is_manual=is_manual)
        assert (result.added, result.unchanged) == (expected, [] if expected else ["a.txt"])
        if expected:
            assert await until_listed(client, 1) == expected
            assert await records.select("SELECT crashes FROM contents") == [{"crashes": 0}]


@pytest.mark.parametrize("vectors_in", ["memory", "database"], indirect=True)
async def test_another_embedder_takes_over_when_all_is_embedded(
    serve_docs: ServeDocs, embedders: FakeEmbedders
) -> None:
    async with serve_docs(Knowledge(id="docs", embedder="fake:old")) as client:
        for name, text in TEXTS.items():
            await add(client, text, name)
    embedders["fake:new"].problem = EmbedderFailed("The embedder is away.")
    async with serve_docs(Knowledge(id="docs", embedder="fake:new")) as client:
        # The old vectors answer: its synonym is found.
        assert (await names(client, "automobile", search_type="vector"))[0] == "one"
    before = len(embedders["fake:old"].texts)
    embedders["fake:new"].problem = None
    async with serve_docs(Knowledge(id="docs", embedder="fake:new")) as client:
        await add(client, "Cars in Rome.", "four")
        await until_embedded_by(client, "fake:new")
        assert sorted(embedders["fake:new"].texts) == sorted([*TEXTS.values(), "Cars in Rome."])
        assert len(embedders["fake:old"].texts) == before
        assert set((await names(client, "automobile", search_type="vector"))[:2]) == {"one", "four"}
        records = Records(client.server.database)
        while await records.select("SELECT embedder FROM embeddings WHERE embedder = :old", old="fake:old"):
            await client.http.get(CONTENT)
        assert len(await records.select("SELECT embedder FROM embeddings")) == 4


@pytest.mark.parametrize("problem", [EmbedderFailed("The embedder is away."), RuntimeError("broken")], ids=repr)
async def test_an_embedder_that_fails_does_not_keep_another_base_from_being_embedded(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    async with serve_docs(Knowledge(id="a", embedder="fake:old"), Knowledge(id="b", embedder="fake:old")) as client:
        await add(client, "A red car.", "one", knowledge_id="a")
        await add(client, "Rain in Bergen.", "two", knowledge_id="b")
    embedders["fake:away"].problem = problem
    async with serve_docs(Knowledge(id="a", embedder="fake:away"), Knowledge(id="b", embedder="fake:new")) as client:
        await until_embedded_by(client, "fake:new")
        assert embedders["fake:new"].texts == ["Rain in Bergen."]
        embedders["fake:away"].problem = None
        LoopClock(monkeypatch).put_forward(reembedding.WAIT_SECONDS + 1)
        await until_embedded_by(client, "fake:away")
        assert embedders["fake:away"].texts == ["A red car."]


async def test_without_the_packages_words_are_searched_and_vectors_follow(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedders.is_available = False
    monkeypatch.setattr(extra, "is_installed", lambda: False)
    async with serve_docs() as client:
        await add(client, "A red car.", "one")
        results = await search(client, "red")
        assert ([hit["name"] for hit in results["data"]], results["meta"]["degraded"]) == (["one"], "vector")
    embedders.is_available = True
    async with serve_docs() as client:
        await until_embedded_by(client, "fake:builtin")
        assert await names(client, "automobile") == ["one"]


async def test_an_index_that_does_not_fit_leaves_words(serve_docs: ServeDocs) -> None:
    async with serve_docs(knowledge_memory_bytes=1) as client:
        await add(client, "A red car.", "one")
        results = await search(client, "red")
        assert ([hit["name"] for hit in results["data"]], results["meta"]["degraded"]) == (["one"], "vector")


@pytest.mark.parametrize("vectors_in", ["database"], indirect=True)
async def test_an_index_is_built_while_the_server_answers(
    serve_docs: ServeDocs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_vectors, "READ_CHUNKS", 0)
    async with serve_docs(upkeep_seconds=0.01) as client:
        await add(client, "A red car.", "one")
        while (found := await search(client, "automobile red"))["meta"].get("degraded"):
            assert [hit["name"] for hit in found["data"]] == ["one"]
        assert await names(client, "automobile", search_type="vector") == ["one"]


async def test_a_reranker_decides_the_order(serve_docs: ServeDocs) -> None:
    def shortest(query: str, hits: list[object]) -> list[float]:
        return [1 / len(hit.text) for hit in hits]  # type: ignore[attr-defined]

    async with serve_docs(Knowledge(id="docs", reranker=shortest)) as client:
        await add(client, "red red red car", "long")
        await add(client, "red", "short")
        results = (await search(client, "red car"))["data"]
        assert [hit["name"] for hit in results] == ["short", "long"]
        assert results[0]["reranking_score"] == pytest.approx(1 / 3)


def raise_secret(query: str, hits: Sequence[Hit]) -> list[float]:
    """A reranker that raises."""
    raise RuntimeError("SECRET")


async def return_nothing(query: str, hits: Sequence[Hit]) -> None:
    """A reranker that forgets to return."""


async def cancel_itself(query: str, hits: Sequence[Hit]) -> list[float]:
    """An async reranker that ends as if the search had been cancelled."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("reranker", "error"),
    [
        (raise_secret, "RuntimeError"),
        (return_nothing, "TypeError"),
        (cancel_itself, "asyncio.exceptions.CancelledError"),
        (lambda query, hits: [1.0], "ValueError"),
        (lambda query, hits: ["much", "little"], "ValueError"),
        (lambda query, hits: [0.5, math.nan], "ValueError"),
    ],
)
async def test_a_reranker_that_fails_leaves_the_order_as_it_is(
    serve_docs: ServeDocs, reranker: Callable[..., Any], error: str
) -> None:
    async with serve_docs(Knowledge(id="docs", reranker=reranker)) as client:
        await add(client, "red pears", "second")
        await add(client, "red cars", "first")
        with capture_logs() as logs:
            results = (await search(client, "red cars"))["data"]
    assert [(hit["name"], hit["reranking_score"]) for hit in results] == [("first", None), ("second", None)]
    (line,) = [line for line in logs if line["event"] == "reranker failed" and line["log_level"] == "warning"]
    assert (line["knowledge"], line["error"]) == ("docs", error)
    assert "SECRET" not in str(line)


HELD = threading.Event()
"""Lets the rerankers that hang return."""


@pytest.fixture
def one_reranker_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers with one thread for rerankers that are plain functions. Those that hang go on when the test ends."""
    monkeypatch.setattr(reranking, "THREADS", 1)
    monkeypatch.setattr(task_abandonment, "STOP_SECONDS", 0.01)
    yield
    HELD.set()
    HELD.clear()


def hang(query: str, hits: Sequence[Hit]) -> list[float]:
    """A reranker that does not return."""
    HELD.wait()
    return [0.1, 0.9]


def hang_while_read(query: str, hits: Sequence[Hit]) -> Iterator[float]:
    """A reranker that returns at once, and computes no score."""
    HELD.wait()
    yield from (0.1, 0.9)


async def hang_in_the_event_loop(query: str, hits: Sequence[Hit]) -> list[float]:
    """An async reranker that does not return."""
    await asyncio.Event().wait()
    return [0.1, 0.9]


async def swallow_the_cancel(query: str, hits: Sequence[Hit]) -> list[float]:
    """An async reranker that does not even stop if it is cancelled once."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()
    return [0.1, 0.9]


@pytest.mark.usefixtures("one_reranker_thread")
@pytest.mark.parametrize("reranker", [hang, hang_while_read, hang_in_the_event_loop, swallow_the_cancel])
async def test_a_reranker_that_hangs_leaves_the_order_as_it_is(
    serve_docs: ServeDocs, reranker: Callable[..., Any]
) -> None:
    async with serve_docs(Knowledge(id="docs", reranker=reranker), knowledge_rerank_seconds=0.02) as client:
        await add(client, "red pears", "second")
        await add(client, "red cars", "first")
        with capture_logs() as logs:
            for _ in range(2):  # the second plain call gets no thread any more
                assert await names(client, "red cars") == ["first", "second"]
    lines = [line for line in logs if line["event"] == "reranker failed" and line["log_level"] == "warning"]
    assert [(line["knowledge"], line["error"], line["reason"]) for line in lines] == [
        ("docs", "TimeoutError", "no answer within 0.02 s")
    ] * 2


@pytest.mark.parametrize("methods", [("load", "documents"), ("documents",)], ids=",".join)
async def test_an_embedder_that_is_broken_fails_its_contents_and_holds_up_no_others(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch, methods: Sequence[str]
) -> None:
    async def broken(*args: object) -> None:
        raise RuntimeError("key 4711 of the library")

    for method in methods:
        monkeypatch.setattr(embedders["broken"], method, broken)
    with capture_logs() as logs:
        async with serve_docs(Knowledge(id="broken", embedder="broken"), Knowledge(id="docs")) as client:
            base = {"knowledge_id": "broken"}
            content = (await client.http.post(CONTENT, data=text_form("A red car."), params=base)).json()
            await add(client, "Rain in Bergen.", knowledge_id="docs")
            content = await client.get(f"{CONTENT}/{content['id']}", wait=60, **base)
            assert (content["status"], content["status_message"]) == ("failed", ingestion.UNEXPECTED)
    errors = [(line["event"], line["knowledge"]) for line in logs if line["log_level"] == "error"]
    assert errors == [("content failed unexpectedly", "broken")]


async def test_a_content_that_is_deleted_while_it_is_embedded_again_leaves_no_vector(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_docs(Knowledge(id="docs", embedder="fake:old")) as client:
        content_id = await add(client, "A red car.", "one")
        await add(client, "Rain in Bergen.", "two")
    begun, go_on = hold(embedders["fake:new"], monkeypatch)
    async with serve_docs(Knowledge(id="docs", embedder="fake:new")) as client:
        await begun.wait()
        assert (await client.http.delete(f"{CONTENT}/{content_id}")).status_code == 200
        database = client.server.database
        await remove_unneeded(database, Slices(database))  # as another process does
        go_on.set()
        await until_embedded_by(client, "fake:new")
        records = Records(database)
        while await records.select("SELECT embedder FROM embeddings WHERE embedder = :old", old="fake:old"):
            await client.http.get(CONTENT)
        rows = await records.select("SELECT text_hash FROM embeddings")
        assert [row["text_hash"] for row in rows] == [text_hash("Rain in Bergen.")]


async def test_a_content_that_is_deleted_while_it_is_embedded_is_never_found(
    serve_docs: ServeDocs, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = hold(embedders["builtin"], monkeypatch)
    async with serve_docs() as client:
        answer = await client.http.post(CONTENT, data=text_form("race", "race"))
        await begun.wait()
        status = await client.get(f"{CONTENT}/{answer.json()['id']}/status")
        assert status["progress"] == {"step": "embedding", "done": 0, "total": 1}
        assert (await client.http.delete(f"{CONTENT}/{answer.json()['id']}")).status_code == 200
        go_on.set()
        await add(client, "later", "later")
        assert await names(client, "race") == ["later"]
        records = Records(client.server.database)
        while await records.select("SELECT id FROM contents WHERE status = 'deleted'"):
            await client.http.get(CONTENT)
        assert [row["text"] for row in await records.select("SELECT text FROM chunks")] == ["later"]
        assert await records.select("SELECT hash FROM blobs") == []
        assert len(await records.select("SELECT text_hash FROM embeddings")) == 1


async def test_a_job_that_keeps_crashing_is_given_up(serve_docs: ServeDocs) -> None:
    async with serve_docs() as client:
        content_id = await add(client, "text", "one")
        records = Records(client.server.database)
        await records.execute(
            f"UPDATE contents SET status = 'reading', worker = 'dead', crashes = {MAX_CRASHES - 1}"  # noqa: S608
        )
        content = await client.get(f"{CONTENT}/{content_id}", wait=60)
        assert content["status"] == "failed"
        assert "3 times" in content["status_message"]
        assert await names(client, "text") == ["one"]  # as it was before
