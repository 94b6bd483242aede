"""Streams: the events of a run in the peer's order, with the peer's fields, within what real clients stand."""

from typing import Any

import pytest
from dirty_equals import IsFloat, IsInt, IsStr

from musterd.core.settings import Settings
from tests.support.app import Serve
from tests.support.http import ServerClient

IS_ID = IsStr(regex=r"[0-9a-f]{8}-[0-9a-f-]{27}")
IS_SECONDS = IsFloat(ge=0, lt=60)
IS_TIME = IsInt(gt=1_700_000_000)
IS_TIME_WITH_FRACTIONS = IsFloat(gt=1_700_000_000)
DELEGATE = 'What is the weather? [[DELEGATE weather-agent: weather in Paris <TOOL get_weather {"city":"Paris"}>]]'
TURN = ["TeamModelRequestStarted", "TeamModelRequestCompleted"]
TALK = ["TeamModelRequestStarted", "TeamRunContent", "TeamModelRequestCompleted"]
MEMBER_TURN = ["ModelRequestStarted", "ModelRequestCompleted"]
MEMBER_TALK = ["ModelRequestStarted", "RunContent", "ModelRequestCompleted"]
END = ["TeamRunContentCompleted", "TeamRunCompleted"]


def common(event: dict[str, Any]) -> list[str]:
    """The fields that all events of a run share, in their order."""
    return list(event)[: list(event).index("nested_depth") + 1]


async def test_headers(client: ServerClient) -> None:
    stream = await client.stream()
    headers = stream.response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert "content-length" not in headers


async def test_browsers_call_a_finished_stream_finished(serve_live: Serve) -> None:
    """Chromium reports a stream with ``Cache-Control: no-store`` as cancelled, though the page has read all of it."""
    accepts = {"accept": "text/event-stream"}
    async with serve_live() as client:
        started = await client.stream(session_id="s1", run_id="r1")
        answers = [
            started.response,
            await client.http.post("/teams/demo-team/runs/r1/resume", data={"session_id": "s1"}),
            await client.http.get("/teams/demo-team/runs/r1/events?session_id=s1", headers=accepts),
        ]
        async with client.opened("GET", "/sessions/s1/events") as reader:
            answers.append(reader.answer)
        for answer in answers:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert answer.headers["cache-control"] == "no-cache"


async def test_no_delegation(client: ServerClient) -> None:
    stream = await client.stream("hello", session_id="s1")
    assert stream.names == ["TeamRunStarted", *TALK, *END]
    assert stream.text() == "Echo: hello"
    by_name = {event["event"]: event for event in stream.events}
    head = {
        "created_at": IS_TIME,
        "team_id": "demo-team",
        "team_name": "Demo Team",
        "run_id": IS_ID,
        "session_id": "s1",
        "nested_depth": 0,
        "at": IS_TIME_WITH_FRACTIONS,
        "event_index": IsInt(),
    }
    said_by = {"model": "scripted", "model_provider": "Scripted"}
    tokens = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    bodies: dict[str, dict[str, Any]] = {
        "TeamRunStarted": said_by,
        "TeamModelRequestStarted": said_by,
        "TeamRunContent": {"content": IsStr(), "content_type": "str", "reasoning_content": ""},
        "TeamModelRequestCompleted": {
            **said_by,
            **tokens,
            "time_to_first_token": IS_SECONDS,
            "reasoning_tokens": 0,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
        },
        "TeamRunContentCompleted": {},
        "TeamRunCompleted": {
            "content": "Echo: hello",
            "content_type": "str",
            "metrics": {
                **tokens,
                "time_to_first_token": IS_SECONDS,
                "duration": IS_SECONDS,
                "details": {"model": [{**tokens, "id": "scripted", "provider": "Scripted"}]},
            },
        },
    }
    assert by_name == {name: {**head, "event": name, **body} for name, body in bodies.items()}
    for event in stream.events:
        assert common(event) == ["created_at", "event", "team_id", "team_name", "run_id", "session_id", "nested_depth"]


async def test_the_stream_tells_what_the_run_answers(client: ServerClient) -> None:
    stream = await client.stream("hello", session_id="s1")
    end = stream.one("TeamRunCompleted")
    run = await client.get(f"/teams/demo-team/runs/{end['run_id']}", session_id="s1")
    assert (run["content"], run["metrics"], run["status"]) == (end["content"], end["metrics"], "COMPLETED")
    assert run["events"] == []


