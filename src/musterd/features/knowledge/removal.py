"""Removes the chunks of deleted contents and of versions that were replaced, in slices."""

from musterd.engine.slices import Slices
from musterd.features.knowledge import chunk_store, sources, store
from musterd.features.knowledge.ingestion import SLICE
from musterd.features.knowledge.records import Status
from musterd.store.database import Database, Tx


async def remove_unneeded(database: Database, slices: Slices) -> None:
    """Remove all chunks that no search and no job needs.

    Several processes may do this at the same time: what one has removed, the others do not find.
    """
    while (content_id := await database.fetch(store.stale)) is not None:
        await slices.until_done(lambda tx, content_id=content_id: _slice(tx, content_id))  # type: ignore[misc]


async def _slice(tx: Tx, content_id: str) -> int:
    """Remove some chunks of a content; 0: there are none left."""
    # Locked, so that a job that publishes now does not note meanwhile that the old version is to be removed.
    content = await store.lock_any(tx, content_id)
    if content is None:
        return 0
    if removed := await chunk_store.remove_unneeded(tx, content, SLICE):
        return removed
    if content.status is Status.DELETED:
        await sources.remove(tx, content_id)
        await store.forget(tx, content_id)
    else:
        await store.set_stale(tx, content_id, is_stale=False)
    return 0
