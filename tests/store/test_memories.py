"""Memories in the store: what is asked of many goes by an index, and others' are never among it."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from musterd.core.callers import Caller
from musterd.features.memories import store as memories
from musterd.features.memories.records import Memory, MemoryFilter
from musterd.store.database import for_sqlite
from tests.support.store import NOBODY, Records

ADA = Caller(user_id="ada", label="ada")


def memory(memory_id: str, user_id: str = "ada", at: float = 1.0, **changes: str) -> Memory:
    values = {"owner": user_id, "memory": f"text {memory_id}", **changes}
    return Memory(memory_id=memory_id, user_id=user_id, created_at=at, updated_at=at, topics=['say "hi"'], **values)


async def test_pages_topics_and_counts_are_the_callers_own(records: Records) -> None:
    for number in range(5):
        row = memory(f"m{number}", "ada" if number % 2 else "bob", at=float(number))
        await records.database.write(partial(memories.add, memory=row))
    page, total = await records.database.scan(lambda tx: memories.search(tx, MemoryFilter(limit=1), ADA))
    assert ([one.memory_id for one in page], total) == (["m3"], 2)
    memory_filter = MemoryFilter(topics=('Say "hi"',), search_content="TEXT", page=2, limit=2)
    page, total = await records.database.scan(lambda tx: memories.search(tx, memory_filter, NOBODY))
    assert ([one.memory_id for one in page], total) == (["m2", "m1"], 5)
    assert await records.database.scan(lambda tx: memories.topics(tx, None, ADA)) == ['say "hi"']
    stats, users = await records.database.scan(lambda tx: memories.stats(tx, None, NOBODY, limit=1, page=2))
    assert ([(one.user_id, one.total_memories) for one in stats], users) == ([("ada", 2)], 2)
    held = await records.database.write(lambda tx: memories.of_user(tx, "bob", ADA, locks=True))
    assert held == []


async def test_memories_that_belong_to_a_user_are_deleted_with_those_about_the_user(records: Records) -> None:
    for number, (user_id, owner) in enumerate([("ada", "ada"), ("root", "ada"), ("root", "root"), ("ada", "bob")]):
        row = memory(f"m{number}", user_id, owner=owner)
        await records.database.write(partial(memories.add, memory=row))
    assert await records.database.read(lambda tx: memories.users_of_owner(tx, "ada", NOBODY)) == ["ada", "root"]
    assert await records.database.write(lambda tx: memories.remove_of_user(tx, "ada", ADA)) == 2
    assert await records.database.write(lambda tx: memories.remove_of_user(tx, "ada", NOBODY)) == 1
    page, _ = await records.database.scan(lambda tx: memories.search(tx, MemoryFilter(), NOBODY))
    assert [one.memory_id for one in page] == ["m2"]


@pytest.mark.parametrize(
    "memory_filter, caller, index",
    [
        (MemoryFilter(), NOBODY, "memories_updated"),
        (MemoryFilter(user_id="ada"), NOBODY, "memories_user"),
        (MemoryFilter(), ADA, "memories_owner"),
    ],
)
def test_a_page_goes_by_an_index(template: Path, memory_filter: MemoryFilter, caller: Caller, index: str) -> None:
    with closing(sqlite3.connect(template)) as connection:
        statement, params = memories.page_of(memory_filter, caller)
        plan = connection.execute(f"EXPLAIN QUERY PLAN {for_sqlite(statement.text)}", params).fetchall()
    steps = [str(row[-1]) for row in plan]
    assert any(index in step for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
