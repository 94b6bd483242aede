"""What a run answers once it has ended: TeamRunOutput, on POST and on GET, key by key."""

import json
from typing import Any

from dirty_equals import IsFloat, IsInt, IsNow, IsStr
from inline_snapshot import snapshot

from tests.support.http import Receipt, ServerClient

IS_ID = IsStr(regex=r"[0-9a-f]{8}-[0-9a-f-]{27}")
IS_CALL_ID = IsStr(regex=r"call_.+")
IS_SECONDS = IsFloat(ge=0, lt=60)
IS_TIME = IsInt(gt=1_700_000_000)
IS_EXACT_TIME = IsFloat(gt=1_700_000_000)
IS_NOW = IsNow(unix_number=True, delta=60)
TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
DELEGATE = 'What is the weather? [[DELEGATE weather-agent: weather in Paris <TOOL get_weather {"city":"Paris"}>]]'
UNDECIDED = {
    "requires_confirmation": None,
    "confirmed": None,
    "confirmation_note": None,
    "requires_user_input": None,
    "user_input_schema": None,
    "user_feedback_schema": None,
    "answered": None,
    "external_execution_required": None,
    "external_execution_silent": None,
    "approval_type": None,
    "approval_id": None,
}


async def polled(client: ServerClient, done: dict[str, Any], to: str = "teams/demo-team") -> dict[str, Any]:
    """The run as GET tells it."""
    return await client.poll(Receipt(done["run_id"], done["session_id"], ""), to=to)


async def test_no_delegation(client: ServerClient) -> None:
    done = await client.run("hello", session_id="s1", user_id="u1")
    assert done == snapshot(
        {
            "run_id": IS_ID,
            "team_id": "demo-team",
            "team_name": "Demo Team",
            "session_id": "s1",
            "user_id": "u1",
            "input": {"input_content": "hello"},
            "content": "Echo: hello",
            "content_type": "str",
            "model": "scripted",
            "model_provider": "Scripted",
            "member_responses": [],
            "created_at": IS_TIME,
            "metrics": {
                "input_tokens": 10,
                "output_tokens": 5,
                "total_tokens": 15,
                "time_to_first_token": IS_SECONDS,
                "duration": IS_SECONDS,
                "details": {
                    "model": [
                        {
                            "input_tokens": 10,
                            "output_tokens": 5,
                            "total_tokens": 15,
                            "id": "scripted",
                            "provider": "Scripted",
                        }
                    ]
                },
            },
            "status": "COMPLETED",
            "messages": [
                {
                    "id": IS_ID,
                    "content": IsStr(regex=r"(?s)You lead a team.*Be brief.*"),
                    "from_history": False,
                    "stop_after_tool_call": False,
                    "role": "system",
                    "created_at": IS_TIME,
                },
                {
                    "id": IS_ID,
                    "content": "hello",
                    "from_history": False,
                    "stop_after_tool_call": False,
                    "role": "user",
                    "created_at": IS_TIME,
                },
                {
                    "id": IS_ID,
                    "content": "Echo: hello",
                    "from_history": False,
                    "stop_after_tool_call": False,
                    "role": "assistant",
                    "metrics": {
                        "input_tokens": 10,
                        "output_tokens": 5,
                        "total_tokens": 15,
                        "duration": IS_SECONDS,
                        "time_to_first_token": IS_SECONDS,
                    },
                    "created_at": IS_TIME,
                },
            ],
            "tools": [],
            "attempts": 1,
            "queued_at": IS_EXACT_TIME,
            "started_at": IS_EXACT_TIME,
            "first_token_at": IS_EXACT_TIME,
            "ended_at": IS_EXACT_TIME,
            "totals": {
                "input_tokens": 10,
                "output_tokens": 5,
                "reasoning_tokens": 0,
                "cache_read_tokens": 0,
                "cache_write_tokens": 0,
                "cost": 0.0,
                "model_calls": 1,
                "tool_calls": 0,
                "delegations": 0,
                "failed_calls": 0,
            },
        }
    )
    assert list(done)[:6] == ["run_id", "team_id", "team_name", "session_id", "user_id", "input"]
    assert done["created_at"] == IS_NOW
    assert done["queued_at"] <= done["started_at"] <= done["first_token_at"] <= done["ended_at"]


async def test_get_and_post_tell_the_same_but_for_two_empty_lists(client: ServerClient) -> None:
    done = await client.run("hello")
    got = await polled(client, done)
    assert got.pop("events") == []
    assert done.pop("tools") == []
    assert got == done


