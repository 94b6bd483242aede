"""The format of messages about stored events: either a flush, or a hint that there are new events to read.

A message with a flush is a line of JSON that identifies the flush, followed by the text that was stored. A hint is
empty.
"""

import json
from typing import Final

from musterd.core import jsontext
from musterd.store.events import StoredFlush

MAX_BYTES = 512 * 1024
"""Larger flushes are not sent; readers get them from the database."""
FORMAT: Final = 1
"""The value of ``format`` in the first line. A process treats a message of another format as a hint."""


def message_of(flush: StoredFlush, max_bytes: int) -> bytes:
    """The message with a flush; a hint if it would be larger than ``max_bytes``."""
    most = min(max_bytes, MAX_BYTES)
    # Before it is encoded, which takes the event loop's time: no text has fewer bytes than characters.
    if len(flush.text) > most:
        return b""
    first_line = jsontext.dumps({"format": FORMAT, "salt": flush.salt, "first_index": flush.first_index})
    message = f"{first_line}\n{flush.text}".encode()
    return message if len(message) <= most else b""


def flush_in(message: bytes) -> StoredFlush | None:
    """The flush in a message; None if the message is a hint."""
    first_line, _, text = message.partition(b"\n")
    header = json.loads(first_line) if text else {}
    if header.get("format") != FORMAT:
        return None
    return StoredFlush(header["salt"], header["first_index"], text.decode())
