"""Knowledge bases over HTTP: contents are added, read in the background, found, changed and deleted."""

import asyncio
import json
from typing import Any

import pytest
from dirty_equals import IsStr

from musterd import Knowledge
from musterd.features.knowledge import searching
from musterd.knowledge.problems import EmbedderFailed
from tests.support.http import ServerClient, problem, wrong_fields
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
from tests.support.pgvector import EACH_VECTORS

BROKEN_PDF = b"%PDF-1.7 and nothing else"
DESCRIPTIVE = ("name", "description", "type", "size", "metadata", "origin", "chunks")
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@EACH_VECTORS
async def test_a_text_is_added_read_and_found(docs: ServerClient) -> None:
    form = text_form("Oslo is the capital of Norway.", "norway", description="d", metadata='{"country": "no"}')
    answer = await docs.http.post(CONTENT, data=form)
    assert answer.status_code == 202
    body = answer.json()
    content_id = body["id"]
    assert (body["name"], body["status"], body["metadata"]) == ("norway", "processing", {"country": "no"})
    content = await docs.get(f"{CONTENT}/{content_id}", wait=60)
    assert content == {
        "id": content_id,
        "name": "norway",
        "description": "d",
        "type": "manual",
        "size": "30",
        "linked_to": "Docs",
        "metadata": {"country": "no"},
        "access_count": None,
        "status": "completed",
        "status_message": "",
        "created_at": IS_TIME,
        "updated_at": IS_TIME,
        "origin": None,
        "chunks": 1,
        "progress": {"step": "completed", "done": 1, "total": 1},
        "attempts": 1,
    }
    assert (await docs.get(CONTENT))["data"] == [content]
    results = await search(docs, "the capital of Norway?")
    assert results["meta"]["total_count"] == 1
    (hit,) = results["data"]
    assert (hit["content"], hit["content_id"], hit["name"]) == (form["text_content"], content_id, "norway")
    assert hit["meta_data"] == {
        "country": "no",
        "chunk": 1,
        "chunk_size": 30,
        "linked_to": "Docs",
        "similarity_score": 1.0,
    }


@EACH_VECTORS
async def test_words_and_vectors_find_what_the_others_do_not(docs: ServerClient, embedders: FakeEmbedders) -> None:
    await add(docs, "A red car.", "car")
    await add(docs, "Bergen has rain.", "rain")
    assert await names(docs, "automobile", search_type="keyword") == []
    assert (await names(docs, "automobile", search_type="vector"))[0] == "car"
    assert (await names(docs, "rains"))[0] == "rain"
    assert await names(docs, "rains", search_type="keyword") == ["rain"]
    page = await search(docs, "red car has rain", meta={"limit": 1, "page": 2})
    assert (len(page["data"]), page["meta"]["total_count"], page["meta"]["total_pages"]) == (1, 2, 2)
    assert len((await search(docs, "red car has rain", max_results=1))["data"]) == 1


async def test_frequent_words_are_ranked_only_beside_rarer_ones_or_if_there_are_too_few(
    docs: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "RANKED_CHUNKS", 3)
    for number in range(6):
        await add(docs, f"fruit number{number} " + ("pears" if number > 3 else "plums"), f"{number}")
    query = {"query": "fruit of pears", "search_type": "keyword"}
    assert set(await names(docs, **query, max_results=2)) == {"4", "5"}
    assert set((await names(docs, **query))[:2]) == {"4", "5"}
    assert len(await names(docs, **query)) == 6
    assert await names(docs, **query, filters={"nothing": 1}) == []


async def test_a_query_is_never_a_syntax_error(docs: ServerClient) -> None:
    await add(docs, "Nothing NEAR here AND there", "x")
    for query in ('"', "NEAR(", "a AND", "col:x", "-", "*", "'; DROP TABLE chunks", "x" * 5000, "AND OR NOT"):
        await search(docs, query, search_type="keyword")


