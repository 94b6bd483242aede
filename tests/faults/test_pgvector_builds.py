"""If a process is killed while it builds a vector index in Postgres, the next one leaves one valid index."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.knowledge_contents import CONTENT
from tests.support.pgvector import create_extension
from tests.support.process import Deployment, Process, deployment_of, until

IN_DATABASE: dict[str, Any] = {"knowledge_pgvector": True, "knowledge_memory_bytes": 0}
BUILDS = "SELECT phase FROM pg_stat_progress_create_index"
INDEXES = """SELECT c.relname AS name, i.indisvalid AS is_valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'hnsw'"""


@pytest.fixture
def site(postgres_url: str, tmp_path: Path) -> Iterator[Deployment]:
    """A folder and a database with pgvector, and the processes that serve a knowledge base."""
    create_extension(postgres_url)
    yield from deployment_of(postgres_url, tmp_path, Path(__file__).with_name("components_pgvector.py"))


def test_a_kill_during_the_build_of_an_index(site: Deployment, postgres_url: str) -> None:
    first = site.serve(**IN_DATABASE)
    # A build waits for transactions that have written to the table, so the process dies before its end.
    with psycopg.connect(postgres_url) as writer:
        writer.execute("INSERT INTO embeddings (text_hash, embedder, vector) VALUES ('held', 'other', '')")
        _add(first, "one", "a red car")
        until(lambda: site.select(BUILDS), "the index is being built")
        first.kill()
        second = site.serve(**IN_DATABASE)
        _add(second, "two", "a green car")
        writer.rollback()
    until(lambda: [row["is_valid"] for row in site.select(INDEXES)] == [True], "one index is there")
    until(lambda: _names(second) == {"one", "two"}, "it is searched")


def _add(process: Process, name: str, text: str) -> None:
    answer = process.http.post(CONTENT, data={"text_content": text, "name": name})
    assert answer.status_code == 202, answer.text
    body = process.http.get(f"{CONTENT}/{answer.json()['id']}", params={"wait": 60}).json()
    assert body["status"] == "completed", body


def _names(process: Process) -> set[str]:
    query: dict[str, Any] = {"query": "car", "search_type": "vector", "max_results": 10}
    answer = process.http.post("/knowledge/search", json=query)
    return {hit["name"] for hit in answer.json()["data"]} if answer.status_code == 200 else set()
