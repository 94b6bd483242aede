"""Traces: what is stored of a run, as spans; found again by their ids and by filters."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsPartialDict, IsStr

from musterd import Agent, Team
from musterd.core.callers import Caller
from musterd.core.errors import NotFound
from musterd.features.traces.service import TraceQuery, TraceService
from musterd.guards import RunInput
from tests.support.app import Sample, Serve
from tests.support.http import ServerClient, problem, wrong_fields

DELEGATE = 'Ask. [[DELEGATE weather-agent: <TOOL get_weather {"city": "Oslo"}>]]'
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def the_trace(client: ServerClient, **query: Any) -> dict[str, Any]:
    """The only trace, with its spans."""
    (summary,) = (await client.get("/traces", **query))["data"]
    trace: dict[str, Any] = await client.get(f"/traces/{summary['trace_id']}")
    moving = {"end_time", "duration"} if summary["status"] == "UNSET" else set()
    assert {name: trace[name] for name in summary if name not in moving} == {
        name: value for name, value in summary.items() if name not in moving
    }
    return trace


def outline(node: dict[str, Any]) -> Any:
    """A span's type and name, with those of the spans that it holds."""
    below = [outline(one) for one in node.get("spans", [])]
    return (node["type"], node["name"], *below)


def spans_of(node: dict[str, Any]) -> list[dict[str, Any]]:
    """A span and all that it holds."""
    return [node, *(span for one in node.get("spans", []) for span in spans_of(one))]


async def test_a_run_is_a_trace_of_its_steps_and_members(client: ServerClient) -> None:
    run = await client.run(DELEGATE, session_id="s1", user_id="ada")
    trace = await the_trace(client)
    assert trace["trace_id"] == run["run_id"].replace("-", "")
    (tree,) = trace["tree"]
    assert outline(tree) == (
        "TEAM",
        "invoke_agent Demo Team",
        ("LLM", "chat scripted"),
        (
            "TOOL",
            "execute_tool delegate_task_to_member",
            (
                "AGENT",
                "invoke_agent Weather Agent",
                ("LLM", "chat scripted"),
                ("TOOL", "execute_tool get_weather"),
                ("LLM", "chat scripted"),
            ),
        ),
        ("LLM", "chat scripted"),
    )
    assert trace == IsPartialDict(
        name="invoke_agent Demo Team",
        status="OK",
        start_time=IS_TIME,
        end_time=IS_TIME,
        created_at=IS_TIME,
        duration=IsStr(regex=r"\d+ms|\d+\.\d\ds"),
        total_spans=len(spans_of(tree)),
        error_count=0,
        input=DELEGATE,
        output=run["content"],
        run_id=run["run_id"],
        session_id="s1",
        user_id="ada",
        team_id="demo-team",
    )
    assert "agent_id" not in trace
    assert tree["metadata"] == {"total_input_tokens": 40, "total_output_tokens": 20}


async def test_a_span_says_what_it_did(client: ServerClient) -> None:
    await client.run(DELEGATE, session_id="s1")
    trace = await the_trace(client)
    by_name = {span["name"]: span for span in spans_of(trace["tree"][0])}
    tool = by_name["execute_tool get_weather"]
    assert tool == IsPartialDict(
        status="OK",
        input='{"city":"Oslo"}',
        output="Sunny in Oslo",
        metadata={"tool_name": "get_weather", "parameters": '{"city":"Oslo"}'},
    )
    assert tool["extra_data"]["gen_ai.operation.name"] == "execute_tool"
    member = by_name["invoke_agent Weather Agent"]
    assert member["metadata"]["session_id"] == "s1"
    assert member["extra_data"] == IsPartialDict({"gen_ai.agent.id": "weather-agent", "gen_ai.conversation.id": "s1"})
    models = [span for span in spans_of(trace["tree"][0]) if span["type"] == "LLM"]
    roles = [[message["role"] for message in json.loads(span["input"])] for span in models]
    assert roles == [["system", "user"], ["system", "user"], ["tool"], ["tool"]]
    assert json.loads(models[0]["input"])[1]["content"] == DELEGATE
    assert json.loads(models[2]["input"])[0]["content"] == "Sunny in Oslo"
    model = models[0]
    assert model["metadata"] == {"model": "scripted", "input_tokens": 10, "output_tokens": 5}
    assert model["extra_data"] == IsPartialDict({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5})
    alone = await client.get(f"/traces/{trace['trace_id']}", span_id=member["id"])
    assert alone == {name: value for name, value in member.items() if name != "spans"}
    problem(await client.http.get(f"/traces/{trace['trace_id']}?span_id=none"), 404, "NOT_FOUND")


