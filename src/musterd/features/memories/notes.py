"""What runs read of the memories of their users, and what they change in them at their end."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import structlog

from musterd.core.records import RunRow
from musterd.core.user_memories import MemoryChanges, UserMemory
from musterd.engine.memory_hook import MemoryHook
from musterd.features.memories import store
from musterd.features.memories.records import Memory
from musterd.store.database import Tx

log = structlog.get_logger("musterd.memories")


async def newest(tx: Tx, run: RunRow, limit: int) -> Sequence[UserMemory]:
    """The memories of a run's user that changed last."""
    return [_as_read(memory) for memory in await store.newest(tx, _user_of(run), run.owner, limit)]


async def texts(tx: Tx, run: RunRow, limit: int) -> Sequence[tuple[str, str]]:
    """The ids and texts of the memories of a run's user that changed last."""
    return await store.texts(tx, _user_of(run), run.owner, limit)


async def matching(tx: Tx, run: RunRow, ids: Collection[str], keys: Collection[str]) -> Sequence[UserMemory]:
    """The memories of a run's user with these ids, and those with these keys."""
    rows = await store.with_ids(tx, _user_of(run), run.owner, ids) if ids else []
    if keys:
        rows += await store.with_keys(tx, _user_of(run), run.owner, keys)
    return [_as_read(memory) for memory in {memory.memory_id: memory for memory in rows}.values()]


async def note(tx: Tx, run: RunRow, changes: Sequence[MemoryChanges]) -> None:
    """Store the changes of a run that completes. Memories that others have changed since it read them stay."""
    await store.lock_user(tx, _user_of(run))
    for change in changes:
        await _store(tx, run, change)


async def _store(tx: Tx, run: RunRow, change: MemoryChanges) -> None:
    # Removals first, additions last: a memory that is removed or updated may have had the text of one that is added.
    if change.cleared_before is not None:
        await store.clear(tx, _user_of(run), run.owner, change.cleared_before)
    stale = list[str]()
    for removed in change.removed:
        is_stored = await store.forget(tx, _as_stored(run, removed))
        if not is_stored and change.cleared_before is None:
            stale.append(removed.memory_id)
    stale += await _update(tx, run, change)
    for added in change.added:
        await store.add(tx, _as_stored(run, added))
    for field in change.profile:
        if not await store.set_field(tx, _as_stored(run, field)):
            stale.append(field.memory_id)
    if stale:
        log.info("memories had changed since the run read them", run_id=run.run_id, memory_ids=stale)


async def _update(tx: Tx, run: RunRow, change: MemoryChanges) -> list[str]:
    """Store the memories that a change updates; return the ids of those that others have changed or deleted.

    All are deleted before the first is stored again: an update may give one memory the text that another one had. If a
    memory that is not updated has the text by now, the updated one is a duplicate and is not stored again.
    """
    memories = [_as_stored(run, updated) for updated in change.updated]
    unchanged = [memory for memory in memories if await store.forget(tx, memory)]
    for memory in unchanged:
        await store.add(tx, replace(memory, updated_at=change.at))
    return [memory.memory_id for memory in memories if memory not in unchanged]


def _user_of(run: RunRow) -> str:
    assert run.user_id  # a run without a user has no memories
    return run.user_id


def _as_read(memory: Memory) -> UserMemory:
    return UserMemory(**{name: getattr(memory, name) for name in UserMemory.__slots__})


def _as_stored(run: RunRow, memory: UserMemory) -> Memory:
    values = {name: getattr(memory, name) for name in UserMemory.__slots__}
    return Memory(**values, owner=run.owner, user_id=_user_of(run), source_run_id=run.run_id)


MEMORY_HOOK = MemoryHook(newest=newest, texts=texts, matching=matching, note=note)
