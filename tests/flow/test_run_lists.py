"""Runs over all sessions, those of one session in pages and in a few words, and those that have not ended."""

import asyncio
from typing import Any

import pytest
from dirty_equals import IsStr

from musterd.store.database import Statement, Tx
from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.tokens import Issuer, public_pem, rsa_key

AUDIENCE = "musterd-test"
ISSUER = Issuer(claims={"aud": AUDIENCE})
SCOPES = ("runs:read", "teams:run")
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DELEGATE = "Ask. [[DELEGATE writer-agent: x]]"


async def page(client: ServerClient, **query: Any) -> list[str]:
    """The ids of one page of runs."""
    return [run["run_id"] for run in (await client.get("/runs", **query))["data"]]


# --- over all sessions --------------------------------------------------------------------------------


async def test_a_run_of_the_list_is_the_run_without_its_conversation(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1", user_id="u1")
    agents = await client.run("hello", session_id="s2", to="agents/solo-agent")
    body = await client.get("/runs")
    assert body["meta"] == {"limit": 20, "next_cursor": None}
    assert [run["run_id"] for run in body["data"]] == [agents["run_id"], done["run_id"]], "members are in their teams'"
    for run, path in zip(body["data"], ("agents/solo-agent", "teams/demo-team"), strict=True):
        one = await client.get(f"/{path}/runs/{run['run_id']}", session_id=run["session_id"])
        del one["messages"]
        assert run == one


async def test_pages_lead_to_the_first_run(client: ServerClient) -> None:
    done = [(await client.run(session_id=f"s{number}"))["run_id"] for number in range(5)]
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        body = await client.get("/runs", limit=2, **cursor)
        pages.append([run["run_id"] for run in body["data"]])
        if body["meta"]["next_cursor"] is None:
            break
        cursor = {"cursor": body["meta"]["next_cursor"]}
        await client.run(session_id="newer")  # what comes meanwhile moves no page
    assert pages == [[done[4], done[3]], [done[2], done[1]], [done[0]]]


async def test_filters(client: ServerClient) -> None:
    one = await client.run("one", session_id="s1", user_id="u1")
    two = await client.run("[[ERROR 400]]", session_id="s2", user_id="u2")
    three = await client.run("three", session_id="s2", to="agents/solo-agent")
    ids = [run["run_id"] for run in (one, two, three)]
    assert await page(client, team_id="demo-team") == [ids[1], ids[0]]
    assert await page(client, agent_id="solo-agent") == [ids[2]]
    assert await page(client, agent_id="demo-team") == []
    assert await page(client, user_id="u1") == [ids[0]]
    assert await page(client, session_id="s2") == [ids[2], ids[1]]
    assert await page(client, status="error") == [ids[1]]
    assert await page(client, status=["completed", "PENDING"]) == [ids[2], ids[0]]
    assert await page(client, status="") == ids[::-1]
    at = one["created_at"]
    assert await page(client, created_after=at - 1, created_before=at + 100) == ids[::-1]
    assert await page(client, created_after=at + 100) == await page(client, created_before=at - 100) == []


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"status": "nope"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"team_id": "a", "agent_id": "b"}, "agent_id"),
        ({"created_after": "x"}, "created_after"),
        ({"user_id": "\x00"}, "user_id"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "W10"}, "cursor"),
        ({"cursor": "WzEsMl0"}, "cursor"),
        ({"cursor": "ü"}, "cursor"),
    ],
)
async def test_queries_that_are_none(client: ServerClient, query: dict[str, str], place: str) -> None:
    assert wrong_fields(await client.http.get("/runs", params=query)) == [("query", place)]


async def test_everybody_sees_its_own(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key()), jwt_audience=AUDIENCE) as client:
        client.http.headers.update(ISSUER.bearer("bob", *SCOPES))
        await client.run(session_id="s1", user_id="alice")
        client.http.headers.update(ISSUER.bearer("alice", *SCOPES))
        done = await client.run(session_id="s2")
        assert await page(client) == [done["run_id"]]
        assert await page(client, session_id="s1") == []
        client.http.headers.update(ISSUER.bearer("carol", *SCOPES))
        assert await page(client) == []


# --- of one session -----------------------------------------------------------------------------------


async def messages(client: ServerClient, what: str = "runs", **query: Any) -> list[str]:
    return [run["run_input"] for run in await client.get(f"/sessions/s1/{what}", **query)]