async def test_a_failure_is_told_where_it_happened(client: ServerClient) -> None:
    await client.run('[[TOOL boom {"x": "1"}]]', session_id="s1")
    trace = await the_trace(client, session_id="s1")
    assert (trace["status"], trace["error_count"]) == ("OK", 1)
    (failed,) = [span for span in spans_of(trace["tree"][0]) if span["status"] == "ERROR"]
    assert (failed["name"], failed["error"]) == ("execute_tool boom", IsStr(regex=r"(?s).*boom 1.*"))
    assert "output" not in failed
    await client.run("[[ERROR 400]]", session_id="s2")
    ended = await the_trace(client, status="ERROR")
    assert ended["error"]
    assert "output" not in ended


async def test_what_goes_on_is_shown_as_far_as_it_is(client: ServerClient) -> None:
    held = client.model.hold("wait")
    run = await client.begin("wait")
    await held.reached.wait()
    trace = await the_trace(client, status="UNSET")
    assert (trace["status"], [outline(node) for node in trace["tree"]]) == (
        "UNSET",
        [("TEAM", "invoke_agent Demo Team")],
    )
    held.release()
    await client.ended(run)


def hook(run_input: RunInput) -> None:
    """Look, and leave it."""


def modes() -> Sample:
    """Teams whose runs have trees of other shapes."""
    members = [Agent(id=f"{name}-agent", name=name, role=f"Knows {name}", model="scripted") for name in ("tea", "rice")]
    inner = Team(id="inner", name="Inner", role="Knows food", members=members, model="scripted")
    teams = [
        Team(id="broadcast", name="B", mode="broadcast", members=members, model="scripted", pre_hooks=[hook]),
        Team(id="tasks", name="T", mode="tasks", members=members, model="scripted"),
        Team(id="route", name="R", mode="route", members=members, model="scripted"),
        Team(id="outer", name="O", members=[inner], model="scripted"),
    ]
    return Sample(teams, [])


@pytest.mark.parametrize(
    "team, message, members",
    [
        ("broadcast", "[[BROADCAST say]]", 2),
        ("tasks", "Tell of tea and tell of rice", 2),
        ("route", "tell tea", 1),
        ("outer", "Go. [[DELEGATE inner: Go. <DELEGATE tea-agent: x>]]", 2),
    ],
)
async def test_every_step_has_its_place_in_the_tree(serve: Serve, team: str, message: str, members: int) -> None:
    async with serve(served=modes()) as client:
        await client.run(message, to=f"teams/{team}")
        trace = await the_trace(client)
    (tree,) = trace["tree"]
    spans = spans_of(tree)
    assert len(spans) == trace["total_spans"] == len({span["id"] for span in spans})
    of_members = [span for span in spans[1:] if span["type"] in ("AGENT", "TEAM")]
    assert len(of_members) == members
    assert all(span["type"] not in ("AGENT", "TEAM") for span in tree["spans"]), "each below what began it"
    assert all(span["name"].split()[-1] != span["name"] for span in spans), "each says of what it is"
    hooks = [span["name"] for span in spans if span["type"] == "HOOK"]
    assert hooks == (["pre_hook 0"] if team == "broadcast" else [])


async def test_runs_with_ids_that_clients_chose_have_traces_too(client: ServerClient, database: Path) -> None:
    await client.run("hello", run_id="mine", session_id="s1")
    await client.run("hello", run_id="sent", session_id="s1")
    await client.run("hello", run_id="too", session_id="s1")
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        text = f"00-{TRACE}-00f067aa0ba902b7-01"
        connection.execute("UPDATE runs SET traceparent = ? WHERE run_id IN ('sent', 'too')", [text])
    page = await client.get("/traces")
    ids = {one["run_id"]: one["trace_id"] for one in page["data"]}
    assert ids["sent"] == ids["too"] == TRACE
    for run_id, trace_id in ids.items():
        trace = await client.get(f"/traces/{trace_id}", run_id=run_id)
        assert (trace["run_id"], trace["trace_id"]) == (run_id, trace_id)
    assert (await client.get(f"/traces/{TRACE}"))["run_id"] == "too"
    assert [one["run_id"] for one in (await client.get("/traces", run_id="sent"))["data"]] == ["sent"]
    for unknown in ("none", "0" * 32, ids["mine"].upper()):
        problem(await client.http.get(f"/traces/{unknown}"), 404, "NOT_FOUND")
    problem(await client.http.get(f"/traces/{ids['mine']}?run_id=sent"), 404, "NOT_FOUND")


