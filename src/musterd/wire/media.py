"""Media in text fields of requests: lists of objects with a ``url`` or base64 ``content``."""

import base64
import binascii
import hashlib
import sys
from typing import Any
from urllib.parse import urlsplit

from musterd.core import clock
from musterd.core.media import plain_name, plain_type
from musterd.wire.fields import Fields
from musterd.wire.filetypes import format_of, kind_of_type

_MEDIA_IDS = "0b7c2f4e-93a1-5c52-8f0c-5f7f0f0c2a11"
"""The namespace of media ids. They are derived, so that an attachment has the same id in a repeated request."""

MOST_ITEMS = 100
MOST_PARTS = 10_000
"""The maximum number of JSON values in a list. The text may be as long as a body, and parsed values take many times the
memory of their text."""

_TEXTS = ("id", "filename", "name", "format")
_FILE_NAMES = frozenset({"filename", "name"})
_MAX_LENGTHS = {**dict.fromkeys((*_TEXTS, "mime_type"), 255), "url": 8192}
"""The maximum length of an attachment's texts, which are copied to rows, events and headers."""

_URL_SCHEMES = frozenset({"http", "https"})


def media_item(content: bytes, mime_type: str, filename: str | None = None) -> dict[str, Any]:
    """An attachment that was uploaded as bytes, in the form that is stored."""
    encoded = base64.b64encode(content).decode("ascii")
    item = {"id": _media_id(mime_type, encoded), "content": encoded, "mime_type": mime_type}
    if filename:
        item["filename"] = filename
    item["format"] = format_of(mime_type)
    return item


def media_list(fields: Fields, name: str) -> list[dict[str, Any]]:
    """The attachments in the text field ``name``. Problems are added to ``fields`` with their position in the list."""
    items: list[dict[str, Any]] = []
    values = fields.json_list(name, MOST_PARTS) or ()
    if len(values) > MOST_ITEMS:
        fields.problems.add(name, "too_long", f"List should have at most {MOST_ITEMS} items")
        return []
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            fields.problems.add((name, index), "dict_type", "Input should be a JSON object")
        elif problem := _problem(value, name):
            fields.problems.add((name, index, problem[0]), *problem[1:])
        else:
            items.append(_item(value))
    return items


def _problem(value: dict[str, Any], name: str) -> tuple[str, str, str] | None:
    """The first problem of an attachment: its key, type and message."""
    for key in (*_TEXTS, "url", "content", "mime_type"):
        if value.get(key) is not None and not isinstance(value[key], str):
            return key, "string_type", "Input should be a valid string"
        if len(value.get(key) or "") > (most := _MAX_LENGTHS.get(key, sys.maxsize)):
            return key, "string_too_long", f"String should have at most {most} characters"
    if (mime_type := value.get("mime_type")) and kind_of_type(mime_type) != name:
        return "mime_type", "value_error", f"This type is not supported in {name}"
    if url := value.get("url"):
        return None if _is_web(url) else ("url", "url_scheme", "Input should be an http or https URL")
    if not value.get("content"):
        return "url", "missing", "Either url or content is required"
    if not mime_type:
        return "mime_type", "missing", "mime_type is required with content"
    return None if _is_base64(value["content"]) else ("content", "base64", "Input should be base64")


def _item(value: dict[str, Any]) -> dict[str, Any]:
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


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _URL_SCHEMES and bool(parts.netloc)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
