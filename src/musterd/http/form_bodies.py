"""Parsers of form bodies, urlencoded and multipart, that work while the body arrives.

Starlette's parsers with three differences. Fields that contain media as text are limited only by the body. Bytes that
are not UTF-8 become lone surrogates, so that they are rejected with the name of the field; Starlette would guess
another text. This includes bytes that clients such as curl send unescaped. Only common charsets are accepted: Python
knows more, and some of them take hours to decode a crafted text.
"""

import binascii
import contextlib
import re
import tempfile
from collections.abc import AsyncGenerator

import structlog
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from musterd.core.errors import BadRequest, Unavailable
from musterd.core.media import MEDIA_NAMES
from musterd.core.settings import Settings

log = structlog.get_logger("musterd.http")

_CHARSET = re.compile(r"utf[-_]?8|(?:us-)?ascii|latin[-_]?1|iso[-_]?8859[-_]15?|windows-1252|cp1252", re.ASCII)
MAX_FIELDS = 1000
MAX_FILES = 100
TOO_MANY_FIELDS = f"Too many fields. Maximum number of fields is {MAX_FIELDS}."
_MAX_INVALID_ESCAPES = 10_000
"""The maximum number of invalid percent escapes in 256 KiB of a body. Each of them takes time."""

_INVALID_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class UrlencodedBody(FormParser):
    """A body of ``application/x-www-form-urlencoded``."""

    def __init__(self, request: Request, stream: AsyncGenerator[bytes, None], settings: Settings) -> None:
        bounded = _with_limited_fields(stream)
        super().__init__(request.headers, bounded, max_fields=MAX_FIELDS, max_part_size=settings.field_bytes)
        self._limits = _limits(settings)
        self._decoder = PercentDecoder()
        self._value = bytearray()

    def on_field_start(self) -> None:
        """Begin a field."""
        super().on_field_start()
        self._value.clear()

    def on_field_data(self, data: bytes, start: int, end: int) -> None:
        """Decode a piece of a field's value, because decoding all of a long value at once would take too long."""
        self.max_part_size = self._limits.get(self._field_name.decode("latin-1"), self._limits[""])
        super().on_field_data(data, start, end)
        cut = self._field_value.rfind(b"%", max(0, len(self._field_value) - 2))
        is_cut = cut >= 0  # in the middle of an escape
        self._value += self._decoder.decoded(bytes(self._field_value[:cut] if is_cut else self._field_value))
        self._field_value = self._field_value[cut:] if is_cut else bytearray()

    def on_field_end(self) -> None:
        """Add the field. Starlette's method decodes character by character, which is slow for long values."""
        self._current_fields += 1
        if self._current_fields > MAX_FIELDS:
            raise MultiPartException(TOO_MANY_FIELDS)
        name = self._decoder.decoded(bytes(self._field_name))
        self._value += self._decoder.decoded(bytes(self._field_value))
        self._items.append((_text(name), _text(self._value)))


class MultipartBody(MultiPartParser):
    """A body of ``multipart/form-data``."""

    def __init__(self, request: Request, stream: AsyncGenerator[bytes, None], settings: Settings) -> None:
        super().__init__(
            request.headers, stream, max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=settings.field_bytes
        )
        self._limits = _limits(settings)
        self._has_end = False

    async def parse(self) -> FormData:
        """Read the body to its end.

        :raises MultiPartException: it is malformed, or ends before its last boundary, so that fields may be missing.
        """
        self._check_charset()
        form = await super().parse()
        if not self._has_end:
            await form.close()
            raise MultiPartException("The form breaks off: its last boundary is missing.")
        return form

    def _check_charset(self) -> None:
        # Before Starlette looks it up: Python keeps every name that it does not know, for ever.
        _, parameters = parse_options_header(self.headers["content-type"])
        charset = parameters.get(b"charset", b"utf-8").decode("latin-1").strip().lower()
        if not _CHARSET.fullmatch(charset):
            raise MultiPartException("The charset of the form is not taken: send UTF-8.")

    def on_end(self) -> None:
        """Note the last boundary."""
        self._has_end = True
        super().on_end()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Receive a piece of a part."""
        self.max_part_size = self._limits.get(self._current_part.field_name, self._limits[""])
        super().on_part_data(data, start, end)

    def on_part_end(self) -> None:
        """Add the part."""
        super().on_part_end()
        part = self._current_part
        if part.file is None and self._charset == "utf-8":
            self.items[-1] = (part.field_name, part.data.decode("utf-8", "surrogateescape"))


_KINDS: dict[str, type[UrlencodedBody] | type[MultipartBody]] = {
    "application/x-www-form-urlencoded": UrlencodedBody,
    "multipart/form-data": MultipartBody,
}


async def read_form(request: Request, content_type: str, settings: Settings) -> FormData:
    """The fields and files of a form; empty if the body is not a form.

    :raises BadRequest: it is malformed, or a part of it is too large.
    :raises Unavailable: there is no room for its files.
    """
    kind = _KINDS.get(content_type)
    if kind is None:
        return FormData()
    try:
        # Closed here, and not whenever the garbage collector finds it, also if the form is refused halfway.
        async with contextlib.aclosing(request.stream()) as stream:
            return await kind(request, stream, settings).parse()
    except MultiPartException as error:
        raise BadRequest(error.message) from error
    except (FormParserError, UnicodeError) as error:
        raise BadRequest("Invalid form data.") from error
    except OSError as error:  # long files are stored on disk until they are complete
        log.warning("answered 503: no room for uploads", folder=tempfile.tempdir, error=str(error))
        raise Unavailable("The server has no room for uploads now; try again later.") from error


def _limits(settings: Settings) -> dict[str, int]:
    """The maximum bytes of a field by its name; "" is for all other fields."""
    return {"": settings.field_bytes, **dict.fromkeys(MEDIA_NAMES, settings.body_bytes)}


async def _with_limited_fields(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same body, with a limit on separators: the parser reads each of them, but its limit ignores empty fields."""
    separator_count = 0
    async for piece in stream:
        separator_count += piece.count(b"&")
        if separator_count > MAX_FIELDS:
            raise MultiPartException(TOO_MANY_FIELDS)
        yield piece


class PercentDecoder:
    """Decodes the percent-encoding of a body, in a time that does not depend on the number of escapes."""

    def __init__(self) -> None:
        self._allowed_count = float(_MAX_INVALID_ESCAPES)

    def decoded(self, encoded: bytes) -> bytes:
        """Decode a piece that does not end in the middle of an escape.

        The result is that of ``urllib.parse.unquote_to_bytes``, with spaces in place of ``+``. The decoder of
        quoted-printable does the same with ``=`` in place of ``%``, and is written in C.

        :raises MultiPartException: the body has too many invalid escapes.
        """
        encoded = encoded.replace(b"+", b" ")
        self._allowed_count += len(encoded) * _MAX_INVALID_ESCAPES / (256 * 1024)
        if b"%" not in encoded:
            return encoded
        escaped, invalid_count = _INVALID_ESCAPE.subn(b"%25", encoded)  # curl sends "100%" unescaped
        self._allowed_count -= invalid_count
        if self._allowed_count < 0:
            raise MultiPartException("Malformed percent-encoding.")
        return binascii.a2b_qp(escaped.replace(b"=", b"%3D").replace(b"%", b"="))


def _text(decoded: bytes | bytearray) -> str:
    return decoded.decode("utf-8", "surrogateescape")
