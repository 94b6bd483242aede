"""Media that a run produces: the content is stored once, under its hash, and everything else refers to it."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from musterd.core.ids import LONGEST
from musterd.core.jsontext import storable
from musterd.core.jsontypes import JsonObject

MEDIA_NAMES = ("images", "audio", "videos", "files")
REFERENCE = "musterd_blob"
"""The key under which a stored message refers to a content."""

_MEDIA_TYPE = re.compile(r"[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+", re.ASCII)
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Signs that break lines or turn the reading direction: with them "exe.png" can be made of "gnp.exe"."""

_LONGEST_SUFFIX = 16
_REFERENCES = re.compile(f'"{REFERENCE}":"([0-9a-f]{{64}})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """One image, sound, video or file.

    :param name: what it is: one of :data:`MEDIA_NAMES`.
    :param item: what is shown of it: id, mime_type, filename, and ``blob`` (the hash of its content) or ``url``.
    :param content: the content itself, where it is at hand.
    """

    name: str
    item: JsonObject
    content: bytes | None = None

    def as_json(self) -> JsonObject:
        """What is stored of it in a row."""
        return {"name": self.name, "item": self.item}


def plain_name(filename: str) -> str:
    """A file's name without folders and without signs that cannot be stored or seen; cut in front of its suffix."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(sign for sign in storable(name) if unicodedata.category(sign) not in _UNSEEN)
    stem, dot, suffix = name.rpartition(".")
    if len(name) <= LONGEST or not stem or len(suffix) > _LONGEST_SUFFIX:
        return name[:LONGEST]
    return stem[: LONGEST - len(dot) - len(suffix)] + dot + suffix


def plain_type(mime_type: str) -> str:
    """A media type in lower case and without parameters, which could smuggle in a second type."""
    return mime_type.partition(";")[0].strip().lower()


def is_media_type(text: str) -> bool:
    """Whether ``text`` is a media type without parameters, such as ``image/png`` (RFC 9110, section 8.3.1)."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def content_hash(content: bytes) -> str:
    """The name under which ``content`` is stored."""
    return hashlib.sha256(content).hexdigest()


def contents(media: Iterable[Medium]) -> dict[str, bytes]:
    """The contents that are at hand, by their hash."""
    return {medium.item["blob"]: medium.content for medium in media if medium.content is not None}


def references(text: str | None) -> list[str]:
    """The contents that stored messages, as JSON text, refer to."""
    return _REFERENCES.findall(text) if text is not None and REFERENCE in text else []


def media_in(shown: Mapping[str, list[JsonObject]]) -> tuple[Medium, ...]:
    """The media that an output shows, without their content."""
    return tuple(Medium(name=name, item=item) for name, items in shown.items() for item in items)
