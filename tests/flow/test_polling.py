"""Runs in the background and how they are followed: receipts, polls, waits, entity tags."""

import asyncio

import pytest
from dirty_equals import IsPartialDict

from tests.support.app import Serve
from tests.support.http import Receipt, ServerClient, problem, wrong_fields


async def held(client: ServerClient, message: str = "wait", **fields: str) -> Receipt:
    """A run in the background whose model call has begun, and is stored as its activity."""
    hold = client.model.hold("wait")
    run = await client.begin(message, **fields)
    await hold.reached.wait()
    while "activity" not in await client.poll(run, 0.01):  # until that is stored, which changes the entity tag
        pass
    return run


def url(run: Receipt, team: str = "demo-team") -> str:
    return f"/teams/{team}/runs/{run.run_id}"


# --- receipts -----------------------------------------------------------------------------------------


async def test_a_receipt_has_three_keys_and_a_place_to_look(client: ServerClient) -> None:
    answer = await client.post(background="true", stream="false", session_id="a/b ü?&#", run_id="r/1 ü?&#")
    assert answer.status_code == 202
    assert answer.json() == {"run_id": "r/1 ü?&#", "session_id": "a/b ü?&#", "status": "PENDING"}
    assert answer.headers["content-type"] == "application/json"
    polled = await client.http.get(answer.headers["location"] + "&wait=60")
    assert (polled.status_code, polled.json()["status"]) == (200, "COMPLETED")
    assert (polled.json()["run_id"], polled.json()["session_id"]) == ("r/1 ü?&#", "a/b ü?&#")


async def test_background_wins_over_the_streams_default(client: ServerClient) -> None:
    assert (await client.post(background="true")).status_code == 202
    assert (await client.post(background="TRUE", stream="")).status_code == 202


async def test_a_background_run_may_be_streamed_where_that_is_said(client: ServerClient) -> None:
    stream = await client.stream(background="true")
    assert stream.names[-1] == "TeamRunCompleted"


async def test_a_receipt_is_given_while_others_wait(client: ServerClient) -> None:
    first = await held(client, session_id="s1")
    second = await client.begin("hello", session_id="s1")
    third = await client.begin("hello", session_id="s1")
    assert [(await client.poll(run)).get("queue_position") for run in (first, second, third)] == [None, 1, 2]
    assert [(await client.poll(run))["status"] for run in (first, second, third)] == ["RUNNING", "PENDING", "PENDING"]
    client.model.release()


# --- polls --------------------------------------------------------------------------------------------


async def test_a_run_that_runs(client: ServerClient) -> None:
    run = await held(client, session_id="s1", user_id="u1")
    body = await client.poll(run)
    created_at, queued_at, started_at = body.pop("created_at"), body.pop("queued_at"), body.pop("started_at")
    assert isinstance(created_at, int)
    assert created_at == int(queued_at) <= started_at
    assert body == {
        "run_id": run.run_id,
        "team_id": "demo-team",
        "team_name": "Demo Team",
        "session_id": "s1",
        "user_id": "u1",
        "input": {"input_content": "wait"},
        "content_type": "str",
        "model": "scripted",
        "model_provider": "Scripted",
        "member_responses": [],
        "events": [],
        "metrics": {},
        "status": "RUNNING",
        "attempts": 1,
        "activity": IsPartialDict(run_id=run.run_id, member="Demo Team", kind="model", tool=None),
    }


async def test_a_run_that_waits(client: ServerClient) -> None:
    await held(client, session_id="s1")
    body = await client.poll(await client.begin("hello", session_id="s1"))
    assert (body["status"], body["attempts"], body["queue_position"]) == ("PENDING", 0, 1)
    assert (body["metrics"], body["events"], body["member_responses"]) == ({}, [], [])
    assert not {"started_at", "content", "messages", "tools"} & set(body)


@pytest.mark.parametrize("query", [{}, {"session_id": ""}])
@pytest.mark.parametrize("path", ["/teams/demo-team/runs/r1", "/teams/demo-team/runs", "/agents/solo-agent/runs/r1"])
async def test_a_session_id_is_required(client: ServerClient, path: str, query: dict[str, str]) -> None:
    answer = await client.http.get(path, params=query)
    assert wrong_fields(answer) == [("query", "session_id")]
    assert answer.json()["errors"][0]["type"] == "missing"


