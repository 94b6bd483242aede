"""The messages about stored events: a flush as it was stored, or only the hint that there is more to read.

A message with a flush is a line of JSON with what identifies the flush, and then the text that was stored. A hint is
empty.
"""

import json
from typing import Final

from musterd.core import jsontext
from musterd.store.events import StoredFlush

MOST_BYTES = 512 * 1024
"""Larger flushes are not sent: a reader reads them from the database."""
FORMAT: Final = 1
"""What the first line has under ``format``. A process takes a message of another format for a hint."""


def message_of(flush: StoredFlush, most_bytes: int) -> bytes:
    """The message about a flush; a hint if it would be larger than ``most_bytes``."""
    first_line = jsontext.dumps({"format": FORMAT, "salt": flush.salt, "first_index": flush.first_index})
    message = f"{first_line}\n{flush.text}".encode()
    return message if len(message) <= min(most_bytes, MOST_BYTES) else b""


def flush_in(message: bytes) -> StoredFlush | None:
    """The flush that a message has; None: it is a hint."""
    first_line, _, text = message.partition(b"\n")
    facts = json.loads(first_line) if text else {}
    if facts.get("format") != FORMAT:
        return None
    return StoredFlush(facts["salt"], facts["first_index"], text.decode())
