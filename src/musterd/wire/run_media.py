"""The media of a run as clients read them: attachments of its message, and what it produced."""

import base64
import binascii
from typing import Annotated, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input, Output


class MediaItem(TypedDict, total=False):
    """An image, sound, video or file, with its content or a URL."""

    id: str
    filename: str
    name: str
    mime_type: str
    format: str
    url: str
    content: Annotated[str, Field(description="Base64; the content of an attached text file is text.")]
    blob: Annotated[str, Field(description="Its `media_id`, if the run produced it.")]


class RunInput(TypedDict):
    """The input of a run."""

    input_content: Annotated[str, Field(description="The message.")]
    images: NotRequired[list[MediaItem]]
    videos: NotRequired[list[MediaItem]]
    audios: NotRequired[list[MediaItem]]
    files: NotRequired[list[MediaItem]]


class InputMedia(TypedDict):
    """The attachments of a message."""

    images: list[MediaItem]
    videos: list[MediaItem]
    audios: list[MediaItem]
    files: list[MediaItem]


class ProducedMedia(TypedDict, total=False):
    """The media that a run produced."""

    images: list[MediaItem]
    videos: list[MediaItem]
    audio: list[MediaItem]
    files: list[MediaItem]


def input_object(run_input: Input) -> RunInput:
    """``input`` of a run: the message and its attachments."""
    value: RunInput = {"input_content": run_input.message}
    media = run_input.media
    if not media:
        return value
    if images := media.get("images"):
        value["images"] = _attachments(images)
    if videos := media.get("videos"):
        value["videos"] = _attachments(videos)
    if audio := media.get("audio"):
        value["audios"] = _attachments(audio)
    if files := media.get("files"):
        value["files"] = _attachments(files)
    return value


def input_media(run_input: Input) -> InputMedia:
    """``input_media`` of a run in a list: the attachments, with empty lists."""
    media = run_input.media
    return {
        "images": _attachments(media.get("images", [])),
        "videos": _attachments(media.get("videos", [])),
        "audios": _attachments(media.get("audio", [])),
        "files": _attachments(media.get("files", [])),
    }


def media_of(output: Output | None) -> ProducedMedia:
    """The media that a run produced, without empty lists."""
    if output is None or not output.media:
        return {}
    names = ("images", "videos", "audio", "files")
    return cast(ProducedMedia, {name: output.media[name] for name in names if output.media.get(name)})


def _attachments(items: list[JsonObject]) -> list[MediaItem]:
    return [_attachment(cast(MediaItem, item)) for item in items]


def _attachment(item: MediaItem) -> MediaItem:
    """One attachment. As in AgentOS, the content of a text file is text; any other content is base64."""
    content = item.get("content")
    if content is None or not item.get("mime_type", "").startswith("text/"):
        return item
    try:
        return {**item, "content": base64.b64decode(content).decode("utf-8")}
    except (binascii.Error, UnicodeDecodeError):
        return item
