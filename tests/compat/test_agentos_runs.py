"""AgentOSClient 2.5.6 runs teams and agents: urlencoded forms out, its own dataclasses in."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.client_drivers import ClientFailed, Driver

DELEGATE = '[[DELEGATE weather-agent: <TOOL get_weather {"city": "Paris"}>]]'
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
        "0000000d49444154789c6360f8cfc0f01f0005000201a5f645400000000049454e44ae426082"
    )
).decode()
SCHEMA = {
    "type": "object",
    "title": "Place",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def names(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each event's name with its class, runs of deltas as one."""
    pairs: list[tuple[str, str]] = []
    for event in events:
        pair = (event["event"], event["$type"])
        if not (pairs and pairs[-1] == pair and pair[1] == "RunContentEvent"):
            pairs.append(pair)
    return pairs


def test_a_team_run_is_typed(agentos: Driver, session_id: str) -> None:
    run = agentos.run_team("demo-team", DELEGATE, session_id=session_id, user_id="u1")
    assert run["$type"] == "TeamRunOutput"
    assert (run["team_id"], run["team_name"]) == ("demo-team", "Demo Team")
    assert (run["session_id"], run["user_id"]) == (session_id, "u1")
    assert (run["status"], run["content"], run["content_type"]) == ("COMPLETED", "Done: Done: Sunny in Paris", "str")
    assert run["input"]["$type"] == "TeamRunInput"
    assert run["input"]["input_content"] == DELEGATE
    assert (run["model"], run["model_provider"], run["member_responses"]) == ("scripted", "Scripted", [])
    assert run["metrics"]["$type"] == "RunMetrics"
    assert run["metrics"]["total_tokens"] == 30
    assert run["metrics"]["details"]["model"][0]["$type"] == "ModelMetrics"
    (tool,) = run["tools"]
    assert (tool["$type"], tool["tool_name"]) == ("ToolExecution", "delegate_task_to_member")
    assert (tool["result"], tool["tool_call_error"]) == ("Done: Sunny in Paris", False)
    assert tool["child_run_id"]
    assert isinstance(run["created_at"], int)
    roles = [(message["$type"], message["role"]) for message in run["messages"]]
    assert roles == [("Message", role) for role in ("system", "user", "assistant", "tool", "assistant")]
    assert agentos.complaints() == []


def test_an_agent_run_is_typed(agentos: Driver, session_id: str) -> None:
    run = agentos.run_agent("solo-agent", '[[TOOL get_weather {"city": "Rome"}]]', session_id=session_id)
    assert run["$type"] == "RunOutput"
    assert (run["agent_id"], run["agent_name"], run["session_id"]) == ("solo-agent", "Solo Agent", session_id)
    assert (run["status"], run["content"]) == ("COMPLETED", "Done: Sunny in Rome")
    assert [(tool["tool_name"], tool["result"]) for tool in run["tools"]] == [("get_weather", "Sunny in Rome")]


def test_keyword_arguments_arrive_as_they_were_meant(agentos: Driver, session_id: str) -> None:
    run = agentos.run_team(
        "state-team",
        '[[TOOL remember {"key": "b", "value": "2"}]]',
        session_id=session_id,
        session_state={"mine": {"deep": [1, None, True]}},
        metadata={"ticket": 7},
        dependencies={"name": "Ann"},
        add_history_to_context=True,
        num_history_runs=None,
    )
    assert run["session_state"] == {"a": 1, "mine": {"deep": [1, None, True]}, "b": "2"}
    assert run["metadata"] == {"ticket": 7}


@pytest.mark.parametrize("to", ["team", "agent"])
def test_an_output_schema_gives_an_object(agentos: Driver, to: str) -> None:
    message = '[[SAY {"city": "Rome"}]]'
    if to == "team":
        run = agentos.run_team("demo-team", message, output_schema=SCHEMA)
    else:
        run = agentos.run_agent("solo-agent", message, output_schema=SCHEMA)
    assert run["content"] == {"city": "Rome"}
    assert run["content_type"] == "Place"


def test_a_new_session_is_made_where_none_is_named(agentos: Driver) -> None:
    first, second = agentos.run_team("demo-team", "hello"), agentos.run_team("demo-team", "hello")
    assert first["session_id"] != second["session_id"]


def test_a_failed_run_is_a_run(agentos: Driver) -> None:
    run = agentos.run_team("demo-team", "[[ERROR 400]]")
    assert (run["$type"], run["status"]) == ("TeamRunOutput", "ERROR")
    assert "400" in run["content"]
    assert [event["event"] for event in run["events"]] == ["TeamRunError"]


