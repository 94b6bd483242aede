"""Memories of users in runs, as AgentOS shows them."""

from datetime import UTC, datetime
from typing import Annotated, Any, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output


class MemoryIds(TypedDict, total=False):
    """The ids of memories that a run changed."""

    added: list[str]
    updated: list[str]
    removed: list[str]


class ChangedMemories(TypedDict, total=False):
    """The part of a run about memories."""

    memories: Annotated[MemoryIds, Field(description="The memories of its user that the run changed.")]


def changed_memories(output: Output | None) -> ChangedMemories:
    """The part of a run about memories; empty if it changed none."""
    return {"memories": cast(MemoryIds, output.memories)} if output and output.memories else {}


def memory_object(memory: JsonObject, user_id: str) -> dict[str, Any]:
    """One memory in an event. Its times are ISO 8601 in UTC; unlike in lists they have no zone."""
    author = {name: memory[name] for name in ("agent_id", "team_id") if memory[name] is not None}
    value = {
        "memory_id": memory["memory_id"],
        "memory": memory["memory"],
        "topics": memory["topics"],
        "created_at": _iso(memory["created_at"]),
        "updated_at": _iso(memory["updated_at"]),
    }
    value.update((name, memory[name]) for name in ("input", "profile_field") if memory[name] is not None)
    return {**value, "user_id": user_id, **author}


def _iso(at: float) -> str:
    return f"{datetime.fromtimestamp(int(at), UTC):%Y-%m-%dT%H:%M:%S}"
