"""What clients see of a run that remembers its user, and that nobody sees another user's memories."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsInt, IsStr

from musterd import Agent, MemoryManager, Team
from musterd.features.memories.api import FEATURE
from tests.support.app import Sample, Serve, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, read_stream, wrong_fields
from tests.support.tokens import Issuer, public_pem, rsa_key

TEA = "I like tea"
IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
NOTE = '[[TOOL add_memory {"memory":"Name is Eve","topics":["name"]}]]'


def sample(model: HeldModel, **options: Any) -> Sample:
    """A team and agents that remember."""
    helper = Agent(id="helper", name="Helper")
    return Sample(
        [Team(id="desk", name="Desk", model=model, members=[helper], update_memory_on_run=True, **options)],
        [
            Agent(id="solo", name="Solo", model=model, update_memory_on_run=True, **options),
            Agent(id="learner", name="Learner", model=model, learning=True, **options),
            Agent(id="asked", name="Asked", model=model, enable_agentic_memory=True, **options),
        ],
    )


async def test_the_stream_is_that_of_agentos(serve: Serve) -> None:
    """As recorded from 2.5.6, with the ids of what changed in addition."""
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        stream = await client.stream(f"I am Eve {NOTE}", to="teams/desk", user_id="eve", session_id="s1")
        replayed = await client.http.post(
            f"/teams/desk/runs/{stream.events[0]['run_id']}/resume", data={"session_id": "s1"}
        )
        listed = (await client.get("/memories", user_id="eve"))["data"]
    assert stream.names == [
        "TeamRunStarted",
        "TeamModelRequestStarted",
        "TeamRunContent",
        "TeamModelRequestCompleted",
        "TeamRunContentCompleted",
        "TeamMemoryUpdateStarted",
        "TeamMemoryUpdateCompleted",
        "TeamRunCompleted",
    ]
    completed = stream.one("TeamMemoryUpdateCompleted")
    (memory,) = completed["memories"]
    assert memory == {
        "memory_id": listed[0]["memory_id"],
        "memory": "Name is Eve",
        "topics": ["name"],
        "created_at": IS_TIME,
        "updated_at": IS_TIME,
        "input": f"I am Eve {NOTE}",
        "user_id": "eve",
        "team_id": "desk",
    }
    assert completed["added"] == [memory["memory_id"]]
    tokens = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "id": IsStr(), "provider": IsStr()}
    ended = stream.one("TeamRunCompleted")
    assert ended["metrics"]["details"] == {"model": [tokens], "memory_model": [tokens]}
    assert ended["memories"] == {"added": [memory["memory_id"]]}
    assert [event for event in read_stream(replayed.text) if "event_index" in event] == stream.events


async def test_a_run_tells_what_it_changed(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        posted = await client.run(TEA, to="agents/solo", user_id="ada", session_id="s1")
        run = await client.get(f"/agents/solo/runs/{posted['run_id']}", session_id="s1")
        (memory,) = (await client.get("/memories", user_id="ada"))["data"]
        unchanged = await client.run("hello", to="agents/solo", user_id="ada")
        steps = await client.get(f"/agents/solo/runs/{posted['run_id']}/steps", session_id="s1")
        traces = await client.get("/traces", run_id=posted["run_id"])
    assert run["memories"] == posted["memories"] == {"added": [memory["memory_id"]]}
    assert (memory["input"], memory["source_run_id"], memory["agent_id"]) == (TEA, posted["run_id"], "solo")
    assert "memories" not in unchanged
    assert [step["path"] for step in steps if step["kind"] == "model"] == ["t0/m", "memory/m"]
    assert traces["data"][0]["total_spans"] == IsInt(ge=3)


async def test_a_text_that_a_person_has_corrected_comes_from_no_run(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        await client.run(TEA, to="agents/solo", user_id="ada")
        (memory,) = (await client.get("/memories", user_id="ada"))["data"]
        path, origin = f"/memories/{memory['memory_id']}", ("source_run_id", "input", "agent_id", "team_id")
        sorted_in = await client.http.patch(path, json={"memory": TEA, "topics": ["drinks"]})
        assert [sorted_in.json()[name] for name in origin] == [memory[name] for name in origin]
        corrected = await client.http.patch(path, json={"memory": "Likes coffee"})
        assert [corrected.json()[name] for name in origin] == [None] * 4
        assert await client.get(path) == corrected.json()


async def test_merged_memories_name_the_newest_run(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        await client.run(TEA, to="agents/solo", user_id="ada")
        run = await client.run("I live in Oslo", to="agents/solo", user_id="ada")
        await client.http.post("/memories", json={"memory": "Likes museums", "user_id": "ada"})
        merging = {"user_id": "ada", "model": "scripted:scripted"}
        (merged,) = (await client.http.post("/optimize-memories", json=merging)).json()["memories"]
        assert (merged["source_run_id"], merged["input"]) == (run["run_id"], "I live in Oslo")
        assert await client.get(f"/memories/{merged['memory_id']}") == merged


def tables_with(database: Path, text: str) -> set[str]:
    """The tables of a database that have a text somewhere."""
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table
            for table in tables
            if any(text in str(row) for row in connection.execute(f'SELECT * FROM "{table}"'))  # noqa: S608
        }


async def test_a_deleted_memory_is_gone_with_the_sessions_that_had_it(serve: Serve, database: Path) -> None:
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        for session, message in (("s1", TEA), ("s2", "hello")):
            await client.run(message, to="agents/solo", user_id="ada", session_id=session)
        assert (await client.http.delete("/users/ada/memories")).json() == {"deleted": 1}
        assert (await client.http.delete("/sessions/s1")).status_code == 204
        reader = await client.get("/sessions/s2/runs")
        assert TEA in reader[0]["messages"][0]["content"], "the prompt of a run that read it"
        assert "journal" in tables_with(database, TEA)
        assert (await client.http.delete("/sessions/s2")).status_code == 204
        while tables_with(database, TEA):
            await client.get("/sessions")


async def test_a_failure_of_the_manager_is_told_in_its_event(serve: Serve) -> None:
    model, manager = HeldModel(), MemoryManager(model=HeldModel())
    served = sample(model, memory_manager=manager)
    async with serve(model=model, served=served, memory_seconds=0.01) as client:
        manager.model.hold("I")  # type: ignore[union-attr]
        stream = await client.stream(TEA, to="agents/solo", user_id="ada")
    completed = stream.one("MemoryUpdateCompleted")
    assert (completed["error_type"], completed["memories"]) == ("memory_timeout", [])
    assert stream.names[-1] == "RunCompleted"


async def test_a_tool_reports_what_it_changed(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        run = await client.run(
            '[[TOOL update_user_memory {"task": "I moved to Rome"}]]', to="agents/asked", user_id="ada"
        )
        assert await texts(client, user_id="ada") == ["I moved to Rome"]
    assert [call["result"] for call in run["tools"]] == ["Added: I moved to Rome"]
    assert run["content"] == "Done: Added: I moved to Rome"
    assert set(run["metrics"]["details"]) == {"model", "memory_model"}


async def test_a_profile_is_listed_corrected_and_left_out_of_merging(serve: Serve) -> None:
    model = HeldModel()
    async with serve(model=model, served=sample(model)) as client:
        stream = await client.stream("My name is Ada. I like tea", to="agents/learner", user_id="ada")
        (field,) = [one for one in stream.one("MemoryUpdateCompleted")["memories"] if "profile_field" in one]
        assert (field["memory"], field["profile_field"]) == ("Ada", "name")
        too_long = await client.http.patch(f"/memories/{field['memory_id']}", json={"memory": "x" * 201})
        assert wrong_fields(too_long) == [("body", "memory")]
        changed = await client.http.patch(f"/memories/{field['memory_id']}", json={"memory": "Ada Lovelace"})
        assert (changed.json()["memory"], changed.json()["profile_field"]) == ("Ada Lovelace", "name")
        merging = {"user_id": "ada", "model": "scripted:scripted"}
        merged = (await client.http.post("/optimize-memories", json=merging)).json()
        assert merged["memories_before"] == 1
        listed = (await client.get("/memories", user_id="ada"))["data"]
        assert sorted(str(one["profile_field"]) for one in listed) == ["None", "name"]
        await client.http.post("/memories", json={"memory": "Ada Lovelace", "user_id": "ada"})
        assert len(await texts(client, user_id="ada")) == 3, "the same text may be a field and a memory"
        assert (await client.http.delete("/users/ada/memories")).json() == {"deleted": 3}


async def texts(client: ServerClient, headers: dict[str, str] | None = None, **query: str) -> list[str]:
    """The texts of the memories that the caller sees."""
    answer = await client.http.get("/memories", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return [memory["memory"] for memory in answer.json()["data"]]


# --- isolation ----------------------------------------------------------------------------------------

SCOPES = ("agents:run", "agents:read", "memories:read", "memories:write", "memories:delete", "sessions:read")
ADA, BOB = (Issuer().bearer(user, *SCOPES) for user in ("ada", "bob"))


@pytest.fixture
async def tokens(database: Path) -> AsyncIterator[ServerClient]:
    """A server whose callers prove who they are."""
    model = HeldModel()
    app = app_on(database, model=model, served=sample(model), jwt_verification_key=public_pem(rsa_key()))
    async with in_process(app, model) as client:
        yield client


async def test_a_proved_user_reads_and_writes_its_own_memories_alone(tokens: ServerClient) -> None:
    for by in (ADA, BOB):
        # The token counts, whatever the request says.
        await tokens.run(TEA, to="agents/solo", user_id="ada", headers=by)
    await tokens.run("I live in Oslo", to="agents/solo", headers=ADA)
    assert sorted(await texts(tokens, ADA)) == ["I like tea", "I live in Oslo"]
    assert await texts(tokens, BOB) == await texts(tokens, BOB, user_id="bob") == ["I like tea"]
    assert await texts(tokens, BOB, user_id="ada") == []
    await tokens.run("hello", to="agents/solo", user_id="ada", headers=BOB)
    prompts = [call[0]["content"] for call in map(tokens.model.conversation, (-1, -2))]
    assert all("I like tea" in prompt and "I live in Oslo" not in prompt for prompt in prompts), (
        "neither the agent nor the manager"
    )
    await tokens.run('[[TOOL update_user_memory {"task": "[[TOOL clear_memory]]"}]]', to="agents/asked", headers=BOB)
    assert len(await texts(tokens, ADA)) == 2


async def test_a_profile_is_its_users_alone(tokens: ServerClient) -> None:
    await tokens.run("My name is Ada", to="agents/learner", headers=ADA)
    for by, is_known in ((BOB, False), (ADA, True)):
        await tokens.run("hello", to="agents/learner", user_id="ada", headers=by)
        prompts = [call[0]["content"] for call in map(tokens.model.conversation, (-1, -2))]
        assert all(('name: "Ada"' in prompt) is is_known for prompt in prompts), "the agent and the manager"


OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/memories/{memory_id}", None),
    ("PATCH", "/memories/{memory_id}", {"memory": "x"}),
    ("DELETE", "/memories/{memory_id}", None),
    ("POST", "/memories", {"memory": "x", "user_id": "ada"}),
    ("DELETE", "/memories", {"memory_ids": ["{memory_id}"]}),
    ("DELETE", "/users/{user_id}/memories", None),
    ("GET", "/memories?search_content=Oslo", None),
    ("GET", "/memory_topics", None),
    ("GET", "/user_memory_stats?user_id=ada", None),
    ("POST", "/optimize-memories", {"user_id": "ada", "model": "scripted:scripted"}),
]


def test_every_operation_is_among_those_that_are_tried() -> None:
    tried = {(method, path.partition("?")[0]) for method, path, _ in OPERATIONS}
    assert tried == {(operation.method, operation.path) for operation in FEATURE.operations}


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_no_operation_shows_or_changes_anothers(
    tokens: ServerClient, method: str, path: str, body: dict[str, Any] | None
) -> None:
    await tokens.run(
        '[[TOOL add_memory {"memory": "Lives in Oslo", "topics": ["Oslo"]}]]', to="agents/solo", headers=ADA
    )
    (memory,) = (await tokens.http.get("/memories", headers=ADA)).json()["data"]
    if body is not None and "memory_ids" in body:
        body = {"memory_ids": [memory["memory_id"]]}
    answer = await tokens.http.request(
        method, path.format(memory_id=memory["memory_id"], user_id="ada"), json=body, headers=BOB
    )
    assert "Oslo" not in answer.text
    assert "total_memories" not in answer.text
    assert (await tokens.http.get("/memories", headers=ADA)).json()["data"] == [memory]
