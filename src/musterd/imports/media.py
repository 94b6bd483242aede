"""Converts images, audio, videos and files in rows of AgentOS, which stores their content as base64 text."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from pydantic_ai.messages import UserContent

from musterd.core.jsontypes import Json, JsonObject
from musterd.core.media import content_hash, is_media_type, plain_name, plain_type
from musterd.core.records import Input
from musterd.engine.input_media import prompt_of
from musterd.imports.values import objects_in, text_in

INPUT_KEYS = {"images": "images", "audio": "audios", "videos": "videos", "files": "files"}
MESSAGE_KEYS = OUTPUT_KEYS = {"images": "images", "audio": "audio", "videos": "videos", "files": "files"}
_TYPES = {"images": "image/png", "audio": "audio/wav", "videos": "video/mp4", "files": "application/octet-stream"}

Contents = dict[str, bytes]
"""The contents of media by their hash."""


def media_in(value: Mapping[str, Json], keys: Mapping[str, str], contents: Contents) -> dict[str, list[JsonObject]]:
    """The media of a run or a message in musterd's format, by kind. Their contents are added to ``contents``.

    If AgentOS stored only the path of a medium, it keeps only its name and type.

    :param keys: the key of each kind in ``value``.
    :raises Unreadable: a value that should be a list of media is not one.
    """
    media = {kind: [_item(kind, item, contents) for item in objects_in(value, key)] for kind, key in keys.items()}
    return {kind: items for kind, items in media.items() if items}


def _item(kind: str, stored: JsonObject, contents: Contents) -> JsonObject:
    mime_type = plain_type(text_in(stored, "mime_type") or "")
    filename = text_in(stored, "filename") or text_in(stored, "name")
    item: dict[str, Any] = {
        "id": text_in(stored, "id"),
        "mime_type": mime_type if is_media_type(mime_type) else _TYPES[kind],
        "filename": None if filename is None else plain_name(filename),
        "format": text_in(stored, "format"),
        "url": text_in(stored, "url"),
    }
    content = stored.get("content")
    if item["url"] is None and isinstance(content, str) and content:
        data = _decoded(content, is_text=kind == "files" and item["mime_type"].startswith("text/"))
        item["blob"] = content_hash(data)
        contents[item["blob"]] = data
    return {name: value for name, value in item.items() if value is not None}


def _decoded(content: str, *, is_text: bool) -> bytes:
    """The bytes of a medium. AgentOS stores text files unencoded."""
    if not is_text:
        try:
            return base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            pass
    return content.encode("utf-8", "replace")


def prompt(text: str, message: Mapping[str, Json], contents: Contents) -> "str | list[UserContent]":
    """A user's message as a model reads it: the text followed by the media.

    :raises Unreadable: a value that should be a list of media is not one.
    """
    media = media_in(message, MESSAGE_KEYS, contents)
    stored = {kind: [item for item in items if "blob" in item or "url" in item] for kind, items in media.items()}
    if not any(stored.values()):
        return text
    return list(prompt_of(Input(message=text, media=stored), contents))