@EACH_VECTORS
async def test_filters_choose_contents_before_chunks_are_ranked(docs: ServerClient) -> None:
    for number in range(60):
        await add(docs, f"capital number {number}", f"other {number}", metadata='{"country": "se"}')
    content_id = await add(docs, "a capital", "ours", metadata='{"country": "no", "year": 2024}')
    assert await names(docs, "capital number", filters={"country": "no"}) == ["ours"]
    assert await names(docs, "capital number", filters={"country": ["no", "dk"]}) == ["ours"]
    assert await names(docs, "capital", filters=[{"op": "GT", "key": "year", "value": 2000}]) == ["ours"]
    assert await names(docs, "capital", filters={"nothing": "x"}) == []
    await docs.http.patch(f"{CONTENT}/{content_id}", data={"metadata": '{"country": "dk"}'})
    assert await names(docs, "capital number", filters={"country": "no"}) == []
    assert await names(docs, "capital number", filters={"country": "dk", "year": 2024}) == ["ours"]
    assert (await docs.get("/knowledge/config"))["filters"] == ["country", "year"]
    assert (await docs.get(CONTENT, metadata='{"country": "dk"}'))["meta"]["total_count"] == 1


@EACH_VECTORS
async def test_other_bytes_under_a_name_replace_it_and_the_same_cost_nothing(
    docs: ServerClient, embedders: FakeEmbedders
) -> None:
    first = await add(docs, "version one apples", "doc")
    assert await add(docs, "version one apples", "doc") == first
    assert embedders.texts == ["version one apples"]
    assert await add(docs, "version two pears", "doc") == first
    assert [hit["content"] for hit in (await search(docs, "version apples"))["data"]] == ["version two pears"]
    second = await add(docs, "version two pears", "copy")
    assert second != first
    assert embedders.texts == ["version one apples", "version two pears"]
    assert await add(docs, "no name") != await add(docs, "no name either")


async def test_only_changed_chunks_of_a_document_are_embedded(docs: ServerClient, embedders: FakeEmbedders) -> None:
    paragraphs = [f"Paragraph {number} " + "word " * 30 for number in range(10)]
    await add(docs, "\n\n".join(paragraphs), "doc", chunk_size="200")
    assert len(embedders.texts) == 10
    paragraphs[3] = "Another " + "word " * 30
    await add(docs, "\n\n".join(paragraphs), "doc", chunk_size="200")
    assert len(embedders.texts) == 11
    assert (await docs.get(CONTENT))["data"][0]["chunks"] == 10


@EACH_VECTORS
async def test_a_deleted_content_leaves_nothing(docs: ServerClient) -> None:
    content_id = await add(docs, "secret words", "doc", metadata='{"a": 1}')
    await add(docs, "other words", "kept")
    answer = await docs.http.delete(f"{CONTENT}/{content_id}")
    assert (answer.status_code, answer.json()) == (200, {"id": content_id})
    assert await names(docs, "secret words") == ["kept"]
    for method in ("get", "delete", "patch"):
        again = await getattr(docs.http, method)(f"{CONTENT}/{content_id}")
        assert problem(again, 404, "NOT_FOUND") == f"Content not found: {content_id}"
    status = await docs.http.get(f"{CONTENT}/{content_id}/status")
    assert problem(status, 404, "NOT_FOUND") == f"Content not found: {content_id}"
    everything = await docs.http.delete(CONTENT)
    assert (everything.status_code, everything.json()) == (200, "success")
    assert (await docs.get(CONTENT))["data"] == []
    assert await names(docs, "words") == []
    await add(docs, "secret words", "doc")


