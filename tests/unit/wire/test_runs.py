"""One run, as POST and GET answer it: the peer's keys, its order, and what is ours at the end."""

import json
import time
import timeit

import pytest
from dirty_equals import IsStr, IsUUID

from musterd.core.records import Input, Output, RunView
from musterd.core.states import RunState
from musterd.wire.runs import accepted_receipt, run_output, state_receipt
from tests.unit.wire import samples

MESSAGES = [
    {
        "id": IsUUID(5),
        "content": "You coordinate.",
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "system",
        "created_at": 1795596892,
    },
    {
        "id": IsUUID(5),
        "content": "hello",
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "user",
        "created_at": 1795596892,
    },
    {
        "id": IsUUID(5),
        "content": "Echo: hello",
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "assistant",
        "metrics": {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "duration": 0.5,
            "time_to_first_token": 0.125,
        },
        "created_at": 1795596892,
    },
]
COMPLETED = {
    "run_id": samples.ROOT_ID,
    "team_id": "demo-team",
    "team_name": "Demo Team",
    "session_id": "s-sync",
    "user_id": "u1",
    "input": {"input_content": "hello"},
    "content": "Echo: hello",
    "content_type": "str",
    "model": "fake-model",
    "model_provider": "OpenAI",
    "member_responses": [],
    "created_at": 1795596892,
    "metrics": samples.metrics(),
    "status": "COMPLETED",
    "messages": MESSAGES,
    "tools": [],
    "attempts": 1,
}


def test_post_answers_what_the_peer_answers_in_its_order() -> None:
    run = samples.as_read(run_output(samples.plain_view(), is_post=True))
    assert run == COMPLETED
    assert list(run) == list(COMPLETED)
    assert [list(message) for message in run["messages"]] == [list(message) for message in MESSAGES]


def test_get_shows_events_and_leaves_out_tools_where_there_are_none() -> None:
    run = run_output(samples.plain_view())
    expected = {**COMPLETED, "events": []}
    del expected["tools"]
    assert run == expected
    names = list(run)
    assert names[names.index("created_at") :][:3] == ["created_at", "events", "metrics"]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RunState.SCHEDULED, "PENDING"),
        (RunState.QUEUED, "PENDING"),
        (RunState.READY, "PENDING"),
        (RunState.RUNNING, "RUNNING"),
    ],
)
def test_an_unfinished_run_shows_the_minimal_set(state: RunState, status: str) -> None:
    run = run_output(samples.plain_view(state, user_id=None, attempt=0))
    expected = {
        "run_id": samples.ROOT_ID,
        "team_id": "demo-team",
        "team_name": "Demo Team",
        "session_id": "s-sync",
        "input": {"input_content": "hello"},
        "content_type": "str",
        "model": "fake-model",
        "model_provider": "OpenAI",
        "member_responses": [],
        "created_at": 1795596892,
        "events": [],
        "metrics": {},
        "status": status,
        "attempts": 0,
    }
    assert run == expected
    assert list(run) == list(expected)


def test_delegation_keeps_every_key_of_its_tool() -> None:
    run = samples.as_read(run_output(samples.delegating_view()))
    assert run["member_responses"] == []
    tool = {
        "tool_call_id": "call_28_0",
        "tool_name": "delegate_task_to_member",
        "tool_args": samples.DELEGATION,
        "tool_call_error": False,
        "result": "Done: Sunny in Paris",
        "metrics": {"start_time": samples.AT, "end_time": samples.AT + 0.25, "duration": 0.25},
        "child_run_id": samples.MEMBER_ID,
        "stop_after_tool_call": False,
        "created_at": 1795596892,
        **samples.tool_nulls(),
    }
    assert run["tools"] == [tool]
    assert list(run["tools"][0]) == list(tool)


def test_an_agents_run_is_a_run_output() -> None:
    run = run_output(samples.member_view(), is_post=True)
    assert list(run) == [
        "run_id",
        "agent_id",
        "agent_name",
        "session_id",
        "user_id",
        "parent_run_id",
        "content",
        "content_type",
        "model",
        "model_provider",
        "created_at",
        "status",
        "metrics",
        "messages",
        "tools",
        "input",
    ]
    assert run["input"] == {"input_content": samples.TASK}
    assert run["metrics"] == samples.metrics(2)


def test_an_error_is_told_in_words_in_an_event_and_with_its_code() -> None:
    view = samples.plain_view(RunState.ERROR, ended_at=samples.AT + 6)
    view.messages = None
    error = {"code": "model_error", "message": "fake model error 500", "retryable": True}
    view.output = Output(content="half an ans", seconds=0.0287, error=error)
    for is_post in (True, False):
        run = run_output(view, is_post=is_post)
        assert run["content"] == "fake model error 500"
        assert run["metrics"] == {"duration": 0.0287}
        assert run["error"] == error
        assert "messages" not in run
        assert "tools" not in run
        event = {
            "created_at": 1795596898,
            "event": "TeamRunError",
            "team_id": "demo-team",
            "team_name": "Demo Team",
            "run_id": samples.ROOT_ID,
            "session_id": "s-sync",
            "content": "fake model error 500",
            "error_type": "model_error",
        }
        assert run["events"] == [event]
        assert list(run["events"][0]) == list(event)


