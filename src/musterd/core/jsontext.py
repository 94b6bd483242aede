"""Writes and parses JSON strictly: compact output, canonical output for comparison, no NaN or infinity."""

import json
import math

from musterd.core.jsontypes import Json

# Built once: json.dumps would make a new encoder for these options at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_sorted = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode


def dumps(value: Json) -> str:
    """``value`` as compact JSON text. Characters that cannot be encoded as UTF-8 are escaped.

    :raises ValueError: a number is NaN or infinite.
    :raises TypeError: ``value`` is not a JSON value.
    """
    text = _encode(value)
    return text if text.isascii() or is_storable(text) else _encode_ascii(value)


def canonical(value: Json) -> str:
    """``value`` as JSON text with sorted keys, so that equal values have equal texts."""
    return _encode_sorted(value)


def _reject_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _parse_finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def loads(text: str | bytes) -> Json:
    """Parse JSON ``text`` into a value that :func:`dumps` can write again.

    :raises ValueError: ``text`` is not JSON, a number is NaN or infinite (like 1e999), or it is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_reject_constant, parse_float=_parse_finite_float)
    except RecursionError as error:
        raise ValueError("The JSON is nested too deeply.") from error


def max_values(text: str | bytes) -> int:
    """An upper bound of the number of values in JSON ``text``, without parsing it.

    Parsed values take many times the memory of their text, so callers check this bound before they parse.
    """
    if isinstance(text, bytes):
        return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
    return 1 + text.count(",") + text.count("[") + text.count("{")


def has_more_values(value: Json, limit: int) -> bool:
    """Whether a parsed ``value`` consists of more than ``limit`` values. Stops to count beyond the limit."""
    count, remaining = 1, [value]
    while remaining and count <= limit:
        item = remaining.pop()
        if isinstance(item, dict | list):
            count += len(item)
            remaining.extend(item.values() if isinstance(item, dict) else item)
    return count > limit


def is_storable(text: str) -> bool:
    """Whether every database can store ``text``: it contains no NUL and no lone surrogate."""
    if "\x00" in text:
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """``text`` in a form that every database can store: NULs are removed and lone surrogates replaced."""
    return text if is_storable(text) else text.replace("\x00", "").encode("utf-8", "replace").decode()