@pytest.mark.parametrize(
    ("method", "to", "arguments", "status"),
    [
        ("run_team", "nobody", {}, 404),
        ("run_agent", "nobody", {}, 404),
        ("run_team", "demo-team", {"session_id": "a\x00b"}, 422),
        ("run_team_stream", "nobody", {}, 404),
        ("run_agent_stream", "solo-agent", {"message": " "}, 422),
    ],
)
def test_a_refusal_is_raised(agentos: Driver, method: str, to: str, arguments: dict[str, Any], status: int) -> None:
    with pytest.raises(ClientFailed) as failed:
        agentos.ask(method, to, **{"message": "hello", **arguments})
    assert (failed.value.kind, failed.value.status) == ("HTTPStatusError", status)


# Streams


def test_a_plain_stream(agentos: Driver, session_id: str) -> None:
    events = agentos.run_team_stream("demo-team", "[[WORDS 5]]", session_id=session_id)
    assert names(events) == [
        ("TeamRunStarted", "RunStartedEvent"),
        ("TeamModelRequestStarted", "ModelRequestStartedEvent"),
        ("TeamRunContent", "RunContentEvent"),
        ("TeamModelRequestCompleted", "ModelRequestCompletedEvent"),
        ("TeamRunContentCompleted", "RunContentCompletedEvent"),
        ("TeamRunCompleted", "RunCompletedEvent"),
    ]
    text = "word0 word1 word2 word3 word4"
    assert "".join(event["content"] for event in events if event["$type"] == "RunContentEvent") == text
    assert events[-1]["content"] == text
    assert {event["session_id"] for event in events} == {session_id}
    assert {(event["team_id"], event["team_name"]) for event in events} == {("demo-team", "Demo Team")}
    assert len({event["run_id"] for event in events}) == 1
    assert (events[0]["model"], events[0]["model_provider"]) == ("scripted", "Scripted")
    assert events[-1]["metrics"]["$type"] == "RunMetrics"
    assert agentos.complaints() == []


def test_a_delegating_stream(agentos: Driver) -> None:
    events = agentos.run_team_stream("demo-team", DELEGATE)
    member = [
        ("RunStarted", "RunStartedEvent"),
        ("ModelRequestStarted", "ModelRequestStartedEvent"),
        ("ModelRequestCompleted", "ModelRequestCompletedEvent"),
        ("ToolCallStarted", "ToolCallStartedEvent"),
        ("ToolCallCompleted", "ToolCallCompletedEvent"),
        ("ModelRequestStarted", "ModelRequestStartedEvent"),
        ("RunContent", "RunContentEvent"),
        ("ModelRequestCompleted", "ModelRequestCompletedEvent"),
        ("RunContentCompleted", "RunContentCompletedEvent"),
        ("RunCompleted", "RunCompletedEvent"),
    ]
    assert names(events) == [
        ("TeamRunStarted", "RunStartedEvent"),
        ("TeamModelRequestStarted", "ModelRequestStartedEvent"),
        ("TeamModelRequestCompleted", "ModelRequestCompletedEvent"),
        ("TeamToolCallStarted", "ToolCallStartedEvent"),
        *member,
        ("TeamToolCallCompleted", "ToolCallCompletedEvent"),
        ("TeamModelRequestStarted", "ModelRequestStartedEvent"),
        ("TeamRunContent", "RunContentEvent"),
        ("TeamModelRequestCompleted", "ModelRequestCompletedEvent"),
        ("TeamRunContentCompleted", "RunContentCompletedEvent"),
        ("TeamRunCompleted", "RunCompletedEvent"),
    ]
    root = events[0]["run_id"]
    assert {event["parent_run_id"] for event in events if "agent_id" in event} == {root}
    (called,) = [event for event in events if event["event"] == "TeamToolCallCompleted"]
    (child,) = {event["run_id"] for event in events if "agent_id" in event}
    assert called["tool"]["child_run_id"] == child
    (response,) = events[-1]["member_responses"]
    assert (response["$type"], response["run_id"], response["agent_id"]) == ("RunOutput", child, "weather-agent")
    assert agentos.complaints() == []


def test_a_failing_stream(agentos: Driver) -> None:
    events = agentos.run_team_stream("demo-team", "[[ERROR 400]]")
    assert names(events)[-1] == ("TeamRunError", "RunErrorEvent")
    assert "400" in events[-1]["content"]
    assert agentos.complaints() == []


