"""Bytes as text: their encoding, and the characters that no database stores."""

import codecs
import re
from collections.abc import Iterator

from musterd.knowledge.problems import Unreadable

SAMPLE_BYTES = 64 * 1024
"""How much of a content tells whether it is text."""
PART_LENGTH = 64 * 1024
"""How much of a text is decoded or cleaned in one call. One call for a long text would hold Python's lock, and so the
whole server, for seconds."""
MAX_CONTROL_SHARE = 0.01
"""The share of control characters above which a content in no known encoding is not text."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_MARK = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}
"""The decoders of contents without a mark, which the decoders of parts require."""
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
    if charset and (name := _decoder_name(charset)) is not None:
        return name
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
    decoder = codecs.getincrementaldecoder(encoding_of(content, charset))("replace")
    parts = (content[start : start + PART_LENGTH] for start in range(0, len(content), PART_LENGTH))
    return "".join([*map(decoder.decode, parts), decoder.decode(b"", final=True)])


def cleaned(text: str) -> str:
    """``text`` without control characters, soft hyphens and halves of characters, with ``\\n`` between its lines."""
    return "".join(map(_cleaned_part, _parts(text)))


def _parts(text: str) -> Iterator[str]:
    """``text`` in parts, none of which ends within ``\\r\\n``."""
    start = 0
    while start < len(text):
        end = start + PART_LENGTH
        if text[end - 1 : end + 1] == "\r\n":
            end += 1
        yield text[start:end]
        start = end


def _cleaned_part(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _DROPPED.sub("", lines).encode("utf-8", "replace").decode()


def _decoder_name(charset: str) -> str | None:
    """The name of the decoder of an encoding that a content names; None: it is not an encoding of documents."""
    if not _CHARSET.fullmatch(charset):
        return None
    try:
        name = codecs.lookup(charset).name
    except LookupError:
        return None
    # Documents are not in UTF-7, and a decoder of parts would read one long sequence of it again for each part.
    return None if name == "utf-7" else _WITHOUT_MARK.get(name, name)
