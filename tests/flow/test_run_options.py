"""What a request gives a run beside its message: state, history, the form of the answer, values for tools."""

import json
from typing import Any

import pytest

from tests.support.http import ServerClient, wrong_fields

PERSON = {
    "title": "P",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
BOB = '[[SAY {"name":"Bob","age":3}]]'


def remember(key: str, value: str) -> str:
    return f"[[TOOL remember {json.dumps({'key': key, 'value': value})}]]"


# --- session state ------------------------------------------------------------------------------------


async def test_state_is_the_users_exactly(client: ServerClient) -> None:
    done = await client.run(session_state='{"a": 1}', session_id="s1", user_id="u1")
    assert done["session_state"] == {"a": 1}
    got = await client.get(f"/teams/demo-team/runs/{done['run_id']}", session_id="s1")
    assert got["session_state"] == {"a": 1}
    assert (await client.get("/sessions/s1"))["session_state"] == {"a": 1}
    assert (await client.get("/sessions"))["data"][0]["session_state"] == {"a": 1}


async def test_state_is_left_out_when_there_is_none(client: ServerClient) -> None:
    done = await client.run("[[DELEGATE writer-agent: x]]", session_id="s1")
    assert "session_state" not in done
    stream = await client.stream("[[DELEGATE writer-agent: x]]", session_id="s1")
    assert "session_state" not in stream.one("TeamRunCompleted")
    assert "session_state" not in stream.one("RunCompleted")
    assert (await client.get("/sessions/s1"))["session_state"] == {}


async def test_state_lasts_from_run_to_run(client: ServerClient) -> None:
    await client.run(session_state='{"a": 1, "b": 1}', session_id="s1")
    assert (await client.run(session_id="s1"))["session_state"] == {"a": 1, "b": 1}
    assert (await client.run(session_state='{"b": 2}', session_id="s1"))["session_state"] == {"a": 1, "b": 2}
    assert "session_state" not in await client.run(session_id="s2")


async def test_what_a_tool_changes_is_kept_and_told(client: ServerClient) -> None:
    stream = await client.stream(remember("k", "v"), session_id="s1", session_state='{"a": 1}')
    assert stream.one("TeamRunCompleted")["session_state"] == {"a": 1, "k": "v"}
    assert (await client.run(session_id="s1"))["session_state"] == {"a": 1, "k": "v"}


async def test_state_that_a_team_declares_stands_below(client: ServerClient) -> None:
    to = "teams/state-team"
    assert (await client.run(to=to, session_id="s1"))["session_state"] == {"a": 1}
    assert (await client.run(to=to, session_id="s1", session_state='{"a": 2}'))["session_state"] == {"a": 2}
    assert (await client.run(to=to, session_id="s1"))["session_state"] == {"a": 2}


async def test_state_of_a_run_that_failed_is_kept(client: ServerClient) -> None:
    done = await client.run("[[ERROR 500]]", session_id="s1", session_state='{"a": 1}')
    assert done["session_state"] == {"a": 1}
    assert (await client.get("/sessions/s1"))["session_state"] == {"a": 1}


# --- history ------------------------------------------------------------------------------------------


def said(client: ServerClient) -> list[str]:
    """What the model was given last, without the system message."""
    return [message["content"] for message in client.model.conversation() if message["role"] != "system"]


async def test_history_is_shown_when_asked_for(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    done = await client.run("two", session_id="s1", add_history_to_context="true")
    assert said(client) == ["one", "Echo: one", "two"]
    assert [message["role"] for message in done["messages"]].count("system") == 1


async def test_a_run_shows_its_own_messages_without_those_of_earlier_runs(client: ServerClient) -> None:
    """As AgentOS; only an export has what the model read before them."""
    await client.run("one", session_id="s1")
    done = await client.run("two", session_id="s1", add_history_to_context="true")
    exported = (await client.get(f"/runs/{done['run_id']}/export"))["run"]
    (_, listed) = await client.get("/sessions/s1/runs", type="team")
    for run in (done, listed):
        texts = [(message["content"], message["from_history"]) for message in run["messages"][1:]]
        assert texts == [("two", False), ("Echo: two", False)]
    texts = [(message["content"], message["from_history"]) for message in exported["messages"][1:]]
    assert texts == [("one", True), ("Echo: one", True), ("two", False), ("Echo: two", False)]


async def test_no_history_unless_asked_for(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.run("two", session_id="s1")
    assert said(client) == ["two"]
    await client.run("three", session_id="s1", add_history_to_context="false")
    assert said(client) == ["three"]


async def test_history_is_of_the_session_and_the_team(client: ServerClient) -> None:
    await client.run("one", session_id="s1")
    await client.run("other session", session_id="s2")
    await client.run("other team", session_id="s1", to="teams/other-team")
    await client.run("two", session_id="s1", add_history_to_context="true")
    assert said(client) == ["one", "Echo: one", "two"]


async def test_history_has_tool_calls_and_no_failed_runs(client: ServerClient) -> None:
    await client.run('[[TOOL get_weather {"city": "Rome"}]]', session_id="s1")
    await client.run("[[ERROR 400]]", session_id="s1")
    await client.run("two", session_id="s1", add_history_to_context="true")
    roles = [message["role"] for message in client.model.conversation()]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user"]


async def test_history_is_not_told_twice(client: ServerClient) -> None:
    for message in ("one", "two"):
        await client.run(message, session_id="s1", add_history_to_context="true")
    done = await client.run("three", session_id="s1", add_history_to_context="true")
    assert said(client) == ["one", "Echo: one", "two", "Echo: two", "three"]
    assert len({message["id"] for message in done["messages"]}) == len(done["messages"])
    chat = (await client.get("/sessions/s1"))["chat_history"]
    assert [message["content"] for message in chat] == ["one", "Echo: one", "two", "Echo: two", "three", "Echo: three"]


# --- the form of the answer ---------------------------------------------------------------------------


@pytest.mark.parametrize("use_json_schema", [{}, {"use_json_schema": "true"}])
async def test_an_answer_in_a_form_that_the_request_gives(
    client: ServerClient, use_json_schema: dict[str, str]
) -> None:
    done = await client.run(BOB, output_schema=json.dumps(PERSON), **use_json_schema)
    assert (done["content"], done["content_type"]) == ({"name": "Bob", "age": 3}, "P")
    got = await client.get(f"/teams/demo-team/runs/{done['run_id']}", session_id=done["session_id"])
    assert (got["content"], got["content_type"]) == ({"name": "Bob", "age": 3}, "P")
    (listed,) = await client.get("/teams/demo-team/runs", session_id=done["session_id"])
    assert (listed["content"], listed["run_response_format"]) == ({"name": "Bob", "age": 3}, "json")


async def test_an_answer_in_a_form_that_the_team_declares(client: ServerClient) -> None:
    done = await client.run(BOB, to="teams/person-team")
    assert (done["content"], done["content_type"]) == ({"name": "Bob", "age": 3}, "Person")


@pytest.mark.parametrize("stream_events", ["true", "false"])
async def test_a_structured_answer_is_one_event_of_a_stream(client: ServerClient, stream_events: str) -> None:
    stream = await client.stream(BOB, to="teams/person-team", stream_events=stream_events)
    for name in ("TeamRunContent", "TeamRunCompleted"):
        assert stream.one(name)["content"] == {"name": "Bob", "age": 3}
        assert stream.one(name)["content_type"] == "Person"
    assert ("TeamRunIntermediateContent" in stream.names) is (stream_events == "true")


@pytest.mark.parametrize("to", ["teams/person-team", "teams/demo-team"])
async def test_an_answer_that_never_gets_the_form(client: ServerClient, to: str) -> None:
    fields: dict[str, Any] = {} if to == "teams/person-team" else {"output_schema": json.dumps(PERSON)}
    done = await client.run("hello", to=to, **fields)
    assert done["status"] == "ERROR"
    assert done["error"]["code"] == "output_invalid"
    assert "form" in done["content"]


@pytest.mark.parametrize(
    "schema",
    [
        '{"type": "nonsense"}',
        '{"properties": 7}',
        '{"$ref": "#/nowhere"}',
        '{"$ref": "http://localhost:9/schema"}',
        '{"$ref": "file:///etc/hostname"}',
        '{"type": "json_schema"}',
        '{"type": "json_schema", "json_schema": {"schema": 7}}',
    ],
)
async def test_a_form_that_is_none(client: ServerClient, schema: str) -> None:
    answer = await client.post(BOB, stream="false", output_schema=schema)
    assert wrong_fields(answer) == [("body", "output_schema")]


async def test_a_form_in_the_words_of_openai(client: ServerClient) -> None:
    wrapped = {"type": "json_schema", "json_schema": {"name": "Q", "schema": {"type": "object"}}}
    done = await client.run(BOB, output_schema=json.dumps(wrapped))
    assert (done["content"], done["content_type"]) == ({"name": "Bob", "age": 3}, "Q")


# --- values for tools ---------------------------------------------------------------------------------


async def test_values_for_tools(client: ServerClient) -> None:
    values = {"dependencies": '{"k": "v"}', "metadata": '{"m": [1]}', "user_id": "u1"}
    done = await client.run("[[TOOL tell]]", **values)
    context = json.loads(done["tools"][0]["result"])
    assert context == {"dependencies": {"k": "v"}, "metadata": {"m": [1]}, "user_id": "u1"}
    assert done["metadata"] == {"m": [1]}


async def test_filters_of_a_knowledge_base_that_is_not_there(client: ServerClient) -> None:
    assert (await client.run(knowledge_filters='{"k": "v"}'))["status"] == "COMPLETED"