async def test_a_list_is_filtered_and_paged(client: ServerClient) -> None:
    for number, to in enumerate(("teams/demo-team", "agents/solo-agent", "teams/other-team")):
        await client.run("hello", to=to, run_id=f"r{number}", session_id=f"s{number}", user_id=f"u{number}")

    async def ids(**query: Any) -> list[str]:
        return [one["run_id"] for one in (await client.get("/traces", **query))["data"]]

    assert await ids() == ["r2", "r1", "r0"]
    assert await ids(limit=2, page=2) == ["r0"]
    assert await ids(agent_id="solo-agent") == ["r1"]
    assert await ids(team_id="other-team") == ["r2"]
    assert await ids(user_id="u0") == await ids(session_id="s0") == ["r0"]
    assert await ids(workflow_id="x") == await ids(status="ERROR") == []
    (second,) = (await client.get("/traces", run_id="r1"))["data"]
    assert await ids(start_time=second["start_time"]) == ["r2", "r1"]
    assert await ids(end_time=second["end_time"]) == ["r1", "r0"]
    await client.http.delete("/sessions/s0")
    assert await ids() == ["r2", "r1"]
    wrong = await client.http.get("/traces", params={"status": "FINE", "start_time": "soon", "limit": "0"})
    assert {where[1] for where in wrong_fields(wrong)} == {"status", "start_time", "limit"}


async def test_traces_are_counted_by_session(client: ServerClient) -> None:
    for number in range(3):
        await client.run("hello", session_id=f"s{number % 2}", user_id="ada")
    page = await client.get("/trace_session_stats", limit=1)
    assert page["data"] == [
        {
            "session_id": "s0",
            "user_id": "ada",
            "team_id": "demo-team",
            "total_traces": 2,
            "first_trace_at": IS_TIME,
            "last_trace_at": IS_TIME,
        }
    ]
    assert (page["meta"]["total_count"], page["meta"]["total_pages"]) == (2, 2)


# --- search -------------------------------------------------------------------------------------------


async def search(client: ServerClient, condition: dict[str, Any] | None, **more: Any) -> list[str]:
    """The runs that a filter finds."""
    answer = await client.http.post("/traces/search", json={"filter": condition, **more})
    assert answer.status_code == 200, answer.text
    return [one["run_id"] for one in answer.json()["data"]]


async def test_a_filter_finds_traces(client: ServerClient) -> None:
    for number, user in enumerate(("ada", "Adam", "bob")):
        await client.run("hello", run_id=f"r{number}", session_id=f"s{number}", user_id=user)
    await client.run("[[ERROR 400]]", run_id="r3", session_id="s3", to="agents/solo-agent")

    def of(key: str, op: str, value: Any) -> dict[str, Any]:
        return {"op": op, "key": key, "value": value}

    ada, solo = of("user_id", "EQ", "ada"), of("agent_id", "EQ", "solo-agent")
    assert await search(client, None) == ["r3", "r2", "r1", "r0"]
    assert await search(client, ada) == ["r0"]
    assert await search(client, {"op": "NOT", "condition": ada}) == ["r3", "r2", "r1"]
    assert await search(client, of("user_id", "NEQ", "ada")) == ["r3", "r2", "r1"]
    assert await search(client, of("user_id", "STARTSWITH", "AD")) == ["r1", "r0"]
    assert await search(client, of("user_id", "CONTAINS", "%")) == []
    assert await search(client, {"op": "OR", "conditions": [ada, solo]}) == ["r3", "r0"]
    assert await search(client, {"op": "AND", "conditions": [ada, solo]}) == []
    assert await search(client, {"op": "IN", "key": "status", "values": ["ERROR", "UNSET"]}) == ["r3"]
    assert await search(client, of("name", "CONTAINS", "demo")) == ["r2", "r1", "r0"]
    assert await search(client, of("duration_ms", "LT", 1e9)) == ["r3", "r2", "r1", "r0"]
    assert await search(client, of("created_at", "GT", "2999-01-01T00:00:00Z")) == []
    page = (await client.get("/traces", run_id="r1"))["data"]
    assert await search(client, of("trace_id", "EQ", page[0]["trace_id"])) == ["r1"]
    assert await search(client, of("start_time", "LTE", page[0]["start_time"]), limit=1, page=2) == ["r0"]
    by_session = await client.http.post("/traces/search", json={"filter": ada, "group_by": "session"})
    assert [one["session_id"] for one in by_session.json()["data"]] == ["s0"]


