"""Cancelling: the answer is the state, what was produced is kept, members end too, and the next run starts."""

import asyncio
from typing import Any

import pytest

from tests.support.app import Serve
from tests.support.http import Receipt, ServerClient, problem, wrong_fields


async def started(client: ServerClient, message: str = "wait", after: int = 0, **fields: Any) -> Receipt:
    hold = client.model.hold("wait", after)
    run = await client.begin(message, **fields)
    await hold.reached.wait()
    return run


async def test_a_running_run_stops(client: ServerClient) -> None:
    run = await started(client, session_id="s1")
    answer = await client.cancel(run.run_id)
    assert answer.status_code == 200
    receipt = answer.json()
    assert receipt == {"run_id": run.run_id, "session_id": "s1", "status": "CANCELLED", "cancel": receipt["cancel"]}
    assert client.model.hold_of("wait").stopped.is_set(), "the model call in flight is aborted"
    body = await client.poll(run)
    assert (body["status"], body["content"]) == ("CANCELLED", f"Run {run.run_id} was cancelled")
    assert (body["content_type"], body["events"], body["member_responses"]) == ("str", [], [])
    assert (
        body["cancel"]
        == receipt["cancel"]
        == {
            "requested_at": body["cancel"]["requested_at"],
            "by": "client",
            "steps": [{"path": "t0/m", "kind": "model", "name": None, "outcome": "stopped"}],
        }
    )
    assert body["queued_at"] <= body["cancel"]["requested_at"] <= body["ended_at"]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "error" not in body


async def test_what_was_said_is_kept(client: ServerClient) -> None:
    run = await started(client, "wait a while", after=2)
    await client.cancel(run.run_id)
    body = await client.poll(run)
    assert (body["status"], body["content"]) == ("CANCELLED", "Echo: wait ")


async def test_what_was_said_is_kept_in_every_list(client: ServerClient) -> None:
    run = await started(client, "wait a while", after=2, session_id="s1")
    await client.cancel(run.run_id)
    (of_team,) = await client.get("/teams/demo-team/runs", session_id="s1")
    (of_session,) = await client.get("/sessions/s1/runs")
    assert (of_team["status"], of_team["content"]) == ("CANCELLED", "Echo: wait ")
    assert (of_session["status"], of_session["content"]) == ("CANCELLED", "Echo: wait ")


async def test_a_pending_run_never_starts(client: ServerClient) -> None:
    first = await started(client, session_id="s1")
    second = await client.begin("second", session_id="s1")
    answer = await client.cancel(second.run_id)
    assert answer.json()["status"] == "CANCELLED"
    body = await client.poll(second)
    assert (body["status"], body["attempts"]) == ("CANCELLED", 0)
    assert body["content"] == f"Run {second.run_id} was cancelled"
    assert "messages" not in body
    assert "queue_position" not in body
    assert (await client.poll(first))["status"] == "RUNNING"
    client.model.release()
    await client.ended(first)
    assert len(client.model.calls) == 1


async def test_the_next_run_starts(client: ServerClient) -> None:
    first = await started(client, session_id="s1")
    second = await client.begin("second", session_id="s1")
    third = await client.begin("third", session_id="s1")
    await client.cancel(second.run_id)
    await client.cancel(first.run_id)
    assert (await client.ended(third))["status"] == "COMPLETED"


@pytest.mark.parametrize("message", ["hello", "[[ERROR 400]]"])
async def test_a_finished_run_stays_as_it_is(client: ServerClient, message: str) -> None:
    done = await client.run(message, session_id="s1")
    before = await client.get(f"/teams/demo-team/runs/{done['run_id']}", session_id="s1")
    answer = await client.cancel(done["run_id"])
    assert answer.status_code == 200
    assert answer.json() == {"run_id": done["run_id"], "session_id": "s1", "status": done["status"]}
    assert await client.get(f"/teams/demo-team/runs/{done['run_id']}", session_id="s1") == before


async def test_twice_is_once(client: ServerClient) -> None:
    run = await started(client)
    answers = await asyncio.gather(*[client.cancel(run.run_id) for _ in range(3)])
    assert [answer.json()["status"] for answer in answers] == ["CANCELLED"] * 3
    before = await client.poll(run)
    assert (await client.cancel(run.run_id)).json()["status"] == "CANCELLED"
    assert await client.poll(run) == before


async def test_what_is_not_there(client: ServerClient) -> None:
    run = await started(client)
    for to in ("teams/other-team", "agents/solo-agent"):
        assert problem(await client.cancel(run.run_id, to), 404, "NOT_FOUND") == "Run not found"
    assert problem(await client.cancel("nope"), 404, "NOT_FOUND") == "Run not found"
    assert problem(await client.cancel(run.run_id, "teams/nope"), 404, "NOT_FOUND") == "Team not found"
    assert (await client.poll(run))["status"] == "RUNNING"
    assert wrong_fields(await client.cancel("a%00b")) == [("path", "run_id")]


async def test_a_run_id_that_does_not_exist_yet_is_not_remembered(client: ServerClient) -> None:
    problem(await client.cancel("pre-1"), 404, "NOT_FOUND")
    assert (await client.run("hello", run_id="pre-1"))["status"] == "COMPLETED"


# --- who waits for it ---------------------------------------------------------------------------------


async def test_a_waiting_post_is_answered(client: ServerClient) -> None:
    hold = client.model.hold("wait", after=1)
    waiting = asyncio.ensure_future(client.run("wait", run_id="r1"))
    await hold.reached.wait()
    await client.cancel("r1")
    done = await waiting
    assert (done["status"], done["content"]) == ("CANCELLED", "Echo: ")
    assert "events" not in done