def test_an_error_without_a_stored_reason_still_says_something() -> None:
    view = RunView(row=samples.row(RunState.ERROR, error_code="crash_limit"), input=Input(message="hi"))
    run = run_output(view)
    assert run["content"] == "The run failed."
    assert run["error"] == {"code": "crash_limit", "message": "The run failed.", "retryable": False}


def test_a_cancelled_run_says_so_or_what_it_had_produced() -> None:
    view = samples.plain_view(RunState.CANCELLED, cancel_requested_at=samples.AT + 1, cancel_by="u1")
    assert run_output(view)["content"] == "Echo: hello"
    view.output = None
    run = run_output(view)
    assert run["content"] == f"Run {samples.ROOT_ID} was cancelled"
    assert run["content_type"] == "str"
    assert run["cancel"] == {"requested_at": samples.AT + 1, "by": "u1", "steps": []}
    assert "tools" not in run_output(view, is_post=True)


def test_a_cancel_that_is_asked_for_shows_on_a_running_run() -> None:
    run = run_output(samples.plain_view(RunState.RUNNING, cancel_requested_at=samples.AT + 1))
    assert run["cancel"] == {"requested_at": samples.AT + 1, "by": None}


def test_times_and_place_in_the_queue_are_told() -> None:
    view = samples.plain_view(RunState.QUEUED, queued_at=1.5)
    view.queue_position = 2
    run = run_output(view)
    assert (run["queued_at"], run["queue_position"]) == (1.5, 2)
    done = samples.plain_view(queued_at=1.5, started_at=2.5, first_token_at=3.5, ended_at=4.5)
    done.queue_position = 2
    names = ("queued_at", "started_at", "first_token_at", "ended_at")
    run = run_output(done)
    assert [samples.as_read(run)[name] for name in names] == [1.5, 2.5, 3.5, 4.5]
    assert "queue_position" not in run


def test_session_state_metadata_and_objects_as_content() -> None:
    view = samples.plain_view()
    view.input.options["metadata"] = {"k": "v"}
    view.output = samples.output({"name": "Bob", "age": 3}, content_type="P", session_state={"a": 1})
    run = run_output(view)
    assert (run["content"], run["content_type"]) == ({"name": "Bob", "age": 3}, "P")
    assert (run["session_state"], run["metadata"]) == ({"a": 1}, {"k": "v"})
    view.output.session_state = {}
    assert "session_state" not in run_output(view)


def test_media_come_back_with_the_input_text_files_as_text() -> None:
    view = samples.plain_view()
    image = {"id": "1", "format": "png", "mime_type": "image/png", "content": "iVBORw=="}
    note = {"id": "2", "content": "YWJj", "mime_type": "text/plain", "filename": "a.txt", "format": "txt"}
    sound = {"id": "3", "url": "https://example.org/a.wav", "mime_type": "audio/wav"}
    view.input.media = {"images": [image], "files": [note], "audio": [sound]}
    assert run_output(view)["input"] == {
        "input_content": "hello",
        "images": [image],
        "audios": [sound],
        "files": [{**note, "content": "abc"}],
    }


def test_the_answer_to_background_is_exactly_three_keys() -> None:
    row = samples.row(RunState.RUNNING)
    assert accepted_receipt(row) == {"run_id": samples.ROOT_ID, "session_id": "s-sync", "status": "PENDING"}
    assert state_receipt(row) == {"run_id": samples.ROOT_ID, "session_id": "s-sync", "status": "RUNNING"}


def test_every_output_is_json_without_none_but_in_tools() -> None:
    views = [samples.plain_view(state) for state in RunState]
    for view in [*views, samples.delegating_view(), samples.member_view()]:
        run = run_output(view)
        assert json.loads(json.dumps(run, allow_nan=False)) == run
        assert None not in [item for name, item in run.items() if name != "tools"]
        assert run["status"] == IsStr(regex="[A-Z]+")


def test_rendering_a_small_run_is_cheap() -> None:
    view = samples.plain_view()
    cpu_seconds = min(timeit.repeat(lambda: run_output(view), timer=time.thread_time, number=200, repeat=5)) / 200
    assert cpu_seconds < 0.0002


def test_members_outputs_stand_in_the_run_where_the_team_keeps_them() -> None:
    run = samples.as_read(run_output(samples.delegating_view(), with_members=True))
    (member,) = run["member_responses"]
    assert (member["agent_id"], member["content"]) == ("weather-agent", "Done: Sunny in Paris")
