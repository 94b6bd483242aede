"""Runs over all sessions, those of one session in pages and in a few words, and those that have not ended."""

import asyncio
from typing import Any

import pytest
from dirty_equals import IsStr

from musterd.store.database import Statement, Tx
from tests.support.app import Serve
from tests.support.http import House, problem, wrong_fields
from tests.support.tokens import Issuer, public_pem, rsa_key

AUDIENCE = "musterd-test"
ISSUER = Issuer(claims={"aud": AUDIENCE})
SCOPES = ("runs:read", "teams:run")
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DELEGATE = "Ask. [[DELEGATE writer-agent: x]]"


async def page(house: House, **query: Any) -> list[str]:
    """The ids of one page of runs."""
    return [run["run_id"] for run in (await house.get("/runs", **query))["data"]]


# --- over all sessions --------------------------------------------------------------------------------


async def test_a_run_of_the_list_is_the_run_without_its_conversation(house: House) -> None:
    done = await house.run(DELEGATE, session_id="s1", user_id="u1")
    agents = await house.run("hello", session_id="s2", to="agents/solo-agent")
    found = await house.get("/runs")
    assert found["meta"] == {"limit": 20, "next_cursor": None}
    assert [run["run_id"] for run in found["data"]] == [agents["run_id"], done["run_id"]], "members are in their teams'"
    for run, path in zip(found["data"], ("agents/solo-agent", "teams/demo-team"), strict=True):
        one = await house.get(f"/{path}/runs/{run['run_id']}", session_id=run["session_id"])
        del one["messages"]
        assert run == one


async def test_pages_lead_to_the_first_run(house: House) -> None:
    done = [(await house.run(session_id=f"s{number}"))["run_id"] for number in range(5)]
    pages: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        found = await house.get("/runs", limit=2, **cursor)
        pages.append([run["run_id"] for run in found["data"]])
        if found["meta"]["next_cursor"] is None:
            break
        cursor = {"cursor": found["meta"]["next_cursor"]}
        await house.run(session_id="newer")  # what comes meanwhile moves no page
    assert pages == [[done[4], done[3]], [done[2], done[1]], [done[0]]]


async def test_filters(house: House) -> None:
    one = await house.run("one", session_id="s1", user_id="u1")
    two = await house.run("[[ERROR 400]]", session_id="s2", user_id="u2")
    three = await house.run("three", session_id="s2", to="agents/solo-agent")
    ids = [run["run_id"] for run in (one, two, three)]
    assert await page(house, team_id="demo-team") == [ids[1], ids[0]]
    assert await page(house, agent_id="solo-agent") == [ids[2]]
    assert await page(house, agent_id="demo-team") == []
    assert await page(house, user_id="u1") == [ids[0]]
    assert await page(house, session_id="s2") == [ids[2], ids[1]]
    assert await page(house, status="error") == [ids[1]]
    assert await page(house, status=["completed", "PENDING"]) == [ids[2], ids[0]]
    assert await page(house, status="") == ids[::-1]
    at = one["created_at"]
    assert await page(house, created_after=at - 1, created_before=at + 100) == ids[::-1]
    assert await page(house, created_after=at + 100) == await page(house, created_before=at - 100) == []


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
async def test_queries_that_are_none(house: House, query: dict[str, str], place: str) -> None:
    assert wrong_fields(await house.http.get("/runs", params=query)) == [("query", place)]


async def test_everybody_sees_its_own(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key()), jwt_audience=AUDIENCE) as house:
        house.http.headers.update(ISSUER.bearer("bob", *SCOPES))
        await house.run(session_id="s1", user_id="alice")
        house.http.headers.update(ISSUER.bearer("alice", *SCOPES))
        done = await house.run(session_id="s2")
        assert await page(house) == [done["run_id"]]
        assert await page(house, session_id="s1") == []
        house.http.headers.update(ISSUER.bearer("carol", *SCOPES))
        assert await page(house) == []


# --- of one session -----------------------------------------------------------------------------------


async def messages(house: House, what: str = "runs", **query: Any) -> list[str]:
    return [run["run_input"] for run in await house.get(f"/sessions/s1/{what}", **query)]


