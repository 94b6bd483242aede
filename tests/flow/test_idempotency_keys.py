"""Idempotency keys: a request that is sent again is done once, and answered with what became of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from musterd import Team, tool
from tests.support.app import Sample, Serve
from tests.support.http import Receipt, ServerClient, problem, read_stream, wrong_fields

PNG = ("a.png", b"\x89PNG\r\n\x1a\n", "image/png")
REPLAYED = "idempotency-replayed"
FORMS: list[dict[str, str]] = [{"stream": "false"}, {"stream": "true"}, {"background": "true"}]


def key(text: str = "k1") -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": text}}


async def runs_in(client: ServerClient, session_id: str = "s1") -> int:
    return len(await client.get(f"/sessions/{session_id}/runs"))


async def test_a_finished_run_again_in_each_form(client: ServerClient) -> None:
    first = await client.post("hello", session_id="s1", stream="false", **key())
    assert REPLAYED not in first.headers
    done = first.json()
    output = await client.post("hello", session_id="s1", stream="false", **key())
    assert (output.json(), output.headers[REPLAYED]) == (done, "true")
    receipt = await client.post("hello", session_id="s1", background="true", **key())
    assert (receipt.status_code, receipt.headers[REPLAYED]) == (202, "true")
    assert receipt.json() == {"run_id": done["run_id"], "session_id": "s1", "status": "COMPLETED"}
    assert done["run_id"] in receipt.headers["location"]
    stream = await client.post("hello", session_id="s1", stream="true", **key())
    assert stream.headers[REPLAYED] == "true"
    events = read_stream(stream.text)
    assert (events[0]["event"], events[-1]["event"]) == ("TeamRunStarted", "TeamRunCompleted")
    assert {event["run_id"] for event in events} == {done["run_id"]}
    assert (await runs_in(client), len(client.model.calls)) == (1, 1)
    assert not client.server.broadcaster._audiences


async def test_a_stream_again_is_its_events_again(client: ServerClient) -> None:
    first = await client.post("[[DELEGATE writer-agent: x]]", **key())
    again = await client.post("[[DELEGATE writer-agent: x]]", **key())
    assert (REPLAYED in first.headers, again.headers[REPLAYED], again.text) == (False, "true", first.text)


async def test_a_running_run_again_is_its_present_state(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    first = asyncio.ensure_future(client.post("wait", session_id="s1", stream="false", **key()))
    await hold.reached.wait()
    receipt = await client.post("wait", session_id="s1", background="true", **key())
    assert (receipt.json()["status"], receipt.headers[REPLAYED]) == ("RUNNING", "true")
    again = asyncio.ensure_future(client.post("wait", session_id="s1", stream="false", **key()))
    hold.release()
    assert (await again).json() == (await first).json()
    assert ((await again).headers[REPLAYED], len(client.model.calls)) == ("true", 1)


async def test_a_stream_attaches_to_a_running_run(serve_live: Serve) -> None:
    async with serve_live() as client:
        hold = client.model.hold("wait", after=1)
        first = await client.post("wait", session_id="s1", background="true", **key())
        await hold.reached.wait()
        data = {"message": "wait", "session_id": "s1", "stream": "true"}
        async with client.http.stream("POST", "/teams/demo-team/runs", data=data, **key()) as again:
            assert again.headers[REPLAYED] == "true"
            hold.release()
            events = read_stream((await again.aread()).decode())
        assert events[0]["run_id"] == first.json()["run_id"]
        assert events[-1]["event"] == "TeamRunCompleted"


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_two_at_once_are_one_run(client: ServerClient, form: dict[str, str]) -> None:
    answers = await asyncio.gather(*[client.post("hello", session_id="s1", **form, **key()) for _ in range(6)])
    assert [answer.status_code for answer in answers] == [202 if "background" in form else 200] * 6
    assert sum(REPLAYED in answer.headers for answer in answers) == 5
    assert await runs_in(client) == 1
    (run,) = await client.get("/teams/demo-team/runs", session_id="s1")
    await client.ended(Receipt(run["run_id"], "s1", ""))
    assert len(client.model.calls) == 1


async def test_two_at_once_with_other_payloads_are_one_run_and_one_refusal(client: ServerClient) -> None:
    both = await asyncio.gather(*[client.post(word, session_id="s1", stream="false", **key()) for word in ("a", "b")])
    assert sorted(answer.status_code for answer in both) == [200, 409]
    assert await runs_in(client) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"message": "other"},
        {"session_id": "s2"},
        {"session_id": ""},
        {"user_id": "u2"},
        {"session_state": '{"a": 2}'},
        {"on_busy": "parallel"},
        {"priority": "1"},
        {"timeout_seconds": "50"},
        {"to": "teams/other-team"},
        {"to": "agents/solo-agent"},
        {"files": {"files": PNG}},
    ],
    ids=lambda other: ",".join(other),
)
@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_another_request_under_the_key(client: ServerClient, other: dict[str, Any], form: dict[str, str]) -> None:
    fields: dict[str, Any] = {"message": "the secret", "session_id": "s1", "user_id": "u1"}
    assert (await client.post(**fields, stream="false", **key())).status_code == 200
    answer = await client.post(**{**fields, **other, **form}, **key())
    assert "Idempotency-Key" in problem(answer, 409, "CONFLICT")
    assert "secret" not in answer.text
    assert await runs_in(client) == 1


async def test_what_is_not_part_of_the_request(client: ServerClient) -> None:
    first = await client.post("hello", session_id="s1", stream="false", priority="1", files={"files": PNG}, **key())
    run_id = first.json()["run_id"]
    for more in ({"stream_events": "false"}, {"run_id": "mine"}, {"debug_mode": "true"}, {"priority": "01"}):
        form = {"session_id": "s1", "stream": "false", "priority": "1", **more}
        answer = await client.post("hello", files={"files": PNG}, **form, **key())
        assert (answer.json()["run_id"], answer.headers[REPLAYED]) == (run_id, "true")
    body = {"message": "hello", "session_id": "s2", "stream": False, "timeout_seconds": 60}
    await client.http.post("/teams/demo-team/runs", json=body, **key("k2"))
    answer = await client.post("hello", session_id="s2", stream="false", timeout_seconds="60.0", **key("k2"))
    assert answer.headers[REPLAYED] == "true", "the same request as a form and as JSON"


async def test_keys_tell_requests_apart(client: ServerClient) -> None:
    first = await client.post("hello", stream="false", **key("a"))
    second = await client.post("hello", stream="false", **key("b"))
    assert first.json()["run_id"] != second.json()["run_id"]


async def test_a_refused_request_keeps_no_key(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    await client.begin("wait", session_id="s1", run_id="r1")
    await hold.reached.wait()
    problem(await client.post("", session_id="s1", stream="false", **key()), 422, "VALIDATION_ERROR")
    problem(await client.post("hi", to="teams/nope", stream="false", **key()), 404, "NOT_FOUND")
    busy = await client.post("hi", session_id="s1", stream="false", on_busy="reject", **key())
    problem(busy, 409, "CONFLICT")
    answer = await client.post("other", session_id="s2", stream="false", **key())
    assert (answer.status_code, REPLAYED in answer.headers) == (200, False)
    hold.release()


async def test_a_refusal_for_want_of_room_keeps_no_key(serve: Serve) -> None:
    async with serve(queue_depth=1) as client:
        hold = client.model.hold("wait")
        for run_id in ("r1", "r2"):
            await client.begin("wait", session_id="s1", run_id=run_id)
        await hold.reached.wait()
        full = await client.post("hi", session_id="s1", stream="false", **key())
        problem(full, 429, "RATE_LIMITED")
        assert full.headers["retry-after"]
        hold.release()
        for run_id in ("r1", "r2"):
            await client.ended(Receipt(run_id, "s1", ""))
        assert (await client.post("ho", session_id="s1", stream="false", **key())).status_code == 200


async def test_a_key_lasts_as_long_as_its_run(client: ServerClient) -> None:
    await client.post("hello", session_id="s1", stream="false", **key())
    assert (await client.http.delete("/sessions/s1")).status_code == 204
    await asyncio.gather(*list(client.server.worker._tasks))
    answer = await client.post("other", session_id="s1", stream="false", **key())
    assert (answer.status_code, REPLAYED in answer.headers) == (200, False)


@pytest.mark.parametrize("text", ["", "x" * 256, "a\x01b"])
@pytest.mark.parametrize("operation", ["runs", "runs/r1/cancel", "runs/r1/continue"])
async def test_keys_that_are_none(client: ServerClient, operation: str, text: str) -> None:
    data = {"message": "hi", "session_id": "s1", "requirements": "[]", "stream": "false"}
    answer = await client.http.post(f"/teams/demo-team/{operation}", data=data, **key(text))
    assert wrong_fields(answer) == [("header", "idempotency-key")]
    assert (await client.get("/sessions"))["data"] == []


async def test_the_longest_key(client: ServerClient) -> None:
    assert (await client.post("hi", stream="false", **key("x" * 255))).status_code == 200
    two = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert wrong_fields(await client.post("hi", headers=two)) == [("header", "idempotency-key")]


async def test_a_keyed_stream_is_not_cancelled_when_its_reader_goes(serve_live: Serve) -> None:
    async with serve_live(disconnect_seconds=0) as client:
        hold = client.model.hold("wait", after=1)
        data = {"message": "wait", "session_id": "s1", "run_id": "r1", "stream": "true"}
        async with client.http.stream("POST", "/teams/demo-team/runs", data=data, **key()) as answer:
            await anext(answer.aiter_text())
            await hold.reached.wait()
        while client.server.broadcaster.has_subscribers("r1"):
            await client.get("/-/live")
        assert not client.server.runs.connected_clients._timers
        hold.release()
        assert (await client.ended(Receipt("r1", "s1", "")))["status"] == "COMPLETED"


# Cancel


async def cancel(client: ServerClient, run_id: str, text: str = "k1") -> Any:
    return await client.http.post(f"/teams/demo-team/runs/{run_id}/cancel", **key(text))


async def test_a_cancel_again_is_the_run_as_it_is(client: ServerClient) -> None:
    hold = client.model.hold("wait", after=1)
    await client.begin("wait", session_id="s1", run_id="r1")
    await hold.reached.wait()
    first, again = await asyncio.gather(cancel(client, "r1"), cancel(client, "r1"))
    assert first.json() == again.json()
    assert first.json()["status"] == "CANCELLED"
    assert sorted(REPLAYED in answer.headers for answer in (first, again)) == [False, True]


async def test_a_cancel_of_another_run_under_the_key(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    assert (await cancel(client, "r1")).json()["status"] == "COMPLETED"
    assert (await cancel(client, "r1")).headers[REPLAYED] == "true"
    hold = client.model.hold("wait")
    receipt = await client.begin("wait", session_id="s1", run_id="r2")
    await hold.reached.wait()
    problem(await cancel(client, "r2"), 409, "CONFLICT")
    problem(await cancel(client, "unknown", "k2"), 404, "NOT_FOUND")
    assert (await client.poll(receipt))["status"] == "RUNNING"
    assert (await cancel(client, "r2", "k2")).json()["status"] == "CANCELLED"


# Decisions


@tool(requires_confirmation=True)
def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


@pytest.fixture
async def shop(serve: Serve) -> AsyncIterator[ServerClient]:
    """A team whose payments wait for a person."""
    team = Team(id="demo-team", name="Demo Team", members=[], tools=[pay], model="scripted")
    async with serve(served=Sample([team], [])) as client:
        yield client


async def paused(client: ServerClient, run_id: str) -> str:
    """A run that waits for a person, and the id of its question."""
    run = await client.run('[[TOOL pay {"n": 1}]]', session_id=f"session-{run_id}", run_id=run_id)
    requirement_id: str = run["requirements"][0]["id"]
    return requirement_id


async def decide(client: ServerClient, run_id: str, requirement_id: str, text: str = "k1", **form: str) -> Any:
    requirements = json.dumps([{"id": requirement_id, "confirmation": True}])
    data = {"session_id": f"session-{run_id}", "requirements": requirements, "stream": "false", **form}
    return await client.http.post(f"/teams/demo-team/runs/{run_id}/continue", data=data, **key(text))


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_decisions_again(shop: ServerClient, form: dict[str, str]) -> None:
    requirement_id = await paused(shop, "r1")
    first = await decide(shop, "r1", requirement_id, **form)
    done = await shop.get("/teams/demo-team/runs/r1", session_id="session-r1", wait=60)
    again = await decide(shop, "r1", requirement_id, **form)
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert (first.status_code, again.status_code) == ((202, 202) if "background" in form else (200, 200))
    if "background" in form:
        assert (first.json()["status"], again.json()["status"]) == ("PENDING", "COMPLETED")
    else:
        assert first.text == again.text
    assert [call["result"] for call in done["tools"]] == ["paid 1"]


async def test_other_decisions_under_the_key(shop: ServerClient) -> None:
    one, two = await paused(shop, "r1"), await paused(shop, "r2")
    problem(await decide(shop, "r1", "unknown"), 422, "VALIDATION_ERROR")
    assert (await decide(shop, "r1", one)).status_code == 200, "a refused request keeps no key"
    problem(await decide(shop, "r1", "unknown"), 409, "CONFLICT")
    problem(await decide(shop, "r2", two), 409, "CONFLICT")
    assert REPLAYED not in (await decide(shop, "r2", two, "k2")).headers


@pytest.mark.parametrize("name", ["tool_args", "user_input_schema"])
async def test_other_arguments_under_the_key(shop: ServerClient, name: str) -> None:
    question = (await shop.run('[[TOOL pay {"n": 1}]]', session_id="s1", run_id="r1"))["requirements"][0]
    call_id = question["tool_execution"]["tool_call_id"]
    answers = []
    for n in (20, 15):
        values: Any = {"n": n} if name == "tool_args" else [{"name": "n", "value": n}]
        tools = json.dumps([{"tool_call_id": call_id, "confirmed": True, name: values}])
        data = {"session_id": "s1", "tools": tools, "stream": "false"}
        answers.append(await shop.http.post("/teams/demo-team/runs/r1/continue", data=data, **key()))
    first, second = answers
    assert (first.status_code, first.json()["content"].endswith("paid 20")) == (200, True), first.text
    problem(second, 409, "CONFLICT")


async def test_the_same_key_for_another_operation_is_another_key(client: ServerClient) -> None:
    done = (await client.post("hello", session_id="s1", stream="false", **key())).json()
    answer = await cancel(client, done["run_id"])
    assert (answer.status_code, REPLAYED in answer.headers) == (200, False)
