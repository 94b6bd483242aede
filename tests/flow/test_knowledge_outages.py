"""The job of a content goes on after its database was away for a moment."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from musterd import Knowledge
from musterd.core.errors import StoreUnavailable
from musterd.features.knowledge import chunk_store, ingestion
from tests.support.knowledge_contents import ServeDocs, add, search
from tests.support.store import Records

TEXTS = ["Rain in Bergen.", "Snow in Oslo.", "Sun in Rome."]


@pytest.mark.parametrize(("statement", "call"), [("add", 2), ("to_embed", 1), ("add_embeddings", 1)])
async def test_a_job_stores_each_chunk_once_though_the_database_was_away(
    serve_docs: ServeDocs, database_url: str, monkeypatch: pytest.MonkeyPatch, statement: str, call: int
) -> None:
    monkeypatch.setattr(ingestion, "SLICE", 1)
    execute, calls = getattr(chunk_store, statement), 0

    async def away_once(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise StoreUnavailable
        return await execute(*args, **options)

    monkeypatch.setattr(chunk_store, statement, away_once)
    docs = Knowledge(id="docs", chunk_characters=20)
    with capture_logs() as logs:
        async with serve_docs(docs, db=database_url, upkeep_seconds=0.01) as client:
            content_id = await add(client, "\n\n".join(TEXTS), "weather")
            found = (await search(client, "rain snow sun", search_type="keyword"))["data"]
            assert sorted(hit["content"] for hit in found) == sorted(TEXTS)
            records = Records(client.server.database)
            rows = await records.select("SELECT text FROM chunks ORDER BY number")
            assert [row["text"] for row in rows] == TEXTS
            query = "SELECT crashes, worker, chunks FROM contents WHERE id = :id"
            assert await records.select(query, id=content_id) == [{"crashes": 0, "worker": None, "chunks": 3}]
    events = [line["event"] for line in logs if line["log_level"] in ("warning", "error")]
    assert events == ["upkeep is waiting for the database"]
