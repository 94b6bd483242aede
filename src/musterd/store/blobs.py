"""Blobs: media, stored once under the hash of their content."""

from collections.abc import Collection

from musterd.core.media import content_hash
from musterd.store.database import Statement, Tx

PUT = Statement(
    "blob_put",
    """INSERT INTO blobs (hash, size, content, created_at) VALUES (:hash, :size, :content, :now)
       ON CONFLICT (hash) DO NOTHING""",
)
GET = Statement("blob_get", "SELECT content FROM blobs WHERE hash = :hash")


def blob_hash(content: bytes) -> str:
    """The name under which ``content`` is stored."""
    return content_hash(content)


async def put(tx: Tx, content: bytes, now: float) -> str:
    """Store ``content``; its hash."""
    name = blob_hash(content)
    await tx.run(PUT, {"hash": name, "size": len(content), "content": content, "now": now})
    return name


async def get(tx: Tx, name: str) -> bytes | None:
    """The content stored under ``name``."""
    row = await tx.one(GET, {"hash": name})
    return None if row is None else bytes(row["content"])


async def several(tx: Tx, names: Collection[str]) -> dict[str, bytes]:
    """The contents stored under ``names``, as far as they are there."""
    found = {name: await get(tx, name) for name in names}
    return {name: content for name, content in found.items() if content is not None}
