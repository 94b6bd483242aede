"""Tool results with images, audio, videos and files."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One image, sound, video or file: its content or its URL.

    :param content: the bytes.
    :param url: its URL; musterd does not fetch it.
    :param mime_type: its type, such as ``image/png``.
    :param filename: its name for display.
    :param id: its id; default: derived from the tool call that returned it.
    """

    content: bytes | None = None
    url: str | None = None
    mime_type: str = ""
    filename: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """A tool result with media. The model gets the text and the media that it supports; clients get all media.

    :param content: the text for the model.
    """

    content: str = ""
    images: Sequence[Media] = ()
    audios: Sequence[Media] = ()
    videos: Sequence[Media] = ()
    files: Sequence[Media] = ()
