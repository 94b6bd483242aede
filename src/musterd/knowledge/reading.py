"""Reads documents: finds their kind, and turns them into sections of text.

Everything but plain text and Markdown is parsed in a child process with limits on memory and time, because a document
may be made to break its parser.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import PurePath
from typing import Self

from musterd.core.settings import Settings
from musterd.core.threads import in_thread
from musterd.knowledge.problems import Unreadable
from musterd.knowledge.reading_process import ReadingLimits, parsed
from musterd.knowledge.texts import cleaned, decoded, encoding_of

__all__ = ["READERS", "Reader", "ReadingLimits", "Section", "Source", "Unreadable", "kind_of", "limits_of", "read"]

_HEAD_BYTES = 1024
_UNPARSED = frozenset({"text", "markdown"})
_OFFICE_PARTS = {b"word/document.xml": "docx", b"ppt/presentation.xml": "pptx", b"xl/workbook.xml": "xlsx"}
_PDF = re.compile(rb"(?:^|[\r\n\0])%PDF-\d")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A content as it arrived.

    :param media_type: of the upload or of the HTTP answer, such as ``text/html; charset=utf-8``.
    """

    content: bytes
    file_name: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a document.

    :param place: where it stands, such as ``page 3``; None if the document has no such places.
    """

    text: str
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A reader, as ``GET /knowledge/config`` lists it.

    :param kinds: the kinds of content that it reads.
    :param suffixes: the ends of names of files of these kinds.
    :param media_types: the media types of these kinds.
    """

    id: str
    name: str
    description: str
    kinds: tuple[str, ...]
    suffixes: tuple[str, ...]
    media_types: tuple[str, ...]

    @classmethod
    def of(cls, reader_id: str, name: str, description: str, *ends: str, kind: str = "") -> Self:
        """A reader of one kind.

        :param ends: suffixes, which begin with a point, and media types.
        :param kind: empty: the reader's id.
        """
        return cls(
            id=reader_id,
            name=name,
            description=description,
            kinds=(kind or reader_id,),
            suffixes=tuple(end for end in ends if end.startswith(".")),
            media_types=tuple(end for end in ends if not end.startswith(".")),
        )


_OFFICE_TYPE = "application/vnd.openxmlformats-officedocument"
READERS: Mapping[str, Reader] = {
    reader.id: reader
    for reader in (
        Reader.of("pdf", "PDF", "The text of each page. Pictures of text are not read.", ".pdf", "application/pdf"),
        Reader.of(
            "docx",
            "Word document",
            "Headings, paragraphs, lists and tables.",
            ".docx",
            f"{_OFFICE_TYPE}.wordprocessingml.document",
        ),
        Reader.of(
            "pptx",
            "PowerPoint presentation",
            "The text, the tables and the notes of each slide.",
            ".pptx",
            f"{_OFFICE_TYPE}.presentationml.presentation",
        ),
        Reader.of(
            "excel",
            "Excel workbook",
            "The rows of each sheet; the first row names the columns.",
            ".xlsx",
            f"{_OFFICE_TYPE}.spreadsheetml.sheet",
            kind="xlsx",
        ),
        Reader.of(
            "csv",
            "CSV file",
            "Rows; the first one names the columns.",
            ".csv",
            ".tsv",
            "text/csv",
            "text/tab-separated-values",
        ),
        Reader.of(
            "json",
            "JSON file",
            "Values with their keys, or one JSON value in each line.",
            ".json",
            ".jsonl",
            ".ndjson",
            "application/json",
            "application/x-ndjson",
        ),
        Reader.of("markdown", "Markdown text", "Text with headings.", ".md", ".markdown", "text/markdown"),
        Reader.of(
            "html",
            "HTML page",
            "The text of a page with its headings, without scripts and navigation.",
            ".html",
            ".htm",
            ".xhtml",
            "text/html",
            "application/xhtml+xml",
        ),
        Reader.of("text", "Plain text", "Text as it is.", ".txt", "text/plain"),
    )
}
"""The readers, by id. The ids are AgentOS's if it has the reader."""

