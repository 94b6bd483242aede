"""Continue after ERROR over HTTP: the answer is that of a start, for a new run."""

import json
from typing import Any

import httpx2
import pytest

from tests.support.http import ServerClient, problem, read_stream, wrong_fields

DELEGATING = "[[DELEGATE writer-agent: <SAY a>]]"
NO_CALLS = json.dumps({"tool_calls": 0})
SOME_CALLS = json.dumps({"tool_calls": 5})


async def send(client: ServerClient, run_id: str = "r1", to: str = "teams/demo-team", **fields: Any) -> httpx2.Response:
    headers = fields.pop("headers", None)
    data = {"session_id": "s1", "stream": "false", **fields}
    return await client.http.post(f"/{to}/runs/{run_id}/continue", data=data, headers=headers)


async def failed(client: ServerClient, run_id: str = "r1", **fields: Any) -> dict[str, Any]:
    run = await client.run(DELEGATING, run_id=run_id, session_id="s1", budget=NO_CALLS, **fields)
    assert run["status"] == "ERROR"
    return run


async def test_it_answers_with_the_new_run_at_its_end(client: ServerClient) -> None:
    await failed(client)
    answer = await send(client, budget=SOME_CALLS)
    run = answer.json()
    assert (answer.status_code, run["status"], run["content"]) == (200, "COMPLETED", "Done: a")
    assert run["forked_from"] == "r1"
    assert run["run_id"] != "r1"
    assert run["input"]["input_content"] == DELEGATING
    assert run["budget"]["tool_calls"]["spent"] == 1
    assert (await client.get("/teams/demo-team/runs/r1", session_id="s1"))["status"] == "ERROR"
    assert "by run " + run["run_id"] in problem(await send(client), 409, "CONFLICT")


async def test_it_answers_with_a_receipt(client: ServerClient) -> None:
    await failed(client)
    answer = await send(client, background="true", budget=SOME_CALLS)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (202, "PENDING")
    fork = await client.get(f"/teams/demo-team/runs/{body['run_id']}", session_id="s1", wait=30)
    assert (fork["status"], fork["forked_from"]) == ("COMPLETED", "r1")


async def test_it_answers_with_the_new_runs_events(client: ServerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musterd.models.scripted.INPUT_TOKENS", 600)
    run = await client.run(DELEGATING, run_id="r1", session_id="s1", budget=json.dumps({"tokens": 1000}))
    assert (run["status"], run["error"]["code"]) == ("ERROR", "budget_tokens")
    member = run["tools"][0]["child_run_id"]
    answer = await send(client, stream="true", budget=json.dumps({"tokens": 5000}))
    events = read_stream(answer.text)
    assert (events[0]["event"], events[-1]["event"]) == ("TeamRunStarted", "TeamRunCompleted")
    assert events[-1]["content"] == "Done: a"
    assert [one["run_id"] for one in events[-1]["member_responses"]] == [member]
    page = await client.get(f"/teams/demo-team/runs/{events[0]['run_id']}/events", session_id="s1")
    assert page["events"] == events
    view = await client.get(f"/teams/demo-team/runs/{member}", session_id="s1")
    assert view["status"] == "COMPLETED"


async def test_the_same_request_under_its_key(client: ServerClient) -> None:
    await failed(client)
    key = {"Idempotency-Key": "k1"}
    first = await send(client, headers=key, budget=SOME_CALLS)
    again = await send(client, headers=key, budget=SOME_CALLS)
    assert again.json()["run_id"] == first.json()["run_id"]
    assert again.headers["idempotency-replayed"] == "true"
    streamed = await send(client, headers=key, budget=SOME_CALLS, stream="true")
    assert read_stream(streamed.text)[-1]["run_id"] == first.json()["run_id"]
    problem(await send(client, headers=key), 409, "CONFLICT")


async def test_what_is_refused(client: ServerClient) -> None:
    await failed(client)
    assert wrong_fields(await send(client, budget='{"token": 1}')) == [("body", "budget")]
    problem(await send(client, session_id="s2"), 404, "NOT_FOUND")
    problem(await send(client, to="teams/other-team"), 404, "NOT_FOUND")
    decision = json.dumps([{"id": "x", "confirmation": True}])
    assert problem(await send(client, requirements=decision), 409, "CONFLICT") == "run is already errored"
    await client.run("[[SAY hi]]", run_id="r2", session_id="s1")
    assert problem(await send(client, "r2"), 409, "CONFLICT") == "run is already continued"


async def test_a_run_is_forked_from_a_step(client: ServerClient) -> None:
    done = await client.run(DELEGATING, run_id="r1", session_id="s1")
    calls = len(client.model.calls)
    key = {"Idempotency-Key": "k1"}
    run = (await send(client, from_step="t1/m", headers=key)).json()
    assert (run["status"], run["content"], run["forked_from"]) == ("COMPLETED", done["content"], "r1")
    assert run["run_id"] != "r1"
    assert len(client.model.calls) == calls + 1
    assert (await send(client, from_step="t1/m", headers=key)).json()["run_id"] == run["run_id"]
    problem(await send(client, from_step="t0/m", headers=key), 409, "CONFLICT")
    problem(await send(client, from_step="t9/m"), 404, "NOT_FOUND")
    member = run["tools"][0]["child_run_id"]
    assert "fork run r1" in problem(await send(client, member, from_step="t0/m"), 409, "CONFLICT")
    assert (await client.get("/teams/demo-team/runs/r1", session_id="s1"))["content"] == done["content"]


async def test_both_runs_have_the_media_after_a_fork(client: ServerClient) -> None:
    image = ("files", ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(16), "image/png"))
    run = await client.run("look", run_id="r1", session_id="s1", files=[image])
    fork = (await send(client, from_step="t0/m")).json()
    assert fork["status"] == "COMPLETED"
    assert [one["input"]["images"][0]["content"] for one in (run, fork)] == [run["input"]["images"][0]["content"]] * 2


async def test_an_agents_run_too(client: ServerClient) -> None:
    to = "agents/weather-agent"
    message = '[[TOOL get_weather {"city": "Rome"}]]'
    run = await client.run(message, to, run_id="r1", session_id="s1", budget=NO_CALLS)
    assert run["status"] == "ERROR"
    done = (await send(client, to=to, budget=SOME_CALLS)).json()
    assert (done["status"], done["content"]) == ("COMPLETED", "Done: Sunny in Rome")
