"""Runs in lists: nulls kept or left out, members before parents."""

import pytest
from dirty_equals import IsList

from musterd.core.records import Input, RunView
from musterd.core.states import RunState
from musterd.wire.lists import agent_runs, members_first, session_run, session_runs, team_runs
from tests.unit.wire import samples

NO_MEDIA: dict[str, list[object]] = {"images": [], "videos": [], "audios": [], "files": []}
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
AGENT_KEYS = [
    "run_id",
    "parent_run_id",
    "agent_id",
    "user_id",
    "status",
    "run_input",
    "content",
    "run_response_format",
    "reasoning_content",
    "reasoning_steps",
    "metrics",
    "messages",
    "tools",
    "events",
    "created_at",
    "references",
    "citations",
    "reasoning_messages",
    "session_state",
    "images",
    "videos",
    "audio",
    "files",
    "response_audio",
    "input_media",
]


def test_a_running_run_in_a_teams_list() -> None:
    run = samples.as_read(team_runs([samples.plain_view(RunState.RUNNING)])[0])
    assert run == {
        "run_id": samples.ROOT_ID,
        "parent_run_id": "",
        "team_id": "demo-team",
        "status": "RUNNING",
        "content": "",
        "reasoning_content": "",
        "reasoning_steps": [],
        "run_input": "hello",
        "run_response_format": "text",
        "metrics": {},
        "tools": None,
        "messages": None,
        "events": None,
        "created_at": "2026-11-25T08:54:52Z",
        "references": [],
        "citations": None,
        "reasoning_messages": [],
        "session_state": None,
        "input_media": NO_MEDIA,
        "images": [],
        "videos": [],
        "audio": [],
        "files": [],
        "response_audio": None,
    }
    assert list(run) == TEAM_KEYS


def test_members_stand_before_their_parent_without_a_team() -> None:
    member, parent = map(samples.as_read, team_runs([samples.delegating_view()]))
    assert (member["run_id"], member["parent_run_id"]) == (samples.MEMBER_ID, samples.ROOT_ID)
    assert (member["team_id"], parent["team_id"]) == ("", "demo-team")
    assert member["run_input"] == samples.TASK
    assert member["metrics"] == samples.metrics(2)
    assert member["tools"][0]["tool_name"] == "get_weather"
    assert parent["messages"] == IsList(length=5)


def test_a_sessions_runs_leave_nulls_out() -> None:
    member, parent = map(samples.as_read, session_runs([samples.delegating_view()]))
    nulls = {"citations", "session_state", "response_audio"}
    assert list(parent) == [name for name in TEAM_KEYS if name not in nulls]
    assert list(member) == [name for name in AGENT_KEYS if name not in nulls]
    assert (member["agent_id"], member["user_id"]) == ("weather-agent", "u1")
    assert "team_id" not in member
    assert session_run(samples.delegating_view())["session_state"] is None


def test_an_agents_list() -> None:
    (run,) = agent_runs([samples.member_view()])
    assert list(run) == AGENT_KEYS
    (other,) = agent_runs([samples.plain_view()])
    assert other["agent_id"] == ""


def test_an_error_in_a_list_shows_its_event_and_an_object_is_json() -> None:
    view = samples.plain_view(RunState.ERROR)
    view.output = samples.output(None, error={"code": "model_error", "message": "m", "retryable": True})
    run = samples.as_read(team_runs([view])[0])
    assert (run["content"], run["events"][0]["event"]) == ("m", "TeamRunError")
    view = samples.plain_view()
    view.output = samples.output({"a": 1}, content_type="P", session_state={"b": 2})
    run = samples.as_read(team_runs([view])[0])
    assert (run["content"], run["run_response_format"], run["session_state"]) == (
        {"a": 1},
        "json",
        {"b": 2},
    )


def test_an_unfinished_run_shows_nothing_of_what_it_has_so_far() -> None:
    view = samples.plain_view(RunState.RUNNING)
    view.output = samples.output("half", reasoning="hm", tools=[samples.weather_call()])
    (run,) = team_runs([view])
    assert (run["content"], run["reasoning_content"], run["tools"], run["metrics"]) == (
        "",
        "",
        None,
        {},
    )


def test_attachments_stand_in_input_media() -> None:
    view = samples.plain_view()
    view.input.media = {"audio": [{"id": "1", "url": "https://example.org/a.wav"}]}
    (run,) = team_runs([view])
    assert run["input_media"] == {**NO_MEDIA, "audios": [{"id": "1", "url": "https://example.org/a.wav"}]}


def make(run_id: str, parent_id: str | None = None) -> RunView:
    return RunView(row=samples.row(run_id=run_id, parent_id=parent_id), input=Input(message="x"))


@pytest.mark.parametrize(
    ("rows", "order"),
    [
        ([("a", None), ("b", None)], ["a", "b"]),
        ([("a", None), ("a1", "a"), ("a2", "a"), ("b", None), ("b1", "b")], ["a1", "a2", "a", "b1", "b"]),
        ([("a", None), ("a1", "a"), ("a11", "a1")], ["a11", "a1", "a"]),
        ([("a11", "a1"), ("a1", "a"), ("a", None)], ["a11", "a1", "a"]),
        ([("lost", "gone"), ("a", None)], ["lost", "a"]),
        ([("a", None), ("a", None)], ["a"]),
    ],
)
def test_order_of_flat_rows(rows: list[tuple[str, str | None]], order: list[str]) -> None:
    assert [view.row.run_id for view in members_first([make(*item) for item in rows])] == order


def test_order_of_nested_views() -> None:
    top = make("a")
    top.members = [make("a1", "a"), make("a2", "a")]
    top.members[0].members = [make("a11", "a1")]
    assert [view.row.run_id for view in members_first([top, make("b")])] == ["a11", "a1", "a2", "a", "b"]


@pytest.mark.parametrize(
    ("state", "name"), [(RunState.COMPLETED, "TeamRunCompleted"), (RunState.CANCELLED, "TeamRunCancelled")]
)
def test_a_run_that_said_something_shows_how_it_ended(state: RunState, name: str) -> None:
    run = samples.as_read(team_runs([samples.plain_view(state)])[0])
    assert run["content"]
    assert [event["event"] for event in run["events"]] == [name]


def test_a_run_at_work_shows_no_end() -> None:
    (run,) = team_runs([samples.plain_view(RunState.RUNNING)])
    assert run["events"] is None
