"""JSON text as musterd writes it: compact, strict, and canonical where two texts are compared."""

import json
import math

from musterd.core.jsontypes import Json

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_sorted = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode


def dumps(value: Json) -> str:
    """``value`` as compact JSON text that can be stored and sent: what UTF-8 cannot say is escaped.

    NaN and infinities raise ValueError, what is no JSON value TypeError.
    """
    text = _encode(value)
    return text if text.isascii() or is_storable(text) else _encode_ascii(value)


def canonical(value: Json) -> str:
    """``value`` as JSON text with sorted keys: equal values give equal texts."""
    return _encode_sorted(value)


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is larger than any number here")
    return number


def loads(text: str | bytes) -> Json:
    """The value of JSON ``text``: one that :func:`dumps` can write again.

    :raises ValueError: it is not JSON, a number is NaN or infinite (as 1e999 is), or it is nested too deep to be read.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("The JSON is nested too deep.") from error


def most_parts(text: str | bytes) -> int:
    """How many values a JSON ``text`` may hold at most, told without reading it: each costs many times its signs."""
    if isinstance(text, bytes):
        return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
    return 1 + text.count(",") + text.count("[") + text.count("{")


def is_storable(text: str) -> bool:
    """Whether ``text`` can be stored everywhere: no NUL and no lone surrogate."""
    if "\x00" in text:
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def storable(text: str) -> str:
    """``text`` as it can be stored everywhere: NULs are left out, lone surrogates replaced."""
    return text if is_storable(text) else text.replace("\x00", "").encode("utf-8", "replace").decode()
