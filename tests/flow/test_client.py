"""Both clients of the package against a server: what they start, read and change is what the server has."""

import json
from typing import Any

import pytest

from musterd.client import (
    CannotConnect,
    Conflict,
    File,
    InvalidInput,
    NotFound,
    RunCancelled,
    RunFailed,
    StillRunning,
    Unauthorized,
)
from tests.support.clients import Connect, either_client
from tests.support.http import ServerClient


def url_of(server: ServerClient) -> str:
    return str(server.http.base_url)


# --- runs -----------------------------------------------------------------------------------------------------


async def test_a_run_is_started_and_waited_for(connect: Connect) -> None:
    async with connect() as (server, client):
        hold = server.model.hold("[[SAY")
        started = await client.start("demo-team", "[[SAY hi]]", session_id="s1", metadata={"a": 1})
        await hold.reached.wait()
        running = await client.runs.get(started)
        hold.release()
        done = await client.wait(started)
        assert (started.status, started.component_kind, started.component_id) == ("PENDING", "team", "demo-team")
        assert (running.status, running.is_settled, running.session_id) == ("RUNNING", False, "s1")
        assert (done.run_id, done.status, done.content) == (started.run_id, "COMPLETED", "hi")
        assert (done.component_id, done.raw["metadata"], done.require_completed()) == ("demo-team", {"a": 1}, done)


@pytest.mark.parametrize(("component_kind", "component_id"), [("agent", "solo-agent"), ("team", "demo-team")])
async def test_run_is_start_and_wait(connect: Connect, component_kind: str, component_id: str) -> None:
    async with connect() as (_, client):
        run = await client.run(component_id, "[[SAY hi]]", kind=component_kind)
        assert (run.component_kind, run.component_id, run.content) == (component_kind, component_id, "hi")


async def test_a_wait_that_is_too_short(connect: Connect) -> None:
    async with connect() as (server, client):
        hold = server.model.hold("hello")
        run = await client.start("demo-team", "hello")
        await hold.reached.wait()
        with pytest.raises(StillRunning, match=f"run {run.run_id} of demo-team has not finished") as caught:
            await client.wait(run, wait_seconds=0.05)
        assert caught.value.run.status == "RUNNING"
        hold.release()
        assert (await client.wait(run)).status == "COMPLETED"


async def test_a_failed_run_says_why(connect: Connect) -> None:
    async with connect() as (_, client):
        run = await client.run("demo-team", "[[ERROR 400]]")
        assert (run.status, run.error.code, run.error.retryable) == ("ERROR", "model_error", False)
        with pytest.raises(RunFailed, match=r"of demo-team failed: .* \(model_error\)"):
            run.require_completed()
        again = await client.wait(await client.continue_(run))
        assert (again.status, again.raw["forked_from"]) == ("ERROR", run.run_id)


async def test_a_run_is_cancelled(connect: Connect) -> None:
    async with connect() as (server, client):
        hold = server.model.hold("hello")
        run = await client.start("demo-team", "hello")
        await hold.reached.wait()
        assert (await client.cancel(run)).status == "CANCELLED"
        with pytest.raises(RunCancelled):
            (await client.wait(run)).require_completed()


async def test_an_idempotency_key_starts_one_run(connect: Connect) -> None:
    async with connect() as (_, client):
        first, again = [await client.start("demo-team", "hello", idempotency_key="k1") for _ in range(2)]
        other = await client.start("demo-team", "hello")
        assert first.run_id == again.run_id != other.run_id
        with pytest.raises(Conflict):
            await client.start("demo-team", "another message", idempotency_key="k1")


async def test_files_go_with_a_run(connect: Connect, tmp_path: Any) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("from a path")
    async with connect() as (_, client):
        run = await client.run(
            "demo-team", "hello", files=[notes, File(name="b.txt", content=b"bytes")], metadata={"a": [1]}, priority=3
        )
        sent = run.raw["input"]["files"]
        assert [(file["filename"], file["mime_type"]) for file in sent] == [
            ("notes.txt", "text/plain"),
            ("b.txt", "text/plain"),
        ]
        assert run.raw["metadata"] == {"a": [1]}


async def test_a_message_reaches_a_running_run(connect: Connect) -> None:
    async with connect() as (server, client):
        hold = server.model.hold('[[TOOL get_weather {"city": "Rome"}]]')
        run = await client.start("demo-team", '[[TOOL get_weather {"city": "Rome"}]]')
        await hold.reached.wait()
        message = await client.steer(run, "[[SAY and Oslo]]")
        hold.release()
        await client.wait(run)
        (listed,) = await client.runs.messages(run)
        assert (message.message, message.taken_at, listed.id) == ("[[SAY and Oslo]]", None, message.id)
        assert listed.taken_at is not None


async def test_a_run_again_and_a_run_from_a_step(connect: Connect) -> None:
    async with connect() as (_, client):
        run = await client.run("demo-team", '[[TOOL get_weather {"city": "Rome"}]]')
        again = await client.wait(await client.rerun(run))
        steps = await client.runs.steps(run)
        forked = await client.wait(await client.fork(run, steps[-1].path))
        assert again.content == forked.content == run.content
        assert forked.raw["forked_from"] == run.run_id
        call = await client.runs.step(run, "t0/c0")
        assert (call.kind, call.name, call.raw["result"]) == ("tool", "get_weather", "Sunny in Rome")


