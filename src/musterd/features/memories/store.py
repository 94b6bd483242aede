"""The statements on memories."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from musterd.core import jsontext
from musterd.core.callers import Caller
from musterd.features.memories.records import Memory, MemoryFilter, MemoryStats
from musterd.store.database import Row, Statement, Tx
from musterd.store.list_conditions import equalities, like_literal

GET = Statement("memory_get", "SELECT * FROM memories WHERE memory_id = :memory_id")
ADD = Statement(
    "memory_add",
    """INSERT INTO memories (memory_id, owner, user_id, memory, memory_key, topics, agent_id, team_id, input,
                             source_run_id, profile_field, created_at, updated_at)
       VALUES (:memory_id, :owner, :user_id, :memory, :memory_key, :topics, :agent_id, :team_id, :input,
               :source_run_id, :profile_field, :created_at, :updated_at)
       ON CONFLICT DO NOTHING""",
)
SET = Statement(
    "memory_set",
    """UPDATE memories SET memory = :memory, memory_key = :memory_key, topics = :topics, agent_id = :agent_id,
              team_id = :team_id, input = :input, source_run_id = :source_run_id, updated_at = :updated_at
       WHERE memory_id = :memory_id""",
)
# Of one user: rows of the user id that belong to the same owner, or to none. The lock is the last one of every
# transaction. It is a statement of its own, so that the next ones see what its previous holder has stored.
USER_TURN = Statement("memories_turn", "SELECT TURN('memories', :user_id) AS held")
_OF_USER = "user_id = :user_id AND COALESCE(owner, '') = :owner_key"
# Fields of the profile are read by their keys.
_NEWEST = (
    f"FROM memories WHERE {_OF_USER} AND profile_field IS NULL ORDER BY updated_at DESC, memory_id DESC LIMIT :limit"
)
NEWEST = Statement("memories_newest", f"SELECT * {_NEWEST}")
TEXTS = Statement("memories_texts", f"SELECT memory_id, memory {_NEWEST}")
WITH_IDS = Statement("memories_with_ids", f"SELECT * FROM memories WHERE {_OF_USER} AND IN_LIST(memory_id, :ids)")
WITH_KEYS = Statement("memories_with_keys", f"SELECT * FROM memories WHERE {_OF_USER} AND IN_LIST(memory_key, :keys)")
# Rows that another run or a person has changed since the run read them are left alone.
FORGET = Statement(
    "memory_forget",
    f"DELETE FROM memories WHERE memory_id = :memory_id AND {_OF_USER} AND updated_at = :updated_at",
)
FORGET_EARLIER = Statement(
    "memory_forget_earlier",
    f"DELETE FROM memories WHERE {_OF_USER} AND memory_key = :memory_key AND updated_at < :updated_at",
)
CLEAR = Statement("memories_clear", f"DELETE FROM memories WHERE {_OF_USER} AND updated_at <= :before")
USERS_OF_OWNER = Statement(
    "memories_users_of_owner", "SELECT DISTINCT user_id FROM memories WHERE owner = :owner ORDER BY user_id"
)
REMOVE_OWNED = Statement("memories_remove_owned", "DELETE FROM memories WHERE owner = :owner")
REMOVE = Statement("memory_remove", "DELETE FROM memories WHERE memory_id = :memory_id")
OF_USER = Statement(
    "memories_of_user",
    "SELECT * FROM memories WHERE user_id = :user_id AND profile_field IS NULL ORDER BY updated_at, memory_id",
)
# A lock of rows does not keep a new memory from being added on Postgres; it is not in the merged one, and stays.
LOCK_USER = Statement(
    "memories_lock_user",
    "SELECT * FROM memories WHERE user_id = :user_id AND profile_field IS NULL ORDER BY updated_at, memory_id LOCK_ROW",
)
ORDERS = {
    "updated_at": "updated_at {0}, memory_id {0}",
    "created_at": "created_at {0}, memory_id {0}",
    "memory": "substr(memory, 1, 100) {0}, memory_id {0}",  # as the index has it: memories may be long
    "user_id": "user_id {0}, updated_at {0}, memory_id {0}",
    "agent_id": "agent_id {0}, updated_at {0}, memory_id {0}",
    "team_id": "team_id {0}, updated_at {0}, memory_id {0}",
    "memory_id": "memory_id {0}",
}
"""What memories can be listed by; each has an index."""
_EQUAL = ("user_id", "agent_id", "team_id")


async def lock_user(tx: Tx, user_id: str) -> None:
    """Lock the memories of a user until the transaction ends. Take no other lock after it."""
    await tx.one(USER_TURN, {"user_id": user_id})


async def add(tx: Tx, memory: Memory) -> bool:
    """Store a memory; False: there is one with its text, field or id. The caller has locked the user."""
    return await tx.run(ADD, _params(memory)) > 0


async def set_field(tx: Tx, memory: Memory) -> bool:
    """Store a field of a profile, or remove it if the text is empty. The caller has locked the user.

    :return: False: it stays as it is, because it changed after ``memory.updated_at``.
    """
    # Deleted and added, not updated: a run that read no such field may find that of another run by now.
    await tx.run(FORGET_EARLIER, {**_params(memory), **_user(memory.user_id, memory.owner)})
    return not memory.memory or await add(tx, memory)


async def set_text(tx: Tx, memory: Memory) -> bool:
    """Store a memory's new text, topics and origin; False: it was deleted meanwhile. No other memory has the text."""
    return await tx.run(SET, _params(memory)) > 0


