"""Validation of identifiers, which are opaque strings that clients may choose."""

import re
import unicodedata

from musterd.core.errors import InvalidInput
from musterd.core.jsontext import is_storable

MAX_LENGTH = 255
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def is_identifier(text: str) -> bool:
    """Whether ``text`` is 1–255 characters without control characters, NUL or lone surrogates."""
    return 0 < len(text) <= MAX_LENGTH and is_storable(text) and not has_control(text)


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its usual form, like the ids that this server generates."""
    return _UUID.fullmatch(text) is not None


def has_control(text: str) -> bool:
    """Whether ``text`` contains a control character."""
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def require_identifier(text: str, where: tuple[str, ...]) -> str:
    """Return ``text`` if it is an identifier.

    :param where: the location of the field in the request, for the error.
    :raises InvalidInput: ``text`` is not an identifier.
    """
    if not is_identifier(text):
        problem = f"Input should be 1 to {MAX_LENGTH} characters without control characters"
        raise InvalidInput.at(where, "string_identifier", problem)
    return text