async def test_delegation_with_a_members_tool(client: ServerClient) -> None:
    stream = await client.stream(DELEGATE, session_id="s1")
    assert stream.names == [
        "TeamRunStarted",
        *TURN,
        "TeamToolCallStarted",
        "RunStarted",
        *MEMBER_TURN,
        "ToolCallStarted",
        "ToolCallCompleted",
        *MEMBER_TALK,
        "RunContentCompleted",
        "RunCompleted",
        "TeamToolCallCompleted",
        *TALK,
        *END,
    ]
    assert (stream.text(), stream.text("RunContent")) == ("Done: Done: Sunny in Paris", "Done: Sunny in Paris")
    started = stream.one("RunStarted")
    root_id = stream.one("TeamRunStarted")["run_id"]
    assert started == {
        "created_at": IS_TIME,
        "event": "RunStarted",
        "agent_id": "weather-agent",
        "agent_name": "Weather Agent",
        "run_id": IS_ID,
        "parent_run_id": root_id,
        "session_id": "s1",
        "nested_depth": 1,
        "model": "scripted",
        "model_provider": "Scripted",
        "at": IS_TIME_WITH_FRACTIONS,
        "event_index": IsInt(),
    }
    assert stream.all("RunContent")[0]["workflow_agent"] is False
    members = [event for event in stream.events if not event["event"].startswith("Team")]
    assert {(event["run_id"], event["parent_run_id"]) for event in members} == {(started["run_id"], root_id)}
    assert common(members[0])[2:6] == ["agent_id", "agent_name", "run_id", "parent_run_id"]


async def test_tool_objects_of_a_delegation(client: ServerClient) -> None:
    stream = await client.stream(DELEGATE)
    begun, done = stream.one("TeamToolCallStarted"), stream.one("TeamToolCallCompleted")
    assert (begun["tool"]["tool_call_error"], begun["tool"]["result"], begun["tool"]["metrics"]) == (None, None, None)
    assert done["tool"]["child_run_id"] == stream.one("RunStarted")["run_id"]
    assert (done["tool"]["tool_call_error"], done["tool"]["result"]) == (False, "Done: Sunny in Paris")
    assert done["content"] == IsStr(
        regex=r"delegate_task_to_member\(member_id=weather-agent, task=\.\.\.\) completed in \d+\.\d{4}s\. "
    )
    assert begun["tool"]["tool_call_id"] == done["tool"]["tool_call_id"]
    assert list(begun["tool"]) == list(done["tool"])
    of_member = stream.one("ToolCallCompleted")
    assert of_member["content"] == IsStr(regex=r"get_weather\(city=Paris\) completed in \d+\.\d{4}s\. ")
    assert of_member["tool"]["result"] == "Sunny in Paris"


