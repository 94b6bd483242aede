"""Runs that search: their references in every answer, and filters that a request can only narrow."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Knowledge, Step, Team, Workflow, app
from musterd.declare import load
from tests.support.app import Sample, Serve, in_process, settings_for
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.knowledge import OSLO, STOCKHOLM, Content, FakeBases
from tests.support.tokens import Issuer, public_pem, rsa_key

SEARCH = '[[TOOL search_knowledge_base {"query": "capital"}]]'
SOLO = "agents/helper"


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> FakeBases:
    """The knowledge bases of the servers of the test."""
    bases = FakeBases()
    monkeypatch.setattr(app, "FEATURES", [bases.feature(), *app.FEATURES])
    return bases


def served(**options: Any) -> Sample:
    """An agent, a team and a workflow that search."""
    base = Knowledge(id="docs", per_user=options.pop("per_user", False))
    agent = Agent(id="helper", model="scripted", knowledge=base, **options)
    team = Team(id="desk", model="scripted", members=[agent], knowledge=base, store_member_responses=True, **options)
    return Sample([team], [agent], [Workflow(id="flow", steps=[Step(name="look", agent=agent)])])


@pytest.fixture
async def client(serve: Serve, bases: FakeBases) -> AsyncIterator[ServerClient]:
    """A server with agents that search."""
    async with serve(served=served()) as serving:
        yield serving


def names(run: dict[str, Any]) -> list[str]:
    """The names of the documents in a run's references."""
    return [document["name"] for entry in run["references"] for document in entry["references"]]


async def test_a_run_names_its_sources_everywhere(client: ServerClient) -> None:
    run = await client.run(SEARCH, SOLO, session_id="s1")
    assert names(run) == ["norway.md", "sweden.md"]
    (entry,) = run["references"]
    assert entry["query"] == "capital"
    assert entry["references"][0] == {
        "meta_data": {"country": "no", "year": 2024, "similarity_score": 0.5123},
        "content": OSLO.text,
        "name": "norway.md",
        "place": "page 1",
        "content_id": "id of norway.md",
        "content_origin": "norway.md",
    }
    path = f"/{SOLO}/runs/{run['run_id']}"
    assert (await client.get(path, session_id="s1"))["references"] == run["references"]
    assert (await client.get(f"/runs/{run['run_id']}"))["references"] == run["references"]
    assert (await client.get("/sessions/s1/runs"))[0]["references"] == run["references"]
    assert (await client.get(f"/sessions/s1/runs/{run['run_id']}"))["references"] == run["references"]


async def test_an_agent_says_what_it_searches(client: ServerClient) -> None:
    options = {"search_knowledge": True, "add_knowledge_to_context": False, "update_knowledge": False}
    options["enable_agentic_knowledge_filters"] = False
    for path in (f"/{SOLO}", "/teams/desk"):
        card = await client.get(path)
        assert card["knowledge"] == {"db_id": "musterd-db", "knowledge_id": "docs", "name": "docs", **options}


async def test_a_run_that_did_not_search_has_no_references(client: ServerClient) -> None:
    run = await client.run("hello", SOLO, session_id="s1")
    assert "references" not in run
    assert (await client.get(f"/sessions/s1/runs/{run['run_id']}"))["references"] == []


async def test_the_stream_has_them_in_the_end_of_the_call_and_of_the_run(client: ServerClient) -> None:
    stream = await client.stream(SEARCH, SOLO)
    having = [event["event"] for event in stream.events if "references" in event]
    assert having == ["ToolCallCompleted", "RunCompleted"]
    assert names(stream.one("ToolCallCompleted")) == names(stream.one("RunCompleted")) == ["norway.md", "sweden.md"]


async def test_members_and_steps_of_workflows_have_their_own(client: ServerClient) -> None:
    run = await client.run(f"[[DELEGATE helper: <TOOL {SEARCH[7:-2]}>]]", "teams/desk")
    assert "references" not in run
    assert names(run["member_responses"][0]) == ["norway.md", "sweden.md"]
    flow = await client.run(SEARCH, "workflows/flow")
    assert names(flow["step_executor_runs"][0]) == ["norway.md", "sweden.md"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"country": "no"}, ["norway.md"]),
        ({"country": ["no", "se"]}, ["norway.md", "sweden.md"]),
        ({"op": "NOT", "condition": {"op": "EQ", "key": "country", "value": "no"}}, ["sweden.md"]),
        ([{"op": "EQ", "key": "country", "value": "no"}], ["norway.md"]),
        ([], ["norway.md", "sweden.md"]),
    ],
    ids=str,
)
async def test_a_request_narrows_what_is_found(client: ServerClient, filters: Any, expected: list[str]) -> None:
    assert names(await client.run(SEARCH, SOLO, knowledge_filters=json.dumps(filters))) == expected
    body = {"message": SEARCH, "knowledge_filters": filters, "stream": False}
    assert names((await client.http.post(f"/{SOLO}/runs", json=body)).json()) == expected


