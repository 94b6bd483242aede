"""Sessions that are made ahead of their runs, changed and named: by everybody's clients, at any time."""

import asyncio
from typing import Any

import httpx2
import pytest
from dirty_equals import IsStr

from tests.support.app import Serve
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.tokens import Issuer, public_pem, rsa_key

AUDIENCE = "musterd-test"
ISSUER = Issuer(claims={"aud": AUDIENCE})
SCOPES = ("sessions:read", "sessions:write")
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


async def create(client: ServerClient, body: Any = None, **query: Any) -> httpx2.Response:
    return await client.http.post("/sessions", params=query, json={} if body is None else body)


async def created_session(client: ServerClient, body: Any = None, **query: Any) -> dict[str, Any]:
    answer = await create(client, body, **query)
    assert answer.status_code == 201, answer.text
    session: dict[str, Any] = answer.json()
    return session


async def patch(client: ServerClient, session_id: str = "s1", **changes: Any) -> httpx2.Response:
    return await client.http.patch(f"/sessions/{session_id}", json=changes)


async def rename(client: ServerClient, name: Any, session_id: str = "s1") -> httpx2.Response:
    return await client.http.post(f"/sessions/{session_id}/rename", json={"session_name": name})


# --- made ---------------------------------------------------------------------------------------------


async def test_a_session_is_made_with_all_that_it_keeps(client: ServerClient) -> None:
    body = {
        "session_name": "made",
        "team_id": "demo-team",
        "session_id": "s1",
        "session_state": {"x": 1},
        "metadata": {"m": 1},
        "user_id": "u9",
    }
    assert await created_session(client, body, type="team") == {
        "session_id": "s1",
        "session_name": "made",
        "user_id": "u9",
        "team_id": "demo-team",
        "session_state": {"x": 1},
        "metrics": {},
        "metadata": {"m": 1},
        "chat_history": [],
        "created_at": IS_TIME,
        "updated_at": IS_TIME,
    }
    assert await client.get("/sessions/s1/runs") == []
    assert [item["session_id"] for item in (await client.get("/sessions"))["data"]] == ["s1"]


async def test_a_session_of_nothing(client: ServerClient) -> None:
    for body in (b"", b"{}"):
        answer = await client.http.post("/sessions", content=body)
        assert answer.status_code == 201
        content = answer.json()
        assert (content["session_name"], content["chat_history"], content["agent_session_id"]) == (
            "",
            [],
            content["session_id"],
        )
        assert "agent_id" not in content


async def test_a_run_joins_it(client: ServerClient) -> None:
    """With its state; and says whose it is, and what it is called, where nobody has said it before."""
    await created_session(client, {"session_id": "s1", "session_state": {"a": 1}})
    done = await client.run('[[TOOL remember {"key": "k", "value": "v"}]]', session_id="s1", user_id="u1")
    assert done["session_state"] == {"a": 1, "k": "v"}
    session = await client.get("/sessions/s1")
    assert (session["team_id"], session["user_id"], session["session_state"]) == (
        "demo-team", "u1", {"a": 1, "k": "v"},
    )  # fmt: skip
    assert session["session_name"].startswith("[[TOOL remember")
    await client.run("two", session_id="s1", to="agents/solo-agent", user_id="u2")
    again = await client.get("/sessions/s1")
    assert (again["team_id"], again["user_id"], again["session_name"]) == ("demo-team", "u1", session["session_name"])


async def test_the_type_is_that_of_the_id_that_is_given(client: ServerClient) -> None:
    assert (await created_session(client, {"team_id": "demo-team"}))["team_id"] == "demo-team"
    assert (await created_session(client, {"agent_id": "solo-agent"}))["agent_id"] == "solo-agent"
    assert "team_id" in await created_session(client, {"team_id": "demo-team", "agent_id": None}, type="team")


async def test_an_id_is_taken_once(client: ServerClient) -> None:
    await created_session(client, {"session_id": "s1", "session_name": "mine"})
    done = await client.run("hello", session_id="s2")
    for session_id in ("s1", "s2"):
        words = problem(await create(client, {"session_id": session_id}), 409, "CONFLICT")
        assert words == "This session_id is taken; choose another one."
    assert (await client.get("/sessions/s1"))["session_name"] == "mine"
    assert [run["run_id"] for run in await client.get("/sessions/s2/runs")] == [done["run_id"]]