async def newest(tx: Tx, user_id: str, owner: str | None, limit: int) -> list[Memory]:
    """The memories of one user that changed last, newest first, without fields of the profile."""
    return [_memory(row) for row in await tx.all(NEWEST, {**_user(user_id, owner), "limit": limit})]


async def texts(tx: Tx, user_id: str, owner: str | None, limit: int) -> list[tuple[str, str]]:
    """The ids and texts of the same."""
    rows = await tx.all(TEXTS, {**_user(user_id, owner), "limit": limit})
    return [(row["memory_id"], row["memory"]) for row in rows]


async def with_ids(tx: Tx, user_id: str, owner: str | None, ids: Collection[str]) -> list[Memory]:
    """Those of these memories that are of one user."""
    rows = await tx.all(WITH_IDS, {**_user(user_id, owner), "ids": jsontext.dumps(sorted(ids))})
    return [_memory(row) for row in rows]


async def with_keys(tx: Tx, user_id: str, owner: str | None, keys: Collection[str]) -> list[Memory]:
    """The memories of one user with these keys."""
    params = {**_user(user_id, owner), "keys": jsontext.dumps(sorted(set(keys)))}
    return [_memory(row) for row in await tx.all(WITH_KEYS, params)]


async def forget(tx: Tx, memory: Memory) -> bool:
    """Delete a memory; False: it has changed since ``memory.updated_at``, or was deleted."""
    params = {"memory_id": memory.memory_id, "updated_at": memory.updated_at}
    return await tx.run(FORGET, {**params, **_user(memory.user_id, memory.owner)}) > 0


async def clear(tx: Tx, user_id: str, owner: str | None, before: float) -> None:
    """Delete all memories of a user that did not change after ``before``."""
    await tx.run(CLEAR, {**_user(user_id, owner), "before": before})


async def remove(tx: Tx, memory_id: str) -> None:
    """Delete a memory."""
    await tx.run(REMOVE, {"memory_id": memory_id})


async def users_of_owner(tx: Tx, owner: str, caller: Caller) -> list[str]:
    """The users that the memories of an owner are about, if this caller may see them."""
    rows = await tx.all(USERS_OF_OWNER, {"owner": owner}) if caller.may_see(owner) else []
    return [row["user_id"] for row in rows]


async def remove_of_user(tx: Tx, user_id: str, caller: Caller) -> int:
    """Delete all memories that are about a user or belong to them, and that this caller may see; return how many.

    The caller has locked the user, and the users of :func:`users_of_owner`.
    """
    where, params = _where(MemoryFilter(user_id=user_id), caller, ("user_id",))
    about = await tx.run(Statement(f"memories_remove_user {sorted(params)}", f"DELETE FROM memories{where}"), params)
    return about + (await tx.run(REMOVE_OWNED, {"owner": user_id}) if caller.may_see(user_id) else 0)


async def get(tx: Tx, memory_id: str, caller: Caller) -> Memory | None:
    """The memory; None: there is none that this caller may see."""
    row = await tx.one(GET, {"memory_id": memory_id})
    return None if row is None or not caller.may_see(row["owner"]) else _memory(row)


async def of_user(tx: Tx, user_id: str, caller: Caller, *, locks: bool = False) -> list[Memory]:
    """All memories about a user that this caller may see, oldest first, without fields of the profile.

    :param locks: whether to lock them until the transaction ends.
    """
    rows = await tx.all(LOCK_USER if locks else OF_USER, {"user_id": user_id})
    return [_memory(row) for row in rows if caller.may_see(row["owner"])]


