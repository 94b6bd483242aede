"""The state of the server for people: checks, processes, work, database, models."""

from pathlib import Path
from typing import Any

import pytest

import musterd
from musterd import Settings, create_app
from musterd.core import clock
from musterd.store import workers
from musterd.store.workers import WorkerProcess
from tests.flow.test_approvals import Shop, paused
from tests.flow.test_error_answers import gone_later
from tests.support.app import Serve, in_process, sample
from tests.support.http import ServerClient, problem
from tests.support.tokens import Issuer, public_pem, rsa_key


async def status(client: ServerClient, **headers: str) -> dict[str, Any]:
    answer = await client.http.get("/-/status", headers=headers)
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


async def test_a_server_that_does_nothing(client: ServerClient) -> None:
    before = clock.now()
    state = await status(client)
    assert (state["version"], state["streams_open"]) == (musterd.__version__, 0)
    assert state["started_at"] <= state["now"]
    assert before - 0.001 <= state["now"] <= clock.now() + 0.001
    names = [check["name"] for check in state["checks"]]
    assert names == ["accepting", "worker", "beats", "event_loop", "database", "schema", "served"]
    assert all(check["ok"] and check["problem"] is None for check in state["checks"])
    (process,) = state["processes"]
    assert (process["is_this"], process["version"], process["role"]) == (True, musterd.__version__, "server")
    assert process["started_at"] <= process["last_beat_at"] + 1
    assert state["slots"] == {"used": 0, "limit": 500}
    assert state["queue"] == {
        "ready": 0,
        "queued": 0,
        "scheduled": 0,
        "paused": 0,
        "running": 0,
        "oldest_wait_seconds": 0.0,
        "approvals": 0,
    }
    database = state["database"]
    assert (database["kind"], database["is_up"], database["schema"]) == ("sqlite", True, "v0001")
    assert database["size_bytes"] > 100_000
    assert database["version"].startswith("3.")
    assert state["upkeep"]["retention_days"] is None
    assert [(model["id"], model["provider"], model["calls"]) for model in state["models"]] == [
        ("scripted", "Scripted", 0)
    ]
    assert state["models"][0]["first_token_seconds"] is None


async def test_what_is_at_work(serve: Serve) -> None:
    async with serve(concurrency=1) as client:
        hold = client.model.hold("wait")
        first = await client.begin("wait", session_id="s1")
        await hold.reached.wait()
        await client.begin("hello", session_id="s1")
        await client.begin("hello", session_id="s2")
        state = await status(client)
        assert state["slots"] == {"used": 1, "limit": 1}
        assert (state["queue"]["running"], state["queue"]["queued"], state["queue"]["ready"]) == (1, 1, 1)
        assert state["processes"][0]["runs"] == 1
        hold.release()
        await client.ended(first)


async def test_models_and_their_calls(client: ServerClient) -> None:
    await client.run("[[DELEGATE writer-agent: hi]]")
    (model,) = (await status(client))["models"]
    assert (model["calls"], model["failed"], model["retries"]) == (3, 0, 0)
    assert model["tokens"] > 0
    assert (await status(client))["database"]["commit_seconds"] > 0


async def test_other_processes_are_listed_with_their_role(client: ServerClient) -> None:
    other = WorkerProcess(host="far", pid=7, started_at=clock.now() + 60, version="0.0.9", role="worker")
    await client.server.database.write(lambda tx: workers.add(tx, "far-away", ["team:demo-team"], other))
    own, far = (await status(client))["processes"]
    assert (own["is_this"], far["is_this"]) == (True, False)
    assert (far["id"], far["host"], far["pid"], far["version"], far["role"]) == (
        "far-away",
        "far",
        7,
        "0.0.9",
        "worker",
    )
    assert far["runs"] == 0


async def test_what_waits_for_a_person_counts_as_paused(database: Path) -> None:
    async with Shop(database).serving() as client:
        await paused(client)
        queue = (await status(client))["queue"]
    assert (queue["paused"], queue["approvals"]) == (1, 1)


async def test_the_rest_is_answered_while_the_database_is_away(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way in ("scan", "read", "write"):
        monkeypatch.setattr(client.server.database, way, gone_later)
    state = await status(client)
    assert (state["processes"], state["queue"]) == ([], None)
    assert (state["database"]["is_up"], state["database"]["size_bytes"]) == (False, None)
    problems = {check["name"]: check["problem"] for check in state["checks"] if not check["ok"]}
    assert problems["database"] == "The database cannot be used now."
    assert state["slots"]["limit"] == 500


async def test_it_needs_the_scope_of_the_metrics(serve: Serve) -> None:
    async with serve(jwt_verification_key=public_pem(rsa_key())) as client:
        problem(await client.http.get("/-/status"), 401, "UNAUTHENTICATED")
        answer = await client.http.get("/-/status", headers=Issuer().bearer("ada", "teams:run"))
        problem(answer, 403, "FORBIDDEN")
        for scope in ("system:metrics", "agent_os:admin"):
            assert await status(client, **Issuer().bearer("ada", scope))


async def test_it_is_the_same_on_each_database(database_url: str) -> None:
    served = sample()
    app = create_app(teams=served.teams, agents=served.agents, settings=Settings(db=database_url, drain_seconds=0))
    async with in_process(app) as client:
        await client.run("hello", session_id="s1")
        state = await status(client)
        (session,) = (await client.get("/sessions", status="completed", q="hello"))["data"]
    assert state["database"]["kind"] == ("sqlite" if database_url.startswith("sqlite") else "postgres")
    assert state["database"]["size_bytes"] > 0
    assert state["database"]["version"]
    assert [process["is_this"] for process in state["processes"]] == [True]
    assert (session["status"], session["run_count"], session["last_answer"]) == ("COMPLETED", 1, "Echo: hello")
