"""Sessions: listed in pages, read with their conversation, and gone at once when they are deleted."""

import asyncio
from typing import Any

import pytest
from dirty_equals import IsPositiveInt, IsStr

from tests.support.http import ServerClient, problem, wrong_fields

IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
DELEGATE = "Ask. [[DELEGATE writer-agent: x]]"


async def ids(client: ServerClient, **query: Any) -> list[str]:
    """The ids of one page of sessions."""
    return [item["session_id"] for item in (await client.get("/sessions", **query))["data"]]


# --- the list -----------------------------------------------------------------------------------------


async def test_a_list(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", session_state='{"a": 1}')
    assert await client.get("/sessions") == {
        "data": [
            {
                "session_id": "s1",
                "session_name": "hello",
                "session_state": {"a": 1},
                "created_at": IS_TIME,
                "updated_at": IS_TIME,
                "status": "COMPLETED",
                "run_count": 1,
                "waiting": 0,
                "total_tokens": IsPositiveInt,
                "total_cost": 0.0,
                "last_answer": "Echo: hello",
                "component_name": "Demo Team",
                "component_kind": "team",
                "component_id": "demo-team",
            }
        ],
        "meta": {"page": 1, "limit": 20, "total_pages": 1, "total_count": 1, "search_time_ms": 0.0},
    }


async def test_a_list_of_nothing(client: ServerClient) -> None:
    meta = {"page": 1, "limit": 20, "total_pages": 0, "total_count": 0, "search_time_ms": 0.0}
    assert await client.get("/sessions") == {"data": [], "meta": meta}


async def test_all_types_by_default(client: ServerClient) -> None:
    await client.run(session_id="of-team")
    await client.run(session_id="of-agent", to="agents/solo-agent")
    assert set(await ids(client)) == {"of-team", "of-agent"}
    assert await ids(client, type="team") == ["of-team"]
    assert await ids(client, type="agent") == ["of-agent"]
    assert await ids(client, type="workflow") == []
    assert set(await ids(client, type="")) == {"of-team", "of-agent"}


async def test_pages(client: ServerClient) -> None:
    for number in range(5):
        await client.run(session_id=f"s{number}")
    first = await client.get("/sessions", limit=2, sort_order="asc")
    assert first["meta"] == {"page": 1, "limit": 2, "total_pages": 3, "total_count": 5, "search_time_ms": 0.0}
    pages = [await ids(client, limit=2, page=page, sort_order="asc") for page in (1, 2, 3, 4)]
    assert pages == [["s0", "s1"], ["s2", "s3"], ["s4"], []]
    assert await ids(client, limit=2, page=0, sort_order="asc") == ["s0", "s1"]
    assert await ids(client, limit=2) == ["s4", "s3"]


async def test_a_page_leaves_out_long_states(client: ServerClient) -> None:
    for name, state in (("short", {"a": "x" * 1_000}), ("long", {"a": "x" * 200_000})):
        body = {"session_id": name, "team_id": "demo-team", "session_state": state}
        assert (await client.http.post("/sessions", json=body)).status_code == 201
    lengths = {}
    for limit in (5, 100):
        page = (await client.get("/sessions", limit=limit))["data"]
        lengths[limit] = {row["session_id"]: row["session_state"] and len(row["session_state"]["a"]) for row in page}
    assert lengths == {5: {"short": 1_000, "long": 200_000}, 100: {"short": 1_000, "long": None}}
    assert len((await client.get("/sessions/long"))["session_state"]["a"]) == 200_000


async def test_order(client: ServerClient) -> None:
    for name in ("b", "a", "c"):
        await client.run(f"name {name}", session_id=name)
    await client.run("again", session_id="b")
    assert await ids(client, sort_by="session_name", sort_order="asc") == ["a", "b", "c"]
    assert await ids(client, sort_by="updated_at") == ["b", "c", "a"]
    assert await ids(client, sort_by="created_at", sort_order="asc") == ["b", "a", "c"]
    assert await ids(client, sort_by="nope", sort_order="asc") == ["b", "a", "c"]


async def test_filters(client: ServerClient) -> None:
    await client.run("Hello there", session_id="s1", user_id="u1")
    await client.run("100% of_it", session_id="s2", user_id="u2", to="teams/other-team")
    assert await ids(client, user_id="u1") == ["s1"]
    assert await ids(client, component_id="other-team") == ["s2"]
    assert await ids(client, component_id="demo-team", type="team", db_id="musterd-db") == ["s1"]
    assert await ids(client, session_name="hello") == ["s1"]
    assert await ids(client, session_name="0% of_") == ["s2"]
    assert await ids(client, session_name="%_%") == []
    assert await ids(client, user_id="u3") == []


async def test_sessions_by_the_status_of_their_last_run(client: ServerClient) -> None:
    await client.run(session_id="answered")
    await client.run("[[ERROR 402]]", session_id="failed")
    await client.run("[[ERROR 402]]", session_id="recovered")
    await client.run("again", session_id="recovered")
    answer = await client.http.post("/sessions", json={"session_id": "new", "team_id": "demo-team"})
    assert answer.status_code == 201
    assert set(await ids(client, status="completed")) == {"answered", "recovered"}
    assert await ids(client, status="ERROR") == ["failed"]
    assert set(await ids(client, status=["error", "completed"])) == {"answered", "failed", "recovered"}
    assert await ids(client, status="error", component_id="other-team") == []
    assert len(await ids(client)) == 4
    page = await client.get("/sessions", status="completed", limit=1)
    assert page["meta"]["total_count"] == 2
    (item,) = [item for item in (await client.get("/sessions"))["data"] if item["session_id"] == "new"]
    assert (item["status"], item["run_count"], item["last_answer"]) == (None, 0, None)


async def test_a_session_is_running_while_a_later_run_waits(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    run = await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    behind = await client.begin("behind", session_id="s1")
    for status in ("pending", "running"):
        (item,) = (await client.get("/sessions", status=status))["data"]
        assert (item["status"], item["run_count"]) == ("RUNNING", 2)
    assert await ids(client, status="paused") == []
    hold.release()
    await client.ended(run)
    await client.ended(behind)


async def test_a_search_in_names_and_first_messages(client: ServerClient) -> None:
    await client.run("Weather in Paris", session_id="s1")
    await client.run("Something else", session_id="s2")
    await client.http.post("/sessions/s2/rename", json={"session_name": "Paris, 100%"})
    await client.http.post("/sessions/s1/rename", json={"session_name": "Trip"})
    assert set(await ids(client, q="paris")) == {"s1", "s2"}
    assert await ids(client, q="trip", sort_by="updated_at") == ["s1"]
    assert await ids(client, q="0%") == ["s2"]
    assert await ids(client, q="something", session_name="paris") == ["s2"]
    assert await ids(client, session_name="weather") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "zzz"),
        ("q", "\x00"),
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "1001"),
        ("limit", "x"),
        ("page", "-1"),
        ("page", "9" * 30),
        ("page", "x"),
        ("type", "zzz"),
        ("sort_order", "up"),
        ("user_id", "\x00"),
        ("session_name", "\x00"),
    ],
)
async def test_queries_that_are_none(client: ServerClient, name: str, value: str) -> None:
    assert wrong_fields(await client.http.get("/sessions", params={name: value})) == [("query", name)]


