"""Blobs: media, stored once under the hash of their content; a blob goes with the last run that refers to it."""

from collections.abc import Collection, Iterable, Sequence

from musterd.core import jsontext
from musterd.core.media import content_hash
from musterd.store.database import Statement, Tx

PUT = Statement(  # one that is there is locked: whoever removes it waits, and then sees the use of it
    "blob_put",
    """INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, :size, :content, :now)
       ON CONFLICT (hash) DO UPDATE SET size = excluded.size""",
)
USE = Statement(
    "blob_use",
    "INSERT INTO blob_uses (root_id, hash, until_end) VALUES (:root, :hash, :until_end) ON CONFLICT DO NOTHING",
)
HAND_OVER = Statement("blob_hand_over", "UPDATE blob_uses SET root_id = :to WHERE root_id = :root")
USED = Statement("blob_used", "SELECT hash FROM blob_uses WHERE root_id = :root AND until_end")
LOCK = Statement("blob_lock", "SELECT hash FROM blobs WHERE IN_LIST(hash, :names) ORDER BY hash LOCK_ROW")
USED_BY = Statement("blob_used_by", "SELECT DISTINCT hash FROM blob_uses WHERE IN_LIST(root_id, :roots)")
DISUSE_BY = Statement("blob_disuse_by", "DELETE FROM blob_uses WHERE IN_LIST(root_id, :roots)")
DISUSE = Statement("blob_disuse", "DELETE FROM blob_uses WHERE root_id = :root AND until_end")
REMOVE_UNUSED = Statement(
    "blob_remove_unused",
    """DELETE FROM blobs WHERE IN_LIST(hash, :names)
       AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob_uses.hash = blobs.hash)""",
)
GET = Statement("blob_get", "SELECT content FROM blobs WHERE hash = :hash")
SEVERAL = Statement("blobs_get", "SELECT hash, content FROM blobs WHERE IN_LIST(hash, :names)")


async def put(tx: Tx, root_id: str, contents: Iterable[bytes], now: float, *, until_end: bool = False) -> None:
    """Store what a run refers to.

    :param until_end: whether it refers to it no longer than until it has ended; else until its session is deleted.
    """
    named = {content_hash(content): content for content in contents}
    for name in sorted(named):  # in one order, so that no two wait for each other's
        await tx.run(PUT, {"hash": name, "size": len(named[name]), "content": named[name], "now": now})
        await tx.run(USE, {"root": root_id, "hash": name, "until_end": until_end})


async def hand_over(tx: Tx, root_id: str, to: str) -> None:
    """Let another run of the session refer to what this one did, in its place."""
    await tx.run(HAND_OVER, {"root": root_id, "to": to})


async def release(tx: Tx, root_id: str) -> None:
    """Let go of what a run referred to until its end."""
    if names := [row["hash"] for row in await tx.all(USED, {"root": root_id})]:
        await _lock(tx, names)
        await tx.run(DISUSE, {"root": root_id})
        await _remove_unused(tx, names)


async def forget(tx: Tx, roots: Sequence[str]) -> None:
    """Let go of all that root runs refer to."""
    by_root = {"roots": jsontext.dumps(list(roots))}
    if names := [row["hash"] for row in await tx.all(USED_BY, by_root)]:
        await _lock(tx, names)
        await tx.run(DISUSE_BY, by_root)
        await _remove_unused(tx, names)


async def _lock(tx: Tx, names: Sequence[str]) -> None:
    """Hold blobs, before it is looked who uses them: who takes one up meanwhile waits, or was waited for."""
    await tx.all(LOCK, {"names": jsontext.dumps(names)})


async def _remove_unused(tx: Tx, names: Sequence[str]) -> None:
    await tx.run(REMOVE_UNUSED, {"names": jsontext.dumps(names)})


async def get(tx: Tx, name: str) -> bytes | None:
    """The content stored under ``name``."""
    row = await tx.one(GET, {"hash": name})
    return None if row is None else bytes(row["content"])


async def several(tx: Tx, names: Collection[str]) -> dict[str, bytes]:
    """The contents stored under ``names``, as far as they are there."""
    rows = await tx.all(SEVERAL, {"names": jsontext.dumps(sorted(names))}) if names else ()
    return {row["hash"]: bytes(row["content"]) for row in rows}
