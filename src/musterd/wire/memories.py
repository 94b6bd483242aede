"""Memories on the wire, both ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musterd.core.memories import Memory, MemoryFilter, MemoryStats, Optimized
from musterd.wire.fields import Fields
from musterd.wire.pages import PAGES_FROM_0
from musterd.wire.problems import MISSING
from musterd.wire.times import iso_seconds

MEMORY_CHARACTERS = 5000
TOPICS = 100
TOPIC_CHARACTERS = 255
IDS = 1000
SORTABLE = ("updated_at", "created_at", "memory", "user_id", "agent_id", "team_id", "memory_id")
CHARACTERS_A_TOKEN = 4
"""Characters of text that are estimated to be one token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryText:
    """What a client writes into a memory."""

    memory: str
    topics: list[str]
    user_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeRequest:
    """Whose memories are to become one, by which model, and whether that is to be stored."""

    user_id: str
    model: str | None
    applies: bool


def memory_object(found: Memory) -> dict[str, Any]:
    """One memory."""
    return {
        "memory_id": found.memory_id,
        "memory": found.memory,
        "topics": found.topics,
        "agent_id": found.agent_id,
        "team_id": found.team_id,
        "user_id": found.user_id,
        "updated_at": iso_seconds(found.updated_at),
    }


def stats_object(found: MemoryStats) -> dict[str, Any]:
    """How much is remembered of one user."""
    return {
        "user_id": found.user_id,
        "total_memories": found.total_memories,
        "last_memory_updated_at": iso_seconds(found.last_updated_at),
    }


def optimized_object(found: Optimized) -> dict[str, Any]:
    """What became of a user's memories, with the tokens that they are estimated to take."""
    before, after = _tokens(found.before), _tokens(found.after)
    saved = max(before - after, 0)
    return {
        "memories": [memory_object(one) for one in found.after],
        "memories_before": len(found.before),
        "memories_after": len(found.after),
        "tokens_before": before,
        "tokens_after": after,
        "tokens_saved": saved,
        "reduction_percentage": round(saved / before * 100, 2) if before else 0.0,
    }


def parse_memories_query(values: Mapping[str, str]) -> MemoryFilter:
    """The query of ``GET /memories``. Raises InvalidInput with everything that is wrong."""
    fields = Fields(values, "query")
    sort_by, topics = fields.text("sort_by"), fields.text("topics") or ""
    found = MemoryFilter(
        user_id=fields.text("user_id"),
        agent_id=fields.text("agent_id"),
        team_id=fields.text("team_id"),
        topics=tuple(topic for part in topics.split(",") if (topic := part.strip())),
        search_content=fields.text("search_content"),
        sort_by=sort_by if sort_by in SORTABLE else SORTABLE[0],
        is_descending=fields.choice("sort_order", ("asc", "desc")) != "asc",
        limit=PAGES_FROM_0.limit(fields),
        page=PAGES_FROM_0.page(fields),
    )
    if len(found.topics) > TOPICS:
        fields.problems.add("topics", "too_long", f"There should be at most {TOPICS} topics")
    fields.problems.raise_if_any()
    return found


def parse_memory_text(body: Any) -> MemoryText:
    """The body that makes or changes a memory. Raises InvalidInput with everything that is wrong."""
    fields = Fields.of_object(body)
    memory, user_id = fields.text("memory"), fields.identifier("user_id")
    if "memory" not in fields.values:
        fields.problems.add("memory", *MISSING)
    elif fields.given("memory") is None:
        fields.problems.add("memory", "string_too_short", "String should have at least 1 character")
    elif memory is not None and len(memory) > MEMORY_CHARACTERS:
        msg = f"String should have at most {MEMORY_CHARACTERS} characters"
        fields.problems.add("memory", "string_too_long", msg, memory)
    topics = fields.texts("topics", most=TOPICS, characters=TOPIC_CHARACTERS)
    fields.problems.raise_if_any()
    return MemoryText(memory=memory or "", topics=list(dict.fromkeys(topics or ())), user_id=user_id)


def parse_deletion(body: Any) -> tuple[list[str], str | None]:
    """Which memories to forget, and whose they must be. Raises InvalidInput with everything that is wrong."""
    fields = Fields.of_object(body)
    ids, user_id = fields.texts("memory_ids", most=IDS, characters=TOPIC_CHARACTERS), fields.identifier("user_id")
    if "memory_ids" not in fields.values:
        fields.problems.add("memory_ids", *MISSING)
    elif not fields.given("memory_ids"):
        fields.problems.add("memory_ids", "too_short", "List should have at least 1 item after validation, not 0")
    fields.problems.raise_if_any()
    return ids or [], user_id


def parse_optimize(body: Any, proved_user: str | None) -> OptimizeRequest:
    """The body of ``POST /optimize-memories``. Raises InvalidInput with everything that is wrong."""
    fields = Fields.of_object(body)
    user_id = proved_user or fields.identifier("user_id")
    if proved_user is None and fields.given("user_id") is None:
        fields.problems.add("user_id", *MISSING)
    model, applies = fields.identifier("model"), fields.flag("apply")
    fields.problems.raise_if_any()
    return OptimizeRequest(user_id=user_id or "", model=model, applies=applies is not False)


def _tokens(memories: list[Memory]) -> int:
    return sum(-(-len(one.memory) // CHARACTERS_A_TOKEN) for one in memories)
