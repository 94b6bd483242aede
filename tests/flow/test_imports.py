"""Clients and later runs read the imported sessions, memories and approvals of AgentOS."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from musterd import Agent, Settings, Team, create_app
from musterd.cli.main import main
from musterd.store.database import Statement
from tests.support.agentos_database import BEGIN, PNG, AgentOSTables, run, tool, workflow_run
from tests.support.app import in_process
from tests.support.http import ServerClient
from tests.support.process import select

OWNERS = Statement(
    "test_owners",
    """SELECT s.owner AS session_owner, r.owner AS run_owner, m.owner AS memory_owner
       FROM sessions s JOIN runs r ON r.session_id = s.session_id CROSS JOIN memories m""",
)


@pytest.fixture
def tables(database_url: str, tmp_path: Path) -> AgentOSTables:
    return AgentOSTables.beside(database_url, tmp_path)


class Importing:
    """Imports the tables into the test's database, and serves it."""

    def __init__(self, tables: AgentOSTables, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._tables, self._url, self._capsys = tables, url, capsys

    async def run(self, *options: str, code: int = 0) -> dict[str, Any]:
        """Run the import, and return its report."""
        arguments = ["import", "agno", self._tables.url, "--db", self._url, "--json", *options]
        self._capsys.readouterr()
        assert await asyncio.to_thread(main, arguments) == code
        report: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return report

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[ServerClient]:
        """Serve the database, with components of the same ids."""
        agent = Agent(id="weather-agent", model="scripted", add_history_to_context=True)
        desk = Team(id="desk", model="scripted", members=[agent], add_history_to_context=True)
        settings = Settings(db=self._url, drain_seconds=0)
        async with in_process(create_app(teams=[desk], agents=[agent], settings=settings)) as client:
            yield client


@pytest.fixture
def importing(tables: AgentOSTables, database_url: str, capsys: pytest.CaptureFixture[str]) -> Importing:
    return Importing(tables, database_url, capsys)


async def get(client: ServerClient, path: str) -> Any:
    answer = await client.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_agents_run_reads_as_in_agentos(tables: AgentOSTables, importing: Importing) -> None:
    weather = run("agent", "r1", "Oslo?", "Sunny", (tool("get_weather", {"city": "Oslo"}, "Sunny in Oslo"),))
    state = {"session_state": {"seen": ["Oslo"]}, "session_name": "My chat"}
    summary = {"summary": "About Oslo", "topics": ["weather"], "updated_at": "2026-09-21T14:13:30"}
    tables.add_session("s1", "agent", [weather], session_data=state, metadata={"m": 1}, summary=summary)
    report = await importing.run()
    assert (report["sessions"]["imported"], report["runs"]["imported"], report["is_complete"]) == (1, 1, True)
    async with importing.served() as client:
        (item,) = (await get(client, "/sessions?type=agent&user_id=ann"))["data"]
        assert (item["session_name"], item["session_state"]) == ("My chat", {"seen": ["Oslo"]})
        detail = await get(client, "/sessions/s1?type=agent")
        assert (detail["agent_id"], detail["user_id"], detail["metadata"]) == ("weather-agent", "ann", {"m": 1})
        assert detail["session_summary"]["summary"] == "About Oslo"
        assert [message["content"] for message in detail["chat_history"] if "content" in message] == ["Oslo?", "Sunny"]
        (listed,) = await get(client, "/sessions/s1/runs?type=agent")
        assert (listed["run_input"], listed["content"], listed["status"]) == ("Oslo?", "Sunny", "COMPLETED")
        answer = await get(client, "/agents/weather-agent/runs/r1?session_id=s1")
    assert (answer["model"], answer["model_provider"], answer["user_id"]) == ("gpt-5-mini", "OpenAI", "ann")
    assert answer["metrics"] == weather["metrics"]
    assert (answer["created_at"], answer["ended_at"]) == (BEGIN + 10, BEGIN + 12.5)
    (call,) = answer["tools"]
    assert (call["tool_name"], call["tool_args"], call["result"]) == ("get_weather", {"city": "Oslo"}, "Sunny in Oslo")
    assert call["metrics"] == {"start_time": BEGIN + 1.5, "end_time": BEGIN + 1.75, "duration": 0.25}
    roles = ["system", "user", "assistant", "tool", "assistant"]
    assert [message["role"] for message in answer["messages"]] == roles
    assert answer["messages"][3]["tool_args"] == {"city": "Oslo"}
    assert "session_state" not in answer


async def test_a_team_is_read_with_its_members(tables: AgentOSTables, importing: Importing) -> None:
    calls = (tool("delegate_task_to_member", {"member_id": "weather-agent", "task": "Oslo?"}, "Sunny"),)
    member = run("agent", "m1", "Oslo?", "Sunny", parent_run_id="r1")
    # AgentOS stores a member run next to the team's run, and again inside it.
    tables.add_session(
        "s1", "team", [member, run("team", "r1", "Ask", "It is sunny", calls, member_responses=[member])]
    )
    report = await importing.run()
    assert (report["runs"]["imported"], report["member_runs"]["imported"]) == (1, 1)
    assert report["components"] == [{"kind": "team", "id": "desk", "runs": 1}]
    async with importing.served() as client:
        answer = await get(client, "/teams/desk/runs/r1?session_id=s1")
        detailed = await get(client, "/runs/m1")
        stream = await client.http.post("/teams/desk/runs/r1/resume", data={"session_id": "s1"})
    assert (answer["content"], answer["tools"][0]["child_run_id"]) == ("It is sunny", "m1")
    assert answer["totals"]["delegations"] == 1
    assert answer["totals"]["input_tokens"] == 20
    assert (detailed["parent_run_id"], detailed["content"]) == ("r1", "Sunny")
    names = [line.removeprefix("event: ") for line in stream.text.splitlines() if line.startswith("event: ")]
    assert names == ["replay", "TeamRunStarted", "RunStarted", "RunCompleted", "TeamRunCompleted"]


async def test_a_workflow_is_read_with_the_runs_of_its_steps(tables: AgentOSTables, importing: Importing) -> None:
    step_run = run("agent", "m1", "Write", "A text")
    # A step's agent overwrites the workflow's session with its own, which changes the session's type.
    tables.add_session("w1", "agent", [workflow_run("r1", step_run)], workflow_id="flow", agent_id="weather-agent")
    await importing.run()
    async with importing.served() as client:
        (item,) = (await get(client, "/sessions?type=workflow"))["data"]
        (listed,) = await get(client, "/sessions/w1/runs?type=workflow")
    assert (item["session_id"], item["component_id"]) == ("w1", "flow")
    assert listed["step_results"][0]["step_name"] == "write"
    (executor,) = listed["step_executor_runs"]
    assert (executor["run_id"], executor["workflow_step_id"], executor["content"]) == ("m1", "step-1", "A text")


async def test_the_events_of_a_workflow_show_its_end(tables: AgentOSTables, importing: Importing) -> None:
    step_run = run("agent", "m1", "Write", "A text")
    tables.add_session("w1", "agent", [workflow_run("r1", step_run)], workflow_id="flow", agent_id="weather-agent")
    await importing.run()
    async with importing.served() as client:
        events = (await get(client, "/runs/r1/events"))["events"]
        exported = await get(client, "/runs/r1/export")
    names = ["WorkflowStarted", "RunStarted", "RunCompleted", "WorkflowCompleted"]
    assert [event["event"] for event in events] == names
    assert events[-1]["step_results"][0]["step_name"] == "write"
    assert [event["event"] for event in exported["events"]] == names


async def test_daily_usage_counts_imported_tokens_once(tables: AgentOSTables, importing: Importing) -> None:
    member = run("agent", "m1", "Oslo?", "Sunny", parent_run_id="r1")
    tables.add_session("s1", "team", [run("team", "r1", "Ask", "It is sunny"), member])
    await importing.run()
    async with importing.served() as client:
        before = (await get(client, "/metrics"))["metrics"][0]
        await client.run("Hello", to="agents/weather-agent", session_id="s2")
        forked = await client.http.post("/teams/desk/sessions/s1/fork", json={})
        days = (await get(client, "/metrics"))["metrics"]
    assert (before["team_runs_count"], before["token_metrics"]["total_tokens"]) == (1, 26)
    assert forked.status_code == 200
    assert sum(day["token_metrics"]["total_tokens"] for day in days) == 26 + 15


async def test_runs_of_a_closed_day_count_when_they_are_imported(tables: AgentOSTables, importing: Importing) -> None:
    tables.add_session("s1", "agent", [run("agent", "r1", "Ask", "Yes")])
    await importing.run()
    async with importing.served() as client:
        (first,) = (await get(client, "/metrics"))["metrics"]
    for number in (2, 3):
        tables.add_session(f"s{number}", "agent", [run("agent", f"r{number}", "Ask", "Yes")])
        await importing.run()
    await importing.run()
    async with importing.served() as client:
        (last,) = (await get(client, "/metrics"))["metrics"]
    names = ("agent_runs_count", "agent_sessions_count", "users_count")
    assert [first[name] for name in names] == [1, 1, 1]
    assert [last[name] for name in names] == [3, 3, 1]
    assert last["token_metrics"] == {name: 3 * count for name, count in first["token_metrics"].items()}
    assert [model["count"] for model in last["model_metrics"]] == [3]


async def history_of_the_next_run(importing: Importing) -> list[dict[str, Any]]:
    """The messages of earlier runs that the next run of the session ``s1`` sends."""
    async with importing.served() as client:
        data = {"message": "Where was I?", "session_id": "s1", "stream": "false", "user_id": "ann"}
        answer = (await client.http.post("/agents/weather-agent/runs", data=data)).json()
        exported = await get(client, f"/runs/{answer['run_id']}/export")
    return [message for message in exported["run"]["messages"] if message["from_history"]]


async def test_the_next_run_of_a_session_sends_its_imported_history(
    tables: AgentOSTables, importing: Importing
) -> None:
    first = run("agent", "r1", "Oslo?", "Sunny", (tool("get_weather", {"city": "Oslo"}, "Sunny in Oslo"),))
    failed = run("agent", "r2", "Fail", "the provider is down", status="ERROR")
    tables.add_session("s1", "agent", [first, failed, run("agent", "r3", "And Rome?", "Rainy")])
    await importing.run()
    history = await history_of_the_next_run(importing)
    texts = ["Oslo?", None, "Sunny in Oslo", "Sunny", "And Rome?", "Rainy"]
    assert [message.get("content") for message in history] == texts
    assert history[1]["tool_calls"][0]["function"]["name"] == "get_weather"


def _with_call_ids_of_openai(message: dict[str, Any]) -> dict[str, Any]:
    """A message as Agno's ``OpenAIResponses`` stores it: a result refers to its call by another id than the run."""
    if message["role"] == "tool":
        return {**message, "tool_call_id": f"of-{message['tool_call_id']}"}
    calls = [{**call, "call_id": f"of-{call['id']}"} for call in message.get("tool_calls", ())]
    return {**message, "tool_calls": calls}


def _with_results_of_gemini(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a run with two calls as Agno's ``Gemini`` stores them: with one message for both results."""
    *before, first, second, answer = messages
    results = [
        {"tool_call_id": message["tool_call_id"], "tool_name": message["tool_name"], "content": "compressed"}
        for message in (first, second)
    ]
    both = {"role": "tool", "created_at": first["created_at"], "tool_name": "get_weather, get_time"}
    both |= {"content": [first["content"], second["content"]], "tool_calls": results}
    return [*before, both, answer]


@pytest.mark.parametrize("provider", ["openai", "gemini"])
async def test_results_are_found_in_the_formats_of_the_providers(
    tables: AgentOSTables, importing: Importing, provider: str
) -> None:
    calls = (tool("get_weather", {"city": "Oslo"}, "Sunny in Oslo"), tool("get_time", {"city": "Oslo"}, "It is noon"))
    stored = run("agent", "r1", "Oslo?", "Sunny", calls)
    if provider == "openai":
        stored["messages"] = [_with_call_ids_of_openai(message) for message in stored["messages"]]
    else:
        stored["messages"] = _with_results_of_gemini(stored["messages"])
    tables.add_session("s1", "agent", [stored])
    await importing.run()
    history = await history_of_the_next_run(importing)
    results = ["Sunny in Oslo", "It is noon"]
    assert [message.get("content") for message in history] == ["Oslo?", None, *results, "Sunny"]
    assert [message["tool_call_id"] for message in history[2:4]] == ["call-get_weather", "call-get_time"]
    assert [message["tool_name"] for message in history[2:4]] == ["get_weather", "get_time"]


@pytest.mark.parametrize("status", ["RUNNING", "PENDING", "PAUSED"])
async def test_an_unfinished_run_of_agentos_becomes_an_error(
    tables: AgentOSTables, importing: Importing, status: str
) -> None:
    tables.add_session("s1", "agent", [run("agent", "r1", "Pay", "", (tool("pay", {}),), status=status)])
    report = await importing.run()
    assert report["unfinished"] == {status: 1}
    assert (await importing.run())["unfinished"] == {}, "it was imported before"
    async with importing.served() as client:
        answer = await get(client, "/agents/weather-agent/runs/r1?session_id=s1")
        data = {"message": "Hello", "session_id": "s1", "stream": "false"}
        later = (await client.http.post("/agents/weather-agent/runs", data=data)).json()
    assert (answer["status"], answer["error"]["code"]) == ("ERROR", "left_unfinished")
    assert answer["content"] == f"This run was {status} in AgentOS when it was imported. Start it again."
    assert later["status"] == "COMPLETED", "it does not hold the session's queue"


async def test_an_imported_run_that_was_paused_takes_no_decision(tables: AgentOSTables, importing: Importing) -> None:
    """It says so, and how the run starts again."""
    call = tool("pay", {}, tool_call_id="c1", requires_confirmation=True)
    tables.add_session("s1", "agent", [run("agent", "r1", "Pay", "", (call,), status="PAUSED")])
    await importing.run()
    data = {"session_id": "s1", "stream": "false"}
    decision = {"tools": json.dumps([{"tool_call_id": "c1", "tool_name": "pay", "confirmed": True}])}
    async with importing.served() as client:
        refused = await client.http.post("/agents/weather-agent/runs/r1/continue", data={**data, **decision})
        again = await client.http.post("/agents/weather-agent/runs/r1/continue", data=data)
    problem = "The run was imported unfinished, so it takes no decisions; continue it without one to start it again"
    assert (refused.status_code, refused.json()["detail"]) == (409, problem)
    assert again.json()["forked_from"] == "r1"


async def test_media_are_imported_with_their_content(tables: AgentOSTables, importing: Importing) -> None:
    image = {"id": "i1", "format": "png", "mime_type": "image/png", "content": PNG}
    text = {"id": "f1", "mime_type": "text/plain", "filename": "a.txt", "content": "hello"}
    looked = run("agent", "r1", "Look", "Seen", input={"input_content": "Look", "images": [image], "files": [text]})
    looked["messages"][1]["images"] = [image]
    tables.add_session("s1", "agent", [{**looked, "images": [image]}])
    await importing.run()
    async with importing.served() as client:
        answer = await get(client, "/agents/weather-agent/runs/r1?session_id=s1")
    assert answer["input"]["images"] == [image]
    assert answer["input"]["files"] == [text]
    assert answer["images"][0]["content"] == PNG


async def test_memories_and_approvals_are_listed(tables: AgentOSTables, importing: Importing) -> None:
    call = tool("refund", {"amount": 4}, "paid", confirmed=True, approval_type="required", approval_id="a1")
    pending = run("agent", "r2", "Refund", "", (tool("refund", {"amount": 4}, requires_confirmation=True),))
    tables.add_session("s1", "agent", [run("agent", "r1", "Refund", "Done", (call,)), {**pending, "status": "PAUSED"}])
    tables.add_approval("a1", "r1", "approved", resolved_by="boss", resolved_at=BEGIN + 2)
    tables.add_approval("a2", "r2", "pending")
    tables.add_memory("k1", "Likes tea", agent_id="weather-agent")
    report = await importing.run()
    assert (report["approvals"]["imported"], report["memories"]["imported"]) == (2, 1)
    async with importing.served() as client:
        approvals = {item["id"]: item for item in (await get(client, "/approvals"))["data"]}
        (memory,) = (await get(client, "/memories?user_id=ann"))["data"]
        answer = await get(client, "/agents/weather-agent/runs/r1?session_id=s1")
    approved, cancelled = approvals["a1"], approvals["a2"]
    assert (approved["status"], approved["resolved_by"], approved["resolved_at"]) == ("approved", "boss", BEGIN + 2)
    assert (approved["tool_args"], approved["run_id"], approved["run_status"]) == ({"amount": 4}, "r1", "COMPLETED")
    assert (cancelled["status"], cancelled["run_status"]) == ("cancelled", "ERROR")
    assert (memory["memory"], memory["topics"], memory["agent_id"]) == ("Likes tea", ["food"], "weather-agent")
    assert (answer["tools"][0]["confirmed"], answer["tools"][0]["approval_id"]) == (True, "a1")


async def test_a_second_import_adds_only_new_rows(tables: AgentOSTables, importing: Importing) -> None:
    first = run("agent", "r1", "One", "1")
    tables.add_session("s1", "agent", [first])
    tables.add_memory("k1", "Likes tea")
    await importing.run()
    tables.execute("DELETE FROM {schema}agno_sessions")
    tables.add_session("s1", "agent", [first, run("agent", "r2", "Two", "2")])
    tables.add_session("s2", "agent", None)
    tables.add_memory("k2", "Likes   TEA")
    report = await importing.run()
    assert report["sessions"] == {"total": 2, "imported": 1, "present": 1, "skipped": 0}
    assert report["runs"] == {"total": 2, "imported": 1, "present": 1, "skipped": 0}
    assert report["memories"] == {"total": 2, "imported": 0, "present": 2, "skipped": 0}, "the text is stored already"
    assert report["missing_runs"] == 0
    async with importing.served() as client:
        assert [item["run_id"] for item in await get(client, "/sessions/s1/runs?type=agent")] == ["r1", "r2"]
        assert (await get(client, "/sessions?type=agent"))["meta"]["total_count"] == 2
        data = {"message": "Three", "session_id": "s1", "stream": "false"}
        await client.http.post("/agents/weather-agent/runs", data=data)
    tables.execute("DELETE FROM {schema}agno_sessions")
    tables.add_session("s1", "agent", [first, run("agent", "r4", "Four", "4")])
    report = await importing.run(code=1)
    (row,) = report["skipped"]
    assert (row["kind"], row["id"]) == ("sessions", "s1")
    assert row["reason"] == "the session has runs that were started in musterd, so no runs can be imported into it"


async def test_a_dry_run_reports_the_same_and_changes_nothing(tables: AgentOSTables, importing: Importing) -> None:
    tables.add_session("s1", "agent", [run("agent", "r1", "One", "1")])
    tables.add_memory("k1", "Likes tea")
    tables.add_approval("a1", "r1", "approved")
    dry = await importing.run("--dry-run")
    async with importing.served() as client:
        assert (await get(client, "/sessions?type=agent"))["data"] == []
    real = await importing.run()
    assert {**dry, "is_dry_run": False} == real
    again = await importing.run("--dry-run")
    assert [again[kind]["present"] for kind in ("sessions", "runs", "memories", "approvals")] == [1, 1, 1, 1]


async def test_an_invalid_row_is_skipped_with_the_reason(tables: AgentOSTables, importing: Importing) -> None:
    good = run("agent", "r1", "One", "1")
    tables.add_session("s1", "agent", [good, {"agent_id": "x"}, run("agent", "r2", "Two", "2", messages="none")])
    tables.add_session("s3", "agent", [run("agent", "r1", "Same id", "1")])
    tables.add_session("s4", "agent", [])
    # A JSON string with invalid JSON in it, because Postgres rejects a column that is not JSON.
    tables.execute("UPDATE {schema}agno_sessions SET runs = CAST(:runs AS {json}) WHERE session_id = 's4'", runs='"[{"')
    tables.add_memory("k1", "x" * 6000)
    tables.add_approval("a1", "r9", "approved")
    tables.execute("ALTER TABLE {schema}agno_sessions ADD COLUMN colour VARCHAR")
    tables.execute("INSERT INTO {schema}agno_knowledge VALUES ('d1', 'doc')")
    report = await importing.run(code=1)
    reasons = {(item["kind"], item["id"]): item["reason"] for item in report["skipped"]}
    assert reasons == {
        ("runs", ""): "run_id is missing, too long or contains control characters",
        ("runs", "r2"): "messages is not a list",
        ("runs", "r1"): "session s1 already has a run r1",
        ("sessions", "s4"): "runs is not JSON",
        ("memories", "k1"): "the memory has 6000 characters; the limit is 5000",
        ("approvals", "a1"): "its run r9 is not in the database",
    }
    assert report["unknown_columns"] == [f"{tables.schema}agno_sessions.colour"]
    assert report["other_tables"][0]["table"] == "agno_knowledge"
    async with importing.served() as client:
        assert [item["run_id"] for item in await get(client, "/sessions/s1/runs?type=agent")] == ["r1"]


async def test_components_get_new_ids_and_users_own_their_sessions(
    tables: AgentOSTables, importing: Importing, database_url: str
) -> None:
    tables.add_session("s1", "agent", [run("agent", "r1", "One", "1")])
    tables.add_memory("k1", "Likes tea", agent_id="weather-agent")
    report = await importing.run("--component", "weather-agent=forecaster", "--owned")
    assert (report["components"], report["has_owners"]) == ([{"kind": "agent", "id": "forecaster", "runs": 1}], True)
    agent = Agent(id="forecaster", model="scripted")
    async with in_process(create_app(agents=[agent], settings=Settings(db=database_url))) as client:
        assert (await get(client, "/agents/forecaster/runs/r1?session_id=s1"))["agent_id"] == "forecaster"
        (row,) = await client.server.database.scan(lambda tx: tx.all(OWNERS, {}))
        assert (row["session_owner"], row["run_owner"], row["memory_owner"]) == ("ann", "ann", "ann")


async def test_an_approval_of_a_run_that_was_started_in_musterd_is_skipped(
    tables: AgentOSTables, importing: Importing
) -> None:
    async with importing.served() as client:
        data = {"message": "Hello", "session_id": "s2", "stream": "false"}
        run_id = (await client.http.post("/agents/weather-agent/runs", data=data)).json()["run_id"]
    tables.add_session("s1", "agent", [run("agent", "r1", "One", "1")])
    tables.add_approval("a1", "r1", "approved")
    tables.add_approval("a2", run_id, "approved")
    for options in (("--dry-run",), ()):
        report = await importing.run(*options, code=1)
        assert report["approvals"] == {"total": 2, "imported": 1, "present": 0, "skipped": 1}
        assert report["skipped"][0]["reason"] == f"its run {run_id} was started in musterd"
    again = await importing.run(code=1)
    assert (again["approvals"]["present"], again["approvals"]["skipped"]) == (1, 1)


async def test_members_of_calls_with_the_same_id_have_different_paths(
    tables: AgentOSTables, importing: Importing, database_url: str
) -> None:
    delegation = ("delegate_task_to_member", {"member_id": "weather-agent", "task": "Oslo?"}, "Sunny")
    calls = tuple(tool(*delegation, tool_call_id="same") for _ in range(2))
    members = [run("agent", f"m{number}", "Oslo?", "Sunny", parent_run_id="r1") for number in (1, 2, 3)]
    tables.add_session("s1", "team", [*members, run("team", "r1", "Ask", "It is sunny", calls)])
    await importing.run()
    paths = select(database_url, "SELECT path FROM runs WHERE parent_id IS NOT NULL ORDER BY run_id", {})
    assert [row["path"] for row in paths] == ["t0/c1", "m0", "m1"]
    async with importing.served() as client:
        answer = await get(client, "/teams/desk/runs/r1?session_id=s1")
    assert [call["child_run_id"] for call in answer["tools"]] == ["m1", "m2"]
