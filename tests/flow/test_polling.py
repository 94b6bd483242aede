"""Runs in the background and how they are followed: receipts, polls, waits, entity tags."""

import asyncio

import pytest

from tests.support.app import Serve
from tests.support.http import House, Receipt, problem, wrong_fields


async def held(house: House, message: str = "wait", **fields: str) -> Receipt:
    """A run in the background that has begun and waits."""
    hold = house.model.hold("wait")
    run = await house.begin(message, **fields)
    await hold.reached.wait()
    return run


def url(run: Receipt, team: str = "demo-team") -> str:
    return f"/teams/{team}/runs/{run.run_id}"


# --- receipts -----------------------------------------------------------------------------------------


async def test_a_receipt_has_three_keys_and_a_place_to_look(house: House) -> None:
    answer = await house.post(background="true", stream="false", session_id="a/b ü?&#", run_id="r/1 ü?&#")
    assert answer.status_code == 202
    assert answer.json() == {"run_id": "r/1 ü?&#", "session_id": "a/b ü?&#", "status": "PENDING"}
    assert answer.headers["content-type"] == "application/json"
    found = await house.http.get(answer.headers["location"] + "&wait=60")
    assert (found.status_code, found.json()["status"]) == (200, "COMPLETED")
    assert (found.json()["run_id"], found.json()["session_id"]) == ("r/1 ü?&#", "a/b ü?&#")


async def test_background_wins_over_the_streams_default(house: House) -> None:
    assert (await house.post(background="true")).status_code == 202
    assert (await house.post(background="TRUE", stream="")).status_code == 202


async def test_a_background_run_may_be_streamed_where_that_is_said(house: House) -> None:
    stream = await house.stream(background="true")
    assert stream.names[-1] == "TeamRunCompleted"


async def test_a_receipt_is_given_while_others_wait(house: House) -> None:
    first = await held(house, session_id="s1")
    second = await house.begin("hello", session_id="s1")
    third = await house.begin("hello", session_id="s1")
    assert [(await house.poll(run)).get("queue_position") for run in (first, second, third)] == [None, 1, 2]
    assert [(await house.poll(run))["status"] for run in (first, second, third)] == ["RUNNING", "PENDING", "PENDING"]
    house.model.release()


# --- polls --------------------------------------------------------------------------------------------


async def test_a_run_that_runs(house: House) -> None:
    run = await held(house, session_id="s1", user_id="u1")
    body = await house.poll(run)
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
    }


async def test_a_run_that_waits(house: House) -> None:
    await held(house, session_id="s1")
    body = await house.poll(await house.begin("hello", session_id="s1"))
    assert (body["status"], body["attempts"], body["queue_position"]) == ("PENDING", 0, 1)
    assert (body["metrics"], body["events"], body["member_responses"]) == ({}, [], [])
    assert not {"started_at", "content", "messages", "tools"} & set(body)


@pytest.mark.parametrize("query", [{}, {"session_id": ""}])
@pytest.mark.parametrize("path", ["/teams/demo-team/runs/r1", "/teams/demo-team/runs", "/agents/solo-agent/runs/r1"])
async def test_a_session_id_is_required(house: House, path: str, query: dict[str, str]) -> None:
    answer = await house.http.get(path, params=query)
    assert wrong_fields(answer) == [("query", "session_id")]
    assert answer.json()["errors"][0]["type"] == "missing"


async def test_what_is_not_found(house: House) -> None:
    run = await house.begin("hello", session_id="s1")
    await house.run("hello", session_id="s2")
    await house.ended(run)
    for path, session_id in (
        (url(run), "s2"),
        (url(run), "nope"),
        (url(run, "other-team"), "s1"),
        (f"/agents/solo-agent/runs/{run.run_id}", "s1"),
        ("/teams/demo-team/runs/nope", "s1"),
    ):
        answer = await house.http.get(path, params={"session_id": session_id})
        assert problem(answer, 404, "NOT_FOUND") == "Run not found"
    answer = await house.http.get(url(run, "nope"), params={"session_id": "s1"})
    assert problem(answer, 404, "NOT_FOUND") == "Team not found"
    answer = await house.http.get("/agents/nope/runs/r1", params={"session_id": "s1"})
    assert problem(answer, 404, "NOT_FOUND") == "Agent not found"


# --- waits --------------------------------------------------------------------------------------------