@pytest.mark.parametrize("what", ["runs", "run-previews"])
async def test_pages_of_a_session(client: ServerClient, what: str) -> None:
    done = [await client.run(text, session_id="s1") for text in ("one", "two", "[[ERROR 400]]")]
    assert await messages(client, what) == ["one", "two", "[[ERROR 400]]"]
    assert await messages(client, what, limit=2) == ["two", "[[ERROR 400]]"]
    assert await messages(client, what, limit=2, before=done[1]["run_id"]) == ["one"]
    assert await messages(client, what, status="completed") == ["one", "two"]
    assert await messages(client, what, status=["completed", "Error"], limit=2) == ["two", "[[ERROR 400]]"]
    assert await messages(client, what, created_after=done[0]["created_at"] + 100) == []
    for name, value in (("limit", "0"), ("status", "nope"), ("created_before", "x"), ("type", "zzz")):
        assert wrong_fields(await client.http.get(f"/sessions/s1/{what}", params={name: value})) == [("query", name)]


async def test_previews(client: ServerClient) -> None:
    done = await client.run(DELEGATE + "y" * 500, session_id="s1", user_id="u1")
    member, run = await client.get("/sessions/s1/run-previews")
    assert member == {
        "run_id": done["tools"][0]["child_run_id"],
        "parent_run_id": done["run_id"],
        "agent_id": "writer-agent",
        "user_id": "u1",
        "status": "COMPLETED",
        "run_input": "x",
        "content_preview": "Echo: x",
        "created_at": IS_TIME,
    }
    assert (run["team_id"], run["run_input"]) == ("demo-team", (DELEGATE + "y" * 500)[:280])
    assert problem(await client.http.get("/sessions/zzz/run-previews"), 404, "NOT_FOUND")


# --- what has not ended -------------------------------------------------------------------------------


async def test_active_runs(client: ServerClient) -> None:
    await client.run("over", session_id="s1")
    assert await client.get("/sessions/s1/active") == []
    hold = client.model.hold("wait")
    at_work = await client.begin("wait", session_id="s1", user_id="u1")
    await hold.reached.wait()
    second = await client.begin("second", session_id="s1")
    delayed = await client.begin("delayed", session_id="s1", delay_seconds="60")
    active_runs = await client.get("/sessions/s1/active")
    assert [(run["run_id"], run["status"], run["state"], run.get("queue_position")) for run in active_runs] == [
        (at_work.run_id, "RUNNING", "running", None),
        (second.run_id, "PENDING", "queued", 1),
        (delayed.run_id, "PENDING", "scheduled", 2),
    ]
    assert (active_runs[0]["team_id"], active_runs[0]["input"]) == ("demo-team", {"input_content": "wait"})
    assert "pause" not in active_runs[0]
    hold.release()
    await client.ended(second)
    assert [run["state"] for run in await client.get("/sessions/s1/active")] == ["scheduled"]
    await client.cancel(delayed.run_id)


async def test_an_active_run_says_what_it_waits_for(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", run_id="r1")
    text = "UPDATE runs SET state = 'paused', expires_at = 5000.0 WHERE run_id = 'r1'"

    async def pause(tx: Tx) -> None:
        await tx.run(Statement("test pause", text), {})

    await client.server.database.write(pause)
    (active_runs,) = await client.get("/sessions/s1/active")
    assert (active_runs["status"], active_runs["state"], active_runs["pause"]) == (
        "PAUSED",
        "paused",
        {"expires_at": 5000.0},
    )
    assert active_runs["requirements"] == []


async def test_active_runs_of_what_is_not_there(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", user_id="u1")
    for path, query in (("zzz", {}), ("s1", {"user_id": "u2"})):
        answer = await client.http.get(f"/sessions/{path}/active", params=query)
        assert problem(answer, 404, "NOT_FOUND") == f"Session with ID {path} not found"
    problem(await client.http.get("/sessions/s1/active", params={"db_id": "zz"}), 404, "NOT_FOUND")


async def test_lists_while_runs_end(client: ServerClient) -> None:
    """Every page is of one moment: a run stands in it once."""
    hold = client.model.hold("wait")
    waiting = asyncio.ensure_future(client.run("wait", session_id="s1"))
    await hold.reached.wait()
    (running,) = (await client.get("/runs", status=["running", "completed"]))["data"]
    assert (running["status"], running["metrics"]) == ("RUNNING", {})
    hold.release()
    done = await waiting
    assert await page(client, status=["running", "completed"]) == [done["run_id"]]
