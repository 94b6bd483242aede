"""AgentOSClient 2.5.6 and sessions: lists, details, runs, names, state, deletion."""

from __future__ import annotations

from typing import Any

import pytest

from musterd.core import clock
from tests.support.client_drivers import ClientFailed, Driver

TEAM = {"$type": "SessionType", "value": "team"}
AGENT = {"$type": "SessionType", "value": "agent"}
DELEGATE = '[[DELEGATE weather-agent: <TOOL get_weather {"city": "Paris"}>]]'


def ran(agentos: Driver, session_id: str, message: str = "hello there", **options: Any) -> dict[str, Any]:
    """A team's run in the session."""
    run: dict[str, Any] = agentos.run_team("demo-team", message, session_id=session_id, **options)
    return run


def is_gone(agentos: Driver, session_id: str, kind: dict[str, str] = TEAM) -> bool:
    """Whether the session is not found."""
    with pytest.raises(ClientFailed) as failed:
        agentos.get_session(session_id, session_type=kind)
    return failed.value.status == 404


def test_a_list_is_a_page_of_typed_sessions(agentos: Driver, session_id: str) -> None:
    user = f"user-{session_id}"
    ran(agentos, session_id, user_id=user)
    agentos.run_agent("solo-agent", "hello", session_id=f"{session_id}-2", user_id=user)
    page = agentos.get_sessions(user_id=user, sort_by="created_at", sort_order="desc")
    assert page["$type"] == "PaginatedResponse"
    assert {item["$type"] for item in page["data"]} == {"SessionSchema"}
    assert [item["session_id"] for item in page["data"]] == [f"{session_id}-2", session_id]
    assert page["data"][1]["session_name"] == "hello there"
    assert page["data"][1]["created_at"]["$type"] == "datetime"
    assert page["meta"]["$type"] == "PaginationInfo"
    assert (page["meta"]["total_count"], page["meta"]["total_pages"], page["meta"]["page"]) == (2, 1, 1)
    teams = agentos.get_sessions(user_id=user, session_type=TEAM, component_id="demo-team", limit=1)
    assert [item["session_id"] for item in teams["data"]] == [session_id]


def test_a_teams_session_is_typed(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id, user_id="u1")
    session = agentos.get_session(session_id, session_type=TEAM)
    assert (session["$type"], session["session_id"]) == ("TeamSessionDetailSchema", session_id)
    assert (session["session_name"], session["team_id"], session["user_id"]) == ("hello there", "demo-team", "u1")
    assert session["team_data"]["name"] == "Demo Team"
    assert session["total_tokens"] == session["metrics"]["total_tokens"] > 0
    assert [message["role"] for message in session["chat_history"]] == ["user", "assistant"]
    assert session["created_at"]["$type"] == session["updated_at"]["$type"] == "datetime"


def test_an_agents_session_is_typed(agentos: Driver, session_id: str) -> None:
    agentos.run_agent("solo-agent", "hello", session_id=session_id)
    session = agentos.get_session(session_id)
    assert (session["$type"], session["agent_session_id"]) == ("AgentSessionDetailSchema", session_id)
    assert (session["agent_id"], session["session_name"]) == ("solo-agent", "hello")


def test_the_runs_of_a_session_are_typed_and_members_come_first(agentos: Driver, session_id: str) -> None:
    run = ran(agentos, session_id, DELEGATE, user_id="u1")
    member, team = agentos.get_session_runs(session_id, session_type=TEAM)
    assert (member["$type"], member["agent_id"]) == ("RunSchema", "weather-agent")
    assert (member["parent_run_id"], member["status"]) == (run["run_id"], "COMPLETED")
    assert (team["$type"], team["team_id"], team["run_id"]) == ("TeamRunSchema", "demo-team", run["run_id"])
    assert (team["run_input"], team["content"]) == (DELEGATE, "Done: Done: Sunny in Paris")
    assert team["created_at"]["$type"] == "datetime"
    assert [tool["tool_name"] for tool in team["tools"]] == ["delegate_task_to_member"]


def test_a_run_of_a_session_is_typed(agentos: Driver, session_id: str) -> None:
    run = ran(agentos, session_id)
    stored_run = agentos.get_session_run(session_id, run["run_id"], session_type=TEAM)
    assert (stored_run["$type"], stored_run["run_id"], stored_run["status"]) == (
        "TeamRunSchema",
        run["run_id"],
        "COMPLETED",
    )


def test_runs_are_found_by_time(agentos: Driver, session_id: str) -> None:
    run = ran(agentos, session_id)
    later = run["created_at"] + 3600
    assert agentos.get_session_runs(session_id, session_type=TEAM, created_after=later) == []
    assert len(agentos.get_session_runs(session_id, session_type=TEAM, created_before=later)) == 1


