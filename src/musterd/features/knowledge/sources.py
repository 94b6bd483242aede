"""The bytes of contents, as blobs, until their job has ended."""

from urllib.parse import unquote, urlsplit

from musterd.store import blobs
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

GET = Statement(
    "content_source",
    "SELECT b.content FROM blob_uses u JOIN blobs b ON b.hash = u.hash WHERE u.root_id = :root AND u.shard = :shard",
)


async def add(tx: Tx, content_id: str, content: bytes, now: float) -> None:
    """Store the bytes of a content that has none yet."""
    await blobs.put(_of_content(tx, content_id), _use(content_id), [content], now)


async def put(tx: Tx, content_id: str, content: bytes, now: float) -> None:
    """Store the bytes of a content, in place of others that it has."""
    await remove(tx, content_id)
    await add(tx, content_id, content, now)


async def get(tx: Tx, content_id: str) -> bytes | None:
    """The bytes of a content; None: they are not stored."""
    row = await _of_content(tx, content_id).one(GET, {"root": _use(content_id)})
    return None if row is None else bytes(row["content"])


async def remove(tx: Tx, content_id: str) -> None:
    """Remove the bytes of a content, unless another one has the same."""
    await blobs.forget(tx, [_use(content_id)])


def file_name(url: str) -> str | None:
    """The name of the file to which a URL leads, as far as the URL says it."""
    return unquote(urlsplit(url).path.rpartition("/")[2]) or None


def _of_content(tx: Tx, content_id: str) -> SessionTx:
    """The bytes of a content are not below a session. They have the shard that a session of this name would have."""
    return SessionTx(tx, _use(content_id))


def _use(content_id: str) -> str:
    """What stands in place of the run that uses a blob."""
    return f"content:{content_id}"