def page_of(query: MemoryFilter, caller: Caller) -> tuple[Statement, dict[str, Any]]:
    """The statement that reads one page, and its parameters."""
    order = ORDERS[query.sort_by].format("DESC" if query.is_descending else "ASC")
    where, params = _where(query, caller, _page_index(query, caller))
    text = f"SELECT * FROM memories{where} ORDER BY {order} LIMIT :limit OFFSET :offset"
    offset = max(query.page - 1, 0) * query.limit
    return Statement(f"memories_page {sorted(params)} {order}", text), {
        **params,
        "limit": query.limit,
        "offset": offset,
    }


async def search(tx: Tx, query: MemoryFilter, caller: Caller) -> tuple[list[Memory], int]:
    """One page of memories and the number of all that match."""
    statement, params = page_of(query, caller)
    rows = await tx.all(statement, params)
    where, conditions = _where(query, caller, (_person(query, caller) or _first_of(query, "agent_id", "team_id"),))
    counted = Statement(f"memories_count {sorted(conditions)}", f"SELECT count(*) AS n FROM memories{where}")
    count = await tx.one(counted, conditions)
    return [_memory(row) for row in rows], 0 if count is None else int(count["n"])


def _page_index(query: MemoryFilter, caller: Caller) -> Collection[str]:
    """The columns whose index selects the page; empty: an index in the order of the page is read."""
    if column := _person(query, caller):
        return (column,)
    if query.sort_by == "updated_at":
        return (_first_of(query, "agent_id", "team_id"),)
    return (query.sort_by,) if query.sort_by in _EQUAL else ()


def _person(query: MemoryFilter, caller: Caller) -> str:
    """The column that limits the list to one person, or "". One person's memories are few enough to be sorted."""
    return "user_id" if query.user_id is not None else "" if caller.sees_only is None else "owner"


def _first_of(query: MemoryFilter, *columns: str) -> str:
    """The first of these columns that has a condition, or ""."""
    return next((column for column in columns if getattr(query, column) is not None), "")


async def topics(tx: Tx, user_id: str | None, caller: Caller) -> list[str]:
    """All topics, sorted."""
    query = MemoryFilter(user_id=user_id)
    where, params = _where(query, caller, (_person(query, caller),))
    name = f"memory_topics {sorted(params)}"
    rows = await tx.all(Statement(name, f"SELECT DISTINCT topics FROM memories{where}"), params)
    return sorted({topic for row in rows for topic in json.loads(row["topics"])})


async def stats(tx: Tx, user_id: str | None, caller: Caller, *, limit: int, page: int) -> tuple[list[MemoryStats], int]:
    """Memory counts per user, most recent first, and the number of users."""
    query = MemoryFilter(user_id=user_id)
    where, params = _where(query, caller, (_person(query, caller),))
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
    counts = [
        MemoryStats(user_id=row["user_id"], total_memories=int(row["n"]), last_updated_at=row["last"]) for row in rows
    ]
    return counts, 0 if count is None else int(count["n"])


def _where(query: MemoryFilter, caller: Caller, by_index: Collection[str]) -> tuple[str, dict[str, Any]]:
    values: Sequence[tuple[str, str | None]] = [
        *((name, getattr(query, name)) for name in _EQUAL),
        ("owner", caller.sees_only),
    ]
    params: dict[str, Any] = {name: value for name, value in values if value is not None}
    conditions = equalities(params, by_index)
    for number, topic in enumerate(query.topics):
        conditions.append(f"lower(topics) LIKE lower(:topic{number}) ESCAPE '\\'")
        params[f"topic{number}"] = "%" + like_literal(jsontext.dumps(topic)) + "%"
    if query.search_content:
        conditions.append("lower(memory) LIKE lower(:pattern) ESCAPE '\\'")
        params["pattern"] = "%" + like_literal(query.search_content) + "%"
    return (" WHERE " + " AND ".join(conditions) if conditions else ""), params


def _user(user_id: str, owner: str | None) -> dict[str, Any]:
    return {"user_id": user_id, "owner_key": owner or ""}


def _params(memory: Memory) -> dict[str, Any]:
    values = {name: getattr(memory, name) for name in Memory.__slots__}
    return {**values, "topics": jsontext.dumps(list(memory.topics)), "memory_key": memory.key}


def _memory(row: Row) -> Memory:
    values = {name: row[name] for name in Memory.__slots__}
    return Memory(**{**values, "topics": json.loads(values["topics"])})
