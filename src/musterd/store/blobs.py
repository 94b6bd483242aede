"""Blobs: media content, stored once under its hash. A blob is removed with the last run that uses it."""

from collections.abc import Collection, Iterable, Sequence

from musterd.core import jsontext
from musterd.core.media import content_hash
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

# The update changes nothing, but it locks an existing blob. A transaction that wants to remove the blob waits for this
# commit, and then sees the new use. DO NOTHING would leave the row unlocked, and the blob could be removed.
PUT = Statement(
    "blob_put",
    """INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, :size, :content, :now)
       ON CONFLICT (hash) DO UPDATE SET size = excluded.size""",
)
USE = Statement(
    "blob_use",
    """INSERT INTO blob_uses (root_id, hash, shard, until_end) VALUES (:root, :hash, :shard, :until_end)
       ON CONFLICT DO NOTHING""",
)
SHARE = Statement(
    "blob_share",
    """INSERT INTO blob_uses (root_id, hash, shard, until_end)
       SELECT :to, hash, shard, until_end FROM blob_uses WHERE root_id = :root AND shard = :shard""",
)
ORIGIN = Statement(
    "blob_origin",
    """SELECT origin.run_id FROM runs fork
       JOIN runs origin ON origin.run_id = fork.forked_from AND origin.shard = fork.shard
       WHERE fork.run_id = :root AND fork.shard = :shard AND origin.state = 'error'""",
)
USED = Statement("blob_used", "SELECT hash FROM blob_uses WHERE root_id = :root AND shard = :shard AND until_end")
LOCK = Statement("blob_lock", "SELECT hash FROM blobs WHERE IN_LIST(hash, :names) ORDER BY hash LOCK_ROW")
USED_BY = Statement("blob_used_by", "SELECT DISTINCT hash FROM blob_uses WHERE IN_LIST(root_id, :roots)")
DISUSE_BY = Statement("blob_disuse_by", "DELETE FROM blob_uses WHERE IN_LIST(root_id, :roots)")
DISUSE = Statement("blob_disuse", "DELETE FROM blob_uses WHERE root_id = :root AND shard = :shard AND until_end")
REMOVE_UNUSED = Statement(
    "blob_remove_unused",
    """DELETE FROM blobs WHERE IN_LIST(hash, :names)
       AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob_uses.hash = blobs.hash)""",
)
GET = Statement("blob_get", "SELECT content FROM blobs WHERE hash = :hash")
GET_USED = Statement(
    "blob_get_used",
    """SELECT content FROM blobs WHERE hash = :hash AND EXISTS (
           SELECT 1 FROM blob_uses JOIN runs ON runs.run_id = blob_uses.root_id AND runs.shard = blob_uses.shard
           WHERE blob_uses.hash = blobs.hash AND blob_uses.shard = :shard AND runs.session_id = :session_id)""",
)
SEVERAL = Statement("blobs_get", "SELECT hash, content FROM blobs WHERE IN_LIST(hash, :names)")


async def put(tx: SessionTx, root_id: str, contents: Iterable[bytes], now: float, *, until_end: bool = False) -> None:
    """Store blobs that a run uses.

    :param until_end: whether the run uses them only until it finishes; else until its session is deleted.
    """
    by_hash = {content_hash(content): content for content in contents}
    for name in sorted(by_hash):  # always in the same order, so that two transactions cannot deadlock
        await tx.run(PUT, {"hash": name, "size": len(by_hash[name]), "content": by_hash[name], "now": now})
        await tx.run(USE, {"root": root_id, "hash": name, "until_end": until_end})


async def share(tx: SessionTx, root_id: str, to: str) -> None:
    """Let another run of the session use what the run uses too."""
    await tx.run(SHARE, {"root": root_id, "to": to})


async def release(tx: SessionTx, root_id: str) -> None:
    """Drop the uses that a run had until its end, and remove blobs that are no longer used."""
    if names := [row["hash"] for row in await tx.all(USED, {"root": root_id})]:
        await _lock(tx, names)
        await tx.run(DISUSE, {"root": root_id})
        await _remove_unused(tx, names)


async def release_with_origins(tx: SessionTx, root_id: str) -> None:
    """Like :func:`release`, also for the failed runs that the run has continued: it has completed what they began."""
    await release(tx, root_id)
    origin = await tx.one(ORIGIN, {"root": root_id})
    while origin is not None:
        await release(tx, origin["run_id"])
        origin = await tx.one(ORIGIN, {"root": origin["run_id"]})


async def forget(tx: Tx, roots: Sequence[str]) -> None:
    """Drop all uses of root runs, and remove blobs that are no longer used."""
    by_root = {"roots": jsontext.dumps(list(roots))}
    if names := [row["hash"] for row in await tx.all(USED_BY, by_root)]:
        await _lock(tx, names)
        await tx.run(DISUSE_BY, by_root)
        await _remove_unused(tx, names)


async def _lock(tx: Tx, names: Sequence[str]) -> None:
    """Lock blobs before their uses are checked.

    A transaction that adds a use locks the blob as well (see PUT). So its use is either committed, and the removal's
    next statement sees it, or it waits for the removal and then stores the blob again.
    """
    await tx.all(LOCK, {"names": jsontext.dumps(names)})


async def _remove_unused(tx: Tx, names: Sequence[str]) -> None:
    await tx.run(REMOVE_UNUSED, {"names": jsontext.dumps(names)})


async def get(tx: Tx, name: str) -> bytes | None:
    """The content of a blob."""
    row = await tx.one(GET, {"hash": name})
    return None if row is None else bytes(row["content"])


async def get_used(tx: Tx, name: str, session_id: str) -> bytes | None:
    """The content of a blob that a run of the session uses."""
    row = await SessionTx(tx, session_id).one(GET_USED, {"hash": name, "session_id": session_id})
    return None if row is None else bytes(row["content"])


async def several(tx: Tx, names: Collection[str]) -> dict[str, bytes]:
    """The contents of blobs by hash; blobs that do not exist are left out."""
    rows = await tx.all(SEVERAL, {"names": jsontext.dumps(sorted(names))}) if names else ()
    return {row["hash"]: bytes(row["content"]) for row in rows}
