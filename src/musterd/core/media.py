"""Media that a run produces. The content is stored once under its hash, and everything else refers to that hash."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from musterd.core.ids import MAX_LENGTH
from musterd.core.jsontext import storable
from musterd.core.jsontypes import JsonObject

MEDIA_NAMES = ("images", "audio", "videos", "files")
REFERENCE = "musterd_blob"
"""The key that refers to stored content in a message."""

_MEDIA_TYPE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+", re.ASCII)
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Categories of characters that break lines or change the reading direction, with which "gnp.exe" can be displayed as
"exe.png"."""

_MAX_SUFFIX_LENGTH = 16
_REFERENCES = re.compile(f'"{REFERENCE}":"([0-9a-f]{{64}})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """One image, sound, video or file.

    :param name: its kind, one of :data:`MEDIA_NAMES`.
    :param item: its public fields: id, mime_type, filename, and ``blob`` (the hash of its content) or ``url``.
    :param content: the content, if it is loaded.
    """

    name: str
    item: JsonObject
    content: bytes | None = None

    def as_json(self) -> JsonObject:
        """The JSON object that is stored in a row, without the content."""
        return {"name": self.name, "item": self.item}


def plain_name(filename: str) -> str:
    """A file name without directories and without characters that cannot be stored or seen.

    The names ``.`` and ``..`` are those of directories, so nothing is left of them. A name that is too long is
    shortened before its suffix.
    """
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(
        character for character in storable(name) if unicodedata.category(character) not in _INVISIBLE_CATEGORIES
    )
    if name in (".", ".."):
        return ""
    stem, dot, suffix = name.rpartition(".")
    if len(name) <= MAX_LENGTH or not stem or len(suffix) > _MAX_SUFFIX_LENGTH:
        return name[:MAX_LENGTH]
    return stem[: MAX_LENGTH - len(dot) - len(suffix)] + dot + suffix


def plain_type(mime_type: str) -> str:
    """A media type in lower case and without parameters, which could contain a second type."""
    return mime_type.partition(";")[0].strip().lower()


def is_media_type(text: str) -> bool:
    """Whether ``text`` is a media type without parameters, such as ``image/png`` (RFC 9110, section 8.3.1)."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def content_hash(content: bytes) -> str:
    """The name under which ``content`` is stored."""
    return hashlib.sha256(content).hexdigest()


def contents(media: Iterable[Medium]) -> dict[str, bytes]:
    """The loaded contents by their hash."""
    return {medium.item["blob"]: medium.content for medium in media if medium.content is not None}


def missing(media: Iterable[Medium]) -> set[str]:
    """The hashes of the contents that are stored and not loaded."""
    return {medium.item["blob"] for medium in media if medium.content is None and "blob" in medium.item}


def with_contents(media: Iterable[Medium], loaded: Mapping[str, bytes]) -> tuple[Medium, ...]:
    """The media with contents that were loaded, by hash."""
    return tuple(
        medium if medium.content is not None else replace(medium, content=loaded.get(medium.item.get("blob", "")))
        for medium in media
    )


def references(text: str | None) -> list[str]:
    """The hashes of the contents that stored messages (JSON text) refer to."""
    return _REFERENCES.findall(text) if text is not None and REFERENCE in text else []


def media_in(items_by_name: Mapping[str, list[JsonObject]]) -> tuple[Medium, ...]:
    """The media of an output, without their content."""
    return tuple(Medium(name=name, item=item) for name, items in items_by_name.items() for item in items)