@pytest.mark.parametrize(
    "form, field",
    [
        ({}, "file"),
        ({"name": "x"}, "file"),
        ({"text_content": "a", "url": "https://example.com/"}, "file"),
        ({"text_content": "  "}, "text_content"),
        ({"text_content": "a", "metadata": "{bad"}, "metadata"),
        ({"text_content": "a", "metadata": "[1]"}, "metadata"),
        ({"text_content": "a", "reader_id": "zzz"}, "reader_id"),
        ({"text_content": "a", "chunker": "zzz"}, "chunker"),
        ({"text_content": "a", "chunk_size": "-5"}, "chunk_size"),
        ({"text_content": "a", "chunk_size": "abc"}, "chunk_size"),
        ({"text_content": "a", "chunk_size": "10", "chunk_overlap": "6"}, "chunk_overlap"),
        ({"text_content": "a", "name": "n" * 256}, "name"),
        ({"url": "file:///etc/hostname"}, "url"),
        ({"url": "http://127.0.0.1:80/health"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": '["https://example.com/a", "https://example.com/b"]'}, "url"),
    ],
)
async def test_what_cannot_be_added_is_refused_and_nothing_is_stored(
    docs: ServerClient, form: dict[str, str], field: str
) -> None:
    answer = await docs.http.post(CONTENT, data=form)
    assert wrong_fields(answer) == [("body", field)]
    assert (await docs.get(CONTENT))["data"] == []


@pytest.mark.parametrize(
    "name, content",
    [("empty.txt", b""), ("x.bin", bytes(range(256)) * 4), ("x.pdf", b"no pdf"), ("x.zip", b"PK\x03\x04nothing")],
)
async def test_a_file_that_cannot_be_read_is_refused(docs: ServerClient, name: str, content: bytes) -> None:
    answer = await docs.http.post(CONTENT, files={"file": (name, content)})
    assert wrong_fields(answer) == [("body", "file")]
    assert (await docs.get(CONTENT))["data"] == []


async def test_a_file_is_found_with_its_headings(docs: ServerClient) -> None:
    text = b"# Install\n\n## Linux\n\nUse the package manager.\n"
    answer = await docs.http.post(CONTENT, files={"file": ("guide.md", text, "text/markdown")})
    content = await docs.get(f"{CONTENT}/{answer.json()['id']}", wait=60)
    assert (content["name"], content["type"], content["origin"]) == ("guide.md", "markdown", "guide.md")
    (hit,) = (await search(docs, "package manager"))["data"]
    assert (hit["content_origin"], "Install" in hit["meta_data"]["place"]) == ("guide.md", True)


async def test_a_document_that_breaks_its_reader_fails_in_words(docs: ServerClient) -> None:
    answer = await docs.http.post(CONTENT, files={"file": ("x.pdf", BROKEN_PDF)})
    assert answer.status_code == 202
    content = await docs.get(f"{CONTENT}/{answer.json()['id']}", wait=60)
    assert content["status"] == "failed"
    assert "PDF" in content["status_message"]
    assert content["progress"]["step"] == "failed"


async def test_an_embedder_that_fails(docs: ServerClient, embedders: FakeEmbedders) -> None:
    await add(docs, "Oslo is a capital", "oslo")
    embedders["builtin"].problem = EmbedderFailed("The embedder has no credit left.")
    answer = await docs.http.post(CONTENT, data=text_form("Bergen is a town", "bergen"))
    content = await docs.get(f"{CONTENT}/{answer.json()['id']}", wait=60)
    assert (content["status"], content["status_message"]) == ("failed", "The embedder has no credit left.")
    results = await search(docs, "capital")
    assert ([hit["name"] for hit in results["data"]], results["meta"]["degraded"]) == (["oslo"], "vector")
    by_vectors = await docs.http.post("/knowledge/search", json={"query": "capital", "search_type": "vector"})
    assert problem(by_vectors, 503, "UNAVAILABLE") == "The embedder has no credit left."
    embedders["builtin"].problem = None
    await add(docs, "Bergen is a town", "bergen")
    assert "bergen" in await names(docs, "town")


async def test_a_model_that_was_changed_under_the_same_name(docs: ServerClient, embedders: FakeEmbedders) -> None:
    await add(docs, "Oslo is a capital", "oslo")
    embedders["builtin"].dimensions *= 2
    answer = await search(docs, "capital")
    assert ([hit["name"] for hit in answer["data"]], answer["meta"]["degraded"]) == (["oslo"], "vector")
    by_vectors = await docs.http.post("/knowledge/search", json={"query": "capital", "search_type": "vector"})
    assert "under the same name" in problem(by_vectors, 503, "UNAVAILABLE")
    await add(docs, "Bergen is a town", "bergen")
    assert await names(docs, "town") == ["bergen"]


async def test_an_idempotency_key_adds_once(docs: ServerClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await docs.http.post(CONTENT, data=text_form("same text"), headers=headers)
    again = await docs.http.post(CONTENT, data=text_form("same text"), headers=headers)
    assert (first.json()["id"], again.headers["idempotency-replayed"]) == (again.json()["id"], "true")
    other = await docs.http.post(CONTENT, data=text_form("other text"), headers=headers)
    assert other.status_code == 409
    assert (await docs.get(CONTENT))["meta"]["total_count"] == 1


async def test_long_contents_that_arrive_together_are_all_added(docs: ServerClient) -> None:
    texts = [f"{word} " + "and other words. " * 5000 for word in ("apples", "pears", "plums")]
    forms = [text_form(text, text.split()[0]) for text in texts]
    answers = await asyncio.gather(*(docs.http.post(CONTENT, data=form) for form in forms))
    assert [answer.status_code for answer in answers] == [202] * 3
    assert await until_listed(docs, 3) == ["apples", "pears", "plums"]
    assert "pears" in await names(docs, "pears", search_type="keyword")
    unreadable = await docs.http.post(CONTENT, files={"file": ("x.bin", bytes(range(256)) * 1000)})
    assert wrong_fields(unreadable) == [("body", "file")]


async def test_contents_are_listed_in_order_and_by_filters(docs: ServerClient) -> None:
    for name in ("b", "a", "c"):
        await add(docs, f"text of {name}", name)
    page = await docs.get(CONTENT, sort_by="name", sort_order="asc", limit=2)
    assert [one["name"] for one in page["data"]] == ["a", "b"]
    assert (page["meta"]["total_pages"], page["meta"]["total_count"]) == (2, 3)
    assert [one["name"] for one in (await docs.get(CONTENT, name="c", status="completed"))["data"]] == ["c"]
    assert (await docs.get(CONTENT, status="processing"))["data"] == []
    wrong = (
        {"sort_by": "zzz"},
        {"status": "zzz"},
        {"metadata": "{bad"},
        {"limit": "0"},
        {"limit": "1001"},
        {"page": "-1"},
    )
    for query in wrong:
        answer = await docs.http.get(CONTENT, params=query)
        assert wrong_fields(answer) == [("query", name) for name in query]


async def test_a_change_is_checked(docs: ServerClient) -> None:
    content_id = await add(docs, "text", "one", metadata='{"a": 1}')
    await add(docs, "text two", "two")
    path = f"{CONTENT}/{content_id}"
    bad_json = await docs.http.patch(path, data={"metadata": "{bad"})
    assert problem(bad_json, 400, "BAD_REQUEST") == "Invalid JSON format for metadata"
    bad_reader = await docs.http.patch(path, data={"reader_id": "zzz"})
    assert problem(bad_reader, 400, "BAD_REQUEST") == "Invalid reader_id: zzz"
    assert wrong_fields(await docs.http.patch(path, data={"name": "two"})) == [("body", "name")]
    changed = await docs.http.patch(path, data={"name": "new", "description": "d", "metadata": '{"b": 2}'})
    assert (changed.json()["name"], changed.json()["metadata"]) == ("new", {"a": 1, "b": 2})
    assert "new" in await names(docs, "text")


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "query"),
        ({"query": "  "}, "query"),
        ({"query": "x", "search_type": "bogus"}, "search_type"),
        ({"query": "x", "max_results": 0}, "max_results"),
        ({"query": "x", "max_results": 1001}, "max_results"),
        ({"query": "x", "filters": {"op": "EQ"}}, "filters"),
        ({"query": "x", "filters": "{bad"}, "filters"),
        ({"query": "x", "filters": 5}, "filters"),
        ({"query": "x", "filter": {"country": "no"}}, "filter"),
        ({"query": "x", "Filters": {"country": "no"}}, "Filters"),
        ({"query": "x", "knowledge_filters": {"country": "no"}}, "knowledge_filters"),
        ({"query": "x", "meta": {"limit": 0}}, "limit"),
    ],
)
async def test_a_search_that_has_no_meaning_is_refused(docs: ServerClient, body: dict[str, Any], field: str) -> None:
    answer = await docs.http.post("/knowledge/search", json=body)
    assert answer.status_code == 422, answer.text
    assert field in json.dumps([error["loc"] for error in answer.json()["errors"]])