@pytest.mark.parametrize(
    ("body", "query", "place"),
    [
        ({"team_id": "demo-team", "workflow_id": "w"}, {}, ("body", "workflow_id")),
        ({"workflow_id": "w"}, {"type": "team"}, ("body", "workflow_id")),
        ({"agent_id": "solo-agent"}, {"type": "team"}, ("body", "agent_id")),
        ({"team_id": "demo-team", "agent_id": "solo-agent"}, {}, ("body", "agent_id")),
        ({"session_id": "a\x01b"}, {}, ("body", "session_id")),
        ({"session_id": "x" * 256}, {}, ("body", "session_id")),
        ({"session_id": 1}, {}, ("body", "session_id")),
        ({"session_name": 1}, {}, ("body", "session_name")),
        ({"session_name": "\x00"}, {}, ("body", "session_name")),
        ({"session_name": "x" * 1001}, {}, ("body", "session_name")),
        ({"session_state": [1]}, {}, ("body", "session_state")),
        ({"metadata": {"a": "\x00"}}, {}, ("body", "metadata")),
        ({}, {"type": "zzz"}, ("query", "type")),
        ([], {}, ("body",)),
    ],
)
async def test_bodies_that_are_none(
    client: ServerClient, body: Any, query: dict[str, str], place: tuple[str, ...]
) -> None:
    assert wrong_fields(await create(client, body, **query)) == [place]
    assert (await client.get("/sessions"))["data"] == []


async def test_only_for_what_is_served(client: ServerClient) -> None:
    assert problem(await create(client, {"team_id": "nope"}), 404, "NOT_FOUND") == "Team not found"
    assert problem(await create(client, {"agent_id": "nope"}), 404, "NOT_FOUND") == "Agent not found"
    words = problem(await create(client, {}, db_id="zz"), 404, "NOT_FOUND")
    assert words == "No database found with id 'zz'"
    assert (await client.get("/sessions"))["data"] == []


# --- changed ------------------------------------------------------------------------------------------


async def test_what_is_given_takes_the_place_of_what_was(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", session_state='{"a": 1}')
    answer = await patch(client, session_state={"z": 2}, metadata={"q": 1})
    assert answer.status_code == 200
    session = answer.json()
    assert (session["session_state"], session["metadata"], session["session_name"]) == ({"z": 2}, {"q": 1}, "hello")
    assert (session["session_summary"], session["user_id"]) == (None, None), "nulls are kept"
    assert [message["content"] for message in session["chat_history"]] == ["hello", "Echo: hello"]
    again = (await patch(client, session_name="New", metadata=None)).json()
    assert (again["session_state"], again["metadata"], again["session_name"]) == ({"z": 2}, {"q": 1}, "New")
    assert (await patch(client)).json() == {**again, "updated_at": IS_TIME}
    done = await client.run("next", session_id="s1")
    assert done["session_state"] == {"z": 2}


async def test_a_summary_is_told_to_the_next_run_and_shown(client: ServerClient) -> None:
    await client.run("hello", session_id="s1")
    summary = {"summary": "They met.", "topics": ["meeting"], "updated_at": "2025-10-21T14:30:00Z"}
    session = (await patch(client, summary=summary)).json()
    assert session["session_summary"] == {**summary, "updated_at": "2025-10-21T14:30:00.000000Z"}
    assert (await client.get("/sessions/s1"))["session_summary"] == session["session_summary"]


async def test_a_change_during_a_run_stays(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    waiting = asyncio.ensure_future(client.run("wait", session_id="s1", session_state='{"a": 1}'))
    await hold.reached.wait()
    assert (await rename(client, "NEW")).json()["session_name"] == "NEW"
    assert (await patch(client, session_state={"k": "mine"}, metadata={"m": 1})).json()["session_state"] == {
        "k": "mine"
    }
    hold.release()
    await waiting
    session = await client.get("/sessions/s1")
    assert (session["session_name"], session["metadata"]) == ("NEW", {"m": 1})
    assert session["session_state"] == {"k": "mine", "a": 1}, "what the run changed itself is merged into it"


async def test_a_name(client: ServerClient) -> None:
    await client.run("hello", session_id="s1", user_id="u1")
    renamed = (await rename(client, "renamed")).json()
    assert (renamed["session_name"], renamed["user_id"], renamed["session_summary"]) == ("renamed", "u1", None)
    assert [item["session_name"] for item in (await client.get("/sessions", session_name="NAMED"))["data"]] == [
        "renamed"
    ]
    assert (await client.get("/sessions", session_name="hello"))["data"] == []
    assert (await rename(client, "")).json()["session_name"] == ""
    await client.run("again", session_id="s1")
    assert (await client.get("/sessions/s1"))["session_name"] == ""


async def test_the_shape_that_is_asked_for(client: ServerClient) -> None:
    await client.run("hello", session_id="s1")
    answer = await client.http.patch("/sessions/s1", params={"type": "agent"}, json={})
    assert (answer.json()["agent_session_id"], answer.json()["agent_id"]) == ("s1", None)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"session_name": 1}, ("session_name",)),
        ({"session_name": "x" * 1001}, ("session_name",)),
        ({"session_state": "x"}, ("session_state",)),
        ({"metadata": []}, ("metadata",)),
        ({"summary": "x"}, ("summary",)),
        ({"summary": {}}, ("summary", "summary")),
        ({"summary": {"summary": "x", "topics": "y"}}, ("summary", "topics")),
        ({"summary": {"summary": "x", "topics": [1]}}, ("summary", "topics")),
        ({"summary": {"summary": "x", "updated_at": "never"}}, ("summary", "updated_at")),
        ({"summary": {"summary": "x", "updated_at": 1}}, ("summary", "updated_at")),
        ({"summary": {"summary": "x", "updated_at": "0001-01-01T00:00:00+14:00"}}, ("summary", "updated_at")),
    ],
)
async def test_changes_that_are_none(client: ServerClient, changes: dict[str, Any], place: tuple[str, ...]) -> None:
    await client.run("hello", session_id="s1")
    before = await client.get("/sessions/s1")
    assert wrong_fields(await patch(client, **{"session_name": "x", **changes})) == [("body", *place)]
    assert await client.get("/sessions/s1") == before


