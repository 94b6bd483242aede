"""Forked sessions: the conversation goes on in two, and nothing that was done is done again."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from musterd.core.scopes import ADMIN
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, read_stream, wrong_fields
from tests.support.tokens import Issuer, public_pem, rsa_key

AUDIENCE = "musterd-test"
ISSUER = Issuer(claims={"aud": AUDIENCE})
DELEGATE = "Ask. [[DELEGATE writer-agent: <SAY a>]]"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


async def send(
    client: ServerClient, session_id: str = "s1", to: str = "teams/demo-team", **query: Any
) -> httpx2.Response:
    return await client.http.post(f"/{to}/sessions/{session_id}/fork", params=query or None)


async def forked(client: ServerClient, session_id: str = "s1", to: str = "teams/demo-team", **query: Any) -> str:
    answer = await send(client, session_id, to, **query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"session_id", "forked_from_session_id"}
    assert body["forked_from_session_id"] == session_id
    return str(body["session_id"])


async def test_a_fork_begins_with_what_was_said(client: ServerClient) -> None:
    first = await client.run("one", session_id="s1", user_id="u1", session_state='{"a": 1}')
    second = await client.run(DELEGATE, session_id="s1", user_id="u1")
    calls = len(client.model.calls)
    fork = await forked(client)
    assert len(client.model.calls) == calls, "nothing is run again"
    runs = await client.get(f"/sessions/{fork}/runs")
    originals = await client.get("/sessions/s1/runs")
    assert not {run["run_id"] for run in runs} & {run["run_id"] for run in originals}
    for copy, original in zip(runs, originals, strict=True):
        for name in ("run_input", "content", "status", "created_at", "metrics"):
            assert copy[name] == original[name]
        assert [message.get("content") for message in copy["messages"]] == [
            m.get("content") for m in original["messages"]
        ]
    _, member, root = runs
    assert (member["parent_run_id"], root["tools"][0]["child_run_id"]) == (root["run_id"], member["run_id"])
    one = await client.get(f"/teams/demo-team/runs/{root['run_id']}", session_id=fork)
    assert (one["copied_from"], one["session_id"]) == (second["run_id"], fork)
    old, new = await client.get("/sessions/s1"), await client.get(f"/sessions/{fork}")
    assert new["forked_from_session_id"] == "s1"
    for name in ("session_name", "session_state", "user_id", "metrics", "team_data", "total_tokens"):
        assert new[name] == old[name]
    assert [message["role"] for message in new["chat_history"]] == [m["role"] for m in old["chat_history"]]
    assert first["run_id"] in {run["run_id"] for run in originals}


async def test_a_fork_under_a_key_is_made_once(client: ServerClient) -> None:
    async def under(key: str, session_id: str = "s1", **query: Any) -> httpx2.Response:
        path = f"/teams/demo-team/sessions/{session_id}/fork"
        return await client.http.post(path, params=query or None, headers={"Idempotency-Key": key})

    await client.run("one", session_id="s1")
    await client.run("two", session_id="s2")
    first, *again = await asyncio.gather(*[under("k1") for _ in range(3)])
    assert {answer.json()["session_id"] for answer in again} == {first.json()["session_id"]}
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in (first, *again)) == ["", "true", "true"]
    assert (await client.get("/sessions"))["meta"]["total_count"] == 3
    problem(await under("k1", user_id="other"), 409, "CONFLICT")
    problem(await under("k1", "s2"), 409, "CONFLICT")
    assert wrong_fields(await under("")) == [("header", "idempotency-key")]
    assert (await under("k2")).json()["session_id"] != first.json()["session_id"]
    assert (await client.http.delete("/sessions/s1")).status_code == 204
    assert (await under("k1")).json() == first.json(), "it was made, whatever became of its origin"
    assert (await client.http.delete(f"/sessions/{first.json()['session_id']}")).status_code == 204


async def test_both_go_on_alone(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    fork = await forked(client)
    await client.run("two", session_id=fork, add_history_to_context="true")
    said = [message["content"] for message in client.model.conversation() if message["role"] == "user"]
    assert said == ["one", "two"]
    await client.http.delete("/sessions/s1")
    assert [run["run_input"] for run in await client.get(f"/sessions/{fork}/runs")] == ["one", "two"]
    await client.run("three", session_id="s1")
    assert len(await client.get(f"/sessions/{fork}/runs")) == 2


async def test_what_lives_stays_where_it_is(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    hold = client.model.hold("wait")
    at_work = await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    fork = await forked(client)
    assert [run["run_input"] for run in await client.get(f"/sessions/{fork}/runs")] == ["one"]
    assert (await client.run("two", session_id=fork))["status"] == "COMPLETED", "its line is free"
    hold.release()
    assert (await client.ended(at_work))["status"] == "COMPLETED"


async def test_a_copy_of_a_failed_run_goes_on_where_it_stopped(client: ServerClient) -> None:
    """In each session once, without paying for what was done."""
    failed = await client.run(DELEGATE, session_id="s1", budget=json.dumps({"tool_calls": 0}))
    assert failed["status"] == "ERROR"
    fork = await forked(client)
    (copy,) = await client.get(f"/sessions/{fork}/runs")
    calls = len(client.model.calls)
    for session_id, run_id in (("s1", failed["run_id"]), (fork, copy["run_id"])):
        data = {"session_id": session_id, "stream": "false", "budget": json.dumps({"tool_calls": 5})}
        answer = await client.http.post(f"/teams/demo-team/runs/{run_id}/continue", data=data)
        run = answer.json()
        assert (run["status"], run["content"], run["forked_from"]) == ("COMPLETED", "Done: a", run_id)
    assert len(client.model.calls) - calls == 2 * 2, "the leader's first call is taken over both times"
    again = await forked(client, fork)
    runs = {run["run_id"]: run for run in await client.get(f"/sessions/{again}/runs")}
    (done,) = [run for run in runs.values() if run["status"] == "COMPLETED" and run["parent_run_id"] == ""]
    one = await client.get(f"/teams/demo-team/runs/{done['run_id']}", session_id=again)
    assert runs[one["forked_from"]]["status"] == "ERROR"
    assert one["tools"][0]["child_run_id"] in runs


async def test_a_copy_has_its_ledger_and_its_events(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1", run_id="r1")
    fork = await forked(client)
    member, root = await client.get(f"/sessions/{fork}/runs")
    path = f"/teams/demo-team/runs/{root['run_id']}"
    copied = await client.get(f"{path}/steps", session_id=fork)
    original = await client.get("/teams/demo-team/runs/r1/steps", session_id="s1")
    ids = {"r1": root["run_id"], done["tools"][0]["child_run_id"]: member["run_id"]}
    for step in original:
        step["run_id"], step["child_run_ids"] = ids[step["run_id"]], [ids[run_id] for run_id in step["child_run_ids"]]
    assert copied == original
    reading = client.server.runs.subscribe(root["run_id"])
    events = [event async for flush in reading.stored() for event in flush.events]
    reading.close()
    assert events[-1].kind.value == "run_completed"
    assert {event.run_id for event in events} == {root["run_id"], member["run_id"]}
    assert done["run_id"] == "r1"


async def test_media_are_there_as_long_as_one_of_the_two_is(client: ServerClient) -> None:
    await client.run("look", session_id="s1", files=[("files", ("a.png", PNG, "image/png"))])
    fork = await forked(client)
    (run,) = await client.get(f"/sessions/{fork}/runs")
    path, query = f"/teams/demo-team/runs/{run['run_id']}", {"session_id": fork}
    before = (await client.get(path, **query))["input"]["images"]
    await client.http.delete("/sessions/s1")
    assert (await client.get(path, **query))["input"]["images"] == before
    assert before[0]["content"]


async def test_the_user_is_whom_the_caller_names(client: ServerClient) -> None:
    await client.run("one", session_id="s1", user_id="u1")
    fork = await forked(client, user_id="u2")
    assert (await client.get(f"/sessions/{fork}"))["user_id"] == "u2"
    assert {run["user_id"] for run in (await client.get("/runs", session_id=fork))["data"]} == {"u2"}


async def test_the_session_of_another_user_cannot_be_forked(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key()), jwt_audience=AUDIENCE) as client:
        client.http.headers.update(ISSUER.bearer("bob", "teams:run"))
        await client.run("one", session_id="s1")
        client.http.headers.update(ISSUER.bearer("alice", "teams:run"))
        words = problem(await send(client), 404, "NOT_FOUND")
        assert words == "Session with ID s1 not found"


async def test_what_cannot_be_forked(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.http.post("/sessions", json={"session_id": "empty", "team_id": "demo-team"})
    assert "no finished runs to fork" in problem(await send(client, "empty"), 400, "BAD_REQUEST")
    problem(await send(client, "nope"), 404, "NOT_FOUND")
    problem(await send(client, to="teams/other-team"), 404, "NOT_FOUND")
    problem(await send(client, to="agents/solo-agent"), 404, "NOT_FOUND")
    assert problem(await send(client, to="teams/nope"), 404, "NOT_FOUND") == "Team not found"
    for label in ("\x00", "x" * 256):
        assert wrong_fields(await send(client, user_id=label)) == [("query", "user_id")]
    await client.http.delete("/sessions/s1")
    problem(await send(client), 404, "NOT_FOUND")
    assert [item["session_id"] for item in (await client.get("/sessions"))["data"]] == ["empty"]


async def test_an_agents_session(client: ServerClient) -> None:
    await client.run("one", session_id="s1", to="agents/solo-agent")
    fork = await forked(client, to="agents/solo-agent")
    assert (await client.get(f"/sessions/{fork}"))["agent_id"] == "solo-agent"


async def test_the_answer_to_a_request_that_is_sent_again_is_no_copys(client: ServerClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await client.run("one", session_id="s1", headers=headers)
    await forked(client)
    again = await client.post("one", session_id="s1", headers=headers, stream="true")
    assert {event["run_id"] for event in read_stream(again.text)} == {first["run_id"]}


async def test_a_copy_is_a_trace_of_its_own(client: ServerClient) -> None:
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    for run_id, sent in (("chosen", {}), ("sent", headers)):
        await client.run("one", session_id="s1", run_id=run_id, headers=sent)
    originals = (await client.get("/traces"))["data"]
    fork = await forked(client)
    traces = (await client.get("/traces"))["data"]
    assert len({one["trace_id"] for one in traces}) == 4
    for one in originals:
        assert (await client.get(f"/traces/{one['trace_id']}"))["session_id"] == "s1"
    copies = [one["trace_id"] for one in traces if one["session_id"] == fork]
    assert {(await client.get(f"/traces/{trace_id}"))["session_id"] for trace_id in copies} == {fork}


@pytest.mark.parametrize("is_own", [True, False])
async def test_what_goes_on_from_a_copy_tells_no_other_users_webhook(serve: Serve, is_own: bool) -> None:
    hook = {"webhook_url": "https://example.com/hook"}
    tokens = {"jwt_verification_key": public_pem(rsa_key()), "jwt_audience": AUDIENCE}
    async with serve(webhook_secret="whsec_" + "A" * 32, upkeep_seconds=3600, **tokens) as client:
        client.http.headers.update(ISSUER.bearer("ada", ADMIN))
        await client.run("[[ERROR 402]]", session_id="s1", **hook)
        if not is_own:
            client.http.headers.update(ISSUER.bearer("root", ADMIN))
        fork = await forked(client)
        (copy,) = await client.get(f"/sessions/{fork}/runs")
        data = {"session_id": fork, "stream": "false"}
        run = (await client.http.post(f"/teams/demo-team/runs/{copy['run_id']}/continue", data=data)).json()
        deliveries = (await client.get("/webhooks/deliveries", run_id=run["run_id"]))["data"]
        assert len(deliveries) == int(is_own)