async def test_another_database(client: ServerClient) -> None:
    await client.run(session_id="s1")
    for path in ("/sessions", "/sessions/s1", "/sessions/s1/runs"):
        answer = await client.http.get(path, params={"db_id": "zz"})
        assert problem(answer, 404, "NOT_FOUND") == "No database found with id 'zz'"
    answer = await client.http.delete("/sessions/s1", params={"db_id": "zz"})
    problem(answer, 404, "NOT_FOUND")
    assert await ids(client) == ["s1"]


# --- one session --------------------------------------------------------------------------------------


async def test_a_session(client: ServerClient) -> None:
    first = await client.run("hello", session_id="s1", user_id="u1")
    second = await client.run(DELEGATE, session_id="s1", user_id="u1")
    session = await client.get("/sessions/s1", type="team")
    tokens = {"input_tokens": 40, "output_tokens": 20, "total_tokens": 60}
    assert session == {
        "session_id": "s1",
        "session_name": "hello",
        "user_id": "u1",
        "team_id": "demo-team",
        "session_state": {},
        "metrics": {**tokens, "details": {"model": [{**tokens, "id": "scripted", "provider": "Scripted"}]}},
        "team_data": {
            "name": "Demo Team",
            "team_id": "demo-team",
            "model": {"id": "scripted", "provider": "Scripted", "name": "Scripted"},
        },
        "chat_history": session["chat_history"],
        "created_at": IS_TIME,
        "updated_at": IS_TIME,
        "total_tokens": 60,
    }
    said = [message for run in (first, second) for message in run["messages"]]
    assert session["chat_history"] == [message for message in said if message["role"] in ("user", "assistant")]


