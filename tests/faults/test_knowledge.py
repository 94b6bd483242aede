"""A process is killed in the job of a content; the next one goes on at the first step that is not stored."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from musterd.features.knowledge.store import MAX_CRASHES
from tests.support.knowledge_contents import CONTENT
from tests.support.process import Deployment, Process, deployment_of, until

BATCH = 50
"""How many texts the embedder of these processes takes at a time."""
CHUNKS = 440
"""More than two slices of the database's transactions. The last batch is not full: it is stored at the publication."""
ROWS = """SELECT (SELECT count(*) FROM contents) AS contents, (SELECT count(*) FROM chunks) AS chunks,
                 (SELECT count(*) FROM chunk_words) AS words, (SELECT count(*) FROM embeddings) AS embeddings,
                 (SELECT count(*) FROM blobs) AS blobs, (SELECT count(*) FROM blob_uses) AS uses"""
SENTENCE = "This paragraph stands in a document that is long enough to be split into several chunks."


def document(version: str) -> str:
    return "\n\n".join(f"{version}{number} {SENTENCE}" for number in range(CHUNKS))


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database, and the processes that serve a knowledge base."""
    yield from deployment_of(database_url, tmp_path, Path(__file__).with_name("components_knowledge.py"))


def post(process: Process, text: str, name: str = "doc") -> str | None:
    """Add a text; its id, or None if the process died first."""
    try:
        answer = process.http.post(CONTENT, data={"text_content": text, "name": name})
    except httpx2.TransportError:
        return None
    assert answer.status_code == 202, answer.text
    content_id: str = answer.json()["id"]
    return content_id


def completed(process: Process, content_id: str) -> dict[str, Any]:
    """The content after its job has ended."""
    while True:
        body: dict[str, Any] = process.http.get(f"{CONTENT}/{content_id}", params={"wait": 60}).json()
        if body["status"] != "processing":
            return body


def search(process: Process, query: str, search_type: str = "hybrid") -> list[str]:
    """The texts that a search finds."""
    body = {"query": query, "search_type": search_type, "max_results": 1000, "meta": {"limit": 1000}}
    answer = process.http.post("/knowledge/search", json=body)
    assert answer.status_code == 200, answer.text
    return [hit["content"] for hit in answer.json()["data"]]


def check_end(site: Deployment, process: Process, content_id: str, *, paid_again: int) -> None:
    """All chunks are there once, in words and vectors, and no more were paid again."""
    content = completed(process, content_id)
    assert (content["status"], content["chunks"]) == ("completed", CHUNKS), content
    for search_type in ("keyword", "vector"):
        texts = search(process, SENTENCE, search_type)
        assert len(texts) == len(set(texts)) == CHUNKS, search_type
    counts = site.counts()
    assert len([line for line in counts if line.startswith("embed new")]) == CHUNKS
    assert sum(counts.values()) - len(counts) <= paid_again
    until(lambda: site.select("SELECT count(*) AS n FROM chunks") == [{"n": CHUNKS}], "old chunks are removed")
    (words,) = site.select("SELECT count(*) AS n FROM chunk_words")
    assert words == {"n": CHUNKS}


@pytest.mark.parametrize(
    "fault",
    [
        *("content_read:1", "content_storing:1", "content_storing:3", "content_split:1"),
        *("content_embedding:1", "content_embedding:5", "content_embedded:1", "content_embedded:5"),
        *("content_publishing:1", "content_published:1"),
    ],
)
def test_killed_at_each_step(site: Deployment, fault: str) -> None:
    first = site.serve(fault=f"{fault}:kill")
    content_id = post(first, document("new"))
    first.died()
    (row,) = site.select("SELECT id, published_version FROM contents")
    assert row["published_version"] == (1 if fault.startswith("content_published") else 0)
    second = site.serve()
    paid_again = BATCH if fault.startswith(("content_embedding", "content_publishing")) else 0
    check_end(site, second, content_id or row["id"], paid_again=paid_again)


def test_a_process_killed_while_it_loads_the_embedder_is_no_crash_of_a_document(site: Deployment) -> None:
    first = site.serve(fault="embedder_loading:1:kill")
    content_id = post(first, document("new"))
    first.died()
    for _ in range(MAX_CRASHES):
        site.begin("serve", "--port", "0", fault="embedder_loading:1:kill").died()
    (row,) = site.select("SELECT id, crashes, status FROM contents")
    assert (row["crashes"], row["status"]) == (0, "queued")
    check_end(site, site.serve(), content_id or row["id"], paid_again=0)


@pytest.mark.parametrize("fault", ["content_storing:2", "content_embedded:5", "content_publishing:1"])
def test_a_search_finds_the_old_chunks_until_all_new_ones_are_published(site: Deployment, fault: str) -> None:
    first = site.serve()
    content_id = post(first, document("old"))
    assert content_id is not None
    assert completed(first, content_id)["chunks"] == CHUNKS
    first.kill()
    second = site.serve(fault=f"{fault}:kill")
    assert post(second, document("new")) in (content_id, None)
    second.died()
    third = site.begin("serve", "--port", "0", fault="content_publishing:1:stop")
    third.started()
    until(third.has_stopped, "all but the publication is done")
    # What a process that only answers sees meanwhile.
    fourth = site.serve(dead_seconds=600)
    texts = search(fourth, SENTENCE)
    assert len(texts) == CHUNKS
    assert all(text.startswith("old") for text in texts)
    third.kill()
    fourth.kill()
    fifth = site.serve()
    check_end(site, fifth, content_id, paid_again=2 * BATCH)  # by the second and the third process


def test_several_processes_ingest_while_they_are_killed(site: Deployment) -> None:
    faults = ["content_publishing:2", "content_embedding:3", "content_published:4", "content_split:3"]
    api = site.serve()
    ids = [post(api, f"text number{number} of many", f"text {number}") for number in range(20)]
    processes = [site.begin("worker", fault=f"{fault}:kill") for fault in faults]
    for process in processes:
        until(partial(_is_over, site, process), "it died or all is done")
    assert {completed(api, content_id)["status"] for content_id in ids if content_id} == {"completed"}
    assert len(search(api, "many", "keyword")) == len(search(api, "many", "vector")) == len(ids)
    assert all(row["attempts"] >= 1 for row in site.select("SELECT attempts FROM contents"))


def _is_over(site: Deployment, process: Process) -> bool:
    jobs = site.select("SELECT id FROM contents WHERE status IN ('queued', 'reading', 'embedding')")
    return process.popen.poll() is not None or not jobs


def test_a_stopping_process_leaves_its_job_to_another(site: Deployment) -> None:
    first = site.serve(fault="content_embedded:5:stop")
    content_id = post(first, document("new"))
    assert content_id is not None
    until(first.has_stopped, "its job is at work")
    first.signal(signal.SIGTERM)
    first.signal(signal.SIGCONT)
    assert first.exit_code() == 0, first.log
    (row,) = site.select("SELECT crashes, worker, status FROM contents")
    assert row == {"crashes": 0, "worker": None, "status": "embedding"}
    check_end(site, site.serve(), content_id, paid_again=BATCH)


@pytest.mark.parametrize(
    "fault", ["content_read", "content_split", "content_embedding", "content_embedded", "content_publishing"]
)
def test_a_content_deleted_during_its_job_leaves_nothing(site: Deployment, fault: str) -> None:
    first = site.serve(fault=f"{fault}:1:stop")
    content_id = post(first, document("new"))
    until(first.has_stopped, "its job is at work")
    other = site.serve("--no-recover")  # it runs no jobs
    assert other.http.delete(f"{CONTENT}/{content_id}").status_code == 200
    first.signal(signal.SIGCONT)
    until(lambda: set(site.select(ROWS)[0].values()) == {0}, "the content is removed")
    assert search(other, SENTENCE) == []


@pytest.mark.parametrize(
    ("fault", "paid_again"),
    [
        *(("content_reembedding:1", BATCH), ("content_reembedding:5", BATCH)),
        *(("content_reembedded:1", 0), ("content_reembedded:9", 0)),
    ],
)
def test_killed_while_another_embedder_embeds_again(site: Deployment, fault: str, paid_again: int) -> None:
    first = site.serve()
    content_id = post(first, document("new"))
    assert content_id is not None
    assert completed(first, content_id)["chunks"] == CHUNKS
    first.kill()
    site.begin("worker", fault=f"{fault}:kill", test_embedder="fake:2").died()
    assert site.select("SELECT embedder FROM knowledge_bases") == [{"embedder": "fake:1"}]
    second = site.serve(test_embedder="fake:2")
    until(lambda: site.select("SELECT embedder FROM knowledge_bases") == [{"embedder": "fake:2"}], "it has taken over")
    until(lambda: site.select("SELECT count(*) AS n FROM embeddings") == [{"n": CHUNKS}], "old vectors are removed")
    texts = search(second, SENTENCE, "vector")
    assert len(texts) == len(set(texts)) == CHUNKS
    assert sum(site.counts().values()) == 2 * CHUNKS + paid_again
