"""Writes and parses long JSON texts in pieces.

The functions of the json module keep the interpreter's lock until they are done. For a text of 60 MB that is a second,
in which no other thread takes a step: neither the event loop nor the heartbeat. The functions here give up the lock
between two pieces, so they are called in a thread other than the event loop's.
"""

import json
from collections.abc import Iterator

from musterd.core import jsontext
from musterd.core.jsontypes import Json

LONG_BYTES = 256 * 1024
"""From this length on, a text is long. The json module needs a few milliseconds for a shorter one."""

_SCALAR_BYTES = 8
"""About how long a number, a brace or a name is."""
_SPACE = " \t\n\r"
_decode = json.JSONDecoder().raw_decode


def loads(text: str, depth: int) -> Json:
    """Parse a JSON text that this server has stored.

    :param depth: how many levels of arrays and objects are parsed item by item. An item of the last level is a piece,
        so it must be short.
    :raises ValueError: ``text`` is not JSON.
    """
    if len(text) <= LONG_BYTES:
        return json.loads(text)
    try:
        value, end = _value(text, _after_space(text, 0), depth)
    except IndexError:
        raise ValueError(f"a stored text of {len(text)} characters ends in the middle of a value") from None
    if text[end:].strip(_SPACE):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def pieces(value: Json) -> list[bytes]:
    """``value`` as compact JSON in UTF-8, as :func:`jsontext.dumps` writes it, in pieces of a moderate length."""
    written, piece = [], bytearray()
    for part in _parts(value):
        piece += part
        if len(piece) > LONG_BYTES:
            written.append(bytes(piece))
            piece.clear()
    written.append(bytes(piece))
    return written


def dumps(value: Json, characters: int) -> str:
    """``value`` as compact JSON, as :func:`jsontext.dumps` writes it.

    :param characters: about how long the text will be.
    """
    if characters <= LONG_BYTES:
        return jsontext.dumps(value)
    return "".join(piece.decode() for piece in pieces(value))


def _value(text: str, start: int, depth: int) -> tuple[Json, int]:
    """The value that begins at ``start``, and where the rest of the text begins."""
    if depth > 0 and text[start] == "[":
        return _array(text, start, depth - 1)
    if depth > 0 and text[start] == "{":
        return _object(text, start, depth - 1)
    return _decode(text, start)


def _array(text: str, start: int, depth: int) -> tuple[Json, int]:
    items: list[Json] = []
    position = _after_space(text, start + 1)
    if text[position] == "]":
        return items, position + 1
    while True:
        item, position = _value(text, position, depth)
        items.append(item)
        position = _after_space(text, position)
        if text[position] == "]":
            return items, position + 1
        position = _after_space(text, _after(text, position, ","))


def _object(text: str, start: int, depth: int) -> tuple[Json, int]:
    members: dict[str, Json] = {}
    position = _after_space(text, start + 1)
    if text[position] == "}":
        return members, position + 1
    while True:
        name, position = _decode(text, position)
        position = _after(text, _after_space(text, position), ":")
        members[name], position = _value(text, _after_space(text, position), depth)
        position = _after_space(text, position)
        if text[position] == "}":
            return members, position + 1
        position = _after_space(text, _after(text, position, ","))


def _after(text: str, position: int, mark: str) -> int:
    if text[position] != mark:
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, position)
    return position + 1


def _after_space(text: str, position: int) -> int:
    while text[position] in _SPACE:
        position += 1
    return position


def _parts(value: Json) -> Iterator[bytes]:
    if not isinstance(value, (dict, list)) or _is_short(value):
        yield _written(value)
    elif isinstance(value, dict):
        opening = b"{"
        for name, item in list(value.items()):  # a tool that was abandoned may still add to the session state
            yield opening + _key(name) + b":"
            yield from _parts(item)
            opening = b","
        yield b"}"
    else:
        opening = b"["
        for item in value:
            yield opening
            yield from _parts(item)
            opening = b","
        yield b"]"


def _key(name: object) -> bytes:
    """A member's name. The json module writes numbers, booleans and None as texts there."""
    return _written(name) if isinstance(name, str) else _written({name: 0})[1 : -len(":0}")]


def _is_short(value: Json) -> bool:
    return characters_of(value) <= LONG_BYTES


def characters_of(value: Json) -> int:
    """About how long the text of ``value`` is, or a number above ``LONG_BYTES`` if it is longer than that."""
    size, remaining = 0, [value]
    while remaining:
        item = remaining.pop()
        if isinstance(item, dict):
            remaining.extend(item.values())
        elif isinstance(item, (list, tuple)):
            remaining.extend(item)
        size += len(item) if isinstance(item, str) else _SCALAR_BYTES
        if size > LONG_BYTES:
            break
    return size


def _written(value: Json) -> bytes:
    return jsontext.dumps(value).encode("utf-8", "replace")
