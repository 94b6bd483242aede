"""A knowledge base per user: nobody sees or changes what another user has added, by any operation."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from musterd import Knowledge
from musterd.core.knowledge import Search
from musterd.core.scopes import ADMIN
from musterd.features.knowledge.api import FEATURE
from musterd.features.knowledge.service import KnowledgeService
from tests.support.http import ServerClient, problem
from tests.support.knowledge_contents import CONTENT, ServeDocs
from tests.support.pgvector import EACH_VECTORS
from tests.support.tokens import Issuer, public_pem, rsa_key

ISSUER = Issuer(claims={"aud": "musterd-test"})
SCOPES = ("knowledge:read", "knowledge:write", "knowledge:delete")
ADA, BOB, ROOT = ISSUER.bearer("ada", *SCOPES), ISSUER.bearer("bob", *SCOPES), ISSUER.bearer("root", ADMIN)
SECRET = "xyzzy"
ON_ONE: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", f"{CONTENT}/{{content_id}}", {}),
    ("GET", f"{CONTENT}/{{content_id}}/status", {}),
    ("PATCH", f"{CONTENT}/{{content_id}}", {"data": {"name": "mine"}}),
    ("POST", f"{CONTENT}/{{content_id}}/refresh", {}),
    ("DELETE", f"{CONTENT}/{{content_id}}", {}),
)
"""The operations on one content, each with what it sends."""
ON_ALL: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", CONTENT, {}),
    ("GET", "/knowledge/config", {}),
    ("POST", "/knowledge/search", {"json": {"query": SECRET, "knowledge_id": "notes"}}),
    ("POST", CONTENT, {"data": {"name": "other", "text_content": "of bob"}}),
    ("POST", "/knowledge/remote-content", {"data": {"config_id": "s3", "path": "x"}}),
    ("GET", "/knowledge/{knowledge_id}/sources", {}),
    ("GET", "/knowledge/{knowledge_id}/sources/{source_id}/files", {}),
    ("DELETE", CONTENT, {}),
)
"""The other operations."""


@pytest.fixture
async def notes(serve_docs: ServeDocs) -> AsyncIterator[ServerClient]:
    """A knowledge base per user, and one that all users share."""
    settings: dict[str, Any] = {"jwt_verification_key": public_pem(rsa_key()), "jwt_audience": "musterd-test"}
    bases = [Knowledge(id="notes", per_user=True), Knowledge(id="handbook")]
    async with serve_docs(*bases, **settings) as client:
        yield client


async def add_as(client: ServerClient, user: dict[str, str], text: str, name: str, base: str = "notes") -> str:
    """Add a text as a user, and wait until it is found."""
    data = {"text_content": text, "name": name, "metadata": f'{{"by {name}": 1}}'}
    answer = await client.http.post(CONTENT, data=data, params={"knowledge_id": base}, headers=user)
    assert answer.status_code == 202, answer.text
    path = f"{CONTENT}/{answer.json()['id']}"
    content = await client.http.get(path, params={"knowledge_id": base, "wait": 60}, headers=user)
    assert content.json()["status"] == "completed", content.text
    return path


async def found_by(client: ServerClient, user: dict[str, str], query: str, **fields: Any) -> set[str]:
    """The names of the contents that a user's search finds."""
    body = {"query": query, "knowledge_id": "notes", **fields}
    answer = await client.http.post("/knowledge/search", json=body, headers=user)
    assert answer.status_code == 200, answer.text
    return {hit["name"] for hit in answer.json()["data"]}


@EACH_VECTORS
@pytest.mark.parametrize("search_type", ["keyword", "vector", "hybrid"])
async def test_a_search_finds_ones_own_and_the_shared(notes: ServerClient, search_type: str) -> None:
    await add_as(notes, ADA, f"{SECRET} of ada", "a")
    await add_as(notes, BOB, f"{SECRET} of bob", "b")
    await add_as(notes, ROOT, f"{SECRET} of all", "shared")
    assert await found_by(notes, ADA, SECRET, search_type=search_type) == {"a", "shared"}
    assert await found_by(notes, BOB, SECRET, search_type=search_type) == {"b", "shared"}
    assert await found_by(notes, BOB, SECRET, search_type=search_type, filters={"by a": 1}) == set()
    assert await found_by(notes, ROOT, SECRET, search_type=search_type) == {"shared"}


def test_every_operation_is_among_those_that_are_tried() -> None:
    tried = {(method, path) for method, path, _ in (*ON_ONE, *ON_ALL)}
    assert tried == {(operation.method, operation.path) for operation in FEATURE.operations}