@pytest.mark.parametrize("query", ["", " \n"])
async def test_an_empty_query_is_called_empty(docs: ServerClient, query: str) -> None:
    answer = await docs.http.post("/knowledge/search", json={"query": query})
    assert problem(answer, 422, "VALIDATION_ERROR") == "body.query: The query is empty. Send the text to search for"


async def test_a_misspelt_filter_of_a_search_is_named_and_other_unknown_fields_are_accepted(docs: ServerClient) -> None:
    answer = await docs.http.post("/knowledge/search", json={"query": "x", "knowledge_filter": {"country": "no"}})
    message = problem(answer, 422, "VALIDATION_ERROR")
    assert message == 'body.knowledge_filter: Unknown field. Did you mean "filters"?'
    answer = await docs.http.post("/knowledge/search", json={"query": "x", "client": "x", "files": []})
    assert answer.status_code == 200, answer.text


async def test_the_knowledge_base_is_named_if_there_are_several(serve_docs: ServeDocs) -> None:
    bases = [Knowledge(id="docs", name="Docs", description="All of it"), Knowledge(id="faq")]
    async with serve_docs(*bases) as client:
        unnamed = await client.http.get(CONTENT)
        assert wrong_fields(unnamed) == [("query", "knowledge_id")]
        assert "docs, faq" in unnamed.text
        unknown = await client.http.get(CONTENT, params={"knowledge_id": "zzz"})
        assert problem(unknown, 404, "NOT_FOUND") == "Knowledge base 'zzz' not found"
        other = await client.http.get(CONTENT, params={"knowledge_id": "faq", "db_id": "zzz"})
        assert problem(other, 404, "NOT_FOUND") == "Knowledge instance with db_id 'zzz' not found"
        await add(client, "only in faq", "x", knowledge_id="faq")
        assert await names(client, "only", knowledge_id="faq") == ["x"]
        assert await names(client, "only", knowledge_id="docs") == []
        wrong = await client.http.post(
            "/knowledge/search", json={"query": "x", "knowledge_id": "faq", "vector_db_ids": ["zzz"]}
        )
        assert problem(wrong, 400, "BAD_REQUEST").startswith("None of the provided Vector DB IDs ['zzz'] match")
        config = await client.get("/config")
        assert config["knowledge"]["knowledge_instances"] == [
            {"id": "docs", "name": "Docs", "description": "All of it", "db_id": "musterd-db", "table": "contents"},
            {"id": "faq", "name": "faq", "description": None, "db_id": "musterd-db", "table": "contents"},
        ]