async def test_with_delegation(client: ServerClient) -> None:
    done = await client.run(DELEGATE)
    task = 'weather in Paris [[TOOL get_weather {"city":"Paris"}]]'
    assert done["content"] == "Done: Done: Sunny in Paris"
    assert done["member_responses"] == []
    assert done["metrics"]["total_tokens"] == 30
    assert [message["role"] for message in done["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    call, result = done["messages"][2:4]
    assert call == {
        "id": IS_ID,
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "assistant",
        "tool_calls": [
            {
                "id": IS_CALL_ID,
                "function": {
                    "arguments": json.dumps({"member_id": "weather-agent", "task": task}, separators=(",", ":")),
                    "name": "delegate_task_to_member",
                },
                "type": "function",
            }
        ],
        "metrics": {**TOKENS, "duration": IS_SECONDS, "time_to_first_token": IS_SECONDS},
        "created_at": IS_TIME,
    }
    assert result == {
        "id": IS_ID,
        "content": "Done: Sunny in Paris",
        "from_history": False,
        "stop_after_tool_call": False,
        "role": "tool",
        "tool_call_id": call["tool_calls"][0]["id"],
        "tool_name": "delegate_task_to_member",
        "tool_args": {"member_id": "weather-agent", "task": task},
        "tool_call_error": False,
        "created_at": IS_TIME,
    }
    assert done["tools"] == [
        {
            "tool_call_id": call["tool_calls"][0]["id"],
            "tool_name": "delegate_task_to_member",
            "tool_args": {"member_id": "weather-agent", "task": task},
            "tool_call_error": False,
            "result": "Done: Sunny in Paris",
            "metrics": {"start_time": IS_EXACT_TIME, "end_time": IS_EXACT_TIME, "duration": IS_SECONDS},
            "child_run_id": IS_ID,
            "stop_after_tool_call": False,
            "created_at": IS_TIME,
            **UNDECIDED,
        }
    ]
    got = await polled(client, done)
    assert got["tools"] == done["tools"]
    assert got["messages"] == done["messages"]


async def test_a_member_run_by_its_id(client: ServerClient) -> None:
    done = await client.run(DELEGATE, session_id="s1", user_id="u1")
    member_id = done["tools"][0]["child_run_id"]
    member = await client.get(f"/teams/demo-team/runs/{member_id}", session_id="s1")
    assert member == snapshot(
        {
            "run_id": IS_ID,
            "agent_id": "weather-agent",
            "agent_name": "Weather Agent",
            "session_id": "s1",
            "user_id": "u1",
            "parent_run_id": IS_ID,
            "content": "Done: Sunny in Paris",
            "content_type": "str",
            "model": "scripted",
            "model_provider": "Scripted",
            "created_at": IS_TIME,
            "status": "COMPLETED",
            "metrics": {
                "input_tokens": 20,
                "output_tokens": 10,
                "total_tokens": 30,
                "time_to_first_token": IS_SECONDS,
                "duration": IS_SECONDS,
                "details": {
                    "model": [
                        {
                            "input_tokens": 20,
                            "output_tokens": 10,
                            "total_tokens": 30,
                            "id": "scripted",
                            "provider": "Scripted",
                        }
                    ]
                },
            },
            "events": [],
            "messages": member["messages"],
            "tools": member["tools"],
            "input": {"input_content": 'weather in Paris [[TOOL get_weather {"city":"Paris"}]]'},
            "started_at": IS_EXACT_TIME,
            "ended_at": IS_EXACT_TIME,
        }
    )
    assert (member["run_id"], member["parent_run_id"]) == (member_id, done["run_id"])
    assert [message["role"] for message in member["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert member["tools"][0]["result"] == "Sunny in Paris"


async def test_a_member_run_belongs_to_its_team_alone(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE writer-agent: hi]]", session_id="s1")
    path = f"runs/{done['tools'][0]['child_run_id']}"
    assert (await client.http.get(f"/teams/demo-team/{path}", params={"session_id": "s1"})).status_code == 200
    for owner in ("teams/other-team", "teams/outer-team", "agents/solo-agent"):
        assert (await client.http.get(f"/{owner}/{path}", params={"session_id": "s1"})).status_code == 404


async def test_members_of_a_team_that_stores_their_responses(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE writer-agent: a || DELEGATE writer-agent: b]]", to="teams/full-team")
    assert [member["content"] for member in done["member_responses"]] == ["Echo: a", "Echo: b"]
    assert {member["parent_run_id"] for member in done["member_responses"]} == {done["run_id"]}
    assert [member["run_id"] for member in done["member_responses"]] == [tool["child_run_id"] for tool in done["tools"]]
    assert (await polled(client, done, "teams/full-team"))["member_responses"] == done["member_responses"]


async def test_two_delegations_in_one_turn(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE weather-agent: a || DELEGATE writer-agent: b]]")
    assert done["content"] == "Done: Echo: a | Echo: b"
    assert [call["result"] for call in done["tools"]] == ["Echo: a", "Echo: b"]
    assert len({call["child_run_id"] for call in done["tools"]} | {call["tool_call_id"] for call in done["tools"]}) == 4


async def test_a_nested_team(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE inner-team: do <DELEGATE n-writer-agent: x>]]", to="teams/outer-team")
    assert done["content"] == "Done: Done: Echo: x"
    inner = await client.get(
        f"/teams/outer-team/runs/{done['tools'][0]['child_run_id']}", session_id=done["session_id"]
    )
    assert (inner["team_id"], inner["parent_run_id"]) == ("inner-team", done["run_id"])
    assert inner["member_responses"] == []
    writer = await client.get(
        f"/teams/outer-team/runs/{inner['tools'][0]['child_run_id']}", session_id=done["session_id"]
    )
    assert (writer["agent_id"], writer["parent_run_id"]) == ("n-writer-agent", inner["run_id"])


