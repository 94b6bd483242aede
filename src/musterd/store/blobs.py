"""Blobs: media, stored once under the hash of their content; a blob goes with the last session that refers to it."""

from collections.abc import Collection, Iterable

from musterd.core import jsontext
from musterd.core.media import content_hash
from musterd.store.database import Statement, Tx

PUT = Statement(  # one that is there is locked: whoever removes it waits, and then sees the use of it
    "blob_put",
    """INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, :size, :content, :now)
       ON CONFLICT (hash) DO UPDATE SET size = excluded.size""",
)
USE = Statement(
    "blob_use", "INSERT INTO blob_uses (session_id, hash) VALUES (:session_id, :hash) ON CONFLICT DO NOTHING"
)
OF_SESSION = Statement(
    "blob_of_session",
    """SELECT hash FROM blobs WHERE hash IN (SELECT hash FROM blob_uses WHERE session_id = :session_id)
       ORDER BY hash LOCK_ROW""",
)
DISUSE = Statement("blob_disuse", "DELETE FROM blob_uses WHERE session_id = :session_id")
REMOVE_UNUSED = Statement(
    "blob_remove_unused",
    """DELETE FROM blobs WHERE IN_LIST(hash, :names)
       AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob_uses.hash = blobs.hash)""",
)
GET = Statement("blob_get", "SELECT content FROM blobs WHERE hash = :hash")


def blob_hash(content: bytes) -> str:
    """The name under which ``content`` is stored."""
    return content_hash(content)


async def put(tx: Tx, session_id: str, contents: Iterable[bytes], now: float) -> None:
    """Store what a session refers to."""
    named = {blob_hash(content): content for content in contents}
    for name in sorted(named):  # in one order, so that no two wait for each other's
        await tx.run(PUT, {"hash": name, "size": len(named[name]), "content": named[name], "now": now})
        await tx.run(USE, {"session_id": session_id, "hash": name})


async def remove(tx: Tx, session_id: str) -> None:
    """Remove what nobody but this session referred to."""
    names = [row["hash"] for row in await tx.all(OF_SESSION, {"session_id": session_id})]
    await tx.run(DISUSE, {"session_id": session_id})
    await tx.run(REMOVE_UNUSED, {"names": jsontext.dumps(names)})


async def get(tx: Tx, name: str) -> bytes | None:
    """The content stored under ``name``."""
    row = await tx.one(GET, {"hash": name})
    return None if row is None else bytes(row["content"])


async def several(tx: Tx, names: Collection[str]) -> dict[str, bytes]:
    """The contents stored under ``names``, as far as they are there."""
    found = {name: await get(tx, name) for name in names}
    return {name: content for name, content in found.items() if content is not None}