async def test_what_is_not_found(client: ServerClient) -> None:
    run = await client.begin("hello", session_id="s1")
    await client.run("hello", session_id="s2")
    await client.ended(run)
    for path, session_id in (
        (url(run), "s2"),
        (url(run), "nope"),
        (url(run, "other-team"), "s1"),
        (f"/agents/solo-agent/runs/{run.run_id}", "s1"),
        ("/teams/demo-team/runs/nope", "s1"),
    ):
        answer = await client.http.get(path, params={"session_id": session_id})
        assert problem(answer, 404, "NOT_FOUND") == "Run not found"
    answer = await client.http.get(url(run, "nope"), params={"session_id": "s1"})
    assert problem(answer, 404, "NOT_FOUND") == "Team not found"
    answer = await client.http.get("/agents/nope/runs/r1", params={"session_id": "s1"})
    assert problem(answer, 404, "NOT_FOUND") == "Agent not found"


# --- waits --------------------------------------------------------------------------------------------


async def test_a_wait_ends_with_the_run(client: ServerClient) -> None:
    run = await held(client)
    waiting = asyncio.ensure_future(client.poll(run, 60))
    assert (await client.poll(run))["status"] == "RUNNING"
    client.model.release()
    assert (await waiting)["status"] == "COMPLETED"


async def test_a_wait_for_a_member_ends_with_the_member(client: ServerClient) -> None:
    """Its leader is still at work then."""
    hold = client.model.hold("other")
    run = await client.begin("[[DELEGATE writer-agent: one || DELEGATE weather-agent: other]]", session_id="s1")
    await hold.reached.wait()
    views = await client.get("/sessions/s1/run-previews")
    ids = {view["agent_id"]: view["run_id"] for view in views if view.get("agent_id")}
    writer, weather = (Receipt(ids[name], "s1", "") for name in ("writer-agent", "weather-agent"))
    assert (await client.ended(writer))["status"] == "COMPLETED"
    assert (await client.poll(weather, 0.01))["status"] == "RUNNING"
    waiting = asyncio.ensure_future(client.ended(weather))
    assert (await client.poll(run))["status"] == "RUNNING"
    hold.release()
    assert (await waiting)["status"] == "COMPLETED"
    assert not client.server.broadcaster._audiences


async def test_a_wait_for_a_run_whose_session_is_deleted_ends(client: ServerClient) -> None:
    run = await held(client, session_id="s1")
    waiting = [asyncio.ensure_future(client.http.get(url(run), params={"session_id": "s1", "wait": 60})) for _ in "ab"]
    await client.poll(run)
    assert (await client.http.delete("/sessions/s1")).status_code == 204
    for answer in await asyncio.gather(*waiting):
        assert problem(answer, 404, "NOT_FOUND") == "Run not found"


async def test_a_wait_ends_with_its_time(client: ServerClient) -> None:
    run = await held(client)
    assert (await client.poll(run, 0.01))["status"] == "RUNNING"


async def test_a_wait_for_what_waits_behind_another(client: ServerClient) -> None:
    await held(client, session_id="s1")
    second = await client.begin("hello", session_id="s1")
    waiting = asyncio.ensure_future(client.poll(second, 60))
    assert (await client.poll(second))["status"] == "PENDING"
    client.model.release()
    assert (await waiting)["status"] == "COMPLETED"


async def test_a_wait_for_what_has_ended_is_none(client: ServerClient) -> None:
    run = await client.begin()
    assert (await client.ended(run))["status"] == "COMPLETED"
    assert (await client.ended(run))["status"] == "COMPLETED"


@pytest.mark.parametrize("wait", ["-1", "NaN", "-inf", "x", "1s", "0x10", "[]"])
async def test_a_wait_is_a_number_of_seconds(client: ServerClient, wait: str) -> None:
    run = await client.begin()
    answer = await client.http.get(url(run), params={"session_id": run.session_id, "wait": wait})
    assert wrong_fields(answer) == [("query", "wait")]


@pytest.mark.parametrize("wait", ["61", "1e9", "inf"])
async def test_a_wait_is_no_longer_than_the_server_lets_it(serve: Serve, wait: str) -> None:
    async with serve(wait_max_seconds=0.01) as client:
        run = await held(client)
        answer = await client.http.get(url(run), params={"session_id": run.session_id, "wait": wait})
        assert answer.json()["status"] == "RUNNING"


@pytest.mark.parametrize("wait", ["", "0", "0.0", "1", "60"])
async def test_waits_that_are_taken(client: ServerClient, wait: str) -> None:
    run = await client.begin()
    await client.ended(run)
    answer = await client.http.get(url(run), params={"session_id": run.session_id, "wait": wait})
    assert answer.status_code == 200


async def test_a_wait_is_answered_when_the_server_stops(serve: Serve) -> None:
    async with serve() as client:
        run = await held(client)
        waiting = asyncio.ensure_future(client.poll(run, 60))
        answering = asyncio.ensure_future(client.post("wait 2", stream="false", run_id="r2", session_id="s2"))
        while len(client.model.calls) < 2:
            await asyncio.wait([waiting, answering], timeout=0.001)
        client.server.begin_stop()
        assert (await waiting)["status"] == "RUNNING"
        receipt = await answering
        assert receipt.status_code == 202
        assert receipt.json() == {"run_id": "r2", "session_id": "s2", "status": "RUNNING"}
        assert receipt.headers["location"].startswith("/teams/demo-team/runs/r2?")


