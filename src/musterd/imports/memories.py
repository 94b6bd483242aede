"""Converts one memory of AgentOS."""

from collections.abc import Mapping

from musterd.core.jsontext import storable
from musterd.core.jsontypes import Json
from musterd.core.user_memories import MAX_TOPICS, MEMORY_CHARACTERS, TOPIC_CHARACTERS
from musterd.features.memories.records import Memory
from musterd.imports.runs import Names, require_id
from musterd.imports.values import Unreadable, parse, text_in, text_of, time_in

DEFAULT_USER = "default"
"""The user of memories that have no user, in AgentOS and in musterd."""


def imported_memory(stored: Mapping[str, Json], names: Names) -> Memory:
    """Convert a row of AgentOS's table of memories.

    :raises Unreadable: it does not have AgentOS's format, or it is longer than musterd allows.
    """
    memory_id = require_id(stored, "memory_id")
    text, topics = storable(text_of(parse(stored.get("memory"), "memory"))), parse(stored.get("topics"), "topics")
    if not text.strip():
        raise Unreadable("the memory is empty")
    if len(text) > MEMORY_CHARACTERS:
        raise Unreadable(f"the memory has {len(text)} characters; the limit is {MEMORY_CHARACTERS}")
    user_id = text_in(stored, "user_id")
    agent_id, team_id = text_in(stored, "agent_id"), text_in(stored, "team_id")
    created_at = time_in(stored, "created_at") or 0.0
    return Memory(
        memory_id=memory_id,
        owner=names.owner(user_id),
        user_id=user_id or DEFAULT_USER,
        memory=text,
        topics=_topics(topics),
        agent_id=None if agent_id is None else names.component(agent_id),
        team_id=None if team_id is None else names.component(team_id),
        input=text_in(stored, "input"),
        created_at=created_at,
        updated_at=time_in(stored, "updated_at") or created_at,
    )


def _topics(stored: Json) -> list[str]:
    topics = stored if isinstance(stored, list) else []
    return [storable(text_of(topic))[:TOPIC_CHARACTERS] for topic in topics[:MAX_TOPICS]]
