"""Identifiers: opaque texts that clients may choose."""

import re
import unicodedata

from musterd.core.errors import InvalidInput
from musterd.core.jsontext import is_storable

LONGEST = 255
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def is_identifier(text: str) -> bool:
    """Whether ``text`` is 1–255 characters without control characters, NUL or lone surrogates."""
    return 0 < len(text) <= LONGEST and is_storable(text) and not has_control(text)


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID in its usual form, such as the ids that this server makes."""
    return _UUID.fullmatch(text) is not None


def has_control(text: str) -> bool:
    """Whether a control character stands in ``text``."""
    return not text.isprintable() and any(unicodedata.category(sign) == "Cc" for sign in text)


def require_identifier(text: str, where: tuple[str, ...]) -> str:
    """``text``, when it is an identifier.

    :raises InvalidInput: it is not; ``where`` names the field.
    """
    if not is_identifier(text):
        problem = f"Input should be 1 to {LONGEST} characters without control characters"
        raise InvalidInput.at(where, "string_identifier", problem)
    return text