# --- entity tags --------------------------------------------------------------------------------------


async def test_an_entity_tag_holds_until_the_run_changes(client: ServerClient) -> None:
    run = await held(client)
    query = {"session_id": run.session_id}
    first = await client.http.get(url(run), params=query)
    assert (first.headers["retry-after"], first.headers["cache-control"]) == ("1", "no-cache")
    known = {"if-none-match": first.headers["etag"]}
    same = await client.http.get(url(run), params=query, headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    client.model.release()
    await client.ended(run)
    changed = await client.http.get(url(run), params=query, headers=known)
    assert changed.status_code == 200
    assert changed.json()["status"] == "COMPLETED"
    assert "retry-after" not in changed.headers
    known = {"if-none-match": changed.headers["etag"]}
    assert (await client.http.get(url(run), params=query, headers=known)).status_code == 304


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x" , W/{} , "y"', "*"])
async def test_forms_of_if_none_match(client: ServerClient, form: str) -> None:
    run = await client.begin()
    await client.ended(run)
    query = {"session_id": run.session_id}
    tag = (await client.http.get(url(run), params=query)).headers["etag"]
    answer = await client.http.get(url(run), params=query, headers={"if-none-match": form.format(tag)})
    assert answer.status_code == 304
    answer = await client.http.get(url(run), params=query, headers={"if-none-match": '"x"'})
    assert answer.status_code == 200


async def test_an_entity_tag_tells_the_place_in_the_queue(client: ServerClient) -> None:
    first = await held(client, session_id="s1")
    second, third = [await client.begin("hello", session_id="s1") for _ in range(2)]
    query = {"session_id": "s1"}
    tag = (await client.http.get(url(third), params=query)).headers["etag"]
    await client.cancel(second.run_id)
    moved = await client.http.get(url(third), params=query, headers={"if-none-match": tag})
    assert (moved.status_code, moved.json()["queue_position"]) == (200, 1)
    await client.cancel(first.run_id)


async def test_a_wait_with_an_entity_tag(client: ServerClient) -> None:
    run = await held(client)
    query = {"session_id": run.session_id, "wait": "0.01"}
    tag = (await client.http.get(url(run), params=query)).headers["etag"]
    assert (await client.http.get(url(run), params=query, headers={"if-none-match": tag})).status_code == 304
    query["wait"] = "60"
    waiting = asyncio.ensure_future(client.http.get(url(run), params=query, headers={"if-none-match": tag}))
    client.model.release()
    assert (await waiting).json()["status"] == "COMPLETED"


# --- identifiers with slashes ---------------------------------------------------------------------------


async def test_identifiers_with_slashes_in_every_path(client: ServerClient) -> None:
    done = await client.run("hello", session_id="s/1", run_id="r//%2F/..")
    run, session = "r%2F%2f%252F%2F..", "s%2F1"
    for path in (
        f"/teams/demo-team/runs/{run}?session_id=s/1",
        f"/sessions/{session}/runs/{run}",
        f"/sessions/{session}",
        f"/sessions/{session}/runs",
    ):
        assert (await client.http.get(path)).status_code == 200, path
    assert (await client.http.post(f"/teams/demo-team/runs/{run}/cancel")).json()["run_id"] == done["run_id"]
    assert (await client.http.delete(f"/sessions/{session}")).status_code == 204
    assert (await client.http.get(f"/sessions/{session}")).status_code == 404


@pytest.mark.parametrize("path", ["/teams%2Fdemo-team", "/teams/demo-team%2Fruns?session_id=s", "/%2Fhealth"])
async def test_an_escaped_slash_parts_no_path(client: ServerClient, path: str) -> None:
    problem(await client.http.get(path), 404, "NOT_FOUND")


async def test_what_stands_for_a_slash_inside_is_none(client: ServerClient) -> None:
    await client.run("hello", session_id="s/1")
    for session in ("s%1F1", "s%1E1", "s%1f1%2F"):
        assert wrong_fields(await client.http.get(f"/sessions/{session}")) == [("path", "session_id")]


async def test_slashes_over_a_real_connection(serve_live: Serve) -> None:
    async with serve_live() as client:
        await client.run("hello", session_id="s/1")
        assert (await client.http.get("/sessions/s%2F1")).status_code == 200
        head = await client.http.head("/teams")
        assert (head.status_code, head.content) == (200, b"")