async def test_a_run_in_short_and_as_a_whole(connect: Connect) -> None:
    async with connect() as (_, client):
        run = await client.run("demo-team", "[[SAY hi]]")
        row, export = await client.runs.summary(run), json.loads(await client.runs.export(run))
        assert (row.run_id, row.status, row.outcome) == (run.run_id, "COMPLETED", "hi")
        assert (export["run"]["content"], export["steps"][-1]["path"]) == ("hi", "t0/m")


async def test_lists_of_runs(connect: Connect) -> None:
    async with connect() as (_, client):
        runs = [await client.run("demo-team", f"[[SAY {number}]]", session_id="s1") for number in range(3)]
        await client.run("solo-agent", "hello", kind="agent")
        page = await client.runs.list(team_id="demo-team", status=["COMPLETED", "ERROR"], limit=2)
        rest = await client.runs.list(team_id="demo-team", limit=2, cursor=page.next_cursor)
        assert [row.run_id for row in (*page, *rest)] == [run.run_id for run in reversed(runs)]
        assert (len(page), rest.next_cursor) == (2, None)
        assert (rest.items[0].outcome, rest.items[0].input) == ("0", "[[SAY 0]]")
        assert [row.run_id for row in await client.sessions.runs("s1")] == [run.run_id for run in reversed(runs)]


# --- what the server has --------------------------------------------------------------------------------------


async def test_teams_agents_and_workflows(connect: Connect) -> None:
    async with connect() as (_, client):
        teams = {team.id: team.name for team in await client.teams.list()}
        assert teams["demo-team"] == "Demo Team"
        assert (await client.teams.get("demo-team")).members == ("weather-agent", "writer-agent")
        assert "solo-agent" in [agent.id for agent in await client.agents.list()]
        assert (await client.agents.get("solo-agent")).name == "Solo Agent"
        assert await client.workflows.list() == ()


async def test_sessions(connect: Connect) -> None:
    async with connect() as (_, client):
        await client.run("demo-team", "[[SAY hi]]", session_id="s/1 ü")
        (session,) = await client.sessions.list()
        assert (session.session_id, session.status, session.run_count, session.last_answer) == (
            *("s/1 ü", "COMPLETED"),
            1,
            "hi",
        )
        renamed = await client.sessions.rename("s/1 ü", "Weather")
        read = await client.sessions.get("s/1 ü")
        assert renamed.session_name == read.session_name == "Weather"
        assert [message["content"] for message in read.chat_history] == ["[[SAY hi]]", "hi"]
        await client.sessions.delete("s/1 ü")
        await client.sessions.delete("s/1 ü")
        assert (await client.sessions.list()).total == 0


async def test_traces(connect: Connect) -> None:
    async with connect() as (_, client):
        run = await client.run("demo-team", "[[SAY hi]]")
        (trace,) = await client.traces.list(run_id=run.run_id)
        assert (trace.run_id, trace.status, trace.error_count) == (run.run_id, "OK", 0)
        assert (await client.traces.get(trace.trace_id)).raw["tree"]


# --- what is refused ------------------------------------------------------------------------------------------


async def test_errors_name_the_request_and_the_reason(connect: Connect) -> None:
    async with connect() as (server, client):
        with pytest.raises(NotFound, match=f"GET {url_of(server)}/runs/r%2F1 was answered 404: .*request") as caught:
            await client.runs.get("r/1")
        assert (caught.value.code, caught.value.status) == ("NOT_FOUND", 404)
        assert caught.value.request_id
        with pytest.raises(NotFound, match="Team"):
            await client.start("nope", "hello")
        with pytest.raises(InvalidInput) as invalid:
            await client.start("demo-team", "hello", budget={"tokens": -1}, priority="high")
        assert set(invalid.value.fields) == {"budget", "priority"}


async def test_a_token_that_is_missing_or_wrong(connect: Connect) -> None:
    async with connect(security_key="right") as (_, client):
        with pytest.raises(Unauthorized, match="MUSTERD_TOKEN"):
            await client.teams.list()
    async with connect("secret-of-mine", security_key="right") as (_, client):
        with pytest.raises(Unauthorized) as caught:
            await client.start("demo-team", "hello")
        assert "secret-of-mine" not in f"{caught.value!r} {caught.value} {client.client!r}"
    async with connect("right", security_key="right") as (_, client):
        assert await client.teams.list()


async def test_nothing_listens_there(client_kind: str) -> None:
    async with either_client(client_kind, "http://user:password@127.0.0.1:9", retry_seconds=0) as client:
        with pytest.raises(
            CannotConnect, match=r"http://127.0.0.1:9 does not answer GET /teams: .*Is the server up"
        ) as caught:
            await client.teams.list()
        assert "password" not in f"{caught.value} {client.client!r}"


@pytest.mark.parametrize("size", [2_000_000, 30_000_000])
async def test_a_body_that_is_too_long(connect: Connect, size: int) -> None:
    """The server answers before it has read all of it."""
    async with connect(body_bytes=1_000_000) as (_, client):
        with pytest.raises(InvalidInput) as caught:
            await client.start("demo-team", "hello", files=[File(name="a.txt", content=b"x" * size)])
        assert (caught.value.status, caught.value.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_an_address_that_is_too_long(connect: Connect) -> None:
    async with connect() as (_, client):
        with pytest.raises(InvalidInput) as caught:
            await client.runs.get("x" * 20_000)
        assert (caught.value.status, caught.value.code) == (414, "URI_TOO_LONG")