@pytest.mark.parametrize(
    "condition, where",
    [
        ("x", ()),
        ({}, ("key",)),
        ({"op": "EQ", "key": "password", "value": "x"}, ("key",)),
        ({"op": "LIKE", "key": "user_id", "value": "x"}, ("op",)),
        ({"op": "GT", "key": "user_id", "value": "x"}, ("op",)),
        ({"op": ["EQ"], "key": "user_id", "value": "x"}, ("op",)),
        ({"op": "EQ", "key": "user_id", "value": 1}, ("value",)),
        ({"op": "EQ", "key": "user_id", "value": "a\x00"}, ("value",)),
        ({"op": "EQ", "key": "status", "value": "FINE"}, ("value",)),
        ({"op": "GT", "key": "duration_ms", "value": "1"}, ("value",)),
        ({"op": "GT", "key": "start_time", "value": "soon"}, ("value",)),
        ({"op": "IN", "key": "user_id", "values": []}, ("values",)),
        ({"op": "IN", "key": "user_id", "values": [1]}, ("values",)),
        ({"op": "AND", "conditions": []}, ("conditions",)),
        ({"op": "OR", "conditions": [{"op": "NOT"}]}, ("conditions", "0", "condition")),
    ],
)
async def test_a_filter_that_cannot_be_read_is_refused(
    client: ServerClient, condition: Any, where: tuple[str, ...]
) -> None:
    answer = await client.http.post("/traces/search", json={"filter": condition})
    assert wrong_fields(answer) == [("body", "filter", *where)]


async def test_a_filter_has_bounds(client: ServerClient) -> None:
    deep: dict[str, Any] = {"op": "EQ", "key": "user_id", "value": "x"}
    for _ in range(12):
        deep = {"op": "NOT", "condition": deep}
    wide = {"op": "OR", "conditions": [{"op": "EQ", "key": "user_id", "value": "x"}] * 101}
    for condition in (deep, wide):
        problem(await client.http.post("/traces/search", json={"filter": condition}), 422, "VALIDATION_ERROR")


async def test_the_filters_are_described(client: ServerClient) -> None:
    schema = await client.get("/traces/filter-schema")
    status = next(one for one in schema["fields"] if one["key"] == "status")
    assert status["values"] == ["OK", "ERROR", "UNSET"]
    for one in schema["fields"]:
        value = {"number": 1, "datetime": "2026-01-01T00:00:00Z", "enum": "OK"}.get(one["type"], "x")
        for op in one["operators"]:
            operand = {"values": [value]} if op == "IN" else {"value": value}
            await search(client, {"op": op, "key": one["key"], **operand})


# --- isolation ----------------------------------------------------------------------------------------


async def test_another_users_traces_are_not_found(client: ServerClient, database: Path) -> None:
    run, first, last = [await client.run("hello", session_id="s1") for _ in range(3)]
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        connection.execute("UPDATE runs SET owner = 'ada'")
        text = f"00-{TRACE}-00f067aa0ba902b7-01"
        connection.execute("UPDATE runs SET owner = 'bob', traceparent = ? WHERE run_id = ?", [text, last["run_id"]])
        connection.execute("UPDATE runs SET traceparent = ? WHERE run_id = ?", [text, first["run_id"]])
    traces, trace_id = client.server.service(TraceService), run["run_id"].replace("-", "")
    ada, bob = (Caller(user_id=name, label=name) for name in ("ada", "bob"))
    assert (await traces.view(trace_id, None, ada)).row.run.run_id == run["run_id"]
    with pytest.raises(NotFound):
        await traces.view(trace_id, None, bob)
    counts = await asyncio.gather(
        traces.search(TraceQuery(), bob), traces.by_session(TraceQuery(), bob), traces.search(TraceQuery(), ada)
    )
    assert [total for _, total in counts] == [1, 1, 2]
    for caller, shared in ((ada, first), (bob, last)):  # who sends another's traceparent finds its own
        assert (await traces.view(TRACE, None, caller)).row.run.run_id == shared["run_id"]
    with pytest.raises(NotFound):
        await traces.view(TRACE, first["run_id"], bob)
