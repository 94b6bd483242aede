"""Splits the text of a document into chunks at its paragraphs and sentences, and Markdown at its headings."""

import re
from bisect import bisect_left, bisect_right
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

    of_text, of_markdown = TextSplitter(characters, overlap=overlap), MarkdownSplitter(characters, overlap=overlap)
    longest = max(PART_CHARACTERS, characters)

    def cut(text: str) -> Iterator[tuple[int, str]]:
        # The splitter would take a part that begins inside a code block for text, and the text after it for code. So
        # parts are cut outside of code blocks, and blocks that are too long for that are split as plain text.
        for stretch in _stretches(text, longest // 2, has_headings=has_headings):
            splitter = of_markdown if stretch.is_markdown else of_text
            code = list(_code_blocks(stretch.text)) if stretch.is_markdown else []
            for start, part in _simple_pieces(stretch.text, characters=longest, overlap=0, breaks=breaks, kept=code):
                for offset, piece in splitter.chunk_indices(part):
                    yield stretch.offset + start + offset, piece

    return cut


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A stretch of a text that is split as Markdown or as plain text."""

    offset: int
    text: str
    is_markdown: bool


def _stretches(text: str, longest_code: int, *, has_headings: bool) -> Iterator[_Stretch]:
    """The stretches of a text, of which each code block that is longer than ``longest_code`` is one."""
    start = 0
    if has_headings:
        for block in _code_blocks(text):
            if len(block) > longest_code:
                yield _Stretch(offset=start, text=text[start : block.start], is_markdown=True)
                yield _Stretch(offset=block.start, text=text[block.start : block.stop], is_markdown=False)
                start = block.stop
    yield _Stretch(offset=start, text=text[start:], is_markdown=has_headings)


def _simple_pieces(
    text: str, *, characters: int, overlap: int, breaks: Sequence[str], kept: Sequence[range] = ()
) -> Iterator[tuple[int, str]]:
    """Pieces of a text, cut at the last of the best breaks that leave at least a quarter of the longest piece.

    :param kept: what is not cut, in order. None of them is longer than half of the longest piece.
    """
    start = 0
    while start < len(text):
        end = start + characters
        if end < len(text):
            shortest = start + max(overlap, characters // 4)
            places = (_last_place(text, mark, start, end, kept) for mark in breaks)
            end = next((place for place in places if place > shortest), end)
        piece = text[start:end]
        if words := piece.strip():
            yield start + piece.index(words[0]), words
        start = end - overlap if end < len(text) else end


def _last_place(text: str, mark: str, start: int, end: int, kept: Sequence[range]) -> int:
    """The last place where a text can be cut at ``mark``, outside of ``kept``; 0 if there is none."""
    while place := text.rfind(mark, start, end) + 1:
        number = bisect_left(kept, place, key=lambda span: span.start) - 1
        if number < 0 or place >= kept[number].stop:
            break
        end = kept[number].start - 1 + len(mark)
    return place


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
    for match, was_code, _ in _fences_and_headings(text):
        if not match["fence"] and not was_code and (title := match["title"].rstrip(" \t#")):
            yield match.start(), len(match["marks"]), title[:HEADING_CHARS]


def _code_blocks(text: str) -> Iterator[range]:
    """The places of the code blocks of a Markdown text, with their fences."""
    start: int | None = None
    for match, was_code, is_code in _fences_and_headings(text):
        if is_code and not was_code:
            start = match.start()
        elif was_code and not is_code and start is not None:
            yield range(start, text.find("\n", match.end()) + 1 or len(text))
            start = None
    if start is not None:
        yield range(start, len(text))


def _fences_and_headings(text: str) -> Iterator[tuple[re.Match[str], bool, bool]]:
    """Each fence, and each line that looks like a heading, with whether the text before and after it is code."""
    fence = ""
    for match in _FENCE_OR_HEADING.finditer(text):
        was_code = bool(fence)
        if mark := match["fence"]:
            if not fence:
                fence = mark
            elif mark.startswith(fence):
                fence = ""
        yield match, was_code, bool(fence)
