"""The runs of a team or agent in a session: another shape than the run itself, members before their parents."""

from typing import Any

import pytest
from dirty_equals import IsInt, IsStr

from tests.support.http import ServerClient, problem, wrong_fields

DELEGATE = 'Ask. [[DELEGATE weather-agent: weather in Paris <TOOL get_weather {"city":"Paris"}>]]'
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TEAM_KEYS = [
    "run_id",
    "parent_run_id",
    "team_id",
    "status",
    "content",
    "reasoning_content",
    "reasoning_steps",
    "run_input",
    "run_response_format",
    "metrics",
    "tools",
    "messages",
    "events",
    "created_at",
    "references",
    "citations",
    "reasoning_messages",
    "session_state",
    "input_media",
    "images",
    "videos",
    "audio",
    "files",
    "response_audio",
]


async def listed(client: ServerClient, owner: str = "teams/demo-team", **query: Any) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = await client.get(f"/{owner}/runs", **{"session_id": "s1", **query})
    return runs


async def test_a_run_of_a_list(client: ServerClient) -> None:
    done = await client.run("hello", session_id="s1")
    (run,) = await listed(client)
    assert list(run) == TEAM_KEYS
    assert run == {
        "run_id": done["run_id"],
        "parent_run_id": "",
        "team_id": "demo-team",
        "status": "COMPLETED",
        "content": "Echo: hello",
        "reasoning_content": "",
        "reasoning_steps": [],
        "run_input": "hello",
        "run_response_format": "text",
        "metrics": done["metrics"],
        "tools": None,
        "messages": done["messages"],
        "events": [
            {
                "created_at": IsInt(),
                "event": "TeamRunCompleted",
                "team_id": "demo-team",
                "team_name": "Demo Team",
                "run_id": done["run_id"],
                "session_id": "s1",
                "content": "Echo: hello",
                "content_type": "str",
            }
        ],
        "created_at": IS_TIME,
        "references": [],
        "citations": None,
        "reasoning_messages": [],
        "session_state": None,
        "input_media": {"images": [], "videos": [], "audios": [], "files": []},
        "images": [],
        "videos": [],
        "audio": [],
        "files": [],
        "response_audio": None,
    }


async def test_members_stand_before_their_parents(client: ServerClient) -> None:
    first = await client.run("hello", session_id="s1")
    second = await client.run(DELEGATE, session_id="s1", session_state='{"a": 1}')
    runs = await listed(client)
    assert [run["run_id"] for run in runs] == [
        first["run_id"],
        second["tools"][0]["child_run_id"],
        second["run_id"],
    ]
    member, parent = runs[1:]
    assert list(member) == TEAM_KEYS
    assert (member["team_id"], member["parent_run_id"]) == ("", second["run_id"])
    assert (member["content"], member["run_input"]) == (
        "Done: Sunny in Paris",
        'weather in Paris [[TOOL get_weather {"city":"Paris"}]]',
    )
    assert member["tools"][0]["result"] == "Sunny in Paris"
    assert (parent["team_id"], parent["parent_run_id"]) == ("demo-team", "")
    assert (parent["tools"], parent["session_state"]) == (second["tools"], {"a": 1})


async def test_a_nested_teams_members_stand_before_it(client: ServerClient) -> None:
    await client.run("[[DELEGATE inner-team: do <DELEGATE n-writer-agent: x>]]", to="teams/outer-team", session_id="s1")
    runs = await listed(client, "teams/outer-team")
    assert [run["team_id"] for run in runs] == ["", "inner-team", "outer-team"]


async def test_a_failed_run_has_its_event(client: ServerClient) -> None:
    await client.run("[[ERROR 400]]", session_id="s1")
    (run,) = await listed(client)
    assert (run["status"], run["content"]) == ("ERROR", "fake model error 400")
    assert [event["event"] for event in run["events"]] == ["TeamRunError"]


