"""What a tool may return beside text: images, sounds, videos and files."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One image, sound, video or file: its content, or the address where it is.

    :param content: the bytes.
    :param url: an address; nothing is fetched from it.
    :param mime_type: its type, such as ``image/png``.
    :param filename: its name for people.
    :param id: names it; default: made from the call that returned it.
    """

    content: bytes | None = None
    url: str | None = None
    mime_type: str = ""
    filename: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """A tool's result with media: the model reads the text and what it can of the media, clients get them all.

    :param content: what the model reads.
    """

    content: str = ""
    images: Sequence[Media] = ()
    audios: Sequence[Media] = ()
    videos: Sequence[Media] = ()
    files: Sequence[Media] = ()
