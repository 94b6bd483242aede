"""The served OpenAPI document: the reference's operations in the reference's words, and pages without a network."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from musterd.http.openapi.document import DESCRIBED
from tests.support.app import Serve
from tests.support.http import House, problem

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "tests" / "contract"
REFERENCE: dict[str, dict[str, Any]] = json.loads((CONTRACT / "operations.json").read_text())
OURS = {"get_liveness", "get_readiness", "list_team_run_steps", "list_agent_run_steps"}
OURS |= {
    f"{act}_{kind}_run_{what}"
    for act, what in (("list", "messages"), ("send", "message"))
    for kind in ("team", "agent")
}
OURS |= {"get_team_run_media", "get_agent_run_media"}
OURS |= {"list_team_run_events", "list_agent_run_events", "follow_session"}
MORE_PARAMETERS = {
    "list_team_runs": {("query", "limit", False), ("query", "before", False)},
    "list_agent_runs": {("query", "limit", False), ("query", "before", False)},
    "get_agent_run": {("query", "wait", False), ("header", "If-None-Match", False)},
}
KINDS = ("team", "agent")
for act, kind in itertools.product(("create", "continue", "cancel"), KINDS):
    MORE_PARAMETERS[f"{act}_{kind}_run"] = {("header", "Idempotency-Key", False)}


@pytest.fixture
async def served(house: House) -> dict[str, Any]:
    """The document as clients get it."""
    found: dict[str, Any] = await house.get("/openapi.json")
    return found


def by_id(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and operation, by operation id."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def found_at(reference: str, document: dict[str, Any]) -> Any:
    """What a reference refers to."""
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


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


@pytest.mark.parametrize("name", REFERENCE)
async def test_an_operation_is_the_reference_s(served: dict[str, Any], name: str) -> None:
    theirs = REFERENCE[name]
    method, path, ours = by_id(served)[name]
    assert (method, path) == (theirs["method"], theirs["path"])
    assert ours["summary"] == theirs["summary"]
    assert ours["tags"] == theirs["tags"]
    assert ("security" not in ours) == theirs["is_open"]
    parameters = {(one["in"], one["name"], one["required"]) for one in ours.get("parameters", [])}
    assert parameters - MORE_PARAMETERS.get(name, set()) == {tuple(one) for one in theirs["parameters"]}
    body = resolved(ours.get("requestBody", {}).get("content", {}), served)
    for media_type, wanted in theirs.get("body", {}).items():
        schema = body[media_type]["schema"]
        assert set(wanted["fields"]) <= set(schema["properties"])
        assert sorted(schema.get("required", [])) == wanted["required"]
    success = next(status for status in theirs["statuses"] if status < "300")
    assert success in ours["responses"]


async def test_everything_that_is_served_is_documented(served: dict[str, Any]) -> None:
    assert set(by_id(served)) == set(REFERENCE) | OURS == set(DESCRIBED)


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


async def test_every_reference_leads_somewhere_and_nothing_is_left_over(served: dict[str, Any]) -> None:
    for one in references(served):
        assert isinstance(found_at(one, served), dict), one
    used = {one.rsplit("/", 1)[1] for one in references(served)}
    components = served["components"]
    assert {*components["schemas"], *components["headers"]} == used
    assert "HTTPValidationError" not in json.dumps(served)


async def test_the_document_is_made_once(house: House) -> None:
    first = await house.http.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    assert (await house.http.get("/openapi.json")).content == first.content


async def test_an_errors_body_is_the_documented_one(house: House, served: dict[str, Any]) -> None:
    schemas = served["components"]["schemas"]
    wrong = (await house.http.get("/teams/demo-team/runs/r")).json()
    assert set(wrong) == set(schemas["InvalidInputResponse"]["properties"])
    assert set(wrong["errors"][0]) == set(schemas["FieldProblem"]["properties"])
    unknown = (await house.http.get("/teams/no-team")).json()
    assert set(unknown) == set(schemas["ErrorResponse"]["properties"])


@pytest.mark.parametrize("page", ["docs", "redoc"])
async def test_a_page_needs_no_network(serve: Serve, page: str) -> None:
    async with serve(security_key="secret") as house:  # the pages are open
        answer = await house.http.get(f"/{page}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assets = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert len(assets) >= 3
        for path in assets:
            if path != "data:,":
                asset = await house.http.get(f"/{path}")
                assert asset.status_code == 200, path
                assert asset.headers["content-type"].startswith(("text/javascript", "text/css"))
                assert "cdn." not in asset.text, path
        assert "openapi.json" in (await house.http.get(f"/{page}/start.js")).text
        problem(await house.http.get(f"/{page}/other.js"), 404, "NOT_FOUND")
        assert (await house.http.get("/openapi.json")).status_code == 200


async def test_the_docs_can_be_turned_off(serve: Serve) -> None:
    async with serve(docs_enabled=False) as house:
        for path in ("/docs", "/redoc", "/openapi.json", "/docs/start.js", "/redoc/start.js"):
            problem(await house.http.get(path), 404, "NOT_FOUND")
        home = await house.http.get("/", headers={"accept": "text/html"})
        assert home.status_code == 200


def test_the_page_of_the_api_lists_every_operation() -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE)
    documented = {name: (method, path, summary) for method, path, name, summary in rows}
    paths = {name: (one["method"], one["path"]) for name, one in REFERENCE.items()}
    paths |= {"get_liveness": ("GET", "/-/live"), "get_readiness": ("GET", "/-/ready")}
    media = "runs/{run_id}/media/{media_id}"
    paths |= {f"get_{kind}_run_media": ("GET", f"/{kind}s/{{{kind}_id}}/{media}") for kind in KINDS}
    paths |= {f"list_{kind}_run_steps": ("GET", f"/{kind}s/{{{kind}_id}}/runs/{{run_id}}/steps") for kind in KINDS}
    for kind, (act, name, method) in itertools.product(
        KINDS, (("list", "messages", "GET"), ("send", "message", "POST"))
    ):
        paths[f"{act}_{kind}_run_{name}"] = (method, f"/{kind}s/{{{kind}_id}}/runs/{{run_id}}/messages")
    paths |= {f"list_{kind}_run_events": ("GET", f"/{kind}s/{{{kind}_id}}/runs/{{run_id}}/events") for kind in KINDS}
    paths["follow_session"] = ("GET", "/sessions/{session_id}/events")
    assert documented == {name: (*paths[name], described.summary) for name, described in DESCRIBED.items()}