async def test_the_shape_that_is_asked_for(client: ServerClient) -> None:
    await client.run("hello", session_id="s1")
    session = await client.get("/sessions/s1", type="agent")
    assert session["agent_session_id"] == "s1"
    assert "team_id" not in session
    assert (await client.get("/sessions/s1"))["team_id"] == "demo-team"


async def test_the_text_to_search_for_is_short(client: ServerClient) -> None:
    answer = await client.http.get("/sessions", params={"session_name": "x" * 201, "q": "x" * 201})
    assert wrong_fields(answer) == [("query", "session_name"), ("query", "q")]
    assert (await client.get("/sessions", session_name="x" * 200, q="x" * 200))["data"] == []


async def test_the_name_is_the_first_message(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.run("two", session_id="s1")
    assert (await client.get("/sessions/s1"))["session_name"] == "one"
    await client.run("x" * 5000, session_id="s2")
    assert (await client.get("/sessions/s2"))["session_name"].startswith("x" * 100)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "Team Session with id 'zzz' not found"),
        ({"type": "team"}, "Team Session with id 'zzz' not found"),
        ({"type": "agent"}, "Agent Session with id 'zzz' not found"),
    ],
)
async def test_an_unknown_session(client: ServerClient, query: dict[str, str], words: str) -> None:
    assert problem(await client.http.get("/sessions/zzz", params=query), 404, "NOT_FOUND") == words