@pytest.mark.parametrize("body", [{}, {"session_name": None}, {"session_name": 1}, {"session_name": "x" * 1001}])
async def test_names_that_are_none(client: ServerClient, body: dict[str, Any]) -> None:
    await client.run("hello", session_id="s1")
    answer = await client.http.post("/sessions/s1/rename", json=body)
    assert wrong_fields(answer) == [("body", "session_name")]


async def test_a_session_that_is_not_there(client: ServerClient) -> None:
    await client.run("hello", session_id="gone", user_id="u1")
    other = {"user_id": "u2"}
    for answer in (
        await rename(client, "x", "zzz"),
        await patch(client, "zzz", session_name="x"),
    ):
        assert problem(answer, 404, "NOT_FOUND") == "Session with id 'zzz' not found"
    for answer in (
        await client.http.patch("/sessions/gone", json={"session_name": "x"}, params=other),
        await client.http.post("/sessions/gone/rename", json={"session_name": "x"}, params=other),
    ):
        assert problem(answer, 404, "NOT_FOUND") == "Session with id 'gone' not found"
    assert (await client.get("/sessions/gone"))["session_name"] == "hello"
    await client.http.delete("/sessions/gone")
    problem(await rename(client, "x", "gone"), 404, "NOT_FOUND")
    answer = await client.http.patch("/sessions/gone", params={"db_id": "zz"}, json={})
    assert problem(answer, 404, "NOT_FOUND") == "No database found with id 'zz'"


async def test_a_session_of_another_user(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key()), jwt_audience=AUDIENCE) as client:
        client.http.headers.update(ISSUER.bearer("alice", *SCOPES))
        created = await created_session(client, {"session_id": "s1", "user_id": "somebody"})
        assert created["user_id"] == "alice"
        client.http.headers.update(ISSUER.bearer("bob", *SCOPES))
        problem(await rename(client, "x"), 404, "NOT_FOUND")
        problem(await patch(client, session_name="x"), 404, "NOT_FOUND")
        problem(await create(client, {"session_id": "s1"}), 409, "CONFLICT")
        problem(await client.http.get("/sessions/s1/active"), 404, "NOT_FOUND")
        problem(await client.http.get("/sessions/s1/run-previews"), 404, "NOT_FOUND")
