"""AgentOSClient 2.5.6 and memories of users."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.client_drivers import ClientFailed, Driver

pytestmark = pytest.mark.needs("POST /memories", "GET /memories")


def create_memory(agentos: Driver, user: str, memory: str, *topics: str) -> dict[str, Any]:
    """A memory of the user."""
    created: dict[str, Any] = agentos.create_memory(memory, user, topics=list(topics) or None)
    return created


def test_a_memory_is_typed(agentos: Driver, session_id: str) -> None:
    memory = create_memory(agentos, session_id, "likes tea", "drinks")
    assert (memory["$type"], memory["memory"]) == ("UserMemorySchema", "likes tea")
    assert (memory["topics"], memory["user_id"]) == (["drinks"], session_id)
    assert memory["updated_at"]["$type"] == "datetime"
    assert agentos.get_memory(memory["memory_id"], user_id=session_id) == memory


def test_memories_are_listed_by_user_topic_and_words(agentos: Driver, session_id: str) -> None:
    create_memory(agentos, session_id, "likes tea", "drinks")
    create_memory(agentos, session_id, "lives in Rome", "home")
    page = agentos.list_memories(user_id=session_id)
    assert (page["$type"], page["meta"]["total_count"]) == ("PaginatedResponse", 2)
    assert {item["$type"] for item in page["data"]} == {"UserMemorySchema"}
    drinks = agentos.list_memories(user_id=session_id, topics=["drinks"])
    assert [item["memory"] for item in drinks["data"]] == ["likes tea"]
    memories = agentos.list_memories(user_id=session_id, search_content="Rome")
    assert [item["memory"] for item in memories["data"]] == ["lives in Rome"]
    assert agentos.list_memories(user_id=f"{session_id}-nobody")["data"] == []


def test_a_memory_is_changed(agentos: Driver, session_id: str) -> None:
    memory = create_memory(agentos, session_id, "likes tea", "drinks")
    changed = agentos.update_memory(memory["memory_id"], "likes coffee", session_id, topics=["taste"])
    assert (changed["memory_id"], changed["memory"], changed["topics"]) == (
        memory["memory_id"],
        "likes coffee",
        ["taste"],
    )


def test_memories_are_deleted(agentos: Driver, session_id: str) -> None:
    first, second, third = (create_memory(agentos, session_id, f"number {number}") for number in range(3))
    assert agentos.delete_memory(first["memory_id"], user_id=session_id) is None
    assert agentos.delete_memories([second["memory_id"], third["memory_id"]], user_id=session_id) is None
    assert agentos.list_memories(user_id=session_id)["data"] == []
    with pytest.raises(ClientFailed) as failed:
        agentos.get_memory(first["memory_id"], user_id=session_id)
    assert failed.value.status == 404


@pytest.mark.needs("GET /memory_topics")
def test_topics_are_a_list_of_texts(agentos: Driver, session_id: str) -> None:
    create_memory(agentos, session_id, "likes tea", f"drinks-{session_id}")
    assert f"drinks-{session_id}" in agentos.get_memory_topics()


@pytest.mark.needs("GET /user_memory_stats")
def test_stats_of_users(agentos: Driver, session_id: str) -> None:
    create_memory(agentos, session_id, "likes tea")
    page = agentos.get_user_memory_stats(limit=1000)
    (stats,) = [item for item in page["data"] if item["user_id"] == session_id]
    assert (stats["$type"], stats["total_memories"]) == ("UserStatsSchema", 1)
    assert stats["last_memory_updated_at"]["$type"] == "datetime"


@pytest.mark.needs("POST /optimize-memories")
def test_memories_are_made_shorter(agentos: Driver, session_id: str) -> None:
    for number in range(3):
        create_memory(agentos, session_id, f"likes tea number {number}")
    done = agentos.optimize_memories(session_id, model="scripted", apply=False)
    assert done["$type"] == "OptimizeMemoriesResponse"
    assert done["memories_before"] == 3
    assert done["memories_after"] == len(done["memories"])
    assert agentos.list_memories(user_id=session_id)["meta"]["total_count"] == 3