async def test_runs_in_flight_are_listed(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    await client.begin("second", session_id="s1")
    runs = await listed(client)
    assert [(run["status"], run["content"], run["metrics"]) for run in runs] == [
        ("RUNNING", "", {}),
        ("PENDING", "", {}),
    ]
    assert [run["messages"] for run in runs] == [None, None]
    hold.release()


async def test_only_the_teams_own(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.run("two", session_id="s1", to="teams/other-team")
    await client.run("three", session_id="s1", to="agents/solo-agent")
    assert [run["run_input"] for run in await listed(client)] == ["one"]
    assert [run["run_input"] for run in await listed(client, "teams/other-team")] == ["two"]
    assert [run["run_input"] for run in await listed(client, "agents/solo-agent")] == ["three"]


async def test_an_unknown_session_is_empty(client: ServerClient) -> None:
    assert await listed(client, session_id="nope") == []


async def test_an_unknown_team(client: ServerClient) -> None:
    answer = await client.http.get("/teams/nope/runs", params={"session_id": "s1"})
    assert problem(answer, 404, "NOT_FOUND") == "Team not found"


# --- status -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["ERROR", "error", "Error"])
async def test_a_status_in_any_case(client: ServerClient, status: str) -> None:
    await client.run("hello", session_id="s1")
    await client.run("[[ERROR 400]]", session_id="s1")
    assert [run["status"] for run in await listed(client, status=status)] == ["ERROR"]


async def test_a_status_fits_members_by_their_own(client: ServerClient) -> None:
    await client.run("[[DELEGATE writer-agent: <ERROR 400>]]", session_id="s1")
    assert [run["team_id"] for run in await listed(client, status="completed")] == ["demo-team"]
    assert [run["team_id"] for run in await listed(client, status="error")] == [""]


async def test_every_status_of_the_wire_is_known(client: ServerClient) -> None:
    for status in ("PENDING", "RUNNING", "PAUSED", "COMPLETED", "CANCELLED", "ERROR", ""):
        assert await listed(client, status=status) == []


@pytest.mark.parametrize("status", ["nope", "QUEUED", "READY", "COMPLETED,ERROR", "\x00"])
async def test_an_unknown_status(client: ServerClient, status: str) -> None:
    answer = await client.http.get("/teams/demo-team/runs", params={"session_id": "s1", "status": status})
    assert wrong_fields(answer) == [("query", "status")]


# --- limit and before ---------------------------------------------------------------------------------


async def test_a_limit_keeps_the_last(client: ServerClient) -> None:
    for message in ("one", "two", "three"):
        await client.run(message, session_id="s1")
    assert [run["run_input"] for run in await listed(client, limit=2)] == ["two", "three"]
    assert len(await listed(client, limit=1000)) == 3


async def test_before_goes_back(client: ServerClient) -> None:
    done = [await client.run(message, session_id="s1") for message in ("one", "two", "three")]
    assert [run["run_input"] for run in await listed(client, before=done[2]["run_id"])] == ["one", "two"]
    assert [run["run_input"] for run in await listed(client, before=done[2]["run_id"], limit=1)] == ["two"]
    assert await listed(client, before=done[0]["run_id"]) == []
    assert await listed(client, before="nope") == []


async def test_a_limit_counts_runs_with_their_members(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.run("[[DELEGATE writer-agent: x]]", session_id="s1")
    assert [run["team_id"] for run in await listed(client, limit=1)] == ["", "demo-team"]


async def test_a_limit_counts_what_has_the_status(client: ServerClient) -> None:
    for message in ("[[ERROR 400]]", "[[ERROR 400]]", "hello"):
        await client.run(message, session_id="s1")
    assert [run["status"] for run in await listed(client, status="error", limit=1)] == ["ERROR"]
    assert len(await listed(client, status="error", limit=2)) == 2


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "1.5", "9" * 30])
async def test_a_limit_is_a_number_from_1_to_1000(client: ServerClient, limit: str) -> None:
    answer = await client.http.get("/teams/demo-team/runs", params={"session_id": "s1", "limit": limit})
    assert wrong_fields(answer) == [("query", "limit")]