async def test_members_outputs_come_with_the_end(client: ServerClient) -> None:
    stream = await client.stream(DELEGATE)
    end = stream.one("TeamRunCompleted")
    (member,) = end["member_responses"]
    assert member["agent_id"] == "weather-agent"
    assert member["run_id"] == stream.one("RunStarted")["run_id"]
    assert (member["content"], member["status"]) == ("Done: Sunny in Paris", "COMPLETED")
    assert member["tools"][0]["tool_name"] == "get_weather"
    assert [message["role"] for message in member["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert list(end).index("member_responses") < list(end).index("metrics")


async def test_a_tool_of_the_leader(client: ServerClient) -> None:
    stream = await client.stream('[[TOOL get_weather {"city": "Rome"}]]')
    assert stream.names == [
        "TeamRunStarted",
        *TURN,
        "TeamToolCallStarted",
        "TeamToolCallCompleted",
        *TALK,
        *END,
    ]
    assert "member_responses" not in stream.one("TeamRunCompleted")


async def test_a_tool_that_raises(client: ServerClient) -> None:
    stream = await client.stream('[[TOOL boom {"x": "1"}]]')
    assert stream.names[3:6] == ["TeamToolCallStarted", "TeamToolCallCompleted", "TeamToolCallError"]
    assert stream.one("TeamToolCallCompleted")["tool"]["tool_call_error"] is True
    error = stream.one("TeamToolCallError")
    assert (error["error"], error["tool"]["result"]) == ("boom 1", "boom 1")
    assert stream.names[-1] == "TeamRunCompleted"


async def test_a_members_tool_that_raises(client: ServerClient) -> None:
    stream = await client.stream('[[DELEGATE weather-agent: <TOOL boom {"x": "1"}>]]')
    assert stream.one("ToolCallError")["error"] == "boom 1"
    assert stream.one("RunCompleted")["content"]


@pytest.mark.parametrize("message", ['[[TOOL nosuch {"x": 1}]]', "[[DELEGATE nobody: x]]"])
async def test_a_call_of_nothing(client: ServerClient, message: str) -> None:
    stream = await client.stream(message)
    assert stream.names[3:6] == ["TeamToolCallStarted", "TeamToolCallCompleted", "TeamToolCallError"]
    assert "RunStarted" not in stream.names
    assert stream.names[-1] == "TeamRunCompleted"


async def test_a_member_whose_model_fails(client: ServerClient) -> None:
    stream = await client.stream("[[DELEGATE writer-agent: <ERROR 400>]]")
    assert stream.names == [
        "TeamRunStarted",
        *TURN,
        "TeamToolCallStarted",
        "RunStarted",
        "ModelRequestStarted",
        "RunError",
        "TeamToolCallCompleted",
        "TeamToolCallError",
        *TALK,
        *END,
    ]
    error = stream.one("RunError")
    assert (error["content"], error["error_type"]) == ("fake model error 400", "model_error")
    assert (error["agent_id"], error["nested_depth"]) == ("writer-agent", 1)
    (member,) = stream.one("TeamRunCompleted")["member_responses"]
    assert member["status"] == "ERROR"


async def test_a_model_that_fails(client: ServerClient) -> None:
    stream = await client.stream("[[ERROR 400]]")
    assert stream.names == ["TeamRunStarted", "TeamModelRequestStarted", "TeamRunError"]
    assert stream.one("TeamRunError") == {
        "created_at": IS_TIME,
        "event": "TeamRunError",
        "team_id": "demo-team",
        "team_name": "Demo Team",
        "run_id": IS_ID,
        "session_id": IS_ID,
        "nested_depth": 0,
        "content": "fake model error 400",
        "error_type": "model_error",
        "at": IS_TIME_WITH_FRACTIONS,
        "event_index": IsInt(),
    }


async def test_each_try_of_a_model_is_told(client: ServerClient) -> None:
    stream = await client.stream("[[ERROR 500]]")
    assert stream.names == [
        "TeamRunStarted",
        "TeamModelRequestStarted",
        "TeamModelRequestRetried",
        "TeamModelRequestRetried",
        "TeamRunError",
    ]
    assert [event["try"] for event in stream.all("TeamModelRequestRetried")] == [1, 2]
    assert {event["reason"] for event in stream.all("TeamModelRequestRetried")} == {"fake model error 500"}


async def test_two_delegations_in_one_turn(client: ServerClient) -> None:
    stream = await client.stream("[[DELEGATE weather-agent: a || DELEGATE writer-agent: b]]")
    assert stream.names[3:5] == ["TeamToolCallStarted", "TeamToolCallStarted"]
    for agent, text in (("weather-agent", "Echo: a"), ("writer-agent", "Echo: b")):
        own = [event for event in stream.events if event.get("agent_id") == agent]
        assert own[0]["event"] == "RunStarted"
        assert own[-1]["event"] == "RunCompleted"
        assert own[-1]["content"] == text
    end = stream.one("TeamRunCompleted")
    assert [member["content"] for member in end["member_responses"]] == ["Echo: a", "Echo: b"]
    children = [event["tool"]["child_run_id"] for event in stream.all("TeamToolCallCompleted")]
    assert sorted(children) == sorted(member["run_id"] for member in end["member_responses"])


async def test_a_nested_team(client: ServerClient) -> None:
    stream = await client.stream("[[DELEGATE inner-team: do <DELEGATE n-writer-agent: x>]]", to="teams/outer-team")
    outer, inner = stream.all("TeamRunStarted")
    writer = stream.one("RunStarted")
    assert [event["nested_depth"] for event in (outer, inner, writer)] == [0, 1, 2]
    assert (inner["team_id"], inner["parent_run_id"]) == ("inner-team", outer["run_id"])
    assert (writer["agent_id"], writer["parent_run_id"]) == ("n-writer-agent", inner["run_id"])
    assert "parent_run_id" not in outer
    ends = stream.all("TeamRunCompleted")
    assert [event["run_id"] for event in ends] == [inner["run_id"], outer["run_id"]]
    assert stream.events[-1] == ends[1]
    assert ends[1]["member_responses"][0]["team_id"] == "inner-team"
    assert ends[0]["member_responses"][0]["agent_id"] == "n-writer-agent"
    depths = {event["run_id"]: event["nested_depth"] for event in stream.events}
    assert sorted(depths.values()) == [0, 1, 2]


# --- what a stream shows ------------------------------------------------------------------------------


async def test_without_events_there_is_text_and_the_end(client: ServerClient) -> None:
    stream = await client.stream("hello", stream_events="false")
    assert stream.names == ["TeamRunContent", "TeamRunCompleted"]
    failed = await client.stream("[[ERROR 400]]", stream_events="false")
    assert failed.names == ["TeamRunError"]


async def test_without_events_members_are_still_heard(client: ServerClient) -> None:
    stream = await client.stream("[[DELEGATE writer-agent: x]]", stream_events="false")
    assert stream.names == [
        "RunStarted",
        *MEMBER_TALK,
        "RunContentCompleted",
        "RunCompleted",
        "TeamRunContent",
        "TeamRunCompleted",
    ]


async def test_a_team_that_keeps_its_members_to_itself(client: ServerClient) -> None:
    stream = await client.stream("[[DELEGATE writer-agent: x]]", to="teams/quiet-team")
    assert not [name for name in stream.names if not name.startswith("Team")]
    assert stream.one("TeamRunCompleted")["member_responses"][0]["content"] == "Echo: x"


@pytest.mark.parametrize(
    "text", ['{"a": 1} } {', "line\nbreak\r\n", "\u2028\u2029\x85\x0b\x0c", '"quotes" \\ and {', "data: x\n\nevent: y"]
)
async def test_text_that_could_break_a_frame(client: ServerClient, text: str) -> None:
    stream = await client.stream(f"[[SAY {text}]]")
    assert stream.text() == stream.one("TeamRunCompleted")["content"] == text
    assert len(stream.response.text.splitlines()) == stream.response.text.count("\n")


async def test_deltas_are_merged_within_their_window_only(serve: Serve) -> None:
    """The first text goes out at once, later text is collected; the words all arrive, in order."""
    assert Settings.model_fields["delta_seconds"].default == 0.05
    async with serve() as client:
        stream = await client.stream("[[WORDS 200]]")
        assert stream.text() == " ".join(f"word{number}" for number in range(200))
        assert len(stream.all("TeamRunContent")) < 200


async def test_indexes_go_on_over_the_whole_tree(client: ServerClient) -> None:
    stream = await client.stream("[[DELEGATE weather-agent: a || DELEGATE writer-agent: b]]")
    indexes = [event["event_index"] for event in stream.events]
    assert indexes[0] == 0
    assert indexes == sorted(set(indexes))


# --- instead of a stream ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "fields", "status"),
    [
        ("teams/nope", {}, 404),
        ("teams/demo-team", {"session_state": "[1]"}, 422),
    ],
)
async def test_a_failure_before_the_run_is_no_stream(
    client: ServerClient, to: str, fields: dict[str, str], status: int
) -> None:
    answer = await client.post("hello", to, stream="true", **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")


async def test_whoever_asks_for_the_head_alone_gets_it_and_goes_on(serve_live: Serve) -> None:
    """Nothing is read for it, and the connection takes the next request."""
    async with serve_live() as client:
        hold = client.model.hold("wait", after=1)
        await client.begin("wait", session_id="s1", run_id="r1")
        await hold.reached.wait()
        for path in ("/sessions/s1/events", "/teams/demo-team/runs/r1/events?session_id=s1"):
            answer = await client.http.head(path, headers={"accept": "text/event-stream"}, timeout=60)
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert client.server.broadcaster.subscriber_count == 0
        assert not client.server.broadcaster._watches
        client.model.release()