@pytest.mark.parametrize("what", ["runs", "run-previews"])
async def test_pages_of_a_session(house: House, what: str) -> None:
    done = [await house.run(text, session_id="s1") for text in ("one", "two", "[[ERROR 400]]")]
    assert await messages(house, what) == ["one", "two", "[[ERROR 400]]"]
    assert await messages(house, what, limit=2) == ["two", "[[ERROR 400]]"]
    assert await messages(house, what, limit=2, before=done[1]["run_id"]) == ["one"]
    assert await messages(house, what, status="completed") == ["one", "two"]
    assert await messages(house, what, status=["completed", "Error"], limit=2) == ["two", "[[ERROR 400]]"]
    assert await messages(house, what, created_after=done[0]["created_at"] + 100) == []
    for name, value in (("limit", "0"), ("status", "nope"), ("created_before", "x"), ("type", "zzz")):
        assert wrong_fields(await house.http.get(f"/sessions/s1/{what}", params={name: value})) == [("query", name)]


async def test_previews(house: House) -> None:
    done = await house.run(DELEGATE + "y" * 500, session_id="s1", user_id="u1")
    member, run = await house.get("/sessions/s1/run-previews")
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
    assert problem(await house.http.get("/sessions/zzz/run-previews"), 404, "NOT_FOUND")


# --- what has not ended -------------------------------------------------------------------------------


async def test_active_runs(house: House) -> None:
    await house.run("over", session_id="s1")
    assert await house.get("/sessions/s1/active") == []
    hold = house.model.hold("wait")
    at_work = await house.begin("wait", session_id="s1", user_id="u1")
    await hold.reached.wait()
    second = await house.begin("second", session_id="s1")
    delayed = await house.begin("delayed", session_id="s1", delay_seconds="60")
    found = await house.get("/sessions/s1/active")
    assert [(run["run_id"], run["status"], run["state"], run.get("queue_position")) for run in found] == [
        (at_work.run_id, "RUNNING", "running", None),
        (second.run_id, "PENDING", "queued", 1),
        (delayed.run_id, "PENDING", "scheduled", 2),
    ]
    assert (found[0]["team_id"], found[0]["input"]) == ("demo-team", {"input_content": "wait"})
    assert "pause" not in found[0]
    hold.release()
    await house.ended(second)
    assert [run["state"] for run in await house.get("/sessions/s1/active")] == ["scheduled"]
    await house.cancel(delayed.run_id)


async def test_an_active_run_says_what_it_waits_for(house: House) -> None:
    await house.run("hello", session_id="s1", run_id="r1")
    text = "UPDATE runs SET state = 'paused', expires_at = 5000.0 WHERE run_id = 'r1'"

    async def pause(tx: Tx) -> None:
        await tx.run(Statement("test pause", text), {})

    await house.server.database.write(pause)
    (found,) = await house.get("/sessions/s1/active")
    assert (found["status"], found["state"], found["pause"]) == (
        "PAUSED",
        "paused",
        {"expires_at": 5000.0},
    )
    assert found["requirements"] == []


async def test_active_runs_of_what_is_not_there(house: House) -> None:
    await house.run("hello", session_id="s1", user_id="u1")
    for path, query in (("zzz", {}), ("s1", {"user_id": "u2"})):
        answer = await house.http.get(f"/sessions/{path}/active", params=query)
        assert problem(answer, 404, "NOT_FOUND") == f"Session with ID {path} not found"
    problem(await house.http.get("/sessions/s1/active", params={"db_id": "zz"}), 404, "NOT_FOUND")


async def test_lists_while_runs_end(house: House) -> None:
    """Every page is of one moment: a run stands in it once."""
    hold = house.model.hold("wait")
    waiting = asyncio.ensure_future(house.run("wait", session_id="s1"))
    await hold.reached.wait()
    (running,) = (await house.get("/runs", status=["running", "completed"]))["data"]
    assert (running["status"], running["metrics"]) == ("RUNNING", {})
    hold.release()
    done = await waiting
    assert await page(house, status=["running", "completed"]) == [done["run_id"]]