# --- what goes wrong below the run --------------------------------------------------------------------


async def test_a_tool_that_raises(client: ServerClient) -> None:
    done = await client.run('[[TOOL boom {"x": "1"}]]')
    assert done["status"] == "COMPLETED"
    assert "boom 1" in done["content"]
    assert (done["tools"][0]["tool_call_error"], done["tools"][0]["result"]) == (True, "boom 1")
    assert [message["tool_call_error"] for message in done["messages"] if message["role"] == "tool"] == [True]


async def test_a_tool_with_wrong_arguments(client: ServerClient) -> None:
    done = await client.run('[[TOOL boom {"y": 1}]]')
    assert done["status"] == "COMPLETED"
    assert done["tools"][0]["tool_call_error"] is True
    assert "boom" in done["tools"][0]["result"]


async def test_a_tool_that_does_not_exist(client: ServerClient) -> None:
    done = await client.run('[[TOOL nosuch {"x": "1"}]]')
    assert done["status"] == "COMPLETED"
    assert done["tools"][0]["tool_call_error"] is True
    assert "There is no tool 'nosuch'" in done["content"]


async def test_a_member_that_does_not_exist(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE nobody: x]]")
    assert done["status"] == "COMPLETED"
    (call,) = done["tools"]
    assert (call["tool_call_error"], call["child_run_id"]) == (True, None)
    assert "There is no member 'nobody'" in call["result"]
    assert "weather-agent" in call["result"]


async def test_a_member_whose_model_fails(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE writer-agent: <ERROR 500>]]")
    assert done["status"] == "COMPLETED"
    (call,) = done["tools"]
    assert call["tool_call_error"] is True
    assert "fake model error 500" in call["result"]
    member = await client.get(f"/teams/demo-team/runs/{call['child_run_id']}", session_id=done["session_id"])
    assert (member["status"], member["content"]) == ("ERROR", "fake model error 500")
    assert member["events"] == [
        {
            "created_at": IS_TIME,
            "event": "RunError",
            "agent_id": "writer-agent",
            "agent_name": "Writer Agent",
            "run_id": call["child_run_id"],
            "parent_run_id": done["run_id"],
            "session_id": done["session_id"],
            "content": "fake model error 500",
            "error_type": "model_error",
        }
    ]
    assert member["error"] == {"code": "model_error", "message": "fake model error 500", "retryable": True}


async def test_a_model_that_fails(client: ServerClient) -> None:
    done = await client.run("[[ERROR 500]]")
    messages = done.pop("messages")
    assert done == snapshot(
        {
            "run_id": IS_ID,
            "team_id": "demo-team",
            "team_name": "Demo Team",
            "session_id": IS_ID,
            "input": {"input_content": "[[ERROR 500]]"},
            "content": "fake model error 500",
            "content_type": "str",
            "model": "scripted",
            "model_provider": "Scripted",
            "member_responses": [],
            "created_at": IS_TIME,
            "events": [
                {
                    "created_at": IS_TIME,
                    "event": "TeamRunError",
                    "team_id": "demo-team",
                    "team_name": "Demo Team",
                    "run_id": done["run_id"],
                    "session_id": done["session_id"],
                    "content": "fake model error 500",
                    "error_type": "model_error",
                }
            ],
            "metrics": {"duration": IS_SECONDS},
            "status": "ERROR",
            "attempts": 1,
            "queued_at": IS_EXACT_TIME,
            "started_at": IS_EXACT_TIME,
            "ended_at": IS_EXACT_TIME,
            "error": {"code": "model_error", "message": "fake model error 500", "retryable": True},
            "totals": {
                "input_tokens": 0,
                "output_tokens": 0,
                "reasoning_tokens": 0,
                "cache_read_tokens": 0,
                "cache_write_tokens": 0,
                "cost": 0.0,
                "model_calls": 1,
                "tool_calls": 0,
                "delegations": 0,
                "failed_calls": 1,
            },
        }
    )
    assert [message["role"] for message in messages] == ["system", "user"]
    assert await polled(client, done) == {**done, "messages": messages}


async def test_a_model_that_refuses(client: ServerClient) -> None:
    done = await client.run("[[ERROR 400]]")
    assert done["error"] == {"code": "model_error", "message": "fake model error 400", "retryable": False}
    assert len(client.model.calls) == 1
    assert (await client.run("[[ERROR 429]]"))["error"]["retryable"] is True
    assert len(client.model.calls) == 1 + client.server.settings.model_tries
