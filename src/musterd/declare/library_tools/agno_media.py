"""Images, sounds, videos and files of musterd as those of Agno, and back."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from musterd.declare.tool_result import Media

MEDIA = {"images": "Image", "audios": "Audio", "videos": "Video", "files": "File"}
"""Agno's classes, by the names of parameters and fields with lists of their objects."""


def agno_medium(kind: str, **fields: Any) -> Any:
    """Agno's object for one medium.

    :param kind: a key of :data:`MEDIA`.
    :param fields: those of its class, and ``filename``. Those without a value are left out.
    """
    from agno import media

    cls = getattr(media, MEDIA[kind])
    filename = fields.pop("filename", None)
    if kind == "files":
        fields |= _file_fields(fields.get("mime_type"), filename, cls.valid_mime_types())
    return cls(**{name: value for name, value in fields.items() if value})


def _file_fields(mime_type: str | None, filename: str | None, accepted: list[str]) -> dict[str, Any]:
    """How Agno describes a file. Its class accepts only some types; of other ones the name says what they are."""
    if not mime_type or mime_type in accepted:
        return {"filename": filename}
    suffix = PurePath(filename or "").suffix or mimetypes.guess_extension(mime_type) or ""
    return {"mime_type": None, "filename": filename or (f"file{suffix}" if suffix else None), "format": suffix[1:]}


def agno_media(kind: str, items: Iterable[Media]) -> list[Any]:
    """Agno's objects for media of musterd. Of one whose content is gone, Agno has none: it stays as it is."""
    return [item if item.content is None and item.url is None else _converted(kind, item) for item in items]


def _converted(kind: str, item: Media) -> Any:
    fields = {"content": item.content, "url": item.url, "mime_type": item.mime_type, "id": item.id}
    return agno_medium(kind, **fields, filename=item.filename)


def musterd_media(items: Any) -> list[Media] | None:
    """Agno's images, sounds, videos or files as those of musterd; None if there are none."""
    return [_medium(item) for item in items] if items else None


def _medium(item: Any) -> Media:
    if isinstance(item, Media):
        return item
    content = None if item.url else item.get_content_bytes()
    filename = getattr(item, "filename", None)
    mime_type = item.mime_type or mimetypes.guess_type(filename or "")[0] or ""
    return Media(content=content, url=item.url or None, mime_type=mime_type, filename=filename, id=item.id)
