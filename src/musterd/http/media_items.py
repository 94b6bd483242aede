"""Lists of media in the body of a request: items with a ``url``, or with their ``content`` in base64."""

import base64
import binascii
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from musterd.core import jsontext
from musterd.core.ids import MAX_LENGTH
from musterd.http.parameters import Parameters, invalid, json_value
from musterd.wire.filetypes import kind_of_type
from musterd.wire.media import listed_item

MAX_ITEMS = 100
MAX_VALUES = 10_000
"""The JSON values in the text of a list, which may be as long as a body: parsed values take many times its memory."""
MAX_URL_LENGTH = 8192

_URL_SCHEMES = frozenset({"http", "https"})

Name = Annotated[str | None, Field(max_length=MAX_LENGTH)]
"""A text that describes a medium. It is stored in rows and events, and sent in headers."""


class MediaListItem(Parameters):
    """One medium of a list."""

    media_name: ClassVar[str]
    """The field whose list it is in."""

    url: str | None = Field(
        None, max_length=MAX_URL_LENGTH, description="Where it is; the server never fetches it itself."
    )
    content: str | None = Field(
        None, description="The content in base64, in place of `url`; `mime_type` is required with it."
    )
    mime_type: Name = Field(None, examples=["image/png"])
    id: Name = None
    filename: Name = None
    name: Name = None
    format: Name = None

    @field_validator("mime_type")
    @classmethod
    def _require_supported_type(cls, mime_type: str | None) -> str | None:
        if mime_type and kind_of_type(mime_type) != cls.media_name:
            raise PydanticCustomError("value_error", f"This type is not supported in {cls.media_name}")
        return mime_type

    def model_post_init(self, context: Any) -> None:
        """Check that there is a usable source.

        :raises ValidationError: there is none.
        """
        if self.url:
            if not _is_web_url(self.url):
                raise invalid([(("url",), "url_scheme", "Input should be an http or https URL", self.url)])
        elif not self.content:
            raise invalid([(("url",), "missing", "Either url or content is required", None)])
        elif not self.mime_type:
            raise invalid([(("mime_type",), "missing", "mime_type is required with content", None)])
        elif not _is_base64(self.content):
            raise invalid([(("content",), "base64", "Input should be base64", self.content)])

    def as_json(self) -> dict[str, Any]:
        """The item in the form in which it is stored and shown."""
        return listed_item(self.model_dump(exclude_none=True))


class ImageItem(MediaListItem):
    """An image."""

    media_name = "images"


class AudioItem(MediaListItem):
    """A sound."""

    media_name = "audio"


class VideoItem(MediaListItem):
    """A video."""

    media_name = "videos"


class FileItem(MediaListItem):
    """A file."""

    media_name = "files"


def _require_list(value: Any) -> Any:
    if isinstance(value, str) and jsontext.max_values(value) > MAX_VALUES:
        raise PydanticCustomError("too_long", f"Input should hold at most {MAX_VALUES} values")
    value = json_value(value)
    if value is not None and not isinstance(value, list):
        raise PydanticCustomError("list_type", "Input should be a JSON list")
    if value is not None and len(value) > MAX_ITEMS:
        raise PydanticCustomError("too_long", f"List should have at most {MAX_ITEMS} items")
    return value


Images = Annotated[list[ImageItem] | None, BeforeValidator(_require_list)]
Audio = Annotated[list[AudioItem] | None, BeforeValidator(_require_list)]
Videos = Annotated[list[VideoItem] | None, BeforeValidator(_require_list)]
Files = Annotated[list[FileItem] | None, BeforeValidator(_require_list)]


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _URL_SCHEMES and bool(parts.netloc)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
