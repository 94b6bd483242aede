"""Media that a run produces, returned by its tools or by its model."""

from collections.abc import Sequence

from pydantic_ai.messages import BinaryContent, FilePart, ImageUrl, ModelResponse, UserContent
from pydantic_ai.models import Model

from musterd.core import clock
from musterd.core.jsontypes import Json
from musterd.core.media import Medium, content_hash, is_media_type, plain_name, plain_type
from musterd.declare.tool_result import Media, ToolResult
from musterd.models.image_addresses import passes_image_addresses_on
from musterd.models.media_support import is_text, kind_of, unsupported_result

_TYPES = {"images": "image/png", "audio": "audio/wav", "videos": "video/mp4", "files": "application/octet-stream"}


class MediaTooLarge(Exception):
    """A tool returned media that are larger than the limit."""


def check_media(result: Json, max_bytes: int) -> None:
    """Check the total size of the media in a tool's result.

    :raises MediaTooLarge: if they have more than ``max_bytes``.
    """
    if isinstance(result, BinaryContent):
        size = len(result.data)
    elif isinstance(result, ToolResult):
        lists = (result.images, result.audios, result.videos, result.files)
        size = sum(len(media.content or b"") for items in lists for media in items)
    else:
        return
    if size > max_bytes:
        raise MediaTooLarge(f"The tool was called, but its media have {size} bytes; at most {max_bytes} are kept.")


def split_media(result: Json, salt: str, path: str) -> tuple[Json, tuple[Medium, ...]]:
    """Split a tool's result into its content and its media.

    :raises ValueError: if one of the media has neither content nor url, or has both.
    """
    if isinstance(result, BinaryContent):
        return "", (_of_content(result.data, result.media_type, f"{path}/media0", salt),)
    if not isinstance(result, ToolResult):
        return result, ()
    by_name = {"images": result.images, "audio": result.audios, "videos": result.videos, "files": result.files}
    named = [(name, media) for name, items in by_name.items() for media in items]
    return result.content, tuple(
        _medium(name, media, salt, f"{path}/media{number}") for number, (name, media) in enumerate(named)
    )


def media_in_response(response: ModelResponse, salt: str, path: str) -> tuple[Medium, ...]:
    """The media in a model's answer."""
    files = [part.content for part in response.parts if isinstance(part, FilePart)]
    # A replay reads the same answer, so the ids are derived from the path and not random.
    return tuple(
        _of_content(file.data, file.media_type, f"{path}/media{number}", salt) for number, file in enumerate(files)
    )


def result_content(text: str, media: Sequence[Medium], model: Model) -> str | list[UserContent]:
    """A tool's result as the model reads it: the text, and each medium, or a note if the model cannot read it."""
    content = [text, *(_medium_content(medium, model) for medium in media)]
    texts = [item for item in content if isinstance(item, str)]
    return "\n".join(texts) if len(texts) == len(content) else content


def _medium(name: str, media: Media, salt: str, place: str) -> Medium:
    if (media.content is None) == (media.url is None):
        raise ValueError(f"One of the {name} needs either content or url.")
    mime_type = plain_type(media.mime_type)
    item = {
        "id": media.id or clock.derived_id(salt, place),
        "mime_type": mime_type if is_media_type(mime_type) else _TYPES[name],
        "filename": plain_name(media.filename or "") or None,
        "url": media.url,
        "blob": None if media.content is None else content_hash(media.content),
    }
    item = {key: value for key, value in item.items() if value is not None}
    return Medium(name=name, item=item, content=media.content)


def _of_content(content: bytes, mime_type: str, place: str, salt: str) -> Medium:
    return _medium(kind_of(mime_type), Media(content=content, mime_type=mime_type), salt, place)


def _medium_content(medium: Medium, model: Model) -> UserContent:
    item = medium.item
    if "url" in item:
        if medium.name == "images" and passes_image_addresses_on(model):
            return ImageUrl(item["url"])
        return f'<{medium.name.removesuffix("s")} url="{item["url"]}"/>'
    mime_type: str = item["mime_type"]
    opening = f'<file id="{item["id"]}" type="{mime_type}">'
    if medium.content is None:
        return f"{opening}It is no longer stored.</file>"
    if is_text(medium.name, mime_type):
        return f"{opening}\n{medium.content.decode('utf-8', errors='replace')}\n</file>"
    if unreadable := unsupported_result(model, medium.name, mime_type):
        return f"{opening}Not shown: you cannot read {unreadable}.</file>"
    return BinaryContent(medium.content, media_type=mime_type, identifier=item["id"])
