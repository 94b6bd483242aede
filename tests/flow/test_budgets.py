"""Budgets over HTTP: asked for by a request, shown by the run."""

import json
from typing import Any

import pytest

from musterd import Agent, Budget, create_app
from musterd.core.errors import DeclarationError
from tests.support.http import ServerClient, wrong_fields

DELEGATING = "[[DELEGATE writer-agent: <SAY a>]]"


async def test_a_request_asks_for_a_budget(client: ServerClient) -> None:
    run = await client.run("[[SAY hi]]", budget=json.dumps({"tokens": 1000, "seconds": 30}))
    assert run["status"] == "COMPLETED"
    assert run["budget"]["tokens"] == {"limit": 1000, "spent": 15, "left": 985}
    assert run["budget"]["seconds"]["limit"] == 30
    assert "budget" not in await client.run("[[SAY hi]]")


async def test_a_run_at_work_shows_what_is_left(client: ServerClient) -> None:
    hold = client.model.hold("[[TOOL get_weather")
    message = '[[TOOL get_weather {"city": "Rome"}]]'
    run = await client.begin(message, session_id="s1", budget=json.dumps({"tokens": 5000, "tool_calls": 3}))
    await hold.reached.wait()
    before = (await client.poll(run))["budget"]
    assert before["tokens"]["spent"] > 0, "the call under way, by estimate"
    assert before["tool_calls"] == {"limit": 3, "spent": 0, "left": 3}
    hold.release()
    after = (await client.ended(run))["budget"]
    assert after["tool_calls"]["spent"] == 1
    assert after["tokens"]["spent"] == 30


async def test_a_poll_learns_that_more_is_spent(client: ServerClient) -> None:
    leader, member = client.model.hold("[[DELEGATE"), client.model.hold("[[SAY")
    run = await client.begin(DELEGATING, session_id="s1", budget=json.dumps({"tokens": 5000}))
    await leader.reached.wait()
    first = await client.http.get(run.location)
    leader.release()
    await member.reached.wait()
    while (await client.poll(run)).get("activity", {}).get("member") != "Writer Agent":  # until that is stored
        pass
    second = await client.http.get(run.location, headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 200
    assert second.json()["budget"] != first.json()["budget"]
    again = await client.http.get(run.location, headers={"if-none-match": second.headers["etag"]})
    assert again.status_code == 304


async def test_a_run_at_its_ceiling_says_which_one_it_was(client: ServerClient) -> None:
    run = await client.run(DELEGATING, budget=json.dumps({"tool_calls": 0}))
    assert run["status"] == "ERROR"
    assert run["error"]["code"] == "budget_tool_calls"
    assert run["content"] == ("The budget of 0 tool calls is spent: 0 are used, and the model asks for 1 more.")
    assert run["events"][0]["error_type"] == "budget_tool_calls"
    assert run["budget"] == {"tool_calls": {"limit": 0, "spent": 0, "left": 0}}


@pytest.mark.parametrize(
    "budget",
    [
        "no JSON",
        "[1]",
        {"token": 1},
        {"tokens": 0},
        {"tokens": 1.5},
        {"tokens": True},
        {"tool_calls": -1},
        {"seconds": 0},
        {"cost_usd": "1"},
        {"seconds": 10**400},
        {"seconds": 1e300},
        {"tokens": 2**53 + 1},
    ],
)
async def test_a_budget_that_is_none(client: ServerClient, budget: Any) -> None:
    text = budget if isinstance(budget, str) else json.dumps(budget)
    assert wrong_fields(await client.post(stream="false", budget=text)) == [("body", "budget")]


async def test_dollars_need_a_list_price(client: ServerClient) -> None:
    assert (await client.run("[[SAY hi]]", budget=json.dumps({"cost_usd": 1})))["budget"]["cost_usd"]["spent"] == 0


def test_a_budget_in_dollars_without_a_list_price_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    agent = Agent(id="solo", model="openai:my-own-model", budget=Budget(cost_usd=1))
    with pytest.raises(DeclarationError, match=r"there is none for the model of agent 'solo' — set tokens="):
        create_app(agents=[agent])
    create_app(agents=[Agent(id="solo", model="openai:gpt-4o", budget=Budget(cost_usd=1))])
