"""The served OpenAPI document: whole, the documented operation in its own words, and pages without a network."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from musterd.http.routes import operations
from tests.flow.test_approvals import BOOK, MAIL, MEMBERS, PAY, TEAM, Shop, paused
from tests.support.app import Serve
from tests.support.http import ServerClient, problem

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "tests" / "contract"


@pytest.fixture
async def served(client: ServerClient) -> dict[str, Any]:
    """The document as clients get it."""
    document: dict[str, Any] = await client.get("/openapi.json")
    return document


def by_id(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and operation, by operation id."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def found_at(reference: str, document: dict[str, Any]) -> Any:
    """What a reference refers to."""
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def resolved(value: Any, document: dict[str, Any]) -> Any:
    """``value`` with every reference replaced by what it refers to."""
    if isinstance(value, list):
        return [resolved(item, document) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        return resolved(found_at(value["$ref"], document), document)
    return {name: resolved(item, document) for name, item in value.items()}


def references(value: Any) -> set[str]:
    """Every reference that stands in ``value``."""
    if isinstance(value, list):
        return set().union(*map(references, value)) if value else set()
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set()


async def test_the_documented_operation_is_the_reference_s(served: dict[str, Any]) -> None:
    reference = yaml.safe_load((CONTRACT / "get_team_run.openapi.yaml").read_text())
    path = "/teams/{team_id}/runs/{run_id}"
    theirs = resolved(reference["paths"][path]["get"], reference)
    ours = {**served["paths"][path]["get"]}
    assert resolved(ours, served), "can be resolved as a whole: no schema of it holds itself"
    answers = dict(ours["responses"])
    assert set(answers) - set(theirs["responses"]) == {"304", "403", "429", "503"}
    assert answers["200"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/TeamRunOutput"}}}
    answers["200"] = {**answers["200"], "content": {"application/json": {"schema": {}}}}
    ours["responses"] = {status: answers[status] for status in theirs["responses"]}
    assert resolved(ours, served) == theirs
    assert ours["description"].count("\n\n") == 1
    assert served["components"]["securitySchemes"] == reference["components"]["securitySchemes"]


async def test_everything_that_is_served_is_documented(client: ServerClient, served: dict[str, Any]) -> None:
    assert set(by_id(served)) == {operation.operation_id for operation in operations(client.server)}


async def test_every_answer_says_what_it_holds(served: dict[str, Any]) -> None:
    for name, (method, _, operation) in by_id(served).items():
        statuses = set(operation["responses"])
        assert {"400", "500"} <= statuses, name
        assert ("401" in statuses) == ("security" in operation), name
        if method != "GET":
            assert {"403", "413"} <= statuses, name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            has_body = status not in ("204", "304", "307")
            assert ("content" in answer) == has_body, (name, status)


async def test_pages_are_bounded_as_documented(client: ServerClient, served: dict[str, Any]) -> None:
    seen = set()
    for method, path, operation in by_id(served).values():
        schemas = {one["name"]: one["schema"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        if method != "GET" or "limit" not in schemas or "{" in path:
            continue
        if path.startswith("/knowledge/"):  # there is no knowledge base here: test_knowledge_contents.py asks it
            continue
        seen.add(path)
        assert (await client.get(path))["meta"]["limit"] == schemas["limit"]["default"], path
        for name in {"limit", "page"} & set(schemas):
            least, most = schemas[name]["minimum"], schemas[name]["maximum"]
            for value in (least, most):
                await client.get(path, **{name: value})
            for value in (least - 1, most + 1):
                problem(await client.http.get(path, params={name: value}), 422, "VALIDATION_ERROR")
    assert {"/approvals", "/traces", "/webhooks/deliveries", "/service-accounts", "/sessions", "/memories"} < seen


async def test_every_reference_leads_somewhere_and_nothing_is_left_over(served: dict[str, Any]) -> None:
    for one in references(served):
        assert isinstance(found_at(one, served), dict), one
    used = {one.rsplit("/", 1)[1] for one in references(served)}
    components = served["components"]
    assert {*components["schemas"], *components["headers"]} == used
    assert "HTTPValidationError" not in json.dumps(served)


async def test_the_document_is_made_once(client: ServerClient) -> None:
    first = await client.http.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    assert (await client.http.get("/openapi.json")).content == first.content


async def test_an_errors_body_is_the_documented_one(client: ServerClient, served: dict[str, Any]) -> None:
    schemas = served["components"]["schemas"]
    wrong = (await client.http.get("/teams/demo-team/runs/r")).json()
    assert set(wrong) == set(schemas["InvalidInputResponse"]["properties"])
    assert set(wrong["errors"][0]) == set(schemas["FieldProblem"]["properties"])
    unknown = (await client.http.get("/teams/no-team")).json()
    assert set(unknown) == set(schemas["ErrorResponse"]["properties"])


@pytest.mark.parametrize("message", [PAY, BOOK, MAIL, MEMBERS])
async def test_what_a_run_waits_for_is_as_documented(database: Path, message: str) -> None:
    async with Shop(database).serving() as client:
        run = await paused(client, message)
        (step, *_) = await client.get(f"/{TEAM}/runs/r1/steps", session_id="s1")
        document = await client.get("/openapi.json")
    for name, value in (("TeamRunOutput", run), ("RunRequirement", run["requirements"][0]), ("RunStep", step)):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema_rs.validate(schema, value)
        assert set(value) <= set(document["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize("page", ["docs", "redoc"])
async def test_a_page_needs_no_network(serve: Serve, page: str) -> None:
    async with serve(security_key="secret") as client:  # the pages are open
        answer = await client.http.get(f"/{page}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assets = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert len(assets) >= 3
        for path in assets:
            if path != "data:,":
                asset = await client.http.get(f"/{path}")
                assert asset.status_code == 200, path
                assert asset.headers["content-type"].startswith(("text/javascript", "text/css"))
                assert "cdn." not in asset.text, path
        assert "openapi.json" in (await client.http.get(f"/{page}/start.js")).text
        problem(await client.http.get(f"/{page}/other.js"), 404, "NOT_FOUND")
        assert (await client.http.get("/openapi.json")).status_code == 200


async def test_the_docs_can_be_turned_off(serve: Serve) -> None:
    async with serve(docs_enabled=False) as client:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs/start.js", "/redoc/start.js"):
            problem(await client.http.get(path), 404, "NOT_FOUND")
        home = await client.http.get("/", headers={"accept": "text/html"})
        assert home.headers["location"] == "ui/"


async def test_the_page_of_the_api_lists_every_operation(served: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE)
    documented = {name: (method, path, summary) for method, path, name, summary in rows}
    assert documented == {
        name: (method, path, operation["summary"]) for name, (method, path, operation) in by_id(served).items()
    }
    assert len(rows) == len(documented)