async def test_a_waiting_poll_is_answered(client: ServerClient) -> None:
    run = await started(client)
    waiting = asyncio.ensure_future(client.ended(run))
    await asyncio.wait([waiting], timeout=0)
    await client.cancel(run.run_id)
    assert (await waiting)["status"] == "CANCELLED"


async def test_a_stream_ends_with_the_event(serve_live: Serve) -> None:
    async with serve_live() as client:
        client.model.hold("wait", after=1)
        async with client.reading("wait", run_id="r1", session_id="s1") as reader:
            await reader.until("TeamRunContent")
            assert (await client.cancel("r1")).json()["status"] == "CANCELLED"
            await reader.rest()
        end = reader.events[-1]
        assert (end["event"], end["reason"]) == ("TeamRunCancelled", "Run r1 was cancelled")
        assert (end["run_id"], end["session_id"], end["nested_depth"]) == ("r1", "s1", 0)
        assert "TeamRunCompleted" not in [event["event"] for event in reader.events]


async def test_a_stream_of_a_pending_run_ends_with_the_event(serve_live: Serve) -> None:
    async with serve_live() as client:
        first = await started(client, session_id="s1")
        async with client.reading("second", run_id="r2", session_id="s1") as reader:
            await client.cancel("r2")
            await reader.rest()
        assert [event["event"] for event in reader.events] == ["TeamRunCancelled"]
        await client.cancel(first.run_id)


async def test_a_cancel_that_takes_long_answers_with_the_state_then(serve: Serve) -> None:
    async with serve(cancel_wait_seconds=0) as client:
        run = await started(client)
        answer = await client.cancel(run.run_id)
        assert answer.json()["status"] in ("RUNNING", "CANCELLED")
        assert (await client.ended(run))["status"] == "CANCELLED"


# --- members ------------------------------------------------------------------------------------------


async def test_members_end_too(client: ServerClient) -> None:
    run = await started(client, "[[DELEGATE weather-agent: hi || DELEGATE writer-agent: wait a while]]", after=2)
    await client.cancel(run.run_id)
    body = await client.poll(run)
    assert body["status"] == "CANCELLED"
    members = {member["run_input"]: member for member in await client.get(f"/sessions/{run.session_id}/runs")}
    assert members["wait a while"]["status"] == "CANCELLED"
    assert members["wait a while"]["content"] == "Echo: wait "
    for member in members.values():
        assert member["status"] != "RUNNING"


async def test_a_stream_tells_of_members_first(serve_live: Serve) -> None:
    async with serve_live() as client:
        client.model.hold("wait", after=1)
        async with client.reading("[[DELEGATE writer-agent: wait]]", run_id="r1") as reader:
            await reader.until("RunContent")
            await client.cancel("r1")
            await reader.rest()
        names = [event["event"] for event in reader.events]
        assert names[-2:] == ["RunCancelled", "TeamRunCancelled"]
        assert reader.events[-2]["nested_depth"] == 1


async def test_a_member_alone_is_cancelled_and_the_team_goes_on(client: ServerClient) -> None:
    run = await started(client, "[[DELEGATE writer-agent: wait]]")
    member, _ = await client.get(f"/sessions/{run.session_id}/run-previews")
    receipt = (await client.cancel(member["run_id"])).json()
    assert (receipt["run_id"], receipt["status"]) == (member["run_id"], "CANCELLED")
    (step,) = receipt["cancel"]["steps"]
    assert (step["path"].endswith("/t0/m"), step["kind"], step["outcome"]) == (True, "model", "stopped")
    ended = await client.ended(run)
    assert (ended["status"], ended["content"]) == (
        "COMPLETED",
        'Done: {"error":"Writer Agent was cancelled by a person."}',
    )
    assert [tool["tool_call_error"] for tool in ended["tools"]] == [True]
    assert (await client.cancel(member["run_id"])).json()["status"] == "CANCELLED"


async def test_what_a_member_had_under_way_is_its_own(client: ServerClient) -> None:
    hold = client.model.hold("second", after=1)
    run = await started(client, "[[DELEGATE writer-agent: wait || DELEGATE weather-agent: second]]", after=1)
    await hold.reached.wait()
    previews = await client.get(f"/sessions/{run.session_id}/run-previews")
    members = {preview["run_input"]: preview["run_id"] for preview in previews}
    first = (await client.cancel(members["wait"])).json()["cancel"]["steps"]
    second = (await client.cancel(run.run_id)).json()["cancel"]["steps"]
    assert [(step["path"], step["outcome"]) for step in first] == [("t0/c0/t0/m", "stopped")]
    assert {step["path"]: step["outcome"] for step in second} == {"t0/c1": "stopped", "t0/c1/t0/m": "stopped"}


async def test_a_nested_team_ends_too(client: ServerClient) -> None:
    message = "[[DELEGATE inner-team: do <DELEGATE n-writer-agent: wait>]]"
    run = await started(client, message, to="teams/outer-team", session_id="s1")
    await client.cancel(run.run_id, "teams/outer-team")
    assert {run["status"] for run in await client.get("/sessions/s1/runs")} == {"CANCELLED"}


async def test_an_agents_run(client: ServerClient) -> None:
    run = await started(client, to="agents/solo-agent")
    answer = await client.cancel(run.run_id, "agents/solo-agent")
    receipt = answer.json()
    assert (receipt["run_id"], receipt["session_id"], receipt["status"]) == (run.run_id, run.session_id, "CANCELLED")
    assert (await client.poll(run, to="agents/solo-agent"))["status"] == "CANCELLED"
