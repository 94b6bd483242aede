"""PPTX: the text, the tables and the notes of each slide."""

from collections.abc import Iterable, Iterator
from zipfile import BadZipFile

from lxml.etree import LxmlError
from pptx import Presentation
from pptx.exc import PythonPptxError
from pptx.shapes.autoshape import Shape
from pptx.shapes.base import BaseShape
from pptx.shapes.graphfrm import GraphicFrame
from pptx.shapes.group import GroupShape
from pptx.slide import Slide

from musterd.knowledge.parsers import markdown_text
from musterd.knowledge.parsers.office_archive import checked
from musterd.knowledge.problems import Unreadable

_NOUN = "PowerPoint presentation"


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """The slides."""
    try:
        presentation = Presentation(checked(content, _NOUN))
        for number, slide in enumerate(presentation.slides, 1):
            yield "\n\n".join(_blocks(slide)), f"slide {number}"
    except (PythonPptxError, LxmlError, BadZipFile, KeyError, ValueError) as error:
        raise Unreadable(f"The {_NOUN} could not be read. It is damaged or incomplete.") from error


def _blocks(slide: Slide) -> Iterator[str]:
    yield from _texts(slide.shapes)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None and notes.text.strip():
        yield f"Notes: {notes.text.strip()}"


def _texts(shapes: Iterable[BaseShape]) -> Iterator[str]:
    for shape in shapes:
        if isinstance(shape, GroupShape):
            yield from _texts(shape.shapes)
        elif isinstance(shape, GraphicFrame) and shape.has_table:
            yield markdown_text.table([cell.text for cell in row.cells] for row in shape.table.rows)
        elif isinstance(shape, Shape) and (text := shape.text_frame.text.strip()):
            yield text
