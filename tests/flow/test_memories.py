"""Memories of users: written, found, changed, forgotten, put together by a model."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsStr

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import NotFound, StartError
from musterd.features.memories import store
from musterd.features.memories.records import Memory, MemoryFilter
from musterd.features.memories.service import MemoryService
from musterd.http.server import Server
from tests.support.app import Serve, app_on
from tests.support.http import ServerClient, problem, wrong_fields

IS_TIME = IsStr(regex=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
ADA, BOB = Caller(user_id="ada", label="ada"), Caller(user_id="bob", label="bob")


async def remember(client: ServerClient, memory: str, user_id: str = "ada", *topics: str) -> str:
    """Write a memory; its id."""
    answer = await client.http.post("/memories", json={"memory": memory, "user_id": user_id, "topics": list(topics)})
    assert answer.status_code == 200, answer.text
    memory_id: str = answer.json()["memory_id"]
    return memory_id


async def texts(client: ServerClient, **query: Any) -> list[str]:
    """The texts of one page."""
    return [one["memory"] for one in (await client.get("/memories", **query))["data"]]


async def test_a_memory_is_written_and_read(client: ServerClient) -> None:
    memory_id = await remember(client, "Likes tea", "ada", "drinks", "habits", "drinks")
    expected = {
        "memory_id": memory_id,
        "memory": "Likes tea",
        "topics": ["drinks", "habits"],
        "agent_id": None,
        "team_id": None,
        "user_id": "ada",
        "updated_at": IS_TIME,
        "created_at": IS_TIME,
        "input": None,
        "source_run_id": None,
        "profile_field": None,
    }
    assert await client.get(f"/memories/{memory_id}") == expected
    assert await client.get("/memories") == {
        "data": [expected],
        "meta": {"page": 1, "limit": 20, "total_pages": 1, "total_count": 1, "search_time_ms": 0.0},
    }


async def test_nobody_named_is_the_default_user(client: ServerClient) -> None:
    answer = await client.http.post("/memories", json={"memory": "x"})
    assert answer.json()["user_id"] == "default"


async def test_a_list_is_filtered_sorted_and_paged(client: ServerClient) -> None:
    await remember(client, "Likes tea", "ada", "drinks", "a%b")
    await remember(client, "Drinks CAFÉ", "ada", "drinks")
    await remember(client, "Lives in Oslo", "bob", "places")
    by_text = {"sort_by": "memory", "sort_order": "asc"}
    assert await texts(client, **by_text) == ["Drinks CAFÉ", "Likes tea", "Lives in Oslo"]
    assert await texts(client, **by_text, limit=2, page=2) == ["Lives in Oslo"]
    assert await texts(client, sort_by="updated_at", sort_order="asc") == ["Likes tea", "Drinks CAFÉ", "Lives in Oslo"]
    assert await texts(client, user_id="bob") == ["Lives in Oslo"]
    assert await texts(client, search_content="drinks CAFÉ") == ["Drinks CAFÉ"]
    assert await texts(client, search_content="%") == []
    assert await texts(client, topics="drinks,a%b") == ["Likes tea"]
    assert await texts(client, topics="a_b") == []
    assert await texts(client, agent_id="weather-agent") == []
    assert await client.get("/memory_topics") == ["a%b", "drinks", "places"]
    assert await client.get("/memory_topics", user_id="bob") == ["places"]


async def test_what_is_remembered_of_each_user_is_counted(client: ServerClient) -> None:
    for user, text in (("ada", "x"), ("ada", "y"), ("bob", "x")):
        await remember(client, text, user)
    page = await client.get("/user_memory_stats", limit=1)
    assert page["data"] == [{"user_id": "bob", "total_memories": 1, "last_memory_updated_at": IS_TIME}]
    assert (page["meta"]["total_count"], page["meta"]["total_pages"]) == (2, 2)
    assert [one["total_memories"] for one in (await client.get("/user_memory_stats", user_id="ada"))["data"]] == [2]


async def test_a_memory_is_changed(client: ServerClient) -> None:
    memory_id = await remember(client, "Likes tea", "ada", "drinks")
    answer = await client.http.patch(f"/memories/{memory_id}", json={"memory": "Likes coffee", "user_id": "ada"})
    assert (answer.json()["memory"], answer.json()["topics"]) == ("Likes coffee", [])
    assert answer.json() == await client.get(f"/memories/{memory_id}")
    problem(await client.http.patch(f"/memories/{memory_id}", json={"memory": "x", "user_id": "bob"}), 404, "NOT_FOUND")
    problem(await client.http.patch("/memories/none", json={"memory": "x"}), 404, "NOT_FOUND")


async def test_a_fact_is_remembered_once(client: ServerClient) -> None:
    first = await remember(client, "Likes tea", "ada", "drinks")
    assert await remember(client, " likes  TEA", "ada", "habits") == first
    assert await remember(client, "Likes tea", "bob") != first
    assert (await client.get(f"/memories/{first}"))["topics"] == ["drinks", "habits"]
    other = await remember(client, "Likes coffee", "ada")
    await client.http.patch(f"/memories/{other}", json={"memory": "likes tea", "user_id": "ada"})
    assert await texts(client, user_id="ada") == ["likes tea"]
    problem(await client.http.get(f"/memories/{first}"), 404, "NOT_FOUND")


async def test_memories_are_forgotten(client: ServerClient) -> None:
    first, second, third = [await remember(client, text, "ada") for text in "abc"]
    problem(await client.http.delete(f"/memories/{first}", params={"user_id": "bob"}), 404, "NOT_FOUND")
    assert (await client.http.delete(f"/memories/{first}")).status_code == 204
    problem(await client.http.delete(f"/memories/{first}"), 404, "NOT_FOUND")
    for user, left in (("bob", 2), ("ada", 0)):
        body = {"memory_ids": [second, third, "none"], "user_id": user}
        assert (await client.http.request("DELETE", "/memories", json=body)).status_code == 204
        assert len(await texts(client)) == left


async def test_all_memories_of_a_user_are_forgotten_at_once(client: ServerClient) -> None:
    for user, text in (("org/ada", "Likes tea"), ("org/ada", "Lives in Oslo"), ("bob", "Likes tea")):
        await remember(client, text, user)
    for deleted in (2, 0):
        answer = await client.http.delete("/users/org%2Fada/memories")
        assert (answer.status_code, answer.json()) == (200, {"deleted": deleted})
    assert await texts(client) == ["Likes tea"]
    assert [one["user_id"] for one in (await client.get("/user_memory_stats"))["data"]] == ["bob"]


@pytest.mark.parametrize(
    "body, wrong",
    [
        ({}, [("body", "memory")]),
        ({"memory": ""}, [("body", "memory")]),
        ({"memory": "x" * 5001}, [("body", "memory")]),
        ({"memory": "a\x00"}, [("body", "memory")]),
        ({"memory": "x", "topics": "a"}, [("body", "topics")]),
        ({"memory": "x", "topics": ["a", 1, ""]}, [("body", "topics", "1"), ("body", "topics", "2")]),
        ([], [("body",)]),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_written(
    client: ServerClient, body: Any, wrong: list[tuple[str, ...]]
) -> None:
    assert wrong_fields(await client.http.post("/memories", json=body)) == wrong
    assert await texts(client) == []


async def test_a_list_says_what_is_wrong_with_its_query(client: ServerClient) -> None:
    answer = await client.http.get("/memories", params={"limit": "0", "page": "x", "sort_order": "up"})
    assert {where[1] for where in wrong_fields(answer)} == {"limit", "page", "sort_order"}
    long = await client.http.get("/memories", params={"search_content": "x" * 201, "topics": "y" * 256})
    assert wrong_fields(long) == [("query", "search_content"), ("query", "topics", "0")]
    problem(await client.http.get("/memories", params={"db_id": "other"}), 404, "NOT_FOUND")
    no_ids = await client.http.request("DELETE", "/memories", json={"memory_ids": []})
    assert wrong_fields(no_ids) == [("body", "memory_ids")]


# --- isolation ----------------------------------------------------------------------------------------


async def test_a_proved_user_sees_its_own_alone(client: ServerClient) -> None:
    memories = client.server.service(MemoryService)
    own = await memories.add("mine", [], "somebody else", ADA)
    assert own.user_id == "ada", "a label is no proof"
    assert (await memories.view(own.memory_id, None, ADA)).memory == "mine"
    assert await _reads(client.server, own.memory_id, BOB) == 0
    boss = Caller(user_id="boss", label="boss", is_admin=True)
    added = await memories.add("by the boss", [], "ada", boss)
    assert (await memories.view(added.memory_id, None, ADA)).memory == "by the boss"
    await memories.add("of a label", [], "ada", Caller())
    assert await memories.forget_user("ada", ADA) == 2
    assert await texts(client) == ["of a label"]
    assert await memories.forget_user("ada", boss) == 1


async def test_memories_about_one_user_that_belong_to_two_are_merged_apart(serve: Serve) -> None:
    async with serve(memory_model="scripted") as client:
        memories = client.server.service(MemoryService)
        for owner, names in (("bob", "bc"), ("root", "ar"), (None, "n")):
            for name in names:
                await _store(client.server, name, "root", owner)
        boss = Caller(user_id="root", label="root", is_admin=True)
        optimized = await memories.optimize("root", None, True, boss)
        assert {memory.owner for memory in optimized.after} == {"bob", "root", None}
        stored, _ = await memories.search(MemoryFilter(user_id="root"), boss)
        assert sorted(stored, key=repr) == sorted(optimized.after, key=repr)
        ((bobs,), _) = await memories.search(MemoryFilter(), BOB)
        assert ("1. b\n\n2. c" in bobs.memory, "1. a" in bobs.memory) == (True, False)


async def test_what_belongs_to_a_user_and_is_about_another_goes_with_both(client: ServerClient) -> None:
    memories = client.server.service(MemoryService)
    boss = Caller(user_id="root", label="root", is_admin=True)

    async def written() -> None:
        for about, owner in (("bob", "bob"), ("root", "bob"), ("root", "root"), ("ada", "ada")):
            await _store(client.server, f"{about} {owner}", about, owner)

    await written()
    assert await memories.forget_user("bob", ADA) == 0
    assert await memories.forget_user("bob", BOB) == 2
    assert sorted(await texts(client)) == ["ada ada", "root root"]
    await memories.forget_user("ada", boss)
    await memories.forget_user("root", boss)
    await written()
    assert await memories.forget_user("bob", boss) == 2
    assert sorted(await texts(client)) == ["ada ada", "root root"]


async def _store(server: Server, text: str, about: str, owner: str | None) -> None:
    """Store a memory as a run of ``about`` in a session of ``owner`` does."""
    now = clock.now()
    memory = Memory(memory_id=text, user_id=about, owner=owner, memory=text, created_at=now, updated_at=now)
    await server.resources.database.write(lambda tx: store.add(tx, memory))


async def _reads(server: Server, memory_id: str, caller: Caller) -> int:
    """How many ways lead ``caller`` to another's memory."""
    memories = server.service(MemoryService)
    ways = 0
    for attempt in (
        lambda: memories.view(memory_id, None, caller),
        lambda: memories.change(memory_id, "x", [], "ada", caller),
        lambda: memories.forget(memory_id, None, caller),
    ):
        try:
            await attempt()
            ways += 1
        except NotFound:
            pass
    await memories.forget_many([memory_id], None, caller)
    ways += await memories.forget_user("ada", caller)
    ways += len((await memories.search(MemoryFilter(user_id="ada"), caller))[0])
    ways += len(await memories.topics("ada", caller))
    ways += len((await memories.stats("ada", caller, limit=20, page=1))[0])
    return ways


