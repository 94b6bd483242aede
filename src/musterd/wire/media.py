"""Media in text fields: lists of objects with a ``url`` or base64 ``content``, checked, in one shape."""

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
"""The namespace of media ids: an attachment has the same id in a repeated request."""

MOST_ITEMS = 100
MOST_PARTS = 10_000
"""Values in the text of a list, which may be as long as a body: each costs many times its signs once it is read."""

_TEXTS = ("id", "filename", "name", "format")
_FILE_NAMES = frozenset({"filename", "name"})
_MOST_SIGNS = {**dict.fromkeys((*_TEXTS, "mime_type"), 255), "url": 8192}
"""How long what is said of an attachment may be: it goes to rows, events and headers."""

_URL_SCHEMES = frozenset({"http", "https"})


def media_item(content: bytes, mime_type: str, filename: str | None = None) -> dict[str, Any]:
    """One attachment given as bytes, in the shape that is stored and shown."""
    encoded = base64.b64encode(content).decode("ascii")
    item = {"id": _media_id(mime_type, encoded), "content": encoded, "mime_type": mime_type}
    if filename:
        item["filename"] = filename
    item["format"] = format_of(mime_type)
    return item


def media_list(fields: Fields, name: str) -> list[dict[str, Any]]:
    """The attachments in the text field ``name``; problems are noted at the place in the list."""
    found: list[dict[str, Any]] = []
    given = fields.json_list(name, MOST_PARTS) or ()
    if len(given) > MOST_ITEMS:
        fields.problems.add(name, "too_long", f"List should have at most {MOST_ITEMS} items")
        return []
    for place, value in enumerate(given):
        if not isinstance(value, dict):
            fields.problems.add((name, place), "dict_type", "Input should be a JSON object")
        elif problem := _problem(value, name):
            fields.problems.add((name, place, problem[0]), *problem[1:])
        else:
            found.append(_item(value))
    return found


def _problem(value: dict[str, Any], name: str) -> tuple[str, str, str] | None:
    """What is wrong with one attachment: key, kind, words."""
    for key in (*_TEXTS, "url", "content", "mime_type"):
        if value.get(key) is not None and not isinstance(value[key], str):
            return key, "string_type", "Input should be a valid string"
        if len(value.get(key) or "") > (most := _MOST_SIGNS.get(key, sys.maxsize)):
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