async def send_as_bob(client: ServerClient, method: str, path: str, request: dict[str, Any]) -> httpx2.Response:
    """Send a request about the knowledge base per user."""
    params = {} if "json" in request or "{knowledge_id}" in path else {"knowledge_id": "notes"}
    path = path.replace("{knowledge_id}", "notes").replace("{source_id}", "s3")
    return await client.http.request(method, path, params=params, headers=BOB, **request)


async def test_no_operation_shows_or_changes_what_is_anothers(notes: ServerClient) -> None:
    path = await add_as(notes, ADA, f"{SECRET} of ada", SECRET)
    base = {"knowledge_id": "notes"}
    content = (await notes.http.get(path, params=base, headers=ADA)).json()
    for method, of_one, request in ON_ONE:
        answer = await send_as_bob(notes, method, of_one.replace(f"{CONTENT}/{{content_id}}", path), request)
        assert problem(answer, 404, "NOT_FOUND").startswith("Content not found"), method
    for method, of_all, request in ON_ALL:
        answer = await send_as_bob(notes, method, of_all, request)
        assert answer.status_code < 500, answer.text
        assert SECRET not in answer.text, (method, of_all)
    by_name = await notes.http.get(CONTENT, params={**base, "name": SECRET}, headers=BOB)
    assert by_name.json()["data"] == []
    assert (await notes.http.get(path, params=base, headers=ADA)).json() == content
    # The same name is another content.
    await add_as(notes, BOB, "of bob", SECRET)
    assert (await notes.http.get(path, params=base, headers=ADA)).json() == content


async def test_users_see_but_do_not_change_what_all_share(notes: ServerClient) -> None:
    path, base = await add_as(notes, ROOT, "for all", "shared"), {"knowledge_id": "notes"}
    assert (await notes.http.get(path, params=base, headers=ADA)).json()["name"] == "shared"
    for method, form in (("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = await notes.http.request(method, path, params=base, headers=ADA, data=form)
        problem(answer, 403, "FORBIDDEN")
    await notes.http.delete(CONTENT, params=base, headers=ADA)
    assert (await notes.http.get(path, params=base, headers=ADA)).status_code == 200
    await notes.http.delete(CONTENT, params=base, headers=ROOT)
    assert (await notes.http.get(path, params=base, headers=ADA)).status_code == 404


async def test_all_users_share_any_other_knowledge_base(notes: ServerClient) -> None:
    path, base = await add_as(notes, ADA, "for all", "shared", base="handbook"), {"knowledge_id": "handbook"}
    assert (await notes.http.get(path, params=base, headers=BOB)).json()["name"] == "shared"
    other = await notes.http.get(path, params={"knowledge_id": "notes"}, headers=ADA)
    problem(other, 404, "NOT_FOUND")
    assert (await notes.http.delete(path, params=base, headers=BOB)).status_code == 200


@EACH_VECTORS
async def test_a_run_searches_for_its_user(notes: ServerClient) -> None:
    await add_as(notes, ADA, f"{SECRET} of ada", "a")
    service, base = notes.server.service(KnowledgeService), notes.server.registry.knowledge["notes"]
    for owner, expected in (("ada", {"a"}), ("bob", set()), (None, set())):
        hits = await service.search(base, Search(query=SECRET, owner=owner))
        assert {hit.name for hit in hits.hits} == expected
        assert await service.filter_keys(base, owner) == [f"by {name}" for name in expected]
    content_id = await service.add_text(base, name="learned", text=f"{SECRET} learned", owner="bob")
    answer = await notes.http.get(f"{CONTENT}/{content_id}", params={"knowledge_id": "notes", "wait": 60}, headers=BOB)
    assert answer.json()["status"] == "completed"
    assert await found_by(notes, BOB, SECRET) == {"learned"}
    assert await found_by(notes, ADA, SECRET) == {"a"}


@pytest.mark.parametrize(
    "scope, method, path",
    [
        ("knowledge:read", "POST", CONTENT),
        ("knowledge:read", "DELETE", CONTENT),
        ("knowledge:write", "DELETE", CONTENT),
        ("knowledge:write", "GET", CONTENT),
        ("knowledge:delete", "POST", "/knowledge/search"),
    ],
)
async def test_an_operation_needs_its_scope(notes: ServerClient, scope: str, method: str, path: str) -> None:
    answer = await notes.http.request(method, path, headers=ISSUER.bearer("ada", scope))
    problem(answer, 403, "FORBIDDEN")