# --- put together by a model --------------------------------------------------------------------------


async def test_a_model_puts_memories_together(serve: Serve) -> None:
    async with serve(memory_model="scripted") as client:
        await remember(client, "Likes tea", "ada", "drinks")
        await remember(client, "[[SAY Likes tea, lives in Oslo.]]", "ada", "places")
        await remember(client, "Another's", "bob")
        preview = (await client.http.post("/optimize-memories", json={"user_id": "ada", "apply": False})).json()
        assert (preview["memories_before"], preview["memories_after"]) == (2, 1)
        assert len(await texts(client, user_id="ada")) == 2
        done = (await client.http.post("/optimize-memories", json={"user_id": "ada"})).json()
        (one,) = done["memories"]
        assert one["memory"] == "Likes tea, lives in Oslo."
        assert one["topics"] == ["drinks", "places"]
        assert done["tokens_saved"] == done["tokens_before"] - done["tokens_after"]
        assert await client.get(f"/memories/{one['memory_id']}") == one
        assert await texts(client, user_id="ada") == [one["memory"]]
        assert await texts(client, user_id="bob") == ["Another's"]
        nobody = await client.http.post("/optimize-memories", json={"user_id": "nobody"})
        problem(nobody, 404, "NOT_FOUND")


async def test_a_model_must_be_named_and_be_one_of_this_servers(client: ServerClient) -> None:
    await remember(client, "x")
    for body in ({"user_id": "ada"}, {"user_id": "ada", "model": "openai:gpt-5"}):
        answer = await client.http.post("/optimize-memories", json=body)
        assert wrong_fields(answer) == [("body", "model")]
    assert wrong_fields(await client.http.post("/optimize-memories", json={})) == [("body", "user_id")]
    named = await client.http.post("/optimize-memories", json={"user_id": "ada", "model": "scripted:scripted"})
    assert named.status_code == 200, named.text


