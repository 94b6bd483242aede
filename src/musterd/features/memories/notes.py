"""What runs read of the memories of their users, and what they change in them at their end."""

from collections.abc import Collection, Sequence

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
    # Removals first: a memory that is removed may have the text of one that is added.
    if change.cleared_before is not None:
        await store.clear(tx, _user_of(run), run.owner, change.cleared_before)
    stale = list[str]()
    for removed in change.removed:
        is_stored = await store.forget(tx, _as_stored(run, removed))
        if not is_stored and change.cleared_before is None:
            stale.append(removed.memory_id)
    for updated in change.updated:
        memory = _as_stored(run, updated)
        same = await store.with_keys(tx, memory.user_id, memory.owner, [memory.key])
        # If another memory says the same by now, this one becomes a duplicate.
        is_duplicate = any(other.memory_id != memory.memory_id for other in same)
        is_stored = await store.forget(tx, memory) if is_duplicate else await store.change(tx, memory, change.at)
        if not is_stored:
            stale.append(updated.memory_id)
    for added in change.added:
        await store.add(tx, _as_stored(run, added))
    for field in change.profile:
        if not await store.set_field(tx, _as_stored(run, field)):
            stale.append(field.memory_id)
    if stale:
        log.info("memories had changed since the run read them", run_id=run.run_id, memory_ids=stale)


def _user_of(run: RunRow) -> str:
    assert run.user_id  # a run without a user has no memories
    return run.user_id


def _as_read(memory: Memory) -> UserMemory:
    return UserMemory(**{name: getattr(memory, name) for name in UserMemory.__slots__})


def _as_stored(run: RunRow, memory: UserMemory) -> Memory:
    values = {name: getattr(memory, name) for name in UserMemory.__slots__}
    return Memory(**values, owner=run.owner, user_id=_user_of(run), source_run_id=run.run_id)


MEMORY_HOOK = MemoryHook(newest=newest, texts=texts, matching=matching, note=note)
