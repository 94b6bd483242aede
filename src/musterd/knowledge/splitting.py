"""Splits the text of a document into chunks at its paragraphs and sentences, and Markdown at its headings."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from musterd.core.settings import Settings
from musterd.knowledge import extra
from musterd.knowledge.problems import TooManyChunks
from musterd.knowledge.reading import Section

__all__ = ["Chunk", "TooManyChunks", "split"]

MAX_CHUNKS: int = Settings.model_fields["knowledge_chunks"].default
HEADING_CHARS = 80
"""How much of a heading a place has."""
PART_CHARACTERS = 50_000
"""How much text is given to the splitter at once: a text without line breaks costs it the square of its length."""
_MARKDOWN_KINDS = frozenset({"markdown", "html", "docx"})
"""Kinds whose text is Markdown after reading."""
_BREAKS = ("\n\n", "\n", ". ", " ")
"""Where a text is cut without the extra ``knowledge``, the best place first."""
# The title ends at the end of the line. A pattern that left out the marks after it would try each of its characters as
# their first one, and a long line would hold the interpreter's lock for minutes.
_FENCE_OR_HEADING = re.compile(r"^ {0,3}(?:(?P<fence>```+|~~~+)|(?P<marks>#{1,6})[ \t]+(?P<title>.*)$)", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a document that is embedded and found as a whole.

    :param number: its position in the document, from 0.
    :param place: where it stands, such as ``page 3`` or ``Install › Linux``.
    """

    number: int
    text: str
    place: str | None


def split(
    sections: Sequence[Section],
    *,
    characters: int,
    overlap: int = 0,
    kind: str = "text",
    max_chunks: int = MAX_CHUNKS,
) -> list[Chunk]:
    """The chunks of a document. It takes up to a second, so call it in a thread.

    :param characters: the longest chunk.
    :param overlap: how many characters at the end of a chunk the next one may repeat; fewer than ``characters``.
    :param kind: the document's kind, which says whether its text has headings.
    :raises TooManyChunks: there are more than ``max_chunks``.
    """
    has_headings = kind in _MARKDOWN_KINDS
    cut = _splitter(characters, overlap, has_headings=has_headings)
    chunks: list[Chunk] = []
    for section in sections:
        outline = _Outline(section.text if has_headings else "")
        for offset, text in cut(section.text):
            places = [place for place in (section.place, outline.place_at(offset)) if place]
            chunks.append(Chunk(number=len(chunks), text=text, place=" › ".join(places) or None))
            if len(chunks) > max_chunks:
                raise TooManyChunks(f"The content has more than {max_chunks:,} chunks. Split it into several.")
    return chunks


def _splitter(characters: int, overlap: int, *, has_headings: bool) -> Callable[[str], Iterable[tuple[int, str]]]:
    """A function that cuts a text into pieces, each with its offset."""
    breaks = ("\n#", *_BREAKS) if has_headings else _BREAKS
    if not extra.is_installed():
        return partial(_simple_pieces, characters=characters, overlap=overlap, breaks=breaks)
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    splitter = (MarkdownSplitter if has_headings else TextSplitter)(characters, overlap=overlap)

    def cut(text: str) -> Iterator[tuple[int, str]]:
        for start, part in _simple_pieces(text, characters=max(PART_CHARACTERS, characters), overlap=0, breaks=breaks):
            for offset, piece in splitter.chunk_indices(part):
                yield start + offset, piece

    return cut


def _simple_pieces(text: str, *, characters: int, overlap: int, breaks: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Pieces of a text, cut at the last of the best breaks that leave at least a quarter of the longest piece."""
    start = 0
    while start < len(text):
        end = start + characters
        if end < len(text):
            shortest = start + max(overlap, characters // 4)
            places = (text.rfind(mark, start, end) + 1 for mark in breaks)
            end = next((place for place in places if place > shortest), end)
        piece = text[start:end]
        if words := piece.strip():
            yield start + piece.index(words[0]), words
        start = end - overlap if end < len(text) else end


class _Outline:
    """The headings of a Markdown text."""

    def __init__(self, text: str) -> None:
        self._offsets: list[int] = []
        self._paths: list[str] = []
        path: list[tuple[int, str]] = []
        for offset, level, title in _headings(text):
            path = [*(entry for entry in path if entry[0] < level), (level, title)]
            self._offsets.append(offset)
            self._paths.append(" › ".join(title for _, title in path))

    def place_at(self, offset: int) -> str | None:
        """The headings above a position, or those that begin there."""
        number = bisect_right(self._offsets, offset)
        return self._paths[number - 1] if number else None


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Offset, level and title of each heading outside of code."""
    fence = ""
    for match in _FENCE_OR_HEADING.finditer(text):
        if mark := match["fence"]:
            if not fence:
                fence = mark
            elif mark.startswith(fence):
                fence = ""
        elif not fence and (title := match["title"].rstrip(" \t#")):
            yield match.start(), len(match["marks"]), title[:HEADING_CHARS]
