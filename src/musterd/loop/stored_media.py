"""Messages on their way into the store and back: what they hold of media is a reference there, never the content."""

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
    """The message with a reference in place of each content; itself where it has none."""
    if not any(True for _ in binaries(message)):
        return message
    return with_each(message, _referring)


def with_contents(message: Message, found: Mapping[str, bytes]) -> Message:
    """The message with the contents that it refers to; one that is no longer there stays empty."""

    def filled(binary: Json) -> Json:
        if not isinstance(binary, BinaryContent):
            return binary
        notes = dict(binary.vendor_metadata or {})
        content = found.get(notes.pop(REFERENCE, ""))
        if content is None:
            return binary
        own = copy.copy(binary)
        own.data, own.vendor_metadata = content, notes or None
        return own

    return with_each(message, filled)


def binaries(message: ModelMessage) -> Iterator[BinaryContent]:
    """The contents that a message holds."""
    for part in message.parts:
        if isinstance(part, FilePart):
            yield part.content
        elif isinstance(part, UserPromptPart | ToolReturnPart) and isinstance(part.content, list | tuple):
            yield from (item for item in part.content if isinstance(item, BinaryContent))


def with_each(message: Message, change: Callable[[Json], Json]) -> Message:
    """The message with each medium of its prompts and tool results changed, and each content of its files."""
    own = copy.copy(message)
    parts: Json = [_with_each_in(part, change) for part in message.parts]  # of the message's own kind of parts
    own.parts = parts
    return own


def _with_each_in(
    part: ModelRequestPart | ModelResponsePart, change: Callable[[Json], Json]
) -> ModelRequestPart | ModelResponsePart:
    own = copy.copy(part)
    if isinstance(own, FilePart):
        own.content = change(own.content)
    elif isinstance(own, UserPromptPart | ToolReturnPart) and isinstance(own.content, list | tuple):
        own.content = [change(item) if isinstance(item, BinaryContent | ImageUrl) else item for item in own.content]
    return own


def _referring(binary: Json) -> Json:
    if not isinstance(binary, BinaryContent):
        return binary
    own = copy.copy(binary)
    own.vendor_metadata = {**(binary.vendor_metadata or {}), REFERENCE: content_hash(binary.data)}
    own.data = b""
    return own
