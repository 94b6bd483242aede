"""Media that a request brings, in the form in which they are stored and shown."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from musterd.core import clock
from musterd.core.media import plain_name, plain_type
from musterd.wire.filetypes import format_of

_MEDIA_IDS = "0b7c2f4e-93a1-5c52-8f0c-5f7f0f0c2a11"
"""The namespace of media ids: an attachment has the same id in a repeated request."""

_TEXTS = ("id", "filename", "name", "format")
_FILE_NAMES = frozenset({"filename", "name"})


def media_item(content: bytes, mime_type: str, filename: str | None = None) -> dict[str, Any]:
    """An uploaded file."""
    encoded = base64.b64encode(content).decode("ascii")
    item = {"id": _media_id(mime_type, encoded), "content": encoded, "mime_type": mime_type}
    if filename:
        item["filename"] = filename
    item["format"] = format_of(mime_type)
    return item


def listed_item(value: Mapping[str, str]) -> dict[str, Any]:
    """An item of a list of media.

    :param value: its ``url``, or its ``content`` and ``mime_type``; it may have ``id``, ``filename``, ``name`` and
        ``format``.
    """
    source = "url" if value.get("url") else "content"
    mime_type = plain_type(value.get("mime_type") or "")
    item = {"id": value.get("id") or _media_id(mime_type, value[source]), source: value[source]}
    if mime_type:
        item["mime_type"] = mime_type
        item["format"] = format_of(mime_type)
    item.update((key, value[key]) for key in _TEXTS if value.get(key))
    for key in _FILE_NAMES & item.keys():
        item[key] = plain_name(item[key])
    return {key: text for key, text in item.items() if text}


def _media_id(mime_type: str, source: str) -> str:
    digest = hashlib.sha256(source.encode("utf-8")).hexdigest()
    return clock.derived_id(_MEDIA_IDS, f"{mime_type}/{digest}")
