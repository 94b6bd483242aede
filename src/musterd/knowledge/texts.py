"""Bytes as text: their encoding, and the characters that no database stores."""

import codecs
import re

from musterd.knowledge.problems import Unreadable

SAMPLE_BYTES = 64 * 1024
"""How much of a content tells whether it is text."""
PART_CHARS = 64 * 1024
"""How much of a text is cleaned in one call."""
MAX_CONTROL_SHARE = 0.01
"""The share of control characters above which a content in no known encoding is not text."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Encodings that a content may name itself. Others of Python's are no encodings of documents, such as punycode.
_CHARSET = re.compile(r"(utf|iso|latin|windows|cp|us-ascii|ascii|gb|big5|shift|euc|koi|mac)[\w-]*", re.IGNORECASE)
_CONTROLS = r"\x00-\x08\x0b\x0e-\x1f\x7f"
_CONTROL = re.compile(f"[{_CONTROLS}]")
_DROPPED = re.compile(rf"[{_CONTROLS}\xad\ufeff]")


def encoding_of(content: bytes, charset: str | None = None) -> str:
    """The encoding of a text.

    :param charset: the encoding that the content or its media type names.
    :raises Unreadable: the content is not text.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return encoding
    if charset and _CHARSET.fullmatch(charset) and _is_known(charset):
        return charset
    sample = content[:SAMPLE_BYTES]
    if b"\0" in sample:
        raise Unreadable("The content is not text, and not a file of a kind that can be read.")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut
        text, encoding = sample.decode(errors="ignore"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = sample.decode("cp1252", "replace"), "cp1252"
    if len(_CONTROL.findall(text)) > MAX_CONTROL_SHARE * len(text):
        raise Unreadable("The content is not text, and not a file of a kind that can be read.")
    return encoding


def decoded(content: bytes, charset: str | None = None) -> str:
    """A content as text. A byte that its encoding does not have becomes a replacement character.

    :raises Unreadable: the content is not text.
    """
    return content.decode(encoding_of(content, charset), "replace")


def cleaned(text: str) -> str:
    """``text`` without control characters, soft hyphens and halves of characters, with ``\\n`` between its lines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # In parts, because one call for a long text would hold Python's lock, and so the whole server, for a second.
    parts = (text[start : start + PART_CHARS] for start in range(0, len(text), PART_CHARS))
    return "".join(_DROPPED.sub("", part).encode("utf-8", "replace").decode() for part in parts)


def _is_known(charset: str) -> bool:
    try:
        codecs.lookup(charset)
    except LookupError:
        return False
    return True