async def test_a_wait_ends_with_the_run(house: House) -> None:
    run = await held(house)
    waiting = asyncio.ensure_future(house.poll(run, 60))
    assert (await house.poll(run))["status"] == "RUNNING"
    house.model.release()
    assert (await waiting)["status"] == "COMPLETED"


async def test_a_wait_for_a_member_ends_with_the_member(house: House) -> None:
    """Its leader is still at work then."""
    hold = house.model.hold("other")
    run = await house.begin("[[DELEGATE writer-agent: one || DELEGATE weather-agent: other]]", session_id="s1")
    await hold.reached.wait()
    views = await house.get("/sessions/s1/run-previews")
    ids = {view["agent_id"]: view["run_id"] for view in views if view.get("agent_id")}
    writer, weather = (Receipt(ids[name], "s1", "") for name in ("writer-agent", "weather-agent"))
    assert (await house.ended(writer))["status"] == "COMPLETED"
    assert (await house.poll(weather, 0.01))["status"] == "RUNNING"
    waiting = asyncio.ensure_future(house.ended(weather))
    assert (await house.poll(run))["status"] == "RUNNING"
    hold.release()
    assert (await waiting)["status"] == "COMPLETED"
    assert not house.server.broadcaster._audiences


async def test_a_wait_for_a_run_whose_session_is_deleted_ends(house: House) -> None:
    run = await held(house, session_id="s1")
    waiting = [asyncio.ensure_future(house.http.get(url(run), params={"session_id": "s1", "wait": 60})) for _ in "ab"]
    await house.poll(run)
    assert (await house.http.delete("/sessions/s1")).status_code == 204
    for answer in await asyncio.gather(*waiting):
        assert problem(answer, 404, "NOT_FOUND") == "Run not found"


async def test_a_wait_ends_with_its_time(house: House) -> None:
    run = await held(house)
    assert (await house.poll(run, 0.01))["status"] == "RUNNING"


async def test_a_wait_for_what_waits_behind_another(house: House) -> None:
    await held(house, session_id="s1")
    second = await house.begin("hello", session_id="s1")
    waiting = asyncio.ensure_future(house.poll(second, 60))
    assert (await house.poll(second))["status"] == "PENDING"
    house.model.release()
    assert (await waiting)["status"] == "COMPLETED"


async def test_a_wait_for_what_has_ended_is_none(house: House) -> None:
    run = await house.begin()
    assert (await house.ended(run))["status"] == "COMPLETED"
    assert (await house.ended(run))["status"] == "COMPLETED"


@pytest.mark.parametrize("wait", ["-1", "NaN", "-inf", "x", "1s", "0x10", "[]"])
async def test_a_wait_is_a_number_of_seconds(house: House, wait: str) -> None:
    run = await house.begin()
    answer = await house.http.get(url(run), params={"session_id": run.session_id, "wait": wait})
    assert wrong_fields(answer) == [("query", "wait")]


@pytest.mark.parametrize("wait", ["61", "1e9", "inf"])
async def test_a_wait_is_no_longer_than_the_server_lets_it(serve: Serve, wait: str) -> None:
    async with serve(wait_max_seconds=0.01) as house:
        run = await held(house)
        answer = await house.http.get(url(run), params={"session_id": run.session_id, "wait": wait})
        assert answer.json()["status"] == "RUNNING"


@pytest.mark.parametrize("wait", ["", "0", "0.0", "1", "60"])
async def test_waits_that_are_taken(house: House, wait: str) -> None:
    run = await house.begin()
    await house.ended(run)
    answer = await house.http.get(url(run), params={"session_id": run.session_id, "wait": wait})
    assert answer.status_code == 200


async def test_a_wait_is_answered_when_the_server_stops(serve: Serve) -> None:
    async with serve() as house:
        run = await held(house)
        waiting = asyncio.ensure_future(house.poll(run, 60))
        answering = asyncio.ensure_future(house.post("wait 2", stream="false", run_id="r2", session_id="s2"))
        while len(house.model.calls) < 2:
            await asyncio.wait([waiting, answering], timeout=0.001)
        house.server.begin_stop()
        assert (await waiting)["status"] == "RUNNING"
        receipt = await answering
        assert receipt.status_code == 202
        assert receipt.json() == {"run_id": "r2", "session_id": "s2", "status": "RUNNING"}
        assert receipt.headers["location"].startswith("/teams/demo-team/runs/r2?")


