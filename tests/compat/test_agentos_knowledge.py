"""AgentOSClient 2.5.6 and knowledge bases."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import HERE, PYTHON, missing
from tests.support.client_drivers import ClientFailed, Driver
from tests.support.process import Deployment, Process


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Process]:
    """A server with a knowledge base."""
    folder = tmp_path_factory.mktemp("library")
    url = f"sqlite:///{shutil.copy(template, folder)}"
    site = Deployment(folder, url, HERE / "components_knowledge.py")
    yield site.serve()
    site.close()


@pytest.fixture(scope="module")
def agentos(library: Process) -> Iterator[Driver]:
    """AgentOSClient of that server, in its own environment."""
    if not PYTHON.exists():
        missing("AgentOS's clients are")
    address = str(library.http.base_url).rstrip("/")
    driver = Driver([PYTHON, HERE / "agentos_client.py", address], HERE, {"AGNO_TELEMETRY": "false"})
    yield driver
    driver.close()


def completed(library: Process, content: dict[str, Any]) -> str:
    """The id of a content, after its job has ended."""
    path = f"/knowledge/content/{content['id']}/status"
    assert library.http.get(path, params={"wait": 60}).json()["status"] == "completed"
    return str(content["id"])


def test_a_text_is_uploaded_found_changed_and_deleted(agentos: Driver, library: Process) -> None:
    content = agentos.upload_knowledge_content(
        name="norway", text_content="Oslo is the capital of Norway.", metadata={"country": "no"}
    )
    assert (content["$type"], content["name"], content["status"]) == ("ContentResponseSchema", "norway", "processing")
    content_id = completed(library, content)
    assert agentos.get_knowledge_content(content_id)["size"] == "30"
    status = agentos.get_knowledge_content_status(content_id)
    assert (status["$type"], status["status"], status["status_message"]) == ("ContentStatusResponse", "completed", "")
    page = agentos.list_knowledge_content()
    assert (page["$type"], page["meta"]["total_count"]) == ("PaginatedResponse", 1)
    for search_type in ("hybrid", "keyword", "vector"):
        page = agentos.search_knowledge("the capital of Norway", search_type=search_type, filters={"country": "no"})
        assert [hit["$type"] for hit in page["data"]] == ["VectorSearchResult"]
        assert page["data"][0]["content"] == "Oslo is the capital of Norway."
    changed = agentos.update_knowledge_content(content_id, description="d", metadata={"country": "NO"})
    assert (changed["description"], changed["metadata"]) == ("d", {"country": "NO"})
    assert agentos.search_knowledge("capital", filters={"country": "no"})["data"] == []
    assert agentos.delete_knowledge_content(content_id)["id"] == content_id
    with pytest.raises(ClientFailed) as failed:
        agentos.get_knowledge_content(content_id)
    assert failed.value.status == 404


def test_a_file_is_uploaded(agentos: Driver, library: Process) -> None:
    text = base64.b64encode(b"# Sweden\n\nStockholm is the capital of Sweden.").decode()
    file = {"$type": "File", "content": text, "filename": "sweden.md", "mime_type": "text/plain"}
    content = agentos.upload_knowledge_content(file=file, reader_id="markdown", chunk_size=200, chunk_overlap=10)
    assert content["name"] == "sweden.md"
    completed(library, content)
    assert [hit["name"] for hit in agentos.search_knowledge("Stockholm", max_results=1)["data"]] == ["sweden.md"]
    assert agentos.delete_all_knowledge_content() == "success"
    assert agentos.list_knowledge_content()["data"] == []


def test_the_config_names_readers_and_search_types(agentos: Driver) -> None:
    config = agentos.get_knowledge_config()
    assert {"pdf", "csv", "json", "markdown", "text"} <= set(config["readers"])
    assert config["readersForType"][".pdf"] == ["pdf"]
    assert [database["search_types"] for database in config["vector_dbs"]] == [["hybrid", "vector", "keyword"]]
    instances = agentos.get_config()["knowledge"]["knowledge_instances"]
    assert [(base["id"], base["name"]) for base in instances] == [("handbook", "Handbook")]


def test_what_is_wrong_is_refused(agentos: Driver) -> None:
    for arguments in ({}, {"text_content": "x", "reader_id": "zzz"}, {"url": "http://127.0.0.1/"}):
        with pytest.raises(ClientFailed) as failed:
            agentos.upload_knowledge_content(**arguments)
        assert failed.value.status == 422
    with pytest.raises(ClientFailed) as failed:
        agentos.search_knowledge("x", knowledge_id="zzz")
    assert (failed.value.status, failed.value.body["detail"]) == (404, "Knowledge base 'zzz' not found")