def test_a_deleted_session_is_gone(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id)
    assert agentos.delete_session(session_id) is None
    assert is_gone(agentos, session_id)


def test_several_sessions_are_deleted_at_once(agentos: Driver, session_id: str) -> None:
    other = f"{session_id}-2"
    ran(agentos, session_id)
    agentos.run_agent("solo-agent", "hello", session_id=other)
    assert agentos.delete_sessions([session_id, other], [TEAM, AGENT]) is None
    assert is_gone(agentos, session_id)
    assert is_gone(agentos, other, AGENT)


@pytest.mark.parametrize("method", ["get_session", "get_session_run"])
def test_what_is_not_there_is_not_found(agentos: Driver, method: str) -> None:
    arguments = ["no-such-session", "no-such-run"][: 1 if method == "get_session" else 2]
    with pytest.raises(ClientFailed) as failed:
        agentos.ask(method, *arguments, session_type=TEAM)
    assert failed.value.status == 404
    assert "no-such-session" in failed.value.body["detail"]


@pytest.mark.needs("POST /sessions")
@pytest.mark.parametrize("kind", ["team", "agent"])
def test_a_session_is_made_before_its_first_run(agentos: Driver, session_id: str, kind: str) -> None:
    owner = {"team_id": "demo-team"} if kind == "team" else {"agent_id": "solo-agent"}
    created = agentos.create_session(
        session_type={"$type": "SessionType", "value": kind},
        session_id=session_id,
        session_name="made",
        session_state={"x": 1},
        metadata={"m": 1},
        user_id="u9",
        **owner,
    )
    assert created["$type"] == ("TeamSessionDetailSchema" if kind == "team" else "AgentSessionDetailSchema")
    assert (created["session_id"], created["session_name"], created["user_id"]) == (session_id, "made", "u9")
    assert (created["session_state"], created["metadata"], created["chat_history"]) == ({"x": 1}, {"m": 1}, [])
    assert created[f"{kind}_id"] == owner[f"{kind}_id"]
    assert agentos.get_session_runs(session_id, session_type={"$type": "SessionType", "value": kind}) == []


@pytest.mark.needs("POST /sessions")
def test_a_run_finds_the_state_of_the_session_that_was_made(agentos: Driver, session_id: str) -> None:
    agentos.create_session(session_type=TEAM, session_id=session_id, team_id="demo-team", session_state={"x": 1})
    run = ran(agentos, session_id, '[[TOOL remember {"key": "b", "value": "2"}]]')
    assert run["session_state"] == {"x": 1, "b": "2"}


@pytest.mark.needs("POST /sessions")
def test_a_session_that_is_there_is_not_wiped(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id)
    with pytest.raises(ClientFailed) as failed:
        agentos.create_session(session_type=TEAM, session_id=session_id, team_id="demo-team")
    assert failed.value.status == 409
    assert len(agentos.get_session_runs(session_id, session_type=TEAM)) == 1


@pytest.mark.needs("POST /sessions")
def test_a_session_without_an_id_is_given_one(agentos: Driver) -> None:
    first, second = (agentos.create_session(session_type=TEAM, team_id="demo-team") for _ in range(2))
    assert first["session_id"] != second["session_id"]


@pytest.mark.needs("POST /sessions/{session_id}/rename")
def test_a_session_is_renamed(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id)
    renamed = agentos.rename_session(session_id, "another name", session_type=TEAM)
    assert (renamed["$type"], renamed["session_name"]) == ("TeamSessionDetailSchema", "another name")
    assert agentos.get_session(session_id, session_type=TEAM)["session_name"] == "another name"
    with pytest.raises(ClientFailed) as failed:
        agentos.rename_session(str(clock.new_id()), "x", session_type=TEAM)
    assert failed.value.status == 404


@pytest.mark.needs("PATCH /sessions/{session_id}")
def test_a_session_is_changed(agentos: Driver, session_id: str) -> None:
    ran(agentos, session_id)
    changed = agentos.update_session(session_id, session_type=TEAM, session_state={"z": 2}, metadata={"q": 1})
    assert changed["$type"] == "TeamSessionDetailSchema"
    assert (changed["session_state"], changed["metadata"]) == ({"z": 2}, {"q": 1})
    session = agentos.get_session(session_id, session_type=TEAM)
    assert (session["session_state"], session["metadata"], session["session_name"]) == (
        {"z": 2},
        {"q": 1},
        "hello there",
    )
    named = agentos.update_session(session_id, session_type=TEAM, session_name="another name")
    assert (named["session_name"], named["session_state"]) == ("another name", {"z": 2})