def test_names_of_ours_are_passed_over(agentos: Driver) -> None:
    events = agentos.run_team_stream("demo-team", "[[ERROR 500]]")
    assert names(events)[-1] == ("TeamRunError", "RunErrorEvent")
    unread = agentos.complaints()
    assert unread
    assert all("TeamModelRequestRetried" in line for line in unread)


@pytest.mark.parametrize(
    ("team", "message"),
    [
        ("route-team", "[[DELEGATE r-writer-agent: hello]]"),
        ("broadcast-team", "[[BROADCAST hello all]]"),
        ("outer-team", "[[DELEGATE inner-team: do <DELEGATE n-writer-agent: x>]]"),
        ("tasks-team", "hello"),
        ("busy-team", '[[TOOL walk {"steps": 2}]]'),
    ],
)
def test_the_client_knows_every_event_of_every_mode(agentos: Driver, team: str, message: str) -> None:
    events = agentos.run_team_stream(team, message)
    assert names(events)[-1] == ("TeamRunCompleted", "RunCompletedEvent")
    assert agentos.complaints() == []


def test_hooks_summaries_memories_and_progress_are_typed(agentos: Driver) -> None:
    stream = agentos.run_team_stream("busy-team", '[[TOOL walk {"steps": 2}]] I like tea', user_id="ada")
    kinds = {kind for _, kind in names(stream)}
    assert kinds >= {
        "PreHookStartedEvent",
        "PreHookCompletedEvent",
        "PostHookCompletedEvent",
        "CustomEvent",
        "SessionSummaryCompletedEvent",
        "MemoryUpdateCompletedEvent",
    }


def test_a_failing_tool_in_a_stream(agentos: Driver) -> None:
    events = agentos.run_agent_stream("solo-agent", '[[TOOL boom {"x": "1"}]]')
    pairs = names(events)
    assert ("ToolCallError", "ToolCallErrorEvent") in pairs
    (error,) = [event for event in events if event["event"] == "ToolCallError"]
    assert "boom 1" in error["error"]
    assert pairs[-1] == ("RunCompleted", "RunCompletedEvent")


def test_a_paused_stream(agentos: Driver) -> None:
    events = agentos.run_team_stream("demo-team", '[[TOOL send_mail {"to": "ann"}]]')
    paused = events[-1]
    assert (paused["event"], paused["$type"]) == ("TeamRunPaused", "RunPausedEvent")
    assert [tool["$type"] for tool in paused["tools"]] == ["ToolExecution"]
    (requirement,) = paused["requirements"]
    assert requirement["$type"] == "RunRequirement"
    assert requirement["tool_execution"]["requires_confirmation"] is True
    assert agentos.complaints() == []


@pytest.mark.parametrize("to", ["team", "agent"])
def test_a_cancelled_stream(agentos: Driver, to: str) -> None:
    kind = "Team" if to == "team" else ""
    if to == "team":
        stream = agentos.begin("run_team_stream", "demo-team", "[[WORDS 400 20]]")
        run_id = stream.until("TeamRunContent")["run_id"]
        assert agentos.cancel_team_run("demo-team", run_id) is None
    else:
        stream = agentos.begin("run_agent_stream", "solo-agent", "[[WORDS 400 20]]")
        run_id = stream.until("RunContent")["run_id"]
        assert agentos.cancel_agent_run("solo-agent", run_id) is None
    events = stream.result()
    assert names(events)[-1] == (f"{kind}RunCancelled", "RunCancelledEvent")
    assert events[-1]["run_id"] == run_id
    assert agentos.complaints() == []


# Continuing an agent's run


def paused(agentos: Driver, message: str, session_id: str) -> dict[str, Any]:
    """An agent's run that waits for a person."""
    run: dict[str, Any] = agentos.run_agent("solo-agent", message, session_id=session_id)
    assert run["status"] == "PAUSED"
    assert len(run["tools"]) == 1
    return run


def decided(run: dict[str, Any], **decision: Any) -> list[dict[str, Any]]:
    """The run's tools as the user of the client sends them back."""
    (tool,) = run["tools"]
    return [{**{key: value for key, value in tool.items() if key != "metrics"}, **decision}]


