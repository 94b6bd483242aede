"""Conversion of messages for the store, where each medium's content is replaced by a reference to its blob."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from pydantic_ai.messages import (
    BinaryContent,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelRequestPart,
    ModelResponsePart,
    ToolReturnPart,
    UserPromptPart,
)

from musterd.core.jsontypes import Json
from musterd.core.media import REFERENCE, content_hash

Message = TypeVar("Message", bound=ModelMessage)


def without_contents(message: Message) -> Message:
    """The message with each content replaced by a reference; the same object if it has none."""
    if not any(True for _ in binaries(message)):
        return message
    return with_each(message, _as_reference)


def with_contents(message: Message, contents: Mapping[str, bytes]) -> Message:
    """The message with its references replaced by contents; a content that is gone stays empty.

    :param contents: by hash.
    """

    def filled(binary: Json) -> Json:
        if not isinstance(binary, BinaryContent):
            return binary
        notes = dict(binary.vendor_metadata or {})
        content = contents.get(notes.pop(REFERENCE, ""))
        if content is None:
            return binary
        duplicate = copy.copy(binary)
        duplicate.data, duplicate.vendor_metadata = content, notes or None
        return duplicate

    return with_each(message, filled)


def binaries(message: ModelMessage) -> Iterator[BinaryContent]:
    """The media with content in a message."""
    for part in message.parts:
        if isinstance(part, FilePart):
            yield part.content
        elif isinstance(part, UserPromptPart | ToolReturnPart) and isinstance(part.content, list | tuple):
            yield from (item for item in part.content if isinstance(item, BinaryContent))


def with_each(message: Message, change: Callable[[Json], Json]) -> Message:
    """A copy of the message with ``change`` applied to each medium of its prompts, tool results and files."""
    # A copy: the conversation goes on using the message with its contents.
    duplicate = copy.copy(message)
    parts: Json = [_with_each_in(part, change) for part in message.parts]  # Json, since requests and responses differ
    duplicate.parts = parts
    return duplicate


def _with_each_in(
    part: ModelRequestPart | ModelResponsePart, change: Callable[[Json], Json]
) -> ModelRequestPart | ModelResponsePart:
    duplicate = copy.copy(part)
    if isinstance(duplicate, FilePart):
        duplicate.content = change(duplicate.content)
    elif isinstance(duplicate, UserPromptPart | ToolReturnPart) and isinstance(duplicate.content, list | tuple):
        duplicate.content = [
            change(item) if isinstance(item, BinaryContent | ImageUrl) else item for item in duplicate.content
        ]
    return duplicate


def _as_reference(binary: Json) -> Json:
    if not isinstance(binary, BinaryContent):
        return binary
    duplicate = copy.copy(binary)
    duplicate.vendor_metadata = {**(binary.vendor_metadata or {}), REFERENCE: content_hash(binary.data)}
    duplicate.data = b""
    return duplicate
