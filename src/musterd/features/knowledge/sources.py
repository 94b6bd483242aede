"""What the jobs of contents read, as blobs, until the job has ended: the bytes, and what they will be described by.

A content whose text is replaced describes the text that searches find. So what it will say about the other text is
kept here until that one is published.
"""

import json
from dataclasses import asdict
from urllib.parse import unquote, urlsplit

from musterd.core import jsontext
from musterd.features.knowledge.records import SourceKind, TextProperties
from musterd.store import blobs
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

GET = Statement(
    "content_source",
    "SELECT b.content FROM blob_uses u JOIN blobs b ON b.hash = u.hash WHERE u.root_id = :root AND u.shard = :shard",
)


async def add(tx: Tx, content_id: str, content: bytes, now: float) -> None:
    """Store the bytes of a content that has none yet."""
    await _add(tx, _bytes(content_id), content, now)


async def put(tx: Tx, content_id: str, content: bytes, now: float) -> None:
    """Store the bytes of a content, in place of others that it has."""
    await blobs.forget(tx, [_bytes(content_id)])
    await add(tx, content_id, content, now)


async def get(tx: Tx, content_id: str) -> bytes | None:
    """The bytes of a content; None: they are not stored."""
    return await _get(tx, _bytes(content_id))


async def put_properties(tx: Tx, content_id: str, properties: TextProperties, now: float) -> None:
    """Keep what a content will say about the text that its job reads, in place of what was kept before."""
    await blobs.forget(tx, [_properties(content_id)])
    await _add(tx, _properties(content_id), jsontext.dumps(asdict(properties)).encode(), now)


async def properties(tx: Tx, content_id: str) -> TextProperties | None:
    """What a content will say about the text that its job reads; None: it says so already."""
    if (content := await _get(tx, _properties(content_id))) is None:
        return None
    values = json.loads(content)
    return TextProperties(**{**values, "source": SourceKind(values["source"])})


async def remove(tx: Tx, content_id: str) -> None:
    """Remove all that the job of a content reads. Bytes that another content has too stay."""
    await blobs.forget(tx, [_bytes(content_id), _properties(content_id)])


def file_name(url: str) -> str | None:
    """The name of the file to which a URL leads, as far as the URL says it."""
    return unquote(urlsplit(url).path.rpartition("/")[2]) or None


async def _add(tx: Tx, use: str, content: bytes, now: float) -> None:
    await blobs.put(SessionTx(tx, use), use, [content], now)


async def _get(tx: Tx, use: str) -> bytes | None:
    row = await SessionTx(tx, use).one(GET, {"root": use})
    return None if row is None else bytes(row["content"])


# These stand in place of the run that uses a blob. They are not below a session, and have the shard that a session of
# this name would have.


def _bytes(content_id: str) -> str:
    return f"content:{content_id}"


def _properties(content_id: str) -> str:
    return f"content-properties:{content_id}"