async def test_a_request_cannot_widen_what_is_declared(serve: Serve, bases: FakeBases) -> None:
    async with serve(served=served(knowledge_filters={"country": "no"})) as client:
        run = await client.run(SEARCH, SOLO, knowledge_filters='{"country": "se"}')
        assert "references" not in run
        assert run["tools"][0]["result"] == "No documents found"
        member = await client.run(
            f"[[DELEGATE helper: <TOOL {SEARCH[7:-2]}>]]", "teams/desk", knowledge_filters='{"year": 2024}'
        )
        assert names(member["member_responses"][0]) == ["norway.md"]


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ("{bad", "Invalid JSON"),
        ("5", "A filter is an object"),
        ('{"op": "LIKE", "key": "a", "value": 1}', "is not an operator"),
        ('{"a": {"b": 1}}', "does not take"),
        ('[{"a": NaN}]', "JSON"),
    ],
)
async def test_a_broken_filter_is_refused(client: ServerClient, bases: FakeBases, filters: str, words: str) -> None:
    answer = await client.post(SEARCH, SOLO, stream="false", knowledge_filters=filters)
    assert words in problem(answer, 422, "VALIDATION_ERROR")
    assert wrong_fields(answer) == [("body", "knowledge_filters")]
    assert bases.searches == []


@pytest.mark.parametrize("name", ["knowledge_filter", "knowledge-filters", "knowledgeFilters", "filter", "filters"])
async def test_a_misspelt_filter_is_refused(client: ServerClient, bases: FakeBases, name: str) -> None:
    answer = await client.post(SEARCH, SOLO, stream="false", **{name: '{"country": "no"}'})
    assert 'Did you mean "knowledge_filters"?' in problem(answer, 422, "VALIDATION_ERROR")
    assert wrong_fields(answer) == [("body", name)]
    assert bases.searches == []


@pytest.mark.parametrize("name", ["knowledge_id", "knowledge_base_id", "files_count", "user_filter"])
async def test_a_name_that_means_no_filter_is_ignored(client: ServerClient, name: str) -> None:
    assert names(await client.run(SEARCH, SOLO, **{name: "x"})) == ["norway.md", "sweden.md"]


async def test_users_find_their_own_contents_and_the_shared_ones(serve: Serve, bases: FakeBases) -> None:
    bases.contents = [STOCKHOLM, Content(name="a", text="capital of ada", owner="ada")]
    bases.contents.append(Content(name="b", text="capital of bob", owner="bob"))
    issuer = Issuer()
    async with serve(served=served(per_user=True), jwt_verification_key=public_pem(rsa_key())) as client:
        for user, own in [("ada", "a"), ("bob", "b")]:
            headers = issuer.bearer(user, "agents:run", "agents:read")
            run = await client.run(SEARCH, SOLO, headers=headers, user_id="ada")
            assert names(run) == ["sweden.md", own]


async def test_a_search_before_the_first_turn_is_a_span_of_its_trace(serve: Serve, bases: FakeBases) -> None:
    async with serve(served=served(add_knowledge_to_context=True, search_knowledge=False)) as client:
        run = await client.run("capital of norway", SOLO)
        assert names(run) == ["norway.md", "sweden.md"]
        assert run["input"] == {"input_content": "capital of norway"}
        (trace,) = (await client.get("/traces"))["data"]
        (root,) = (await client.get(f"/traces/{trace['trace_id']}"))["tree"]
        search = root["spans"][0]
        assert (search["name"], search["type"], search["input"]) == ("retrieval docs", "RETRIEVER", "capital of norway")
        assert OSLO.text in search["output"]
        query = {"session_id": run["session_id"], "path": "p/knowledge"}
        (step,) = (await client.http.get(f"/{SOLO}/runs/{run['run_id']}/steps", params=query)).json()
        assert (step["kind"], step["name"]) == ("retrieve", "docs")
        assert OSLO.text in step["result"]


async def test_a_search_before_the_first_turn_that_fails_is_a_failed_span(serve: Serve, bases: FakeBases) -> None:
    bases.problem = "The embedder is away."
    async with serve(served=served(add_knowledge_to_context=True, search_knowledge=False)) as client:
        run = await client.run("capital of norway", SOLO)
        assert run["status"] == "COMPLETED"
        assert "could not be searched for this message: The embedder is away." in run["messages"][-2]["content"]
        (trace,) = (await client.get("/traces"))["data"]
        (root,) = (await client.get(f"/traces/{trace['trace_id']}"))["tree"]
        assert (root["spans"][0]["status"], root["spans"][0]["error"]) == ("ERROR", "The embedder is away.")


async def test_a_yaml_file_declares_a_base_and_what_searches_it(
    bases: FakeBases, tmp_path: Path, database: Path
) -> None:
    path = tmp_path / "teams.yaml"
    path.write_text(
        "knowledge: [{id: docs, max_results: 1}]\n"
        "agents: [{id: helper, model: scripted, knowledge: docs, knowledge_filters: {country: se}}]\n"
    )
    served_app = app.create_app(registry=load(str(path)), settings=settings_for(database))
    async with in_process(served_app) as client:
        assert names(await client.run(SEARCH, SOLO)) == ["sweden.md"]
