"""Uploads: each file goes by its type to images, audio, videos or files; any other is refused in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from musterd.core.errors import BadRequest
from musterd.core.media import plain_name
from musterd.wire.filetypes import NAMES, detect_type, kind_of_type
from musterd.wire.media import media_item


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One uploaded file.

    :param filename: as the client named it.
    :param content_type: as the client declared it, or "".
    """

    filename: str
    content_type: str
    content: bytes


def media_of(uploads: Iterable[Upload]) -> dict[str, list[dict[str, Any]]]:
    """The uploads by where they go, in order.

    :raises BadRequest: for a file whose type is not taken; it names the file and the types.
    """
    media: dict[str, list[dict[str, Any]]] = {}
    for upload in uploads:
        mime_type = detect_type(upload.filename, upload.content_type, upload.content)
        kind = kind_of_type(mime_type) if mime_type else None
        if mime_type is None or kind is None:
            raise BadRequest(_refusal(upload))
        media.setdefault(kind, []).append(media_item(upload.content, mime_type, plain_name(upload.filename)))
    return media


def _refusal(upload: Upload) -> str:
    name = "".join(character for character in plain_name(upload.filename)[:100] if character.isprintable())
    declared = "".join(character for character in upload.content_type[:100] if character.isprintable())
    return f"Unsupported file type: {name} ({declared or 'no type'}). Supported: {', '.join(NAMES)}"
