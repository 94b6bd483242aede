"""DOCX: headings, paragraphs, lists and tables, as Markdown."""

import re
from collections.abc import Iterator, Sequence
from zipfile import BadZipFile

from docx import Document
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph
from lxml.etree import LxmlError

from musterd.knowledge.parsers import markdown_text
from musterd.knowledge.parsers.office_archive import checked
from musterd.knowledge.problems import Unreadable

_NOUN = "Word document"
_HEADING = re.compile(r"Heading (\d)")


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """The whole document."""
    try:
        document = Document(checked(content, _NOUN))
        blocks = [_block(block) for block in document.iter_inner_content()]
    except (OpcError, LxmlError, BadZipFile, KeyError, ValueError) as error:
        raise Unreadable(f"The {_NOUN} could not be read. It is damaged or incomplete.") from error
    yield "\n\n".join(block for block in blocks if block), None


def _block(block: Paragraph | Table) -> str:
    if isinstance(block, Table):
        return markdown_text.table(_cells(block))
    text = block.text.strip()
    style = (block.style.name if block.style else None) or ""
    if not text:
        return ""
    if style == "Title":
        return markdown_text.heading(1, text)
    if match := _HEADING.fullmatch(style):
        return markdown_text.heading(int(match[1]), text)
    properties = block._p.pPr
    is_item = style.startswith("List") or (properties is not None and properties.numPr is not None)
    return f"- {text}" if is_item else text


def _cells(table: Table) -> Iterator[Sequence[str]]:
    for row in table.rows:
        # A merged cell occurs once for each column that it covers.
        cells = {id(cell._tc): cell for cell in row.cells}
        yield [cell.text for cell in cells.values()]