_READER_OF_KIND = {kind: reader for reader in READERS.values() for kind in reader.kinds}
_TEXT_READERS = [reader for reader in READERS.values() if not {"pdf", "docx", "pptx", "xlsx"} & {*reader.kinds}]


def limits_of(settings: Settings) -> ReadingLimits:
    """The limits that a server's settings put on reading."""
    return ReadingLimits(
        seconds=settings.knowledge_read_seconds,
        memory_bytes=settings.knowledge_read_memory_bytes,
        text_bytes=settings.knowledge_text_bytes,
    )


def kind_of(source: Source, reader: str | None = None) -> str:
    """The kind of a content: by its bytes, and for text by its name or else its media type.

    :param reader: the id of the reader that is to read it, whatever it is.
    :raises Unreadable: it is empty, or not of a kind that can be read.
    """
    content = source.content
    if not content.strip():
        raise Unreadable("The content is empty.")
    if reader is not None:
        return READERS[reader].kinds[0]
    head = content[:_HEAD_BYTES]
    if _PDF.search(head):
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        return _office_kind(content)
    if head.startswith(_OLD_OFFICE):
        raise Unreadable(
            "The file has a password or an old Office format. Save it as .docx, .pptx or .xlsx without a password."
        )
    text = head.decode(encoding_of(content, _charset(source)), "replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html")):
        return "html"
    return _text_kind(source)


async def read(source: Source, *, reader: str | None = None, limits: ReadingLimits | None = None) -> list[Section]:
    """The text of a content, in the order of the document.

    :param reader: the id of the reader to use; None: the one for its kind.
    :raises Unreadable: it has no text, or cannot be read within the limits.
    """
    limits = limits or ReadingLimits()
    kind = kind_of(source, reader)
    noun = _noun(kind)
    if kind in _UNPARSED:
        if len(source.content) > limits.text_bytes:
            raise Unreadable(limits.too_long(noun))
        text = await in_thread(lambda: cleaned(decoded(source.content, _charset(source))))
        sections = [Section(text=text)]
    else:
        pieces = await parsed(kind, noun, source.content, charset=_charset(source), limits=limits)
        sections = [Section(text=text, place=place) for text, place in pieces]
    if not (sections := [section for section in sections if section.text.strip()]):
        raise Unreadable(_without_text(kind, noun))
    return sections


def _noun(kind: str) -> str:
    """What a content of this kind is called in messages."""
    return "text" if kind == "text" else _READER_OF_KIND[kind].name


def _without_text(kind: str, noun: str) -> str:
    if kind == "pdf":
        return "The PDF has no text. If its pages are pictures of text, run text recognition on it first."
    return f"The {noun} has no text."


def _office_kind(content: bytes) -> str:
    """The kind of an Office file. Documents may be embedded in others; the outer one's parts come first."""
    positions = {content.find(part): kind for part, kind in _OFFICE_PARTS.items() if part in content}
    if not positions:
        raise Unreadable("The file is an archive, which is not read. Add its files one by one.")
    return positions[min(positions)]


def _text_kind(source: Source) -> str:
    suffix = PurePath(source.file_name).suffix.lower() if source.file_name else ""
    media_type = _media_type(source).get_content_type()
    for matches in (
        [reader for reader in _TEXT_READERS if suffix in reader.suffixes],
        [reader for reader in _TEXT_READERS if source.media_type and media_type in reader.media_types],
    ):
        if matches:
            return matches[0].kinds[0]
    if suffix in _binary_suffixes():
        raise Unreadable(f"The file is named {suffix}, but its content is not of that kind.")
    return "text"


def _binary_suffixes() -> Sequence[str]:
    return [suffix for reader in READERS.values() if reader not in _TEXT_READERS for suffix in reader.suffixes]


def _charset(source: Source) -> str | None:
    charset = _media_type(source).get_param("charset")
    return charset if isinstance(charset, str) else None


def _media_type(source: Source) -> Message:
    message = Message()
    message["Content-Type"] = " ".join((source.media_type or "").split())
    return message