async def test_there_are_no_remote_sources(docs: ServerClient) -> None:
    assert await docs.get("/knowledge/docs/sources") == []
    unknown = await docs.http.get("/knowledge/zzz/sources")
    assert problem(unknown, 404, "NOT_FOUND") == "Knowledge base 'zzz' not found"
    files = await docs.http.get("/knowledge/docs/sources/s3/files")
    assert problem(files, 404, "NOT_FOUND") == "Content source not found: s3"
    remote = await docs.http.post("/knowledge/remote-content", data={"config_id": "s3", "path": "x"})
    assert problem(remote, 400, "BAD_REQUEST").startswith("Unknown content source: s3.")


async def test_without_knowledge_bases_nothing_is_found(client: ServerClient) -> None:
    answer = await client.http.get("/knowledge/config")
    assert problem(answer, 404, "NOT_FOUND") == "No knowledge base is declared"
    assert "knowledge" not in await client.get("/config")


async def test_a_second_file_is_refused(docs: ServerClient) -> None:
    files = [("file", ("a.txt", b"apples")), ("file", ("b.txt", b"pears"))]
    answer = await docs.http.post(CONTENT, files=files)
    assert wrong_fields(answer) == [("body", "file")]
    assert (await docs.get(CONTENT))["data"] == []


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"%PDF-1.7\n\x00\x1b[2J\x07", "content"),
        ("Ein Text".encode("utf-16"), "content"),
        (b"Fresh\n\tapples", "Fresh apples"),
    ],
)
async def test_the_name_of_a_file_without_one_has_no_control_characters(
    docs: ServerClient, content: bytes, name: str
) -> None:
    body = b'--end\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n' + content + b"\r\n--end--\r\n"
    answer = await docs.http.post(CONTENT, content=body, headers={"content-type": "multipart/form-data; boundary=end"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["name"] == IsStr(regex=rf"{name} \([0-9a-f]{{8}}\)")


@EACH_VECTORS
async def test_a_replacement_that_fails_leaves_the_old_text_and_all_that_describes_it(docs: ServerClient) -> None:
    content_id = await add(docs, "apples of 2024", "report", metadata='{"year": 2024}', description="old")
    path, old = f"{CONTENT}/{content_id}", await docs.get(f"{CONTENT}/{content_id}")
    form = {"name": "report", "metadata": '{"year": 2025}', "description": "new"}
    await docs.http.post(CONTENT, data=form, files={"file": ("new.pdf", BROKEN_PDF)})
    content = await docs.get(path, wait=60)
    assert content["status"] == "failed"
    assert content["status_message"].startswith("The replacement failed; searches still find the earlier text. ")
    assert "PDF" in content["status_message"]
    assert {name: content[name] for name in DESCRIPTIVE} == {name: old[name] for name in DESCRIPTIVE}
    assert await names(docs, "apples", filters={"year": 2025}) == []
    (hit,) = (await search(docs, "apples", filters={"year": 2024}))["data"]
    assert (hit["content"], hit["content_origin"], hit["meta_data"]["year"]) == ("apples of 2024", None, 2024)
    assert (await docs.get(CONTENT, metadata='{"year": 2025}'))["meta"]["total_count"] == 0
    await add(docs, "pears of 2026", "report", metadata='{"year": 2026}')
    repaired = await docs.get(path)
    assert (repaired["status"], repaired["status_message"], repaired["description"]) == ("completed", "", "old")
    assert await names(docs, "pears", filters={"year": 2026}) == ["report"]


async def test_a_replacement_that_failed_is_described_once_the_same_bytes_succeed(
    docs: ServerClient, embedders: FakeEmbedders
) -> None:
    content_id = await add(docs, "apples of 2024", "report", metadata='{"year": 2024}')
    form = text_form("pears of 2025!", "report", metadata='{"year": 2025}')
    embedders["builtin"].problem = EmbedderFailed("The embedder is away.")
    await docs.http.post(CONTENT, data=form)
    assert (await docs.get(f"{CONTENT}/{content_id}", wait=60))["metadata"] == {"year": 2024}
    embedders["builtin"].problem = None
    await docs.http.post(CONTENT, data=form)
    content = await docs.get(f"{CONTENT}/{content_id}", wait=60)
    assert (content["status"], content["metadata"], content["size"]) == ("completed", {"year": 2025}, "14")
    assert await names(docs, "pears", filters={"year": 2025}) == ["report"]


@EACH_VECTORS
async def test_a_text_is_described_as_it_was_until_its_replacement_is_published(
    docs: ServerClient, embedders: FakeEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    content_id = await add(docs, "apples of 2024", "report", metadata='{"year": 2024}')
    path = f"{CONTENT}/{content_id}"
    begun, go_on = hold(embedders["builtin"], monkeypatch)
    form = {"name": "report", "metadata": '{"year": 2025}'}
    file = {"file": ("new.md", b"# Pears\n\nof 2025")}
    answer = await docs.http.post(CONTENT, data=form, files=file)
    assert (answer.json()["status"], answer.json()["metadata"]) == ("processing", {"year": 2024})
    await begun.wait()
    # While the new text is read, changes are meant for both texts.
    await docs.http.patch(path, data={"metadata": '{"draft": true}'})
    await docs.http.post(CONTENT, data={**form, "description": "the new one"}, files=file)
    content = await docs.get(path)
    assert (content["status"], content["description"], content["type"]) == ("processing", None, "manual")
    assert content["metadata"] == {"year": 2024, "draft": True}
    assert await names(docs, "apples", search_type="keyword", filters={"year": 2024}) == ["report"]
    assert await names(docs, "apples", search_type="keyword", filters={"year": 2025}) == []
    go_on.set()
    content = await docs.get(path, wait=60)
    assert (content["status"], content["description"], content["type"]) == ("completed", "the new one", "markdown")
    assert (content["origin"], content["size"]) == ("new.md", "16")
    assert await names(docs, "pears", filters={"year": 2025}) == ["report"]
    assert await names(docs, "apples", filters={"year": 2024}) == []