async def test_a_session_of_another_label(client: ServerClient) -> None:
    await client.run(session_id="s1", user_id="u1")
    assert (await client.get("/sessions/s1", user_id="u1"))["user_id"] == "u1"
    answer = await client.http.get("/sessions/s1", params={"user_id": "u2", "type": "team"})
    assert problem(answer, 404, "NOT_FOUND") == "Team Session with id 's1' not found"
    (run,) = await client.get("/sessions/s1/runs")
    for label in ({"user_id": "u2"}, {"db_id": "elsewhere"}):
        problem(await client.http.get(f"/sessions/s1/runs/{run['run_id']}", params=label), 404, "NOT_FOUND")
    answer = await client.http.get("/sessions/s1/runs", params={"user_id": "u2"})
    problem(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/sessions/s1", "/sessions/s1/runs"])
async def test_a_type_that_is_none(client: ServerClient, path: str) -> None:
    assert wrong_fields(await client.http.get(path, params={"type": "zzz"})) == [("query", "type")]


# --- its runs -----------------------------------------------------------------------------------------


async def test_runs(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1", user_id="u1", session_state='{"a": 1}')
    member, run = await client.get("/sessions/s1/runs", type="team")
    assert (member["agent_id"], member["user_id"], member["parent_run_id"]) == ("writer-agent", "u1", done["run_id"])
    assert (member["run_id"], member["content"]) == (done["tools"][0]["child_run_id"], "Echo: x")
    assert "team_id" not in member
    assert (run["run_id"], run["team_id"], run["parent_run_id"]) == (done["run_id"], "demo-team", "")
    assert (run["run_input"], run["content"], run["session_state"]) == (DELEGATE, done["content"], {"a": 1})
    assert (run["messages"], run["tools"], run["metrics"]) == (done["messages"], done["tools"], done["metrics"])
    assert None not in [*member.values(), *run.values()]


async def test_runs_in_flight(client: ServerClient) -> None:
    """From its acceptance on: a client that is shown an empty list keeps a blank page."""
    hold = client.model.hold("wait")
    waiting = asyncio.ensure_future(client.stream("wait", session_id="s1"))
    await hold.reached.wait()
    (run,) = await client.get("/sessions/s1/runs")
    assert (run["status"], run["run_input"], run["content"], run["metrics"]) == ("RUNNING", "wait", "", {})
    assert (await client.get("/sessions/s1"))["chat_history"] == []
    hold.release()
    await waiting


@pytest.mark.parametrize("path", ["/sessions/s1/runs", "/teams/demo-team/runs"])
async def test_a_members_run_is_no_turn_while_the_leader_works(client: ServerClient, path: str) -> None:
    hold = client.model.hold("task")
    run = await client.begin("[[DELEGATE writer-agent: task]]", session_id="s1")
    await hold.reached.wait()
    assert [run["team_id"] for run in await client.get(path, session_id="s1")] == ["demo-team"]
    previews = await client.get("/sessions/s1/run-previews")
    assert [(preview["run_input"], preview["status"]) for preview in previews][:1] == [("task", "RUNNING")]
    hold.release()
    await client.ended(run)
    assert [run["parent_run_id"] != "" for run in await client.get(path, session_id="s1")] == [True, False]


async def test_runs_of_every_component(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.run("two", session_id="s1", to="agents/solo-agent")
    first, second = await client.get("/sessions/s1/runs")
    assert (first["team_id"], second["agent_id"]) == ("demo-team", "solo-agent")
    assert (await client.get("/sessions/s1"))["team_id"] == "demo-team"


async def test_runs_by_time(client: ServerClient) -> None:
    done = await client.run(session_id="s1")
    at = done["created_at"]
    assert len(await client.get("/sessions/s1/runs", created_after=at - 1, created_before=at + 1)) == 1
    assert await client.get("/sessions/s1/runs", created_after=at + 1000) == []
    assert await client.get("/sessions/s1/runs", created_before=at - 1000) == []
    answer = await client.http.get("/sessions/s1/runs", params={"created_after": "x"})
    assert wrong_fields(answer) == [("query", "created_after")]


async def test_runs_of_an_unknown_session(client: ServerClient) -> None:
    answer = await client.http.get("/sessions/zzz/runs")
    assert problem(answer, 404, "NOT_FOUND") == "Session with ID zzz not found"


async def test_one_run(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1")
    run = await client.get(f"/sessions/s1/runs/{done['run_id']}")
    assert (run["run_id"], run["team_id"], run["content"]) == (done["run_id"], "demo-team", done["content"])
    member = await client.get(f"/sessions/s1/runs/{done['tools'][0]['child_run_id']}")
    assert member["agent_id"] == "writer-agent"


async def test_one_run_that_is_not_there(client: ServerClient) -> None:
    await client.run(session_id="s1")
    other = await client.run(session_id="s2")
    for run_id in ("zzz", other["run_id"]):
        answer = await client.http.get(f"/sessions/s1/runs/{run_id}")
        assert problem(answer, 404, "NOT_FOUND") == f"Run with ID {run_id} not found in session s1"
    answer = await client.http.get("/sessions/zzz/runs/r1")
    assert problem(answer, 404, "NOT_FOUND") == "Session with ID zzz not found"


# --- deleting -----------------------------------------------------------------------------------------


async def test_a_deleted_session_is_gone(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1")
    await client.run(session_id="s2")
    answer = await client.http.delete("/sessions/s1")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(await client.http.get("/sessions/s1"), 404, "NOT_FOUND")
    problem(await client.http.get("/sessions/s1/runs"), 404, "NOT_FOUND")
    assert await ids(client) == ["s2"]
    assert await client.get("/teams/demo-team/runs", session_id="s1") == []
    for run_id in (done["run_id"], done["tools"][0]["child_run_id"]):
        answer = await client.http.get(f"/teams/demo-team/runs/{run_id}", params={"session_id": "s1"})
        assert problem(answer, 404, "NOT_FOUND") == "Run not found"
        problem(await client.cancel(run_id), 404, "NOT_FOUND")


async def test_deleting_twice_or_nothing_is_done_already(client: ServerClient) -> None:
    await client.run(session_id="s1")
    assert [(await client.http.delete(f"/sessions/{name}")).status_code for name in ("s1", "s1", "zzz")] == [204] * 3


async def test_a_session_of_the_same_id_begins_anew(client: ServerClient) -> None:
    await client.run("old", session_id="s1", session_state='{"a": 1}')
    await client.http.delete("/sessions/s1")
    done = await client.run("new", session_id="s1", add_history_to_context="true")
    assert "session_state" not in done
    assert [message["content"] for message in client.model.conversation() if message["role"] == "user"] == ["new"]
    assert (await client.get("/sessions/s1"))["session_name"] == "new"
    assert len(await client.get("/sessions/s1/runs")) == 1


async def test_deleting_during_a_run_cancels_it_and_nothing_comes_back(client: ServerClient) -> None:
    hold = client.model.hold("wait", after=1)
    waiting = asyncio.ensure_future(client.post("wait", session_id="s1", run_id="r1", stream="false"))
    await hold.reached.wait()
    queued = await client.begin("second", session_id="s1")
    assert (await client.http.delete("/sessions/s1")).status_code == 204
    problem(await client.http.get("/sessions/s1"), 404, "NOT_FOUND")
    await hold.stopped.wait()
    assert (await waiting).status_code in (200, 404)
    assert await ids(client) == []
    for run_id in ("r1", queued.run_id):
        answer = await client.http.get(f"/teams/demo-team/runs/{run_id}", params={"session_id": "s1"})
        problem(answer, 404, "NOT_FOUND")
    assert len(client.model.calls) == 1


async def test_deleting_many(client: ServerClient) -> None:
    for name in ("s1", "s2", "s3"):
        await client.run(session_id=name)
    body = {"session_ids": ["s1", "s3", "zzz"], "session_types": ["team", "team", "agent"]}
    answer = await client.http.request("DELETE", "/sessions", json=body)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await ids(client) == ["s2"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "session_ids"),
        ({"session_ids": ["s1"]}, "session_types"),
        ({"session_ids": [], "session_types": []}, "session_ids"),
        ({"session_ids": "s1", "session_types": ["team"]}, "session_ids"),
        ({"session_ids": [1], "session_types": ["team"]}, "session_ids"),
        ({"session_ids": ["a\x00b"], "session_types": ["team"]}, "session_ids"),
        ({"session_ids": [""], "session_types": ["team"]}, "session_ids"),
        ({"session_ids": ["s1"], "session_types": [None]}, "session_types"),
    ],
)
async def test_deleting_many_wrongly(client: ServerClient, body: Any, place: str) -> None:
    await client.run(session_id="s1")
    answer = await client.http.request("DELETE", "/sessions", json=body)
    assert wrong_fields(answer)[0] == ("body", place)
    assert await ids(client) == ["s1"]


async def test_deleting_many_of_different_lengths(client: ServerClient) -> None:
    body = {"session_ids": ["a", "b"], "session_types": ["team"]}
    answer = await client.http.request("DELETE", "/sessions", json=body)
    words = "Session IDs and session types must have the same length"
    assert problem(answer, 400, "BAD_REQUEST") == words


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
async def test_deleting_many_without_json(client: ServerClient, body: bytes) -> None:
    assert wrong_fields(await client.http.request("DELETE", "/sessions", content=body)) == [("body",)]


async def test_deleting_many_by_no_object(client: ServerClient) -> None:
    answer = await client.http.request("DELETE", "/sessions", json=[])
    assert wrong_fields(answer) == [("body",)]
