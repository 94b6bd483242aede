"""Modes on the wire: the events of the peer's transcripts, in their order, and what a poll shows."""

import pytest

from musterd import Agent, Team
from tests.flow.test_streams import END, MEMBER_TALK, TALK, TURN
from tests.support.app import Sample, Serve
from tests.support.held_model import HeldModel


def team_of(mode: str, model: HeldModel, **options: object) -> Sample:
    members = [Agent(id="a", name="Ann", role="Looks at apples"), Agent(id="b", name="Bob", role="Looks at pears")]
    team = Team(id="team", name="Team", mode=mode, model=model, members=members, **options)  # type: ignore[arg-type]
    return Sample([team], [])


async def test_route_has_one_turn_and_the_members_text_is_the_teams(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=team_of("route", model)) as client:
        stream = await client.stream("[[DELEGATE a: hello]]", to="teams/team")
        assert stream.names == [
            "TeamRunStarted",
            *TURN,
            "TeamToolCallStarted",
            "RunStarted",
            "ModelRequestStarted",
            "TeamRunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
            "TeamToolCallCompleted",
            *END,
        ]
        assert stream.text() == "Echo: hello"
        assert stream.one("TeamToolCallCompleted")["tool"]["stop_after_tool_call"] is True
        assert stream.one("TeamRunCompleted")["content"] == "Echo: hello"
        run_id = stream.one("TeamRunStarted")["run_id"]
        run = await client.get(f"/teams/team/runs/{run_id}", session_id=stream.one("TeamRunStarted")["session_id"])
        assert (run["content"], run["status"]) == ("Echo: hello", "COMPLETED")


async def test_broadcast_starts_all_members_in_one_call(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=team_of("broadcast", model)) as client:
        stream = await client.stream("[[BROADCAST hello all]]", to="teams/team")
    names = stream.names
    assert names[:5] == ["TeamRunStarted", *TURN, "TeamToolCallStarted", "RunStarted"]
    for name in ("RunStarted", *MEMBER_TALK, "RunCompleted"):
        assert names.count(name) == 2, name
    assert names[-len([*TALK, *END]) - 1 :] == ["TeamToolCallCompleted", *TALK, *END]
    call = stream.one("TeamToolCallCompleted")["tool"]
    assert (call["tool_name"], call["tool_args"]) == ("delegate_task_to_members", {"task": "hello all"})
    assert call["result"] == "Agent Ann: Echo: hello all\n\nAgent Bob: Echo: hello all"
    assert len(stream.one("TeamRunCompleted")["member_responses"]) == 2


async def test_tasks_tells_each_iteration_and_each_task(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=team_of("tasks", model)) as client:
        stream = await client.stream("look at apples then look at pears", to="teams/team")
    names = [name for name in stream.names if "Task" in name]
    assert names == [
        "TeamTaskIterationStarted",
        "TeamTaskCreated",
        "TeamTaskCreated",
        *["TeamTaskUpdated"] * 4,
        "TeamTaskStateUpdated",
        "TeamTaskIterationCompleted",
    ]
    first, second = stream.all("TeamTaskCreated")
    assert (first["title"], first["assignee"], first["status"]) == ("look at apples", "a", "pending")
    assert (second["dependencies"], second["status"]) == ([first["task_id"]], "blocked")
    state = stream.one("TeamTaskStateUpdated")
    assert state["goal_complete"] is True
    assert [task["status"] for task in state["tasks"]] == ["completed", "completed"]
    assert stream.one("TeamTaskIterationStarted") | {"iteration": 1, "max_iterations": 10} == stream.one(
        "TeamTaskIterationStarted"
    )
    end = stream.one("TeamRunCompleted")
    assert end["session_state"]["_team_tasks"]["goal_complete"] is True
    assert end["content"].startswith("Echo: look at apples")


@pytest.mark.parametrize("mode", ["route", "broadcast", "tasks"])
async def test_the_configuration_names_the_mode(serve: Serve, mode: str) -> None:
    model = HeldModel()
    async with serve(model=model, served=team_of(mode, model)) as client:
        assert (await client.get("/teams/team"))["mode"] == mode