def test_a_model_that_cannot_be_used_ends_the_start(database: Path) -> None:
    with pytest.raises(StartError, match=r"MUSTERD_MEMORY_MODEL: .*no-such"):
        app_on(database, memory_model="no-such:model")


async def test_a_model_that_fails_changes_nothing(serve: Serve) -> None:
    async with serve(memory_model="scripted") as client:
        await remember(client, "[[ERROR 400]]")
        problem(await client.http.post("/optimize-memories", json={"user_id": "ada"}), 503, "UNAVAILABLE")
        assert await texts(client) == ["[[ERROR 400]]"]


async def test_a_merged_text_that_runs_would_not_read_to_its_end_changes_nothing(serve: Serve) -> None:
    async with serve(memory_model="scripted") as client:
        stored = [f"{number}: {'x' * 2000}" for number in range(3)]
        for text in stored:
            await remember(client, text)
        answer = await client.http.post("/optimize-memories", json={"user_id": "ada"})
        assert "a run reads 4000" in problem(answer, 503, "UNAVAILABLE")
        assert sorted(await texts(client)) == stored


async def test_the_oldest_memories_are_merged_as_many_as_a_model_reads(serve: Serve) -> None:
    async with serve(memory_model="scripted") as client:
        await remember(client, "[[SAY All of it.]]", "ada", *(f"a{number}" for number in range(80)))
        await remember(client, "more", "ada", *(f"b{number}" for number in range(80)))
        for number in range(5):
            await remember(client, f"{number}{'x' * 4500}")
        done = (await client.http.post("/optimize-memories", json={"user_id": "ada"})).json()
        (merged,) = done["memories"]
        assert (done["memories_before"], merged["memory"], len(merged["topics"])) == (6, "All of it.", 100)
        assert sorted(text[0] for text in await texts(client)) == ["4", "A"]


async def test_what_changed_meanwhile_is_not_lost(serve: Serve) -> None:
    async with serve() as client:
        held = client.model.hold("1.")
        await remember(client, "first")
        optimizing = asyncio.create_task(
            client.http.post("/optimize-memories", json={"user_id": "ada", "model": "scripted:scripted"})
        )
        await held.reached.wait()
        await remember(client, "second")
        held.release()
        problem(await optimizing, 409, "CONFLICT")
        assert sorted(await texts(client)) == ["first", "second"]


async def test_a_memory_that_is_added_again_has_no_more_topics_than_a_request(client: ServerClient) -> None:
    for start in (0, 100):
        await remember(client, "Likes tea", "ada", *(f"t{number}" for number in range(start, start + 100)))
    (memory,) = (await client.get("/memories", user_id="ada"))["data"]
    assert len(memory["topics"]) == 100
