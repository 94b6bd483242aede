"""Memories of users: kept, found, listed in pages."""

import json
from collections.abc import Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.core.memories import Memory, MemoryFilter, MemoryStats
from musterd.store.database import Row, Statement, Tx
from musterd.store.patterns import like_literal

GET = Statement("memory_get", "SELECT * FROM memories WHERE memory_id = :memory_id")
ADD = Statement(
    "memory_add",
    """INSERT INTO memories (memory_id, owner, user_id, memory, topics, agent_id, team_id, created_at, updated_at)
       VALUES (:memory_id, :owner, :user_id, :memory, :topics, :agent_id, :team_id, :created_at, :updated_at)""",
)
SET = Statement(
    "memory_set",
    """UPDATE memories SET memory = :memory, topics = :topics, updated_at = :updated_at
       WHERE memory_id = :memory_id""",
)
REMOVE = Statement("memory_remove", "DELETE FROM memories WHERE memory_id = :memory_id")
OF_USER = Statement(
    "memories_of_user", "SELECT * FROM memories WHERE user_id = :user_id ORDER BY updated_at, memory_id"
)
LOCK_USER = Statement(
    "memories_lock_user", "SELECT * FROM memories WHERE user_id = :user_id ORDER BY updated_at, memory_id LOCK_ROW"
)
_EQUAL = ("user_id", "agent_id", "team_id")


async def add(tx: Tx, memory: Memory) -> None:
    """Keep a memory."""
    await tx.run(ADD, _params(memory))


async def set_text(tx: Tx, memory: Memory) -> bool:
    """Keep a memory's new text and topics; whether it is still there."""
    return await tx.run(SET, _params(memory)) > 0


async def remove(tx: Tx, memory_id: str) -> None:
    """Forget it."""
    await tx.run(REMOVE, {"memory_id": memory_id})


async def get(tx: Tx, memory_id: str, caller: Caller) -> Memory | None:
    """The memory, or None when there is none that this caller may see."""
    row = await tx.one(GET, {"memory_id": memory_id})
    return None if row is None or not caller.may_see(row["owner"]) else _memory(row)


async def of_user(tx: Tx, user_id: str, caller: Caller, *, holds: bool = False) -> list[Memory]:
    """All that is remembered of a user and this caller may see, oldest first.

    :param holds: whether nobody else is to change them until the transaction ends.
    """
    rows = await tx.all(LOCK_USER if holds else OF_USER, {"user_id": user_id})
    return [_memory(row) for row in rows if caller.may_see(row["owner"])]


def page_of(wanted: MemoryFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, and its parameters."""
    where, params = _where(wanted, caller)
    direction = "DESC" if wanted.is_descending else "ASC"
    text = f"""SELECT * FROM memories{where} ORDER BY {wanted.sort_by} {direction}, memory_id {direction}
               LIMIT :limit OFFSET :offset"""
    name = f"memories_page {sorted(params)} {wanted.sort_by} {direction}"
    offset = max(wanted.page - 1, 0) * wanted.limit
    return Statement(name, text), {**params, "limit": wanted.limit, "offset": offset}


async def search(tx: Tx, wanted: MemoryFilter, caller: Caller) -> tuple[list[Memory], int]:
    """One page of memories and the number of all that match."""
    statement, params = page_of(wanted, caller)
    rows = await tx.all(statement, params)
    where, conditions = _where(wanted, caller)
    counted = Statement(f"memories_count {sorted(conditions)}", f"SELECT count(*) AS n FROM memories{where}")
    count = await tx.one(counted, conditions)
    return [_memory(row) for row in rows], 0 if count is None else int(count["n"])


async def topics(tx: Tx, user_id: str | None, caller: Caller) -> list[str]:
    """Every topic that memories have, once, sorted."""
    where, params = _where(MemoryFilter(user_id=user_id), caller)
    name = f"memory_topics {sorted(params)}"
    rows = await tx.all(Statement(name, f"SELECT DISTINCT topics FROM memories{where}"), params)
    return sorted({topic for row in rows for topic in json.loads(row["topics"])})


async def stats(tx: Tx, user_id: str | None, caller: Caller, *, limit: int, page: int) -> tuple[list[MemoryStats], int]:
    """How much is remembered of each user, who was remembered last first; and of how many in all."""
    where, params = _where(MemoryFilter(user_id=user_id), caller)
    name = f"{sorted(params)}"
    rows = await tx.all(
        Statement(
            f"memory_stats {name}",
            f"""SELECT user_id, count(*) AS n, max(updated_at) AS last FROM memories{where} GROUP BY user_id
                ORDER BY last DESC, user_id LIMIT :limit OFFSET :offset""",
        ),
        {**params, "limit": limit, "offset": max(page - 1, 0) * limit},
    )
    users = Statement(f"memory_users {name}", f"SELECT count(DISTINCT user_id) AS n FROM memories{where}")
    count = await tx.one(users, params)
    found = [
        MemoryStats(user_id=row["user_id"], total_memories=int(row["n"]), last_updated_at=row["last"]) for row in rows
    ]
    return found, 0 if count is None else int(count["n"])


def _where(wanted: MemoryFilter, caller: Caller) -> tuple[str, dict[str, Any]]:
    given: Sequence[tuple[str, str | None]] = [
        *((name, getattr(wanted, name)) for name in _EQUAL),
        ("owner", caller.sees_only),
    ]
    params: dict[str, Any] = {name: value for name, value in given if value is not None}
    conditions = [f"{name} = :{name}" for name in params]
    for number, topic in enumerate(wanted.topics):
        conditions.append(f"lower(topics) LIKE lower(:topic{number}) ESCAPE '\\'")
        params[f"topic{number}"] = "%" + like_literal(jsontext.dumps(topic)) + "%"
    if wanted.search_content:
        conditions.append("lower(memory) LIKE lower(:pattern) ESCAPE '\\'")
        params["pattern"] = "%" + like_literal(wanted.search_content) + "%"
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), params


def _params(memory: Memory) -> dict[str, Any]:
    values = {name: getattr(memory, name) for name in Memory.__slots__}
    return {**values, "topics": jsontext.dumps(list(memory.topics))}


def _memory(row: Row) -> Memory:
    values = {name: row[name] for name in Memory.__slots__}
    return Memory(**{**values, "topics": json.loads(values["topics"])})
