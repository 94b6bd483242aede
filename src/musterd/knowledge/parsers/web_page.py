"""HTML: the text of a page as Markdown, without scripts and navigation."""

import re
from collections.abc import Iterator

from lxml import etree, html
from lxml.html import HtmlElement

from musterd.knowledge.parsers import markdown_text
from musterd.knowledge.parsers.markdown_text import one_line
from musterd.knowledge.problems import Unreadable
from musterd.knowledge.texts import decoded

_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", re.IGNORECASE)
_HEAD_BYTES = 4096
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LEFT_OUT = {
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "math",
    "head",
    "nav",
    "iframe",
    "object",
    "button",
    "select",
}
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd"),
    *("label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
}


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """The whole page."""
    text = decoded(content, charset or _named_charset(content)).replace("\0", "")
    # Without the declaration of an encoding, which the parser refuses in a text that is decoded already.
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        page = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError as error:
        raise Unreadable("The HTML page has no text.") from error
    body = page.find("body")
    blocks = _Blocks()
    blocks.walk(page if body is None else body)
    blocks.flush()
    title = one_line(page.findtext(".//title") or "")
    if title and page.find(".//h1") is None:
        blocks.texts.insert(0, markdown_text.heading(1, title))
    yield "\n\n".join(blocks.texts), None


def _named_charset(content: bytes) -> str | None:
    match = _CHARSET.search(content[:_HEAD_BYTES])
    return match[1].decode() if match else None


class _Blocks:
    """Collects the blocks of a page."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._inline: list[str] = []

    def flush(self, before: str = "") -> None:
        """End the current block."""
        text = one_line("".join(self._inline))
        self._inline.clear()
        if text:
            self.texts.append(before + text)

    def walk(self, element: HtmlElement) -> None:
        """Add an element with everything in it, but not the text after it."""
        tag = element.tag
        if tag in _LEFT_OUT:
            return
        if tag in _INLINE:
            self._children(element)
        elif tag == "br":
            self._inline.append(" ")
        elif tag == "pre":
            self.flush()
            self.texts.append(f"```\n{element.text_content().strip()}\n```")
        elif tag == "table" and not element.findall(".//table"):
            self.flush()
            self._table(element)
        else:
            self.flush()
            self._children(element)
            self.flush(self._prefix(tag))

    def _prefix(self, tag: str) -> str:
        if tag in _HEADINGS:
            return f"{'#' * _HEADINGS[tag]} "
        return "- " if tag == "li" else ""

    def _children(self, element: HtmlElement) -> None:
        self._inline.append(element.text or "")
        for child in element:
            self.walk(child)
            self._inline.append(child.tail or "")

    def _table(self, table: HtmlElement) -> None:
        rows = [[cell.text_content() for cell in row.iterchildren("td", "th")] for row in table.iter("tr")]
        if filled := [row for row in rows if any(cell.strip() for cell in row)]:
            self.texts.append(markdown_text.table(filled))