# --- entity tags --------------------------------------------------------------------------------------


async def test_an_entity_tag_holds_until_the_run_changes(house: House) -> None:
    run = await held(house)
    query = {"session_id": run.session_id}
    first = await house.http.get(url(run), params=query)
    assert (first.headers["retry-after"], first.headers["cache-control"]) == ("1", "no-cache")
    known = {"if-none-match": first.headers["etag"]}
    same = await house.http.get(url(run), params=query, headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    house.model.release()
    await house.ended(run)
    changed = await house.http.get(url(run), params=query, headers=known)
    assert changed.status_code == 200
    assert changed.json()["status"] == "COMPLETED"
    assert "retry-after" not in changed.headers
    known = {"if-none-match": changed.headers["etag"]}
    assert (await house.http.get(url(run), params=query, headers=known)).status_code == 304


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x" , W/{} , "y"', "*"])
async def test_forms_of_if_none_match(house: House, form: str) -> None:
    run = await house.begin()
    await house.ended(run)
    query = {"session_id": run.session_id}
    tag = (await house.http.get(url(run), params=query)).headers["etag"]
    answer = await house.http.get(url(run), params=query, headers={"if-none-match": form.format(tag)})
    assert answer.status_code == 304
    answer = await house.http.get(url(run), params=query, headers={"if-none-match": '"x"'})
    assert answer.status_code == 200


async def test_an_entity_tag_tells_the_place_in_the_queue(house: House) -> None:
    first = await held(house, session_id="s1")
    second, third = [await house.begin("hello", session_id="s1") for _ in range(2)]
    query = {"session_id": "s1"}
    tag = (await house.http.get(url(third), params=query)).headers["etag"]
    await house.cancel(second.run_id)
    moved = await house.http.get(url(third), params=query, headers={"if-none-match": tag})
    assert (moved.status_code, moved.json()["queue_position"]) == (200, 1)
    await house.cancel(first.run_id)


async def test_a_wait_with_an_entity_tag(house: House) -> None:
    run = await held(house)
    query = {"session_id": run.session_id, "wait": "0.01"}
    tag = (await house.http.get(url(run), params=query)).headers["etag"]
    assert (await house.http.get(url(run), params=query, headers={"if-none-match": tag})).status_code == 304
    query["wait"] = "60"
    waiting = asyncio.ensure_future(house.http.get(url(run), params=query, headers={"if-none-match": tag}))
    house.model.release()
    assert (await waiting).json()["status"] == "COMPLETED"


# --- identifiers with slashes ---------------------------------------------------------------------------


async def test_identifiers_with_slashes_in_every_path(house: House) -> None:
    done = await house.run("hello", session_id="s/1", run_id="r//%2F/..")
    run, session = "r%2F%2f%252F%2F..", "s%2F1"
    for path in (
        f"/teams/demo-team/runs/{run}?session_id=s/1",
        f"/sessions/{session}/runs/{run}",
        f"/sessions/{session}",
        f"/sessions/{session}/runs",
    ):
        assert (await house.http.get(path)).status_code == 200, path
    assert (await house.http.post(f"/teams/demo-team/runs/{run}/cancel")).json()["run_id"] == done["run_id"]
    assert (await house.http.delete(f"/sessions/{session}")).status_code == 204
    assert (await house.http.get(f"/sessions/{session}")).status_code == 404


@pytest.mark.parametrize("path", ["/teams%2Fdemo-team", "/teams/demo-team%2Fruns?session_id=s", "/%2Fhealth"])
async def test_an_escaped_slash_parts_no_path(house: House, path: str) -> None:
    problem(await house.http.get(path), 404, "NOT_FOUND")


async def test_what_stands_for_a_slash_inside_is_none(house: House) -> None:
    await house.run("hello", session_id="s/1")
    for session in ("s%1F1", "s%1E1", "s%1f1%2F"):
        assert wrong_fields(await house.http.get(f"/sessions/{session}")) == [("path", "session_id")]


async def test_slashes_over_a_real_connection(serve_live: Serve) -> None:
    async with serve_live() as house:
        await house.run("hello", session_id="s/1")
        assert (await house.http.get("/sessions/s%2F1")).status_code == 200
        head = await house.http.head("/teams")
        assert (head.status_code, head.content) == (200, b"")
