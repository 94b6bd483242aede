"""Agents asked directly: the same operations, the peer's RunOutput and the events without "Team"."""

from dirty_equals import IsFloat, IsInt, IsStr

from tests.support.http import ServerClient, problem

SOLO = "agents/solo-agent"
IS_ID = IsStr(regex=r"[0-9a-f]{8}-[0-9a-f-]{27}")
IS_EXACT_TIME = IsFloat(gt=1_700_000_000)


async def test_a_run(client: ServerClient) -> None:
    done = await client.run("hello", to=SOLO, session_id="s1", user_id="u1", session_state='{"a": 1}')
    assert done == {
        "run_id": IS_ID,
        "agent_id": "solo-agent",
        "agent_name": "Solo Agent",
        "session_id": "s1",
        "user_id": "u1",
        "content": "Echo: hello",
        "content_type": "str",
        "model": "scripted",
        "model_provider": "Scripted",
        "session_state": {"a": 1},
        "created_at": IsInt(gt=1_700_000_000),
        "status": "COMPLETED",
        "metrics": done["metrics"],
        "messages": done["messages"],
        "tools": [],
        "input": {"input_content": "hello"},
        "totals": done["totals"],
        "attempts": 1,
        "queued_at": IS_EXACT_TIME,
        "started_at": IS_EXACT_TIME,
        "first_token_at": IS_EXACT_TIME,
        "ended_at": IS_EXACT_TIME,
    }
    assert [message["role"] for message in done["messages"]] == ["user", "assistant"]
    assert done["metrics"]["total_tokens"] == 15
    assert (done["totals"]["input_tokens"], done["totals"]["model_calls"]) == (10, 1)


async def test_get_tells_the_same(client: ServerClient) -> None:
    done = await client.run('[[TOOL get_weather {"city": "Rome"}]]', to=SOLO, session_id="s1")
    got = await client.get(f"/{SOLO}/runs/{done['run_id']}", session_id="s1")
    assert got.pop("events") == []
    assert got == done
    assert got["tools"][0]["result"] == "Sunny in Rome"


async def test_a_failed_run(client: ServerClient) -> None:
    done = await client.run("[[ERROR 400]]", to=SOLO)
    assert (done["status"], done["content"]) == ("ERROR", "fake model error 400")
    (event,) = done["events"]
    assert (event["event"], event["agent_id"]) == ("RunError", "solo-agent")
    assert done["error"] == {"code": "model_error", "message": "fake model error 400", "retryable": False}


async def test_a_stream(client: ServerClient) -> None:
    stream = await client.stream('[[TOOL get_weather {"city": "Rome"}]]', to=SOLO, session_id="s1")
    assert stream.names == [
        "RunStarted",
        "ModelRequestStarted",
        "ModelRequestCompleted",
        "ToolCallStarted",
        "ToolCallCompleted",
        "ModelRequestStarted",
        "RunContent",
        "ModelRequestCompleted",
        "RunContentCompleted",
        "RunCompleted",
    ]
    assert {event["agent_id"] for event in stream.events} == {"solo-agent"}
    assert {event["nested_depth"] for event in stream.events} == {0}
    assert not any("parent_run_id" in event or "team_id" in event for event in stream.events)
    assert stream.text("RunContent") == stream.one("RunCompleted")["content"] == "Done: Sunny in Rome"


async def test_a_failed_stream(client: ServerClient) -> None:
    stream = await client.stream("[[ERROR 400]]", to=SOLO)
    assert stream.names == ["RunStarted", "ModelRequestStarted", "RunError"]
    assert (await client.stream("hello", to=SOLO, stream_events="false")).names == ["RunContent", "RunCompleted"]


async def test_in_the_background(client: ServerClient) -> None:
    run = await client.begin("hello", to=SOLO)
    assert run.location == f"/{SOLO}/runs/{run.run_id}?session_id={run.session_id}"
    done = await client.ended(run, SOLO)
    assert (done["status"], done["agent_id"]) == ("COMPLETED", "solo-agent")


async def test_a_list(client: ServerClient) -> None:
    done = await client.run("hello", to=SOLO, session_id="s1", user_id="u1")
    (run,) = await client.get(f"/{SOLO}/runs", session_id="s1")
    assert (run["run_id"], run["agent_id"], run["user_id"]) == (done["run_id"], "solo-agent", "u1")
    assert (run["parent_run_id"], run["run_input"], run["content"]) == ("", "hello", "Echo: hello")
    assert (run["tools"], run["response_audio"]) == (None, None)
    assert [event["event"] for event in run["events"]] == ["RunCompleted"]
    assert "team_id" not in run


async def test_a_session(client: ServerClient) -> None:
    await client.run("hello", to=SOLO, session_id="s1", user_id="u1")
    session = await client.get("/sessions/s1")
    assert (session["agent_id"], session["agent_session_id"]) == ("solo-agent", "s1")
    assert session["agent_data"] == {
        "name": "Solo Agent",
        "agent_id": "solo-agent",
        "model": {"id": "scripted", "provider": "Scripted", "name": "Scripted"},
    }
    (run,) = await client.get("/sessions/s1/runs")
    assert (run["agent_id"], run["user_id"]) == ("solo-agent", "u1")
    assert "tools" not in run


async def test_a_member_is_served_only_where_it_is_listed(client: ServerClient) -> None:
    """The weather agent is a member and served; the writer is a member only."""
    assert (await client.run("hello", to="agents/weather-agent"))["status"] == "COMPLETED"
    assert problem(await client.post(to="agents/writer-agent"), 404, "NOT_FOUND") == "Agent not found"
    assert problem(await client.http.get("/agents/writer-agent"), 404, "NOT_FOUND") == "Agent not found"


async def test_a_members_runs_are_not_listed_as_the_agents_own(client: ServerClient) -> None:
    await client.run("[[DELEGATE weather-agent: x]]", session_id="s1")
    assert await client.get("/agents/weather-agent/runs", session_id="s1") == []