@pytest.mark.parametrize(
    ("message", "decision", "content"),
    [
        ('[[TOOL send_mail {"to": "ann"}]]', {"confirmed": True}, "Done: sent to ann"),
        ('[[TOOL browse {"url": "/x"}]]', {"result": "a page"}, "Done: a page"),
    ],
)
def test_a_paused_run_goes_on(
    agentos: Driver, session_id: str, message: str, decision: dict[str, Any], content: str
) -> None:
    run = paused(agentos, message, session_id)
    done = agentos.continue_agent_run("solo-agent", run["run_id"], decided(run, **decision), session_id=session_id)
    assert (done["$type"], done["run_id"], done["status"]) == ("RunOutput", run["run_id"], "COMPLETED")
    assert done["content"] == content


def test_a_refused_call_is_not_made(agentos: Driver, session_id: str) -> None:
    run = paused(agentos, '[[TOOL send_mail {"to": "ann"}]]', session_id)
    tools = decided(run, confirmed=False, confirmation_note="not to her")
    done = agentos.continue_agent_run("solo-agent", run["run_id"], tools, session_id=session_id)
    assert done["status"] == "COMPLETED"
    assert "sent to" not in done["content"]
    assert "not to her" in done["content"]


def test_what_a_person_was_asked_for_is_used(agentos: Driver, session_id: str) -> None:
    run = paused(agentos, '[[TOOL paint {"thing": "door"}]]', session_id)
    (field,) = [field for field in run["tools"][0]["user_input_schema"] if field["name"] == "color"]
    tools = decided(run, user_input_schema=[{**field, "value": "red"}])
    done = agentos.continue_agent_run("solo-agent", run["run_id"], tools, session_id=session_id)
    assert done["content"] == "Done: door is red"


def test_a_continued_stream(agentos: Driver, session_id: str) -> None:
    run = paused(agentos, '[[TOOL send_mail {"to": "ann"}]]', session_id)
    tools = decided(run, confirmed=True)
    events = agentos.continue_agent_run_stream("solo-agent", run["run_id"], tools, session_id=session_id)
    assert ("RunContinued", "RunContinuedEvent") in names(events)
    assert names(events)[-1] == ("RunCompleted", "RunCompletedEvent")
    assert events[-1]["content"] == "Done: sent to ann"
    assert agentos.complaints() == []


def test_deciding_otherwise_later_is_refused(agentos: Driver, session_id: str) -> None:
    run = paused(agentos, '[[TOOL send_mail {"to": "ann"}]]', session_id)
    agentos.continue_agent_run("solo-agent", run["run_id"], decided(run, confirmed=True), session_id=session_id)
    tools = decided(run, confirmed=False)
    with pytest.raises(ClientFailed) as failed:
        agentos.continue_agent_run("solo-agent", run["run_id"], tools, session_id=session_id)
    assert failed.value.status == 409
    assert failed.value.body["detail"] == "run is already continued"


# Media, which the client sends as JSON text and AgentOS itself cannot read


@pytest.mark.parametrize("stream", [False, True])
def test_media_of_a_team_run(agentos: Driver, stream: bool) -> None:
    images = [{"content": PIXEL, "mime_type": "image/png", "id": "pixel"}]
    files = [{"content": base64.b64encode(b"a,b").decode(), "mime_type": "text/csv", "filename": "t.csv"}]
    audio = [{"content": base64.b64encode(b"RIFF").decode(), "mime_type": "audio/wav"}]
    videos = [{"url": "https://example.org/a.mp4"}]
    media = {"images": images, "files": files, "audio": audio, "videos": videos}
    if stream:
        events = agentos.run_team_stream("demo-team", "look", **media)
        assert events[-1]["event"] == "TeamRunCompleted"
    else:
        run = agentos.run_team("demo-team", "look", **media)
        assert run["status"] == "COMPLETED"
        assert [(image["$type"], image["id"], image["content"]) for image in run["input"]["images"]] == [
            ("Image", "pixel", PIXEL)
        ]
        assert [(file["$type"], file["filename"]) for file in run["input"]["files"]] == [("File", "t.csv")]
        assert [video["url"] for video in run["input"]["videos"]] == ["https://example.org/a.mp4"]
        assert [sound["mime_type"] for sound in run["input"]["audios"]] == ["audio/wav"]


def test_media_of_an_agent_run_are_objects_of_the_client(agentos: Driver) -> None:
    image = {"$type": "Image", "url": "https://example.org/a.png"}
    run = agentos.run_agent("solo-agent", "look", images=[image])
    assert run["status"] == "COMPLETED"
    assert [image["url"] for image in run["input"]["images"]] == ["https://example.org/a.png"]
